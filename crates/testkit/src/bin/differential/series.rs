//! Series for what expressions read: gaps, resets, staleness markers, late starts, NaN and infinity.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use foghorn_model::labels::NAME;
use foghorn_model::matcher::all_match;
use foghorn_model::{Labels, LabelsBuilder};
use foghorn_rules::plan::{Expr, Leaf, RangeFunc, Read, Selector};
use foghorn_testkit::passing::candidates;
use foghorn_testkit::rng::Rng;

/// A series and its values in promtool's notation.
pub(crate) struct Input {
    /// Labels, the metric's name among them.
    pub(crate) labels: Labels,
    /// One word a step.
    pub(crate) values: Vec<String>,
}

/// What expressions say of the series that they read.
#[derive(Default)]
pub(crate) struct Wanted {
    selectors: Vec<(Selector, bool)>,
    /// Labels by which they group and join.
    labels: BTreeSet<String>,
    /// Numbers that they compare with.
    numbers: Vec<f64>,
}

const BORDERS: [&str; 5] = ["0.1", "0.5", "1", "5", "+Inf"];

impl Wanted {
    /// Takes an expression into account.
    pub(crate) fn add(&mut self, expr: &Expr, leaves: &[Leaf]) {
        self.expr(expr);
        for leaf in leaves {
            match &leaf.read {
                Read::Instant { selector, .. } => self.selectors.push((selector.clone(), false)),
                Read::Range { selector, func, .. } => {
                    let counts = matches!(
                        func,
                        RangeFunc::Rate
                            | RangeFunc::Increase
                            | RangeFunc::Irate
                            | RangeFunc::Resets
                    );
                    self.selectors.push((selector.clone(), counts));
                }
                Read::Subquery { inner, .. } => self.expr(inner),
                Read::Log { .. } => {}
            }
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Number(number) => self.numbers.push(*number),
            Expr::Text(_) | Expr::Leaf(_) => {}
            Expr::Neg(inner) => self.expr(inner),
            Expr::Binary(binary) => {
                self.labels.extend(binary.matching.labels.iter().cloned());
                self.labels.extend(binary.matching.include.iter().cloned());
                self.expr(&binary.lhs);
                self.expr(&binary.rhs);
            }
            Expr::Aggregate(aggregate) => {
                self.labels.extend(aggregate.labels.iter().cloned());
                self.expr(&aggregate.expr);
                aggregate.param.iter().for_each(|param| self.expr(param));
            }
            Expr::Call(call) => {
                for arg in &call.args {
                    // `label_replace` and `label_join` name their sources.
                    if let Expr::Text(text) = arg
                        && text.chars().all(|c| c == '_' || c.is_ascii_lowercase())
                        && !text.is_empty()
                    {
                        self.labels.insert(text.clone());
                    }
                    self.expr(arg);
                }
            }
        }
    }

    /// Series with so many steps each, distinct ones.
    pub(crate) fn series(&self, steps: usize, step_s: i64, rng: &mut Rng) -> Vec<Input> {
        let mut all: BTreeMap<Labels, Vec<String>> = BTreeMap::new();
        for (selector, counts) in &self.selectors {
            let several = rng.within(1, 3) as usize;
            for number in 0..several {
                for labels in self.sets(selector, number) {
                    all.entry(labels).or_insert_with_key(|labels| {
                        self.values(labels, *counts, steps, step_s, rng)
                    });
                }
            }
        }
        let input = all.into_iter();
        input
            .map(|(labels, values)| Input { labels, values })
            .collect()
    }

