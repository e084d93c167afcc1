//! Words inside of an action's braces.

use super::TemplateError;
use crate::go_text::{BadEscape, escaped};

/// A word, and where it starts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    pub(super) at: usize,
    pub(super) kind: Kind,
    /// Whether a blank stands before it.
    pub(super) spaced: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A keyword, function or constant.
    Name(String),
    /// `$name` (`$` alone is the empty name).
    Variable(String),
    /// `.name`.
    Field(String),
    /// `.` alone.
    Dot,
    Text(String),
    Float(f64),
    Int(i64),
    /// `(`, `)`, `|`, `:=`, `=`, `,`.
    Sign(&'static str),
}

/// Cuts an action; gives the words and the byte behind its `}}`, and whether it trims what follows.
pub(super) fn action(
    source: &str,
    start: usize,
) -> Result<(Vec<Word>, usize, bool), TemplateError> {
    let mut words = Vec::new();
    let mut at = start;
    let mut spaced = true;
    loop {
        let rest = &source[at..];
        let Some(first) = rest.chars().next() else {
            return Err(error(start, "this action is not closed by `}}`"));
        };
        if rest.starts_with("}}") {
            return Ok((words, at + 2, false));
        }
        if spaced && rest.starts_with("-}}") {
            return Ok((words, at + 3, true));
        }
        if first.is_whitespace() {
            at += first.len_utf8();
            spaced = true;
            continue;
        }
        let (kind, length) = word(rest, at)?;
        words.push(Word { at, kind, spaced });
        at += length;
        spaced = false;
    }
}

pub(super) fn error(at: usize, message: impl Into<String>) -> TemplateError {
    TemplateError {
        at,
        message: message.into(),
        unsupported: false,
    }
}

fn word(rest: &str, at: usize) -> Result<(Kind, usize), TemplateError> {
    let name_end = |from: usize| {
        rest[from..]
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .map_or(rest.len(), |end| from + end)
    };
    if let Some(sign) = [":=", "|", "(", ")", "=", ","]
        .into_iter()
        .find(|sign| rest.starts_with(sign))
    {
        return Ok((Kind::Sign(sign), sign.len()));
    }
    match rest.as_bytes()[0] {
        b'"' => quoted(rest, '"', at),
        // A character is its number.
        b'\'' => match quoted(rest, '\'', at)? {
            (Kind::Text(text), end) if text.chars().count() == 1 => {
                let code = text.chars().next().map_or(0, u32::from);
                Ok((Kind::Int(i64::from(code)), end))
            }
            _ => Err(error(at, "texts stand in double quotes")),
        },
        b'`' => match rest[1..].find('`') {
            Some(end) => Ok((Kind::Text(rest[1..=end].to_owned()), end + 2)),
            None => Err(error(at, "this text has no closing `")),
        },
        b'$' => {
            let end = name_end(1);
            Ok((Kind::Variable(rest[1..end].to_owned()), end))
        }
        b'.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => match name_end(1) {
            1 => Ok((Kind::Dot, 1)),
            end => Ok((Kind::Field(rest[1..end].to_owned()), end)),
        },
        b'+' | b'-' | b'.' | b'0'..=b'9' => number(rest, at),
        _ => match name_end(0) {
            0 => {
                let odd = rest.chars().next().unwrap_or(' ');
                Err(error(
                    at,
                    format!("`{odd}` does not belong into a template's action"),
                ))
            }
            end => Ok((Kind::Name(rest[..end].to_owned()), end)),
        },
    }
}

fn number(rest: &str, at: usize) -> Result<(Kind, usize), TemplateError> {
    let mut end = 1;
    let bytes = rest.as_bytes();
    while end < bytes.len() {
        let sign = matches!(bytes[end], b'+' | b'-') && matches!(bytes[end - 1], b'e' | b'E');
        if !(bytes[end].is_ascii_alphanumeric() || bytes[end] == b'.' || bytes[end] == b'_' || sign)
        {
            break;
        }
        end += 1;
    }
    let text = rest[..end].replace('_', "");
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16)
            .map(|value| (Kind::Int(value), end))
            .map_err(|_| error(at, format!("`{text}` is not a number")));
    }
    if let Ok(value) = text.parse::<i64>() {
        return Ok((Kind::Int(value), end));
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok((Kind::Float(value), end)),
        _ => Err(error(at, format!("`{text}` is not a number"))),
    }
}

/// A text in quotes, with Go's escapes.
fn quoted(rest: &str, quote: char, at: usize) -> Result<(Kind, usize), TemplateError> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((Kind::Text(text), i + 1)),
            '\n' => break,
            '\\' => match escaped(&mut chars) {
                Ok(c) => text.push(c),
                Err(BadEscape::End) => break,
                Err(BadEscape::Unknown(code)) => {
                    return Err(error(at + i, format!("unknown escape `\\{code}`")));
                }
                Err(BadEscape::NoCharacter) => {
                    return Err(error(at + i, "an escape that is no character"));
                }
            },
            other => text.push(other),
        }
    }
    Err(error(at, "this text has no closing quote"))
}
