//! Label filters.

use foghorn_rules::logql::{ERROR, LabelCompare, LabelFilter, parse_bytes, parse_duration_ns};

use super::run::Run;

/// Whether the labels pass.
///
/// A comparison with a number passes what carries an error already, fails where the label is
/// missing, and marks (and passes) a value that is no number: Loki's rules, so that errors are
/// seen and not lost.
pub(super) fn holds(filter: &LabelFilter, run: &mut Run<'_>) -> bool {
    match filter {
        LabelFilter::And(all) => all.iter().all(|one| holds(one, run)),
        LabelFilter::Or(any) => any.iter().any(|one| holds(one, run)),
        LabelFilter::Text(matcher) => matcher.accepts(run.get(&matcher.name).unwrap_or("")),
        LabelFilter::Number(compare) => compares(compare, run, |text| text.parse().ok()),
        LabelFilter::Duration(compare) => compares(compare, run, parse_duration_ns),
        LabelFilter::Bytes(compare) => compares(compare, run, parse_bytes),
    }
}

fn compares(compare: &LabelCompare, run: &mut Run<'_>, read: impl Fn(&str) -> Option<f64>) -> bool {
    if run.has_error() {
        return true;
    }
    let Some(text) = run.get(&compare.label).filter(|text| !text.is_empty()) else {
        return false;
    };
    if let Some(value) = read(text) {
        return compare.op.holds(value, compare.value);
    }
    run.set(ERROR, "LabelFilterErr");
    true
}
