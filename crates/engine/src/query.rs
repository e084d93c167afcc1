//! Questions that no rule asks: an expression over what the windows hold.

use foghorn_eval::promql::Value;
use foghorn_model::{Labels, Matcher, Timestamp};
use foghorn_rules::diagnostic::position;
use foghorn_rules::plan::{Expr, Leaf, Read};
use foghorn_rules::promql;
use thiserror::Error;

/// Subqueries of a question that give no step have this one, in milliseconds: Prometheus' default
/// evaluation interval.
const SUBQUERY_STEP_MS: i64 = 60_000;

/// A question, understood.
#[derive(Clone, Debug)]
pub struct Query {
    pub(crate) expr: Expr,
    pub(crate) leaves: Vec<Leaf>,
}

impl Query {
    /// Reads an expression.
    ///
    /// # Errors
    /// In Prometheus' words: line, column, what.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut leaves = Vec::new();
        match promql::compile(text, SUBQUERY_STEP_MS, &mut leaves) {
            Ok(expr) => Ok(Self { expr, leaves }),
            Err(error) => {
                let (line, column) = position(text, error.span.start);
                Err(format!("{line}:{column}: parse error: {}", error.message))
            }
        }
    }

    /// The matchers, where it is a selector and nothing else.
    pub fn selector(&self) -> Option<&[Matcher]> {
        match (&self.expr, self.leaves.as_slice()) {
            (
                Expr::Leaf(_),
                [
                    Leaf {
                        read:
                            Read::Instant {
                                selector,
                                timestamp: false,
                            },
                        ..
                    },
                ],
            ) => Some(&selector.matchers),
            _ => None,
        }
    }

    pub(crate) fn step_ms() -> i64 {
        SUBQUERY_STEP_MS
    }
}

/// What a question gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A number.
    Scalar(f64),
    /// Elements in label order.
    Vector(Vec<(Labels, f64)>),
}

impl Answer {
    pub(crate) fn of(value: Value) -> Result<Self, QueryError> {
        match value {
            Value::Scalar(value) => Ok(Self::Scalar(value)),
            Value::Vector(vector) => {
                let elements = vector.into_iter();
                let elements = elements.map(|element| (element.labels, element.value));
                Ok(Self::Vector(elements.collect()))
            }
            Value::Text(_) => Err(QueryError::Failed("a string has no samples".to_owned())),
        }
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum QueryError {
    /// Only series that some rule names are kept.
    #[error("no rule names {metric}: only series that a rule in force reads are kept")]
    NotNamed {
        /// The metric, or the selector where it has none.
        metric: String,
    },
    /// The samples that it needs are gone.
    #[error("{metric} is kept since {since}, and what is asked needs it since {needed}")]
    NotKept {
        /// The metric.
        metric: String,
        /// From when on there are samples.
        since: Timestamp,
        /// From when on they are needed.
        needed: Timestamp,
    },
    /// The evaluation failed: Prometheus' words.
    #[error("{0}")]
    Failed(String),
}
