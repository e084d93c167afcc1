//! Which language an expression is in, and its way into the plan.

use std::sync::Arc;

use super::fields::Desk;
use crate::logql::{self, LogExpr, LogqlError, Pipeline};
use crate::plan::{Expr, Leaf};
use crate::promql::{self, ExprError};
use crate::yaml::Node;

/// What expressions are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    PromQl,
    LogQl,
}

impl Language {
    /// As `language:` names them.
    pub(super) const WORDS: [(&'static str, Self); 2] =
        [("promql", Self::PromQl), ("logql", Self::LogQl)];
}

/// What an expression gives.
pub(super) enum Compiled {
    /// A vector or a number, at each tick.
    Vector(Expr),
    /// Records, as they arrive.
    Records(Arc<Pipeline>),
}

/// Compiles an expression; what is wrong is handed in, at its place in the file.
///
/// Without an explicit language it is LogQL if a selector's braces are followed by a line filter
/// or a stage, or if it parses as LogQL only.
pub(super) fn compile(
    text: &str,
    node: &Node,
    language: Option<Language>,
    step_ms: i64,
    leaves: &mut Vec<Leaf>,
    desk: &mut Desk<'_>,
) -> Option<Compiled> {
    let language = language.or_else(|| looks_like_logql(text).then_some(Language::LogQl));
    match language {
        Some(Language::LogQl) => match log_query(text, leaves) {
            Ok(compiled) => Some(compiled),
            Err(error) => {
                refuse_log_query(&error, text, node, desk);
                None
            }
        },
        Some(Language::PromQl) => match promql::compile(text, step_ms, leaves) {
            Ok(expr) => Some(Compiled::Vector(expr)),
            Err(error) => {
                refuse(&error, node, desk);
                None
            }
        },
        None => match promql::compile(text, step_ms, leaves) {
            Ok(expr) => Some(Compiled::Vector(expr)),
            // What is known to be PromQL, only not supported, must not be taken for LogQL.
            Err(error) if error.code == "promql-unsupported" => {
                refuse(&error, node, desk);
                None
            }
            Err(error) => log_query(text, leaves)
                .map_err(|_| refuse(&error, node, desk))
                .ok(),
        },
    }
}

fn log_query(text: &str, leaves: &mut Vec<Leaf>) -> Result<Compiled, LogqlError> {
    let parsed = logql::parse(text)?;
    if let LogExpr::Logs(pipeline) = parsed {
        return Ok(Compiled::Records(Arc::new(pipeline)));
    }
    let before = leaves.len();
    let lowered = logql::lower(&parsed, leaves);
    if lowered.is_err() {
        leaves.truncate(before);
    }
    lowered.map(Compiled::Vector)
}

fn refuse(error: &ExprError, node: &Node, desk: &mut Desk<'_>) {
    let span = node.locate(desk.text, error.span.clone());
    desk.error(error.code, span, error.message.clone(), error.hint.clone());
}

fn refuse_log_query(error: &LogqlError, text: &str, node: &Node, desk: &mut Desk<'_>) {
    let end = text
        .get(error.at..)
        .and_then(|rest| rest.chars().next())
        .map_or(error.at, |c| error.at + c.len_utf8());
    let span = node.locate(desk.text, error.at..end);
    desk.error("logql", span, error.message.clone(), error.hint.clone());
}

/// Whether somewhere a `}` is followed by what only LogQL has there: `|`, or `!=` and `!~` before
/// a quoted text.
fn looks_like_logql(text: &str) -> bool {
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(open) if c == '\\' && open != '`' => escaped = true,
            Some(open) if c == open => quote = None,
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if c == '}' && is_stage(&text[at + 1..]) => return true,
            Some(_) | None => {}
        }
    }
    false
}

fn is_stage(rest: &str) -> bool {
    let rest = rest.trim_start();
    if rest.starts_with('|') {
        return true;
    }
    let filter = rest.strip_prefix("!=").or_else(|| rest.strip_prefix("!~"));
    filter.is_some_and(|rest| rest.trim_start().starts_with(['"', '`']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_logql_has() {
        let check = |text, expect| assert_eq!(looks_like_logql(text), expect, "{text}");
        check(r#"{app="x"} |= "error""#, true);
        check("{app=\"x\"}\n  | json", true);
        check(r#"sum(rate({app="x"} != "debug" [5m])) > 3"#, true);
        check(r#"up{app="x"} != 3"#, false);
        check(r#"up{app="} | x"} == 0"#, false);
        check("up{} or down{}", false);
    }
}
