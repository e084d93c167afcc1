//! The evaluator: walks an expression over its leaves' vectors.

use foghorn_model::{Labels, Timestamp};
use foghorn_rules::plan::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Expr, Func, Group, LeafId, Read,
};

use super::aggregate::{Param, aggregate, aggregate_rows, folds_numbers, group_labels};
use super::binary::{WithBase, operate};
use super::cache::Caches;
use super::error::EvalError;
use super::order::{ascending_nan_last, descending_nan_last};
use super::value::{Value, drop_names, settle};
use super::{calendar, functions, histogram, matching, rewrite, subquery};
use crate::columns::threshold;
use crate::vector::{Element, Leaves, Vector};

/// Evaluates expressions. Holds what it has derived from label sets (bounded), and nothing on
/// which a result could depend.
#[derive(Default)]
pub struct Evaluator {
    caches: Caches,
    evaluations: u32,
}

/// What an alert rule's expression gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The elements that meet the condition.
    pub result: Vector,
    /// What the result would be if everything met the outermost comparison, with the values
    /// compared; in no particular order. `None` where there is no such comparison, so that a
    /// missing element means missing data.
    pub base: Option<Vector>,
}

impl Evaluator {
    /// An evaluator that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Evaluates an expression of a group as of `at`. Vectors are in label order, except where the
    /// outermost function is `sort`, `sort_desc`, `topk` or `bottomk`.
    pub fn evaluate(
        &mut self,
        group: &Group,
        expr: &Expr,
        at: Timestamp,
        leaves: &mut dyn Leaves,
    ) -> Result<Value, EvalError> {
        self.pass(group, leaves).ordered(expr, at)
    }

    /// Evaluates an alert rule's expression: the result of [`Evaluator::condition`] alone.
    pub fn result(
        &mut self,
        group: &Group,
        expr: &Expr,
        at: Timestamp,
        leaves: &mut dyn Leaves,
    ) -> Result<Vector, EvalError> {
        self.pass(group, leaves).eval(expr, at)?.into_elements()
    }

    /// Evaluates an alert rule's expression together with its base: what is left when the outermost
    /// comparison (down the left sides of `and` and `unless`, both sides of `or`) is taken away.
    /// Groups that only an inner comparison emptied (`count(up == 0) > 2`) are in the base with NaN.
    /// An `absent` has as its base the element that it gives when it holds. Each operand is
    /// evaluated once.
    pub fn condition(
        &mut self,
        group: &Group,
        expr: &Expr,
        at: Timestamp,
        leaves: &mut dyn Leaves,
    ) -> Result<Condition, EvalError> {
        let (value, base) = self.pass(group, leaves).with_base(expr, at)?;
        Ok(Condition {
            result: value.into_elements()?,
            base,
        })
    }

    fn pass<'a>(&'a mut self, group: &'a Group, leaves: &'a mut dyn Leaves) -> Pass<'a> {
        self.evaluations = self.evaluations.wrapping_add(1);
        if self.evaluations.is_multiple_of(LOOK_EVERY) {
            self.caches.bound();
        }
        Pass {
            caches: &mut self.caches,
            group,
            leaves,
        }
    }
}

/// One evaluation.
pub(super) struct Pass<'a> {
    caches: &'a mut Caches,
    pub(super) group: &'a Group,
    leaves: &'a mut dyn Leaves,
}

