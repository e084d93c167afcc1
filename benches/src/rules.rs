//! The rules of the comparison: thresholds on the average, maximum, count above a value and minimum
//! of each series over the last minute, every ten seconds.

use std::fmt::Write;
use std::sync::Arc;

use foghorn_engine::RuleFile;
use foghorn_eval::catalog::Catalog;
use foghorn_rules::{LoadOptions, Source, load};

use crate::Failure;
use crate::dataset::METRIC;

/// How often the group ticks, in milliseconds.
pub(crate) const INTERVAL_MS: i64 = 10_000;

/// What becomes of what passes a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// It is recorded as a series.
    Record,
    /// It is an alert.
    Alert,
}

impl Kind {
    /// The word in rule files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Alert => "alert",
        }
    }
}

/// Rule `i`'s threshold, as the rule file writes it.
pub(crate) fn threshold(i: usize) -> f64 {
    let x = i as f64;
    let (value, unit) = match i % 4 {
        0 => (0.7 + 0.01 * x, 1e2),
        1 => (1.0 + 0.01 * x, 1e2),
        2 => (0.6 + 0.01 * x, 1e2),
        _ => (0.5 + 0.005 * x, 1e3),
    };
    (value * unit).round() / unit
}

/// Rule `i`'s expression.
fn expression(i: usize) -> String {
    let x = threshold(i);
    match i % 4 {
        0 => format!("avg_over_time({METRIC}[60s]) > {x}"),
        1 => format!("max_over_time({METRIC}[60s]) > {x}"),
        2 => format!("count_over_time(({METRIC} > {x})[60s:1s]) > 20"),
        _ => format!("min_over_time({METRIC}[60s]) > {x}"),
    }
}

/// The name of rule `i`.
pub(crate) fn name(i: usize) -> String {
    format!("rule_{i}")
}

/// A rule file with the first so many rules.
pub(crate) fn file(kind: Kind, rules: usize) -> RuleFile {
    let mut text = "groups:\n  - name: comparison\n    interval: 10s\n    rules:\n".to_owned();
    for i in 0..rules {
        // Writing to a string does not fail.
        let _infallible = writeln!(
            text,
            "      - {}: {}\n        expr: {}",
            kind.name(),
            name(i),
            expression(i)
        );
    }
    RuleFile {
        path: "comparison.yaml".to_owned(),
        text,
    }
}

/// Loads a rule file; nothing in it may be wrong.
pub(crate) fn catalog(file: &RuleFile) -> Result<Arc<Catalog>, Failure> {
    let (rules, diagnostics) = load(
        &[Source::new(&file.path, &file.text)],
        &LoadOptions::default(),
    );
    match diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
        Some(problem) => Err(problem.to_string().into()),
        None => Ok(Arc::new(Catalog::new(rules))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rules_load() {
        let check = |kind| {
            let catalog = catalog(&file(kind, 100)).unwrap();
            assert_eq!(catalog.rules.groups[0].rules.len(), 100);
            assert_eq!(catalog.rules.groups[0].interval_ms, INTERVAL_MS);
        };
        check(Kind::Record);
        check(Kind::Alert);
    }
}
