//! LogQL: log queries and metric queries over them, as Loki's ruler reads them.
//!
//! Owns the grammar ([`parse`]) and the way into the plan ([`lower`]). Refuses, with a position
//! and the words "not supported yet", what it understands but cannot evaluate; never guesses. Runs
//! nothing: matching records against a [`Pipeline`] is `eval`'s.

mod ast;
mod cursor;
mod filter;
mod format;
mod lex;
mod lower;
mod metric;
mod pattern;
mod pipeline;
mod range;
mod regexp;
mod stage;
mod units;

#[cfg(test)]
mod tests;

use thiserror::Error;

pub use ast::{Grouping, LogExpr, LogRange, MetricExpr, RangeOp, VectorOp};
pub use format::{LabelFormat, LineTemplate, TemplatePart};
pub use lower::lower;
pub use pattern::{CapturePattern, PatternPart};
pub use pipeline::{
    Comparison, FieldMapping, LabelCompare, LabelFilter, LabelRef, LineFilter, LineOp, LineTest,
    PathPart, Pipeline, Stage,
};
pub use regexp::Regexp;
pub use units::{parse_bytes, parse_duration_ns};

use cursor::Cursor;

/// Label that a failed parser or conversion sets.
pub const ERROR: &str = "__error__";

/// Suffix of an extracted label whose name the stream already has.
pub const EXTRACTED: &str = "_extracted";

/// Longest query that is read, in bytes.
pub const MAX_QUERY_BYTES: usize = 64 * 1024;

/// What is wrong with a query, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("at byte {at}: {message}")]
pub struct LogqlError {
    /// Byte offset into the query.
    pub at: usize,
    /// For people.
    pub message: String,
    /// What to do about it, where we know.
    pub hint: Option<String>,
}

impl LogqlError {
    /// An error without a hint.
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
            hint: None,
        }
    }

    /// The same with a hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A part of the language that is known and not evaluated.
    pub(crate) fn unsupported(at: usize, what: &str) -> Self {
        Self::new(at, format!("not supported yet: {what}"))
    }
}

/// Parses a query: a log query (`{…} |= …`) or a metric query (`rate({…}[5m]) > 0`).
///
/// The first error is given; positions are byte offsets into `text`.
pub fn parse(text: &str) -> Result<LogExpr, LogqlError> {
    if text.len() > MAX_QUERY_BYTES {
        return Err(LogqlError::new(
            0,
            format!("longer than {MAX_QUERY_BYTES} bytes"),
        ));
    }
    let mut cursor = Cursor::new(text)?;
    let expr = if cursor.is_log_query() {
        LogExpr::Logs(stage::log_query(&mut cursor)?)
    } else {
        LogExpr::Metric(metric::expr(&mut cursor)?)
    };
    cursor.expect_end()?;
    Ok(expr)
}
