//! What of Prometheus' language is not supported: the one list, by feature. A case of Prometheus'
//! own files may be left out for nothing else.

/// A feature that is not supported, and why a case that needs it does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Feature {
    /// Their samples are refused when they come in.
    NativeHistograms,
    /// `limitk`, `limit_ratio`, `sort_by_label`, `sort_by_label_desc`, `double_exponential_smoothing`,
    /// `mad_over_time`, `ts_of_min_over_time`, `ts_of_max_over_time`, `ts_of_last_over_time`:
    /// Prometheus has them behind a flag.
    ExperimentalFunctions,
    /// `[5m + 30s]`: behind a flag.
    DurationExpressions,
    /// Rules give numbers: a query that is a string or a range vector is for people.
    StringsAndRanges,
    /// Names that are dropped at the very end: behind a flag.
    DelayedNameRemoval,
    /// `__type__` and `__unit__`: behind a flag.
    TypeAndUnitLabels,
    /// A label's name that is not UTF-8 cannot be written in a rule file.
    LabelNamesOutsideUtf8,
}

const EXPERIMENTAL: [&str; 9] = [
    "limitk",
    "limit_ratio",
    "sort_by_label",
    "sort_by_label_desc",
    "double_exponential_smoothing",
    "mad_over_time",
    "ts_of_min_over_time",
    "ts_of_max_over_time",
    "ts_of_last_over_time",
];

const NATIVE: [&str; 5] = [
    "histogram_avg",
    "histogram_count",
    "histogram_stddev",
    "histogram_stdvar",
    "histogram_sum",
];

impl Feature {
    /// The feature for whose want an expression of a file was refused with these words.
    pub(crate) fn of_refusal(file: &str, words: &str) -> Option<Self> {
        let called = |names: &[&str]| {
            names
                .iter()
                .any(|name| words.contains(&format!("`{name}`")))
        };
        if called(&EXPERIMENTAL) {
            Some(Self::ExperimentalFunctions)
        } else if called(&NATIVE) {
            Some(Self::NativeHistograms)
        } else if file == "duration_expression.test" {
            Some(Self::DurationExpressions)
        } else {
            None
        }
    }

    /// The feature for whose want so many cases of a file give something else.
    pub(crate) fn of_file(file: &str) -> Option<(Self, usize)> {
        match file {
            "functions.test" => Some((Self::LabelNamesOutsideUtf8, 1)),
            "name_label_dropping.test" => Some((Self::DelayedNameRemoval, 5)),
            "type_and_unit.test" => Some((Self::TypeAndUnitLabels, 15)),
            _ => None,
        }
    }
}
