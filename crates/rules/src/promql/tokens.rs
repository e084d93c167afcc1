//! A rough cut of an expression into words, only to find places in it.

use std::ops::Range;

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or keyword.
    Word,
    /// A number or duration.
    Number,
    /// A quoted text.
    Text,
    /// `(`, `[` or `{`.
    Open,
    /// `)`, `]` or `}`.
    Close,
    /// `,`.
    Comma,
    /// An operator.
    Operator,
    /// A quoted text without its end.
    Unfinished,
    /// Anything else.
    Odd,
}

/// A word and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) span: Range<usize>,
}

/// Cuts; blanks and comments are left out.
pub(super) fn scan(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, length) = match first {
            '#' => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            blank if blank.is_whitespace() => {
                at += blank.len_utf8();
                continue;
            }
            '"' | '\'' | '`' => quoted(rest, first),
            '(' | '[' | '{' => (Kind::Open, 1),
            ')' | ']' | '}' => (Kind::Close, 1),
            ',' => (Kind::Comma, 1),
            '0'..='9' | '.' => (
                Kind::Number,
                run(rest, |c| c.is_ascii_alphanumeric() || c == '.'),
            ),
            letter if letter == '_' || letter == ':' || letter.is_alphabetic() => (
                Kind::Word,
                run(rest, |c| c == '_' || c == ':' || c.is_alphanumeric()),
            ),
            _ => match ["==", "!=", "=~", "!~", ">=", "<="]
                .iter()
                .find(|op| rest.starts_with(**op))
            {
                Some(op) => (Kind::Operator, op.len()),
                None if "+-*/%^<>=@".contains(first) => (Kind::Operator, 1),
                None => (Kind::Odd, first.len_utf8()),
            },
        };
        tokens.push(Token {
            kind,
            text: &rest[..length],
            span: at..at + length,
        });
        at += length;
    }
    tokens
}

fn run(rest: &str, belongs: impl Fn(char) -> bool) -> usize {
    rest.find(|c| !belongs(c)).unwrap_or(rest.len())
}

fn quoted(rest: &str, quote: char) -> (Kind, usize) {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            end if end == quote => return (Kind::Text, at + 1),
            _ => {}
        }
    }
    (Kind::Unfinished, rest.len())
}

/// A range, step or offset that is a number of seconds beyond what Prometheus takes (2^63 ns), or none.
pub(super) fn out_of_range(text: &str, tokens: &[Token<'_>]) -> Option<Range<usize>> {
    const MOST_S: f64 = (1_u64 << 63) as f64 / 1e9;
    let is_beyond = |number: &str| {
        let number = number.replace('_', "").to_ascii_lowercase();
        let digits = number.trim_start_matches(['+', '-', ' ']);
        let seconds = match digits.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).map_or(f64::INFINITY, |it| it as f64),
            // What is no number is a duration, or for the parser to refuse.
            None => digits.parse().unwrap_or(0.0),
        };
        seconds.is_nan() || seconds.abs() >= MOST_S
    };
    for (place, token) in tokens.iter().enumerate() {
        let rest = &text[token.span.end..];
        let length = match token.text {
            "[" => rest.find(']').unwrap_or(rest.len()),
            word if word.eq_ignore_ascii_case("offset") => {
                let signs = tokens[place + 1..].iter();
                let number = signs
                    .take(5)
                    .find(|it| matches!(it.kind, Kind::Number | Kind::Word));
                let end = number.map_or(token.span.end, |it| it.span.end);
                // `1e+30` is cut in three.
                let whole = text[end..].strip_prefix(['+', '-']).map_or(0, |after| {
                    1 + run(after, |c| c.is_ascii_digit() || c == '_')
                });
                end + whole - token.span.end
            }
            _ => continue,
        };
        let mut at = token.span.end;
        for part in rest[..length].split(':') {
            if is_beyond(part.trim()) {
                return Some(at..at + part.len());
            }
            at += part.len() + 1;
        }
    }
    None
}

/// The bracket that opens more than `limit` levels (a sign in a row of signs counts as one).
pub(super) fn deeper_than(tokens: &[Token<'_>], limit: usize) -> Option<Range<usize>> {
    let (mut depth, mut signs) = (0_usize, 0_usize);
    for token in tokens {
        signs = if matches!(token.text, "+" | "-") {
            signs + 1
        } else {
            0
        };
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit || signs > limit {
            return Some(token.span.clone());
        }
    }
    None
}

/// The first word (not inside of a text) that reads so.
pub(super) fn find_word(tokens: &[Token<'_>], word: &str) -> Option<Range<usize>> {
    tokens
        .iter()
        .find(|token| token.kind == Kind::Word && token.text == word)
        .map(|token| token.span.clone())
}

/// The first call of a function or aggregation: its name.
pub(super) fn find_call(tokens: &[Token<'_>], name: &str) -> Option<Range<usize>> {
    let calls = |pair: &&[Token<'_>]| {
        pair[0].kind == Kind::Word
            && pair[0].text == name
            && matches!(pair[1].text, "(" | "by" | "without")
    };
    tokens
        .windows(2)
        .find(calls)
        .map(|pair| pair[0].span.clone())
}

/// The first quoted text whose inside reads so.
pub(super) fn find_text(tokens: &[Token<'_>], inside: &str) -> Option<Range<usize>> {
    let reads = |token: &&Token<'_>| {
        token.kind == Kind::Text
            && token
                .text
                .get(1..token.text.len() - 1)
                .is_some_and(|text| text == inside)
    };
    tokens.iter().find(reads).map(|token| token.span.clone())
}
