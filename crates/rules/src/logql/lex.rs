//! Text → tokens with byte positions.

use super::LogqlError;
use super::units::{parse_bytes, parse_duration_ns};

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    /// First byte.
    pub at: usize,
    /// Byte after the last.
    pub end: usize,
    /// What it is.
    pub kind: Kind,
}

/// Kinds of tokens.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A name or keyword.
    Name(String),
    /// A quoted text, unquoted.
    Text(String),
    /// A number.
    Number(f64),
    /// A number with a duration's units, in nanoseconds.
    Duration(f64),
    /// A number with a size's unit, in bytes.
    Bytes(f64),
    /// Operators and brackets.
    Sign(&'static str),
    /// `--strict`, `--keep-empty`.
    Flag(&'static str),
    /// The end of the text.
    End,
}

/// Longest first where one begins another.
const SIGNS: [&str; 29] = [
    "|=", "|~", "|>", "!=", "!~", "!>", "=~", "==", ">=", "<=", "|", "{", "}", "(", ")", "[", "]",
    ",", "=", ">", "<", "+", "-", "*", "/", "%", "^", "@", ":",
];

const FLAGS: [&str; 2] = ["--strict", "--keep-empty"];

/// All tokens, the last being [`Kind::End`].
pub(super) fn lex(text: &str) -> Result<Vec<Token>, LogqlError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        if c == '#' {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let (kind, len) = token(rest, c).map_err(|error| LogqlError {
            at: at + error.at,
            ..error
        })?;
        tokens.push(Token {
            at,
            end: at + len,
            kind,
        });
        at += len;
    }
    tokens.push(Token {
        at,
        end: at,
        kind: Kind::End,
    });
    Ok(tokens)
}

/// The token at the start of `rest` (whose first character is `c`) and its length.
fn token(rest: &str, c: char) -> Result<(Kind, usize), LogqlError> {
    match c {
        'a'..='z' | 'A'..='Z' | '_' => {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            Ok((Kind::Name(rest[..end].to_owned()), end))
        }
        '"' => quoted(rest),
        '`' => match rest[1..].find('`') {
            Some(end) => Ok((Kind::Text(rest[1..=end].replace('\r', "")), end + 2)),
            None => Err(LogqlError::new(0, "this text has no closing `")),
        },
        '\'' => Err(
            LogqlError::new(0, "a text stands in double quotes or backticks")
                .hint("write \"…\" in place of '…'"),
        ),
        '0'..='9' | '.' => number(rest),
        '$' => Err(LogqlError::new(0, "unexpected `$`")
            .hint("variables such as $__interval are Grafana's; write a duration such as 5m")),
        _ => {
            if let Some(flag) = FLAGS.iter().find(|flag| rest.starts_with(**flag)) {
                return Ok((Kind::Flag(flag), flag.len()));
            }
            match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => Ok((Kind::Sign(sign), sign.len())),
                None => Err(LogqlError::new(0, format!("unexpected `{c}`"))),
            }
        }
    }
}

/// A number, a duration or a size.
fn number(rest: &str) -> Result<(Kind, usize), LogqlError> {
    let bytes = rest.as_bytes();
    let mut end = 0;
    while end < bytes.len() && (bytes[end].is_ascii_digit() || bytes[end] == b'.') {
        end += 1;
    }
    // An exponent, unless what follows `e` makes it a unit.
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.get(end + 1 + signed).is_some_and(u8::is_ascii_digit) {
            end += 1 + signed;
            while bytes.get(end).is_some_and(u8::is_ascii_digit) {
                end += 1;
            }
        }
    }
    let unit = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == 'µ' || c == 'μ';
    let full = end
        + rest[end..]
            .find(|c: char| !unit(c))
            .unwrap_or(rest.len() - end);
    let text = &rest[..full];
    let kind = if full == end {
        text.parse().ok().map(Kind::Number)
    } else if let Some(hex) = text.strip_prefix("0x") {
        u64::from_str_radix(hex, 16)
            .ok()
            .map(|n| Kind::Number(n as f64))
    } else {
        parse_duration_ns(text)
            .map(Kind::Duration)
            .or_else(|| parse_bytes(text).map(Kind::Bytes))
    };
    kind.map(|kind| (kind, full)).ok_or_else(|| {
        LogqlError::new(0, format!("`{text}` is not a number, a duration or a size"))
            .hint("durations are written 5m, 1h30m, 250ms; sizes 10KB, 1MiB")
    })
}

/// A text in double quotes, with Go's escapes.
fn quoted(rest: &str) -> Result<(Kind, usize), LogqlError> {
    let mut out = Vec::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                return match String::from_utf8(out) {
                    Ok(text) => Ok((Kind::Text(text), at + 1)),
                    Err(_) => Err(LogqlError::new(
                        0,
                        "the escapes of this text do not make UTF-8",
                    )),
                };
            }
            '\n' => break,
            '\\' => {
                let used = escape(&rest[at + 1..], &mut out).ok_or_else(|| {
                    LogqlError::new(at, "unknown escape in a text in double quotes")
                        .hint("write \\\\ for a backslash, or use backticks")
                })?;
                // Escapes are ASCII: one byte, one character.
                for _ in 0..used {
                    chars.next();
                }
            }
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err(LogqlError::new(0, "this text has no closing \""))
}

/// Go's escape after the backslash: appends what it means, gives its length.
fn escape(rest: &str, out: &mut Vec<u8>) -> Option<usize> {
    let first = *rest.as_bytes().first()?;
    let simple = match first {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'v' => 0x0b,
        b'\\' | b'"' => first,
        b'x' => u8::from_str_radix(digits(rest, 1, 2)?, 16).ok()?,
        b'0'..=b'7' => u8::from_str_radix(digits(rest, 0, 3)?, 8).ok()?,
        b'u' | b'U' => {
            let len = if first == b'u' { 4 } else { 8 };
            let c = char::from_u32(u32::from_str_radix(digits(rest, 1, len)?, 16).ok()?)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(1 + len);
        }
        _ => return None,
    };
    out.push(simple);
    Some(match first {
        b'x' | b'0'..=b'7' => 3,
        _ => 1,
    })
}

fn digits(rest: &str, from: usize, len: usize) -> Option<&str> {
    rest.get(from..from + len)
        .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))
}
