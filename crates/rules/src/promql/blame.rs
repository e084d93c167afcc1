//! Where an expression that does not parse went wrong, and in better words.
//!
//! The parser crate gives a message without a place. Here the place is found again: first by what
//! the cut into words shows (brackets, operators that miss an operand, two values in a row), then
//! by the name that the message quotes.

use std::ops::Range;

use super::tokens::{Kind, Token, find_call, find_word};
use super::{ExprError, functions};
use crate::diagnostic::did_you_mean;

/// Words that stand between operands.
const WORD_OPERATORS: [&str; 4] = ["and", "or", "unless", "atan2"];

/// Words that belong to an operator or an aggregation and carry a list or nothing.
const MODIFIERS: [&str; 9] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "offset",
    "fill",
];

/// Turns the parser's message into an error with a place.
pub(super) fn explain(text: &str, tokens: &[Token<'_>], message: &str) -> ExprError {
    if tokens.is_empty() {
        return ExprError::new("promql-syntax", 0..text.len(), "the expression is empty");
    }
    if let Some(name) = after(message, "unknown function with name") {
        return unknown_function(tokens, name);
    }
    if let Some(error) = typed(tokens, message) {
        return error;
    }
    brackets(tokens)
        .or_else(|| order(tokens))
        .unwrap_or_else(|| ExprError::new("promql-syntax", whole(tokens), reworded(message)))
}

fn whole(tokens: &[Token<'_>]) -> Range<usize> {
    match (tokens.first(), tokens.last()) {
        (Some(first), Some(last)) => first.span.start..last.span.end,
        _ => 0..0,
    }
}

fn reworded(message: &str) -> String {
    match message {
        "invalid promql query" => "this is not PromQL".to_owned(),
        other => other.to_owned(),
    }
}

/// The quoted word behind a phrase.
fn after<'a>(message: &'a str, phrase: &str) -> Option<&'a str> {
    let rest = &message[message.find(phrase)? + phrase.len()..];
    let start = rest.find(['\'', '"', '`'])? + 1;
    let end = start + rest[start..].find(['\'', '"', '`'])?;
    Some(&rest[start..end])
}

