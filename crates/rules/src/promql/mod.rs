//! PromQL → the plan.
//!
//! Owns the way from an expression's text into [`Expr`] and [`Leaf`], and the places of what is
//! wrong with it. The grammar is the `promql-parser` crate's, whose tree has no positions: places
//! are found again in the text. Refuses, by name, what the engine cannot evaluate.

mod blame;
mod functions;
mod lower;
mod selector;
mod tokens;

#[cfg(test)]
mod tests;

use std::ops::Range;

use promql_parser::parser::value::ValueType;
use thiserror::Error;

use crate::plan::{Expr, Leaf};

/// Longest expression that is read, in bytes.
pub const MAX_EXPR_BYTES: usize = 64 * 1024;

/// Expressions may be nested so deep (brackets within brackets).
const MAX_NESTING: usize = 128;

/// What is wrong with an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("at byte {}: {message}", span.start)]
pub struct ExprError {
    /// Bytes of the expression that it is about.
    pub span: Range<usize>,
    /// Stable name of the kind of problem: `promql-syntax`, `promql-type`, `promql-unsupported`.
    pub code: &'static str,
    /// For people: a lower-case fragment.
    pub message: String,
    /// What to do about it, where we know.
    pub hint: Option<String>,
}

impl ExprError {
    fn new(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            code,
            message: message.into(),
            hint: None,
        }
    }

    fn unsupported(span: Range<usize>, what: impl std::fmt::Display) -> Self {
        Self::new("promql-unsupported", span, format!("not supported: {what}"))
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

/// Compiles an expression that gives a vector or a number.
///
/// What it reads is added to `leaves` (a read that is there already is used again); on an error
/// `leaves` is as before. Subqueries that give no step of their own step by `step_ms`.
pub fn compile(text: &str, step_ms: i64, leaves: &mut Vec<Leaf>) -> Result<Expr, ExprError> {
    let whole = 0..text.trim_end().len();
    if text.len() > MAX_EXPR_BYTES {
        let message = format!("the expression is longer than {MAX_EXPR_BYTES} bytes");
        return Err(ExprError::new("promql-syntax", 0..0, message));
    }
    let tokens = tokens::scan(text);
    // The parser recurses: what is nested beyond all reason must not reach it.
    if let Some(at) = tokens::deeper_than(&tokens, MAX_NESTING) {
        return Err(ExprError::new(
            "promql-syntax",
            at,
            "the expression is nested too deep",
        ));
    }
    // Nor must a number of seconds that is no duration: the parser panics at it.
    if let Some(at) = tokens::out_of_range(text, &tokens) {
        return Err(ExprError::new("promql-syntax", at, "duration out of range"));
    }
    let ast = promql_parser::parser::parse(text)
        .map_err(|message| blame::explain(text, &tokens, &message))?;
    let noun = match ast.value_type() {
        ValueType::Vector | ValueType::Scalar => None,
        ValueType::Matrix => Some("a range vector"),
        ValueType::String => Some("a string"),
    };
    if let Some(noun) = noun {
        let message = format!(
            "the expression gives {noun}, where a rule needs an instant vector or a number"
        );
        return Err(ExprError::new("promql-type", whole, message));
    }
    let before = leaves.len();
    let lowered = lower::Lowering {
        text,
        tokens: &tokens,
        step_ms,
        leaves,
    }
    .expr(&ast);
    if lowered.is_err() {
        leaves.truncate(before);
    }
    lowered
}