impl Pass<'_> {
    /// The value of an expression, vectors in label order.
    pub(super) fn eval(&mut self, expr: &Expr, at: Timestamp) -> Result<Value, EvalError> {
        match expr {
            Expr::Number(value) => Ok(Value::Scalar(*value)),
            Expr::Text(text) => Ok(Value::Text(text.clone())),
            Expr::Leaf(id) => self.leaf(*id, at).map(Value::Vector),
            Expr::Neg(inner) => match self.eval(inner, at)? {
                Value::Scalar(value) => Ok(Value::Scalar(-value)),
                value => map(value.vector("unary minus")?, |v| -v).map(Value::Vector),
            },
            Expr::Binary(binary) => self.binary(binary, at),
            Expr::Aggregate(plan) if !is_ranking(plan.op) => {
                self.aggregation(plan, at).map(Value::Vector)
            }
            Expr::Call(call) if !matches!(call.func, Func::Sort | Func::SortDesc) => {
                self.call(call, at)
            }
            Expr::Aggregate(_) | Expr::Call(_) => match self.ordered(expr, at)? {
                Value::Vector(vector) => settle(vector).map(Value::Vector),
                value => Ok(value),
            },
        }
    }

    /// The same, but `topk`, `bottomk` and the sorts keep the order that they make.
    fn ordered(&mut self, expr: &Expr, at: Timestamp) -> Result<Value, EvalError> {
        match expr {
            Expr::Aggregate(plan) if is_ranking(plan.op) => {
                self.aggregation(plan, at).map(Value::Vector)
            }
            Expr::Call(call) if matches!(call.func, Func::Sort | Func::SortDesc) => {
                let mut vector = self.vector_arg(call, 0, at)?;
                let order = if call.func == Func::Sort {
                    ascending_nan_last
                } else {
                    descending_nan_last
                };
                vector.sort_by(|a, b| order(a.value, b.value));
                Ok(Value::Vector(vector))
            }
            _ => self.eval(expr, at),
        }
    }

    fn with_base(&mut self, expr: &Expr, at: Timestamp) -> Result<WithBase<Value>, EvalError> {
        match expr {
            Expr::Binary(binary) if binary.op.is_set() => self.set_with_base(binary, at),
            Expr::Binary(binary) if binary.op.is_comparison() && !binary.return_bool => {
                self.comparison_with_base(binary, at)
            }
            Expr::Aggregate(plan)
                if !is_ranking(plan.op) && plan.op != AggregateOp::CountValues =>
            {
                self.aggregate_with_base(plan, at)
            }
            Expr::Call(call) if call.func == Func::Absent => {
                let value = self.call(call, at)?;
                let base = vec![Element {
                    labels: absent_labels(call),
                    value: 0.0,
                }];
                Ok((value, Some(base)))
            }
            _ => Ok((self.eval(expr, at)?, None)),
        }
    }

    /// A comparison with a number: what an inner comparison took away is still in the base.
    fn comparison_with_base(
        &mut self,
        binary: &Binary,
        at: Timestamp,
    ) -> Result<WithBase<Value>, EvalError> {
        let (lhs, lhs_base) = self.with_base(&binary.lhs, at)?;
        let (rhs, rhs_base) = self.with_base(&binary.rhs, at)?;
        let inner = match (&lhs, &rhs) {
            (Value::Vector(_), Value::Scalar(_)) => lhs_base,
            (Value::Scalar(_), Value::Vector(_)) => rhs_base,
            _ => None,
        };
        let (value, mut base) = operate(self.caches, binary, lhs, rhs, true)?;
        if let (Some(base), Some(inner)) = (&mut base, inner) {
            base.extend(inner);
        }
        Ok((value, base))
    }

    /// Groups that have an element before an inner comparison; their values cannot be told (NaN).
    fn aggregate_with_base(
        &mut self,
        plan: &Aggregate,
        at: Timestamp,
    ) -> Result<WithBase<Value>, EvalError> {
        let (inner, base) = self.with_base(&plan.expr, at)?;
        let base = base.map(|base| group_labels(self.caches, plan, &base));
        let result = self.aggregate(plan, inner.vector("an aggregation")?, at)?;
        Ok((Value::Vector(result), base))
    }

    fn set_with_base(
        &mut self,
        binary: &Binary,
        at: Timestamp,
    ) -> Result<WithBase<Value>, EvalError> {
        let (lhs, lhs_base) = self.with_base(&binary.lhs, at)?;
        let lhs = lhs.vector("a set operation")?;
        if binary.op != BinaryOp::Or {
            let rhs = self.eval(&binary.rhs, at)?.vector("a set operation")?;
            return Ok((
                Value::Vector(matching::set(self.caches, binary, lhs, rhs)?),
                lhs_base,
            ));
        }
        let (rhs, rhs_base) = self.with_base(&binary.rhs, at)?;
        let rhs = rhs.vector("a set operation")?;
        let base = match (lhs_base, rhs_base) {
            (None, None) => None,
            (lhs_base, rhs_base) => {
                let mut base = lhs_base.unwrap_or_else(|| lhs.clone());
                base.extend(rhs_base.unwrap_or_else(|| rhs.clone()));
                Some(base)
            }
        };
        Ok((
            Value::Vector(matching::set(self.caches, binary, lhs, rhs)?),
            base,
        ))
    }

    fn leaf(&mut self, id: LeafId, at: Timestamp) -> Result<Vector, EvalError> {
        let group = self.group;
        let leaf = group
            .leaves
            .get(id.0 as usize)
            .ok_or(EvalError::NoLeaf(id.0))?;
        match &leaf.read {
            Read::Subquery {
                inner,
                range_ms,
                step_ms,
                func,
                params,
            } => {
                if let Some(vector) = self.leaves.shared(id, at) {
                    return Ok(vector);
                }
                let window = subquery::Window::of(leaf, *range_ms, *step_ms, at);
                subquery::evaluate(self, inner, &window, *func, params)
            }
            // Series of one metric stay distinct without its name; others may not.
            Read::Range { selector, .. } if selector.metric.is_none() => {
                settle(self.leaves.leaf(id, at))
            }
            Read::Instant { .. } | Read::Range { .. } | Read::Log { .. } => {
                Ok(self.leaves.leaf(id, at))
            }
        }
    }

    fn binary(&mut self, binary: &Binary, at: Timestamp) -> Result<Value, EvalError> {
        if let Some((leaf, comparison, number)) = threshold(binary)
            && let Some(vector) = self
                .leaves
                .filtered(leaf, at, &|value| comparison.holds(value, number))
        {
            return Ok(Value::Vector(vector));
        }
        let lhs = self.eval(&binary.lhs, at)?;
        let rhs = self.eval(&binary.rhs, at)?;
        operate(self.caches, binary, lhs, rhs, false).map(|(value, _)| value)
    }

    fn aggregation(&mut self, plan: &Aggregate, at: Timestamp) -> Result<Vector, EvalError> {
        if let Expr::Leaf(leaf) = plan.expr
            && folds_numbers(plan.op)
            && let Some(rows) = self.leaves.rows(leaf, at)
        {
            return aggregate_rows(self.caches, plan, &rows);
        }
        let vector = self.eval(&plan.expr, at)?.vector("an aggregation")?;
        self.aggregate(plan, vector, at)
    }

    fn aggregate(
        &mut self,
        plan: &Aggregate,
        vector: Vector,
        at: Timestamp,
    ) -> Result<Vector, EvalError> {
        let param = match &plan.param {
            None => Param::None,
            Some(Expr::Text(label)) => Param::Label(label),
            Some(expr) => Param::Number(self.eval(expr, at)?.scalar("an aggregation's parameter")?),
        };
        aggregate(self.caches, plan, param, vector)
    }

    fn call(&mut self, call: &Call, at: Timestamp) -> Result<Value, EvalError> {
        if let Some(func) = functions::of_number(call.func) {
            return self.map_arg(call, at, func);
        }
        if let Some(func) = calendar::of_time(call.func) {
            let field = |value: f64| func(calendar::seconds(value)) as f64;
            if call.args.is_empty() {
                return Ok(one(
                    Labels::empty(),
                    field(at.ms().div_euclid(1_000) as f64),
                ));
            }
            return self.map_arg(call, at, field);
        }
        match call.func {
            Func::Time => Ok(Value::Scalar(at.seconds())),
            Func::Pi => Ok(Value::Scalar(std::f64::consts::PI)),
            Func::Vector => Ok(one(Labels::empty(), self.scalar_arg(call, 0, at)?)),
            Func::Scalar => match self.vector_arg(call, 0, at)?.as_slice() {
                [only] => Ok(Value::Scalar(only.value)),
                _ => Ok(Value::Scalar(f64::NAN)),
            },
            Func::Absent if self.vector_arg(call, 0, at)?.is_empty() => {
                Ok(one(absent_labels(call), 1.0))
            }
            Func::Round => {
                let unit = if call.args.len() > 1 {
                    self.scalar_arg(call, 1, at)?
                } else {
                    1.0
                };
                self.map_arg(call, at, |v| functions::round(v, unit))
            }
            Func::Clamp => {
                let (low, high) = (self.scalar_arg(call, 1, at)?, self.scalar_arg(call, 2, at)?);
                self.clamp(call, at, low, high)
            }
            Func::ClampMin => {
                let low = self.scalar_arg(call, 1, at)?;
                self.clamp(call, at, low, f64::INFINITY)
            }
            Func::ClampMax => {
                let high = self.scalar_arg(call, 1, at)?;
                self.clamp(call, at, f64::NEG_INFINITY, high)
            }
            Func::HistogramQuantile => {
                let q = self.scalar_arg(call, 0, at)?;
                let vector = self.vector_arg(call, 1, at)?;
                histogram::quantiles(self.caches, q, &vector).map(Value::Vector)
            }
            Func::HistogramFraction => {
                let range = (self.scalar_arg(call, 0, at)?, self.scalar_arg(call, 1, at)?);
                let vector = self.vector_arg(call, 2, at)?;
                histogram::fractions(self.caches, range, &vector).map(Value::Vector)
            }
            Func::LabelReplace => {
                let vector = self.vector_arg(call, 0, at)?;
                let args = [
                    text_arg(call, 1)?,
                    text_arg(call, 2)?,
                    text_arg(call, 3)?,
                    text_arg(call, 4)?,
                ];
                rewrite::replace(self.caches, vector, args).map(Value::Vector)
            }
            Func::LabelJoin => {
                let vector = self.vector_arg(call, 0, at)?;
                let args = (1..call.args.len())
                    .map(|i| text_arg(call, i))
                    .collect::<Result<Vec<_>, _>>()?;
                rewrite::join(self.caches, vector, &args).map(Value::Vector)
            }
            // What is left has an order of its own or was dealt with above: nothing is absent.
            _ => Ok(Value::Vector(Vec::new())),
        }
    }

    fn clamp(
        &mut self,
        call: &Call,
        at: Timestamp,
        low: f64,
        high: f64,
    ) -> Result<Value, EvalError> {
        if high < low {
            return Ok(Value::Vector(Vec::new()));
        }
        self.map_arg(call, at, |v| functions::clamp(v, low, high))
    }

    /// The first argument's elements under a function, without their metric names.
    fn map_arg(
        &mut self,
        call: &Call,
        at: Timestamp,
        func: impl Fn(f64) -> f64,
    ) -> Result<Value, EvalError> {
        map(self.vector_arg(call, 0, at)?, func).map(Value::Vector)
    }

    fn vector_arg(
        &mut self,
        call: &Call,
        index: usize,
        at: Timestamp,
    ) -> Result<Vector, EvalError> {
        self.arg(call, index, at)?.vector("a function's argument")
    }

    fn scalar_arg(&mut self, call: &Call, index: usize, at: Timestamp) -> Result<f64, EvalError> {
        self.arg(call, index, at)?.scalar("a function's argument")
    }

    fn arg(&mut self, call: &Call, index: usize, at: Timestamp) -> Result<Value, EvalError> {
        let missing = EvalError::WrongType {
            expected: "another argument",
            of: "a function",
        };
        self.eval(call.args.get(index).ok_or(missing)?, at)
    }
}

/// Evaluations between two looks at how much is kept.
const LOOK_EVERY: u32 = 64;

fn is_ranking(op: AggregateOp) -> bool {
    matches!(op, AggregateOp::TopK | AggregateOp::BottomK)
}

fn map(mut vector: Vector, func: impl Fn(f64) -> f64) -> Result<Vector, EvalError> {
    for element in &mut vector {
        element.value = func(element.value);
    }
    drop_names(vector)
}

fn one(labels: Labels, value: f64) -> Value {
    Value::Vector(vec![Element { labels, value }])
}

fn absent_labels(call: &Call) -> Labels {
    Labels::from_pairs(call.absent_labels.iter().map(|(name, value)| (name, value)))
}

fn text_arg(call: &Call, index: usize) -> Result<&str, EvalError> {
    match call.args.get(index) {
        Some(Expr::Text(text)) => Ok(text),
        _ => Err(EvalError::WrongType {
            expected: "a string",
            of: "a function's argument",
        }),
    }
}
