//! Selectors and their modifiers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use foghorn_model::labels::NAME;
use foghorn_model::{MatchOp, Matcher};
use promql_parser::label::{MatchOp as AstOp, Matcher as AstMatcher};
use promql_parser::parser::{AtModifier, Offset, VectorSelector};

use super::ExprError;
use super::tokens::{Kind, Token, find_text};
use crate::plan::Selector;

/// A selector's matchers, in name order, the metric's name among them.
pub(super) fn selector(ast: &VectorSelector, tokens: &[Token<'_>]) -> Result<Selector, ExprError> {
    if !ast.matchers.or_matchers.is_empty() {
        let at = tokens
            .iter()
            .find(|token| token.text == "or")
            .map_or(0..0, |token| token.span.clone());
        return Err(ExprError::unsupported(at, "`or` between matchers"));
    }
    let mut matchers = Vec::with_capacity(ast.matchers.matchers.len() + 1);
    if let Some(name) = &ast.name {
        matchers.push(Matcher::equal(NAME, name));
    }
    for matcher in &ast.matchers.matchers {
        matchers.push(compiled(matcher, tokens)?);
    }
    matchers.sort_by(|a, b| (&a.name, a.op, &a.value).cmp(&(&b.name, b.op, &b.value)));
    let named = |m: &&Matcher| &*m.name == NAME && m.op == MatchOp::Equal && !m.value.is_empty();
    let metric = matchers
        .iter()
        .find(named)
        .map(|matcher| Arc::from(&*matcher.value));
    Ok(Selector { metric, matchers })
}

fn compiled(ast: &AstMatcher, tokens: &[Token<'_>]) -> Result<Matcher, ExprError> {
    let (op, regex) = match &ast.op {
        AstOp::Equal => (MatchOp::Equal, None),
        AstOp::NotEqual => (MatchOp::NotEqual, None),
        AstOp::Re(regex) => (MatchOp::Regex, Some(regex)),
        AstOp::NotRe(regex) => (MatchOp::NotRegex, Some(regex)),
    };
    Matcher::new(&ast.name, op, &ast.value)
        .or_else(|error| match regex {
            // Go takes a `{` that is no repetition as itself; the parser has escaped such ones.
            Some(regex) => {
                let anchored = regex.as_str();
                let inner = anchored
                    .strip_prefix("^(?:")
                    .and_then(|rest| rest.strip_suffix(")$"));
                Matcher::new(&ast.name, op, inner.unwrap_or(anchored))
            }
            None => Err(error),
        })
        .map_err(|error| {
            let at = find_text(tokens, &ast.value)
                .or_else(|| first_text(tokens))
                .unwrap_or(0..0);
            let why = error.to_string();
            let why = why
                .lines()
                .last()
                .unwrap_or("")
                .trim_start_matches("error: ");
            ExprError::new(
                "promql-regex",
                at,
                format!("not a regular expression: {why}"),
            )
        })
}

fn first_text(tokens: &[Token<'_>]) -> Option<std::ops::Range<usize>> {
    tokens
        .iter()
        .find(|token| token.kind == Kind::Text)
        .map(|token| token.span.clone())
}

/// The labels that `absent` gives: those of equality matchers, as long as no other matcher has
/// the same label (Prometheus' `createLabelsForAbsentFunction`).
pub(super) fn absent_labels(ast: &VectorSelector) -> Vec<(String, String)> {
    let mut labels: Vec<(String, String)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in ast
        .matchers
        .matchers
        .iter()
        .filter(|matcher| matcher.name != NAME)
    {
        if matches!(matcher.op, AstOp::Equal) && !seen.contains(&matcher.name.as_str()) {
            seen.push(&matcher.name);
            labels.push((matcher.name.clone(), matcher.value.clone()));
        } else {
            labels.retain(|(name, _)| *name != matcher.name);
        }
    }
    labels.retain(|(_, value)| !value.is_empty());
    labels.sort();
    labels
}

/// `offset`, in milliseconds.
pub(super) fn offset_ms(offset: Option<&Offset>) -> i64 {
    match offset {
        None => 0,
        Some(Offset::Pos(duration)) => millis(*duration),
        Some(Offset::Neg(duration)) => -millis(*duration),
    }
}

/// `@`, in milliseconds since the epoch.
pub(super) fn at_ms(
    at: Option<&AtModifier>,
    tokens: &[Token<'_>],
) -> Result<Option<i64>, ExprError> {
    let place = || {
        tokens
            .iter()
            .find(|token| token.text == "@")
            .map_or(0..0, |token| token.span.clone())
    };
    match at {
        None => Ok(None),
        Some(AtModifier::At(time)) => Ok(Some(since_epoch(*time))),
        Some(AtModifier::Start | AtModifier::End) => Err(ExprError::unsupported(
            place(),
            "`@ start()` and `@ end()` (a rule has no range)",
        )
        .hint("write `@ <seconds since the epoch>`, or leave it out")),
    }
}

fn since_epoch(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => millis(after),
        Err(before) => -millis(before.duration()),
    }
}

/// A duration in milliseconds.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