fn unknown_function(tokens: &[Token<'_>], name: &str) -> ExprError {
    let span = find_call(tokens, name)
        .or_else(|| find_word(tokens, name))
        .unwrap_or_else(|| whole(tokens));
    let error = ExprError::new(
        "promql-syntax",
        span,
        format!("there is no function `{name}`"),
    );
    match did_you_mean(name, functions::names()) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Errors of types and of arguments quote the function that they are about.
fn typed(tokens: &[Token<'_>], message: &str) -> Option<ExprError> {
    let about = [
        "call to function",
        "in call to",
        "aggregate expression",
        "for",
    ];
    let named = about
        .iter()
        .find_map(|phrase| after(message, phrase))
        .filter(|name| functions::is_known(name));
    let is_type = message.starts_with("expected ")
        || message.contains("only allowed")
        || message.contains("not allowed")
        || message.contains("grouping allowed")
        || message.contains("must contain only")
        || message.contains("must not occur")
        || message.contains("modifier")
        || message.contains("must use BOOL")
        || message.contains("number of arguments")
        || message.contains("may not be set")
        || message.contains("non-empty matcher")
        || message.contains("set twice")
        || message.contains("illegal regex");
    if !is_type {
        return None;
    }
    let span = named
        .and_then(|name| find_call(tokens, name))
        .or_else(|| place_of(tokens, message));
    let error = ExprError::new(
        "promql-type",
        span.unwrap_or_else(|| whole(tokens)),
        message.replace('\'', "`"),
    );
    Some(match advice(message) {
        Some(hint) => error.hint(hint),
        None => error,
    })
}

fn place_of(tokens: &[Token<'_>], message: &str) -> Option<Range<usize>> {
    let text = |reads: &dyn Fn(&Token<'_>) -> bool| {
        tokens.iter().find(|t| reads(t)).map(|t| t.span.clone())
    };
    if message.contains("bool modifier") {
        return find_word(tokens, "bool");
    }
    if message.contains("must use BOOL") {
        return text(&|t| matches!(t.text, "==" | "!=" | ">" | "<" | ">=" | "<="));
    }
    if message.contains("offset") {
        return find_word(tokens, "offset");
    }
    if message.contains('@') {
        return text(&|t| t.text == "@");
    }
    if message.contains("non-empty matcher") {
        return text(&|t| t.text == "{");
    }
    if let Some(regex) = message.strip_prefix("illegal regex for ") {
        return text(&|t| t.kind == Kind::Text && t.text.contains(regex));
    }
    let quoted = after(message, "label")
        .or_else(|| after(message, "operator"))
        .or_else(|| after(message, "for"))?;
    text(&|t| matches!(t.kind, Kind::Word | Kind::Operator) && t.text == quoted)
}

fn advice(message: &str) -> Option<&'static str> {
    if message.starts_with("expected type matrix")
        || message.starts_with("expected type range vector")
    {
        Some("add a range, such as [5m], to the selector")
    } else if message.starts_with("expected type vector") && message.ends_with("got matrix") {
        Some("take the range away, or put a function such as rate() around it")
    } else if message.contains("must use BOOL") {
        Some("write `bool` behind the operator")
    } else if message.contains("non-empty matcher") {
        Some("name a metric, or a label whose value is not empty")
    } else {
        None
    }
}

/// Brackets that do not pair, and texts that do not end.
fn brackets(tokens: &[Token<'_>]) -> Option<ExprError> {
    let mut open: Vec<&Token<'_>> = Vec::new();
    for token in tokens {
        match token.kind {
            Kind::Unfinished => {
                let message = "this text has no closing quote";
                return Some(ExprError::new("promql-syntax", token.span.clone(), message));
            }
            Kind::Open => open.push(token),
            Kind::Close => {
                let Some(opening) = open.pop() else {
                    let message = format!("`{}` closes nothing", token.text);
                    return Some(ExprError::new("promql-syntax", token.span.clone(), message));
                };
                let fits = matches!(
                    (opening.text, token.text),
                    ("(", ")") | ("[", "]") | ("{", "}")
                );
                if !fits {
                    let message = format!("`{}` is closed by `{}`", opening.text, token.text);
                    return Some(ExprError::new("promql-syntax", token.span.clone(), message));
                }
            }
            _ => {}
        }
    }
    let left = open.pop()?;
    Some(ExprError::new(
        "promql-syntax",
        left.span.clone(),
        format!("`{}` is not closed", left.text),
    ))
}

/// What may not follow what: outside of braces and square brackets.
fn order(tokens: &[Token<'_>]) -> Option<ExprError> {
    let mut depth = 0_usize;
    let mut previous: Option<&Token<'_>> = None;
    for token in tokens {
        let inside = depth > 0;
        match token.text {
            "{" | "[" if token.kind == Kind::Open => depth += 1,
            "}" | "]" if token.kind == Kind::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        if !inside && let Some(error) = misplaced(previous, token) {
            return Some(error);
        }
        previous = Some(token);
    }
    let last = previous?;
    is_operator(last).then(|| {
        let message = format!("nothing follows `{}`", last.text);
        ExprError::new("promql-syntax", last.span.clone(), message)
    })
}

fn is_operator(token: &Token<'_>) -> bool {
    token.kind == Kind::Operator
        || (token.kind == Kind::Word && WORD_OPERATORS.contains(&token.text))
}

fn is_plain_word(token: &Token<'_>) -> bool {
    token.kind == Kind::Word
        && !WORD_OPERATORS.contains(&token.text)
        && !MODIFIERS.contains(&token.text)
}

fn misplaced(previous: Option<&Token<'_>>, token: &Token<'_>) -> Option<ExprError> {
    let at = || token.span.clone();
    let error = |message: String| Some(ExprError::new("promql-syntax", at(), message));
    if token.kind == Kind::Odd {
        return match token.text {
            "|" => error("`|` is no operator of PromQL".to_owned())
                .map(|e| e.hint("for a log query say `language: logql`")),
            "&" => error("`&` is no operator of PromQL".to_owned()).map(|e| e.hint("write `and`")),
            _ => error(format!("`{}` does not belong here", token.text)),
        };
    }
    if token.text == "=" && token.kind == Kind::Operator {
        return error("`=` compares labels only".to_owned())
            .map(|e| e.hint("write `==` to compare values"));
    }
    let starts =
        previous.is_none_or(|before| before.kind == Kind::Comma || before.kind == Kind::Open);
    let value = matches!(token.kind, Kind::Number | Kind::Text) || is_plain_word(token);
    if is_operator(token) && !matches!(token.text, "+" | "-") {
        let doubled = previous.is_some_and(is_operator);
        if starts || doubled {
            return error(format!("`{}` has nothing on its left", token.text));
        }
    }
    if value && previous.is_some_and(ends_value) {
        return error(format!("no operator stands before `{}`", token.text));
    }
    if token.text == ")" && previous.is_some_and(is_operator) {
        return error("an operator has nothing on its right".to_owned());
    }
    None
}

/// Whether a value is complete with this word (so that another may not follow at once).
fn ends_value(token: &Token<'_>) -> bool {
    matches!(token.kind, Kind::Number | Kind::Text)
        || is_plain_word(token)
        || matches!(token.text, "]" | "}")
}
