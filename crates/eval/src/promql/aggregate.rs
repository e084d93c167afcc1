//! Aggregations over the elements of a vector.

use foghorn_model::Labels;
use foghorn_rules::plan::{Aggregate, AggregateOp};

use super::cache::{Caches, Projection};
use super::error::EvalError;
use super::kahan::{KahanMean, KahanSum};
use super::order::quantile;
use super::topk;
use super::value::settle;
use crate::vector::{Element, Rows, Vector};

/// An aggregation's evaluated parameter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Param<'a> {
    None,
    Number(f64),
    Label(&'a str),
}

/// Aggregates a vector that stands in label order. `topk` and `bottomk` give their own order, all
/// else label order.
pub(super) fn aggregate(
    caches: &mut Caches,
    plan: &Aggregate,
    param: Param<'_>,
    vector: Vector,
) -> Result<Vector, EvalError> {
    match (plan.op, param) {
        (AggregateOp::TopK | AggregateOp::BottomK, Param::Number(k)) => {
            let groups = split(caches, plan);
            topk::select(groups, plan.op == AggregateOp::TopK, k, vector)
        }
        (AggregateOp::CountValues, Param::Label(label)) => {
            count_values(caches, plan, label, &vector)
        }
        (AggregateOp::Quantile, Param::Number(q)) => {
            let fold = |groups: Vec<Vec<f64>>| {
                groups
                    .into_iter()
                    .map(|mut values| quantile(q, &mut values))
                    .collect()
            };
            reduce(caches, plan, &vector, |v| vec![v], Vec::push, fold)
        }
        (AggregateOp::Quantile | AggregateOp::TopK | AggregateOp::BottomK, _) => {
            Err(EvalError::WrongType {
                expected: "a scalar",
                of: "an aggregation's parameter",
            })
        }
        (AggregateOp::CountValues, _) => Err(EvalError::WrongType {
            expected: "a string",
            of: "count_values",
        }),
        (op, _) => {
            let fold =
                |groups: Vec<State>| groups.into_iter().map(|state| state.result(op)).collect();
            reduce(
                caches,
                plan,
                &vector,
                |v| State::of(op, v),
                State::add,
                fold,
            )
        }
    }
}

/// The projection to an aggregation's groups, with all seats empty.
fn split<'c>(caches: &'c mut Caches, plan: &Aggregate) -> &'c mut Projection {
    let handle = caches.projection(!plan.without, plan.without, &plan.labels);
    let groups = caches.projected(handle);
    groups.begin();
    groups
}

/// One element for each group that a vector has an element of, without a value (NaN).
pub(super) fn group_labels(caches: &mut Caches, plan: &Aggregate, vector: &[Element]) -> Vector {
    let groups = split(caches, plan);
    let mut elements = Vec::new();
    for element in vector {
        let number = groups.number(&element.labels);
        if groups.sit(number, 0).is_none() {
            elements.push(Element {
                labels: groups.labels(number).clone(),
                value: f64::NAN,
            });
        }
    }
    elements
}

/// Folds each group's values in label order.
fn reduce<S>(
    caches: &mut Caches,
    plan: &Aggregate,
    vector: &[Element],
    start: impl Fn(f64) -> S,
    add: impl Fn(&mut S, f64),
    finish: impl FnOnce(Vec<S>) -> Vec<f64>,
) -> Result<Vector, EvalError> {
    let groups = split(caches, plan);
    let (mut numbers, mut states) = (Vec::new(), Vec::new());
    for element in vector {
        let number = groups.number(&element.labels);
        if let Some(seat) = groups.sit(number, states.len() as u32) {
            add(&mut states[seat as usize], element.value);
        } else {
            numbers.push(number);
            states.push(start(element.value));
        }
    }
    let elements = numbers.iter().zip(finish(states));
    settle(
        elements
            .map(|(number, value)| Element {
                labels: groups.labels(*number).clone(),
                value,
            })
            .collect(),
    )
}

/// Whether an operator folds values one after another, so that [`aggregate_rows`] can do it.
pub(super) fn folds_numbers(op: AggregateOp) -> bool {
    !matches!(
        op,
        AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::Quantile | AggregateOp::CountValues
    )
}

