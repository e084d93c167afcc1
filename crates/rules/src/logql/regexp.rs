//! Regular expressions in queries: RE2's syntax, on the `regex` crate.

use std::fmt;

use foghorn_model::{MatchOp, Matcher};
use regex::Regex;

/// Most bytes that one compiled expression may take.
const SIZE_LIMIT: usize = 4 << 20;

/// A compiled expression that remembers its text. Not anchored. Equal where the texts are.
#[derive(Clone)]
pub struct Regexp {
    text: String,
    regex: Regex,
}

impl Regexp {
    /// Compiles; the error is for people.
    pub fn new(text: &str) -> Result<Self, String> {
        let (text, regex) = with_re2_braces(text, |text| {
            regex::RegexBuilder::new(text)
                .size_limit(SIZE_LIMIT)
                .build()
        })?;
        Ok(Self { text, regex })
    }

    /// The expression's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches somewhere in `line`.
    pub fn is_match(&self, line: &str) -> bool {
        self.regex.is_match(line)
    }

    /// The compiled expression.
    pub fn regex(&self) -> &Regex {
        &self.regex
    }
}

impl PartialEq for Regexp {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Regexp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.text)
    }
}

/// A label matcher; its expression is in RE2's syntax too.
pub(super) fn matcher(name: &str, op: MatchOp, value: &str) -> Result<Matcher, String> {
    with_re2_braces(value, |text| Matcher::new(name, op, text)).map(|(_, matcher)| matcher)
}

/// Compiles `text`; where that fails, once more with the braces escaped that RE2 takes for
/// themselves (`{` that opens no repetition) and the `regex` crate refuses.
fn with_re2_braces<T>(
    text: &str,
    compile: impl Fn(&str) -> Result<T, regex::Error>,
) -> Result<(String, T), String> {
    match compile(text) {
        Ok(made) => Ok((text.to_owned(), made)),
        Err(error) => {
            let escaped = escape_braces(text);
            compile(&escaped)
                .map(|made| (escaped, made))
                .map_err(|_| said(&error))
        }
    }
}

/// The last line of the crate's message holds the cause; the lines before it draw the expression.
fn said(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

fn escape_braces(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let (mut rest, mut in_class) = (text, false);
    while let Some(c) = rest.chars().next() {
        let step = match c {
            '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            '{' if !in_class && repetition(rest).is_none() => {
                out.push('\\');
                1
            }
            '{' if !in_class => repetition(rest).unwrap_or(1),
            '}' if !in_class => {
                out.push('\\');
                1
            }
            _ => {
                in_class = (in_class && c != ']') || c == '[';
                c.len_utf8()
            }
        };
        out.push_str(&rest[..step]);
        // What stands in the braces of \p{…} and \x{…} belongs to the escape.
        rest = &rest[step..];
        if c == '\\' && out.ends_with(['p', 'P', 'x']) && rest.starts_with('{') {
            let end = rest.find('}').map_or(rest.len(), |at| at + 1);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out
}

/// Length of `{n}`, `{n,}` or `{n,m}` at the start of `text`.
fn repetition(text: &str) -> Option<usize> {
    let end = text.find('}')?;
    let (low, high) = match text[1..end].split_once(',') {
        Some((low, high)) => (low, high),
        None => (&text[1..end], ""),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    (!low.is_empty() && digits(low) && digits(high)).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, line: &str, expect: bool) {
        assert_eq!(
            Regexp::new(text).unwrap().is_match(line),
            expect,
            "{text} {line}"
        );
    }

    #[test]
    fn re2_braces_are_literal_where_they_repeat_nothing() {
        check(r"{foo}", "a {foo} b", true);
        check(r"a{2}{x", "aa{x", true);
        check(r"a{2}{x", "a{x", false);
        check(r"[{]x{", "{x{", true);
        check(r"\p{Lu}{y}", "Q{y}", true);
    }

    #[test]
    fn a_bad_expression_says_why() {
        assert_eq!(Regexp::new("a(b").unwrap_err(), "unclosed group");
    }
}