    /// The `number`th label set that a selector accepts; of a histogram one for each border.
    fn sets(&self, selector: &Selector, number: usize) -> Vec<Labels> {
        let mut builder = LabelsBuilder::default();
        for (i, name) in self.labels.iter().enumerate() {
            // Some labels are the same for all, so that there are groups and joins.
            let value = if i % 2 == 0 { number } else { number / 2 };
            builder.set(name, &format!("{}-{value}", &name[..1]));
        }
        builder.set("instance", &format!("i-{number}"));
        builder.remove("le");
        for matcher in &selector.matchers {
            let all = || selector.matchers.iter().filter(|m| m.name == matcher.name);
            let is_name = &*matcher.name == NAME;
            let written = |c: char| c == '_' || c == ':' || c.is_ascii_alphanumeric();
            let fits = |value: &String| {
                all().all(|m| m.accepts(value)) && (!is_name || value.chars().all(written))
            };
            let fitting: Vec<_> = candidates(matcher).filter(fits).collect();
            let own = builder.build();
            if fits(&own.value(&matcher.name).to_owned()) && !is_name {
                continue;
            }
            if let Some(value) = fitting.get(number % fitting.len().max(1)) {
                builder.set(&matcher.name, value);
            }
        }
        if let Some(metric) = &selector.metric {
            builder.set(NAME, metric);
        }
        let base = builder.build();
        let metric = base.metric();
        // Alerts show in series of their own.
        if metric.is_empty() || metric.starts_with("ALERTS") {
            return Vec::new();
        }
        let is_histogram = metric.ends_with("_bucket") && base.get("le").is_none();
        let sets = if is_histogram {
            BORDERS.iter().map(|le| base.with("le", le)).collect()
        } else {
            vec![base]
        };
        let fits = |labels: &Labels| all_match(&selector.matchers, labels);
        sets.into_iter().filter(fits).collect()
    }

    fn values(
        &self,
        labels: &Labels,
        counts: bool,
        steps: usize,
        step_s: i64,
        rng: &mut Rng,
    ) -> Vec<String> {
        let ends = ["_total", "_count", "_sum", "_bucket"];
        let is_counter = counts || ends.iter().any(|end| labels.metric().ends_with(end));
        let mut source = if is_counter {
            let border = BORDERS.iter().position(|le| *le == labels.value("le"));
            Source::Counter {
                value: rng.within(0, 50) as f64,
                pace: (border.unwrap_or(1) + 1) as i64 * rng.within(1, 9),
                whole: rng.chance(70),
            }
        } else if labels.metric().contains("timestamp") || labels.metric().contains("_time") {
            Source::Clock {
                behind: rng.within(-200, 400) as f64,
            }
        } else {
            match rng.below(4) {
                0 => Source::Flag,
                1 => Source::Walk {
                    value: rng.within(-20, 200) as f64 / 4.0,
                },
                _ => Source::Near {
                    numbers: self.numbers.clone(),
                },
            }
        };
        let start = if rng.chance(20) {
            rng.below(steps / 2)
        } else {
            0
        };
        let odd = if is_counter { 1 } else { 2 };
        let word = |step: usize| {
            let value = source.next(step as i64 * step_s, rng);
            if step < start || rng.chance(6) {
                return "_".to_owned();
            }
            match rng.below(200) {
                0..3 => "stale".to_owned(),
                n if n < 3 + odd => ["NaN", "Inf", "-Inf"][rng.below(3)].to_owned(),
                _ => number(value),
            }
        };
        (0..steps).map(word).collect()
    }
}

/// Where a series' values come from.
enum Source {
    Counter { value: f64, pace: i64, whole: bool },
    Clock { behind: f64 },
    Flag,
    Walk { value: f64 },
    Near { numbers: Vec<f64> },
}

impl Source {
    fn next(&mut self, second: i64, rng: &mut Rng) -> f64 {
        match self {
            Self::Counter { value, pace, whole } => {
                let step = rng.within(0, *pace * 4) as f64;
                *value += if *whole { step } else { step / 7.0 };
                if rng.chance(3) {
                    *value = rng.within(0, 3) as f64;
                }
                *value
            }
            Self::Clock { behind } => second as f64 - *behind,
            Self::Flag => f64::from(u8::from(rng.chance(60))),
            Self::Walk { value } => {
                *value += rng.within(-50, 50) as f64 / 3.0;
                *value
            }
            Self::Near { numbers } => {
                let near = numbers
                    .get(rng.below(numbers.len()))
                    .copied()
                    .unwrap_or(1.0);
                let near = if near.is_finite() { near } else { 1.0 };
                near * rng.pick(&[0.5, 1.0, 1.25, 2.0]) + rng.pick(&[0.0, 0.0, 0.1, 1.0, -0.3])
            }
        }
    }
}

/// A number that reads back the same; series notation knows no exponent with a plus.
fn number(value: f64) -> String {
    let mut text = String::new();
    let _infallible = write!(text, "{value}");
    text
}