/// The same as [`aggregate`] for an operator that folds values, over a list of rows that seldom
/// changes: which group a row belongs to is looked up once.
pub(super) fn aggregate_rows(
    caches: &mut Caches,
    plan: &Aggregate,
    rows: &Rows<'_>,
) -> Result<Vector, EvalError> {
    let handle = caches.projection(!plan.without, plan.without, &plan.labels);
    let (numbers, groups) = caches.numbered(handle, rows);
    groups.begin();
    let (mut order, mut states): (Vec<u32>, Vec<State>) = (Vec::new(), Vec::new());
    for (row, value) in rows.values() {
        let number = numbers[row];
        if let Some(seat) = groups.sit(number, states.len() as u32) {
            states[seat as usize].add(value);
        } else {
            order.push(number);
            states.push(State::of(plan.op, value));
        }
    }
    let element = |(number, state): (u32, State)| Element {
        labels: groups.labels(number).clone(),
        value: state.result(plan.op),
    };
    settle(order.into_iter().zip(states).map(element).collect())
}

/// One group's running state.
#[derive(Clone, Copy, Debug)]
enum State {
    Sum(KahanSum),
    Mean(KahanMean),
    Min(f64),
    Max(f64),
    Count(f64),
    One,
    /// Welford's recurrence: count, mean, sum of squared deviations.
    Spread(f64, f64, f64),
}

impl State {
    fn of(op: AggregateOp, value: f64) -> Self {
        match op {
            AggregateOp::Avg => Self::Mean(KahanMean::of(value)),
            AggregateOp::Min => Self::Min(value),
            AggregateOp::Max => Self::Max(value),
            AggregateOp::Count => Self::Count(1.0),
            AggregateOp::Group => Self::One,
            AggregateOp::Stddev | AggregateOp::Stdvar => {
                Self::Spread(1.0, value, if value.is_finite() { 0.0 } else { f64::NAN })
            }
            AggregateOp::Sum
            | AggregateOp::TopK
            | AggregateOp::BottomK
            | AggregateOp::Quantile
            | AggregateOp::CountValues => Self::Sum(KahanSum::of(value)),
        }
    }

    fn add(&mut self, value: f64) {
        match self {
            Self::Sum(sum) => sum.add(value),
            Self::Mean(mean) => mean.add(value),
            Self::Min(least) => {
                if *least > value || least.is_nan() {
                    *least = value;
                }
            }
            Self::Max(most) => {
                if *most < value || most.is_nan() {
                    *most = value;
                }
            }
            Self::Count(count) => *count += 1.0,
            Self::One => {}
            Self::Spread(count, mean, squares) => {
                *count += 1.0;
                let delta = value - *mean;
                *mean += delta / *count;
                *squares += delta * (value - *mean);
            }
        }
    }

    fn result(self, op: AggregateOp) -> f64 {
        match self {
            Self::Sum(sum) => sum.total(),
            Self::Mean(mean) => mean.value(),
            Self::Min(value) | Self::Max(value) | Self::Count(value) => value,
            Self::One => 1.0,
            Self::Spread(count, _, squares) if op == AggregateOp::Stdvar => squares / count,
            Self::Spread(count, _, squares) => (squares / count).sqrt(),
        }
    }
}

/// How many elements have each value, per group; the value stands in a label.
fn count_values(
    caches: &mut Caches,
    plan: &Aggregate,
    label: &str,
    vector: &[Element],
) -> Result<Vector, EvalError> {
    if label.is_empty() {
        return Err(EvalError::BadLabelName(label.to_owned()));
    }
    let mut names = plan.labels.clone();
    if !plan.without && !names.iter().any(|name| name == label) {
        names.push(label.to_owned());
        names.sort();
    }
    let handle = caches.projection(!plan.without, plan.without, &names);
    let groups = caches.projected(handle);
    groups.begin();
    let mut result: Vector = Vec::new();
    for element in vector {
        let labels: Labels = element.labels.with(label, &value_text(element.value));
        let number = groups.number(&labels);
        match groups.sit(number, result.len() as u32) {
            Some(seat) => result[seat as usize].value += 1.0,
            None => result.push(Element {
                labels: groups.labels(number).clone(),
                value: 1.0,
            }),
        }
    }
    settle(result)
}

/// A number as `count_values` writes it: shortest, never with an exponent.
fn value_text(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}
