//! Go's `fmt.Sprintf`, for the verbs that rules use.

use std::fmt::Write;

use super::format::{fixed, general, scientific};
use super::value::Value;

/// Flags, width and precision of a verb.
#[derive(Default)]
struct Spec {
    minus: bool,
    plus: bool,
    space: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

/// Wider than this no field gets.
const MAX_WIDTH: usize = 200;

pub(super) fn printf(format: &str, args: &[Value<'_>]) -> String {
    let mut out = String::with_capacity(format.len() + 16);
    let mut next = 0;
    // With `%[n]d` the order is the format's, and no argument is one too many.
    let mut ordered = false;
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let (mut spec, mut tail) = spec(&rest[at + 1..]);
        if let Some((index, behind)) = argument_index(tail) {
            (next, ordered) = (index, true);
            tail = behind;
            if let Some(behind) = tail.strip_prefix('.') {
                let (precision, behind) = digits(behind);
                spec.precision = Some(precision);
                tail = behind;
            }
        }
        let Some(verb) = tail.chars().next() else {
            out.push_str("%!(NOVERB)");
            rest = "";
            break;
        };
        rest = &tail[verb.len_utf8()..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        match args.get(next) {
            None if ordered => drop(write!(out, "%!{verb}(BADINDEX)")),
            None => drop(write!(out, "%!{verb}(MISSING)")),
            Some(arg) => pad(&spec, &formatted(&spec, verb, arg), &mut out),
        }
        next += 1;
    }
    out.push_str(rest);
    let left = args.get(next..).filter(|_| !ordered).unwrap_or_default();
    let extra: Vec<String> = left
        .iter()
        .map(|arg| format!("{}={}", arg.type_name(), printed(arg)))
        .collect();
    if !extra.is_empty() {
        let _ = write!(out, "%!(EXTRA {})", extra.join(", "));
    }
    out
}

fn spec(text: &str) -> (Spec, &str) {
    let mut spec = Spec::default();
    let mut rest = text;
    while let Some(flag) = rest.chars().next() {
        match flag {
            '-' => spec.minus = true,
            '+' => spec.plus = true,
            ' ' => spec.space = true,
            '0' => spec.zero = true,
            '#' => {}
            _ => break,
        }
        rest = &rest[1..];
    }
    (spec.width, rest) = digits(rest);
    if let Some(behind) = rest.strip_prefix('.') {
        let (precision, tail) = digits(behind);
        spec.precision = Some(precision);
        rest = tail;
    }
    (spec, rest)
}

/// `[n]`: an argument by its place, from 0 here.
fn argument_index(text: &str) -> Option<(usize, &str)> {
    let (number, behind) = text.strip_prefix('[')?.split_once(']')?;
    Some((number.parse::<usize>().ok()?.checked_sub(1)?, behind))
}

fn digits(text: &str) -> (usize, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (
        text[..end]
            .parse()
            .unwrap_or(if end == 0 { 0 } else { MAX_WIDTH })
            .min(MAX_WIDTH),
        &text[end..],
    )
}

fn printed(value: &Value<'_>) -> String {
    let mut text = String::new();
    value.print(&mut text);
    text
}

/// A number with the sign that the flags ask for.
fn signed(spec: &Spec, text: String) -> String {
    let bare = !text.starts_with(['-', '+']);
    match (spec.plus, spec.space) {
        (true, _) if bare => format!("+{text}"),
        (false, true) if bare => format!(" {text}"),
        // Go writes the infinity's plus only where it is asked for.
        _ => text,
    }
}

fn formatted(spec: &Spec, verb: char, arg: &Value<'_>) -> String {
    let wrong = || format!("%!{verb}({}={})", arg.type_name(), printed(arg));
    match (verb, arg) {
        ('f' | 'F', Value::Float(value)) => {
            signed(spec, fixed(*value, spec.precision.unwrap_or(6)))
        }
        ('e', Value::Float(value)) => signed(spec, scientific(*value, spec.precision.unwrap_or(6))),
        ('E', Value::Float(value)) => {
            let text = scientific(*value, spec.precision.unwrap_or(6));
            signed(spec, upper_exponent(&text))
        }
        ('g' | 'v', Value::Float(value)) => signed(spec, general(*value, spec.precision)),
        ('G', Value::Float(value)) => {
            signed(spec, upper_exponent(&general(*value, spec.precision)))
        }
        ('d' | 'v', Value::Int(value)) => signed(spec, value.to_string()),
        ('x' | 'X' | 'o' | 'b', Value::Int(value)) => {
            let magnitude = value.unsigned_abs();
            let text = match verb {
                'x' => format!("{magnitude:x}"),
                'X' => format!("{magnitude:X}"),
                'o' => format!("{magnitude:o}"),
                _ => format!("{magnitude:b}"),
            };
            let sign = if *value < 0 { "-" } else { "" };
            signed(spec, format!("{sign}{text}"))
        }
        ('c', Value::Int(value)) => character(*value).to_string(),
        ('q', Value::Int(value)) => format!("{:?}", character(*value)),
        ('U', Value::Int(value)) => format!("U+{value:04X}"),
        ('x', Value::Text(text)) => hex(text, |byte| format!("{byte:02x}")),
        ('X', Value::Text(text)) => hex(text, |byte| format!("{byte:02X}")),
        ('s', Value::Text(text)) => cut(spec, text),
        ('q', Value::Text(text)) => format!("{:?}", cut(spec, text)),
        ('t', Value::Bool(value)) => value.to_string(),
        ('s', Value::Labels(_) | Value::Pairs(_) | Value::Opaque(..)) | ('v', _) => printed(arg),
        ('e' | 'f' | 'g' | 's' | 'd', Value::Nil) => format!("%!{verb}(<nil>)"),
        _ => wrong(),
    }
}

fn upper_exponent(text: &str) -> String {
    text.replace('e', "E")
}

fn character(code: i64) -> char {
    let code = u32::try_from(code).ok().and_then(char::from_u32);
    code.unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn hex(text: &str, byte: impl Fn(u8) -> String) -> String {
    text.bytes().map(byte).collect()
}

fn cut(spec: &Spec, text: &str) -> String {
    spec.precision
        .map_or_else(|| text.to_owned(), |most| text.chars().take(most).collect())
}

fn pad(spec: &Spec, text: &str, out: &mut String) {
    let missing = spec.width.saturating_sub(text.chars().count());
    if spec.minus {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if spec.zero && text.ends_with(|c: char| c.is_ascii_digit()) {
        let sign = text
            .find(|c: char| !matches!(c, '-' | '+' | ' '))
            .unwrap_or(0);
        out.push_str(&text[..sign]);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(&text[sign..]);
    } else {
        out.extend(std::iter::repeat_n(' ', missing));
        out.push_str(text);
    }
}
