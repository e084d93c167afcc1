//! Why something happened: the same value in log, metric label, API, console and incident.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::{Timestamp, span_text};

/// Why an alert changed state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Reason {
    /// The rule's expression has an element for these labels.
    ConditionTrue {
        /// Value of that element.
        #[serde(with = "crate::number")]
        value: f64,
        /// The condition as a person would say it: the rule's outermost comparison, or the
        /// whole expression.
        condition: String,
    },
    /// It held for as long as `for` asks.
    HeldFor {
        /// How long, in milliseconds.
        for_ms: i64,
        /// Value at the tick that made it fire.
        #[serde(with = "crate::number")]
        value: f64,
    },
    /// The expression without its outermost comparison still has an element; the condition is
    /// false.
    ConditionFalse {
        /// The value that no longer meets it, where it could be told.
        #[serde(default, with = "crate::number::option")]
        value: Option<f64>,
    },
    /// The expression without its outermost comparison has no element: not an all-clear.
    NoData,
    /// The rule is gone from the rule files.
    RuleRemoved,
    /// A log record matched.
    Matched {
        /// The record's line, cut to 512 bytes.
        line: String,
        /// Records that matched in this bucket so far.
        count: u64,
    },
    /// No record matched for as long as `resolve_after` asks.
    Quiet {
        /// How long, in milliseconds.
        after_ms: i64,
    },
    /// The value left the band that this series itself has taught.
    Anomaly {
        /// What was seen.
        #[serde(with = "crate::number")]
        observed: f64,
        /// Lower edge of the expected band.
        #[serde(with = "crate::number")]
        expected_low: f64,
        /// Upper edge of the expected band.
        #[serde(with = "crate::number")]
        expected_high: f64,
        /// How rare: about once in so many samples of this series.
        #[serde(with = "crate::number")]
        once_in: f64,
        /// Which detector said so: `band`, `cusum`, `season`.
        detector: String,
    },
    /// A series or a heartbeat stopped.
    Absent {
        /// When it was last seen; `None` where it never was.
        last_seen: Option<Timestamp>,
    },
    /// It is on its way to a limit.
    Forecast {
        /// Value now.
        #[serde(with = "crate::number")]
        observed: f64,
        /// The limit.
        #[serde(with = "crate::number")]
        limit: f64,
        /// Time left until the limit at the present slope, in milliseconds.
        reached_in_ms: i64,
    },
    /// Another program said so.
    Outside,
}

impl Reason {
    /// A short fixed word, usable as a metric label.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ConditionTrue { .. } => "condition_true",
            Self::HeldFor { .. } => "held_for",
            Self::ConditionFalse { .. } => "condition_false",
            Self::NoData => "no_data",
            Self::RuleRemoved => "rule_removed",
            Self::Matched { .. } => "matched",
            Self::Quiet { .. } => "quiet",
            Self::Anomaly { .. } => "anomaly",
            Self::Absent { .. } => "absent",
            Self::Forecast { .. } => "forecast",
            Self::Outside => "outside",
        }
    }
}

/// A number for people: four significant digits, no needless zeros.
pub fn number_text(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    let text = format!("{value:.*}", digits.clamp(0, 12) as usize);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConditionTrue { value, condition } => {
                write!(f, "{condition} (value {})", number_text(*value))
            }
            Self::HeldFor { for_ms, value } => {
                write!(
                    f,
                    "held for {} (value {})",
                    span_text(*for_ms),
                    number_text(*value)
                )
            }
            Self::ConditionFalse { value: Some(value) } => {
                write!(f, "condition no longer met (value {})", number_text(*value))
            }
            Self::ConditionFalse { value: None } => f.write_str("condition no longer met"),
            Self::NoData => f.write_str("no data: not an all-clear"),
            Self::RuleRemoved => f.write_str("rule removed"),
            Self::Matched { line, count } => write!(f, "{count} matching record(s): {line}"),
            Self::Quiet { after_ms } => write!(f, "no match for {}", span_text(*after_ms)),
            Self::Anomaly {
                observed,
                expected_low,
                expected_high,
                once_in,
                ..
            } => write!(
                f,
                "{} where {}…{} is usual for this series; as rare as once in {} samples",
                number_text(*observed),
                number_text(*expected_low),
                number_text(*expected_high),
                number_text(*once_in),
            ),
            Self::Absent {
                last_seen: Some(at),
            } => write!(f, "stopped; last seen at {at}"),
            Self::Absent { last_seen: None } => f.write_str("never seen"),
            Self::Forecast {
                observed,
                limit,
                reached_in_ms,
            } => write!(
                f,
                "{} now, reaches {} in {}",
                number_text(*observed),
                number_text(*limit),
                span_text(reached_in_ms / 60_000 * 60_000),
            ),
            Self::Outside => f.write_str("fired by another program's rule"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(number_text(0.123_456), "0.1235");
        assert_eq!(number_text(1234.5), "1234");
        assert_eq!(number_text(2.0), "2");
        assert_eq!(number_text(0.0), "0");
    }
}
