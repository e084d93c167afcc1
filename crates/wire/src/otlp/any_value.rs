//! `AnyValue` and `KeyValue`: attributes, and structured bodies, as text.

use std::fmt::Write;

use crate::proto::{Fields, Malformed, Value};

/// Deepest nesting of arrays and maps in a value.
const MAX_DEPTH: usize = 32;

/// One attribute, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyValue<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its `AnyValue`, not looked into.
    pub value: &'a [u8],
}

impl<'a> KeyValue<'a> {
    /// Reads a `KeyValue` message.
    pub(crate) fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut found = Self {
            key: "",
            value: &[],
        };
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => found.key = value.text()?,
                2 => found.value = value.bytes()?,
                _ => {}
            }
        }
        Ok(found)
    }
}

/// What an `AnyValue` holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AnyValue<'a> {
    Empty,
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// An `ArrayValue`.
    Array(&'a [u8]),
    /// A `KeyValueList`.
    Map(&'a [u8]),
    Bytes(&'a [u8]),
}

impl<'a> AnyValue<'a> {
    /// Reads an `AnyValue` message; of several members the last counts.
    pub(crate) fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut found = Self::Empty;
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            found = match number {
                1 => Self::Text(value.text()?),
                2 => Self::Bool(value.varint()? != 0),
                3 => Self::Int(value.varint()? as i64),
                4 => Self::Double(value.double()?),
                5 => Self::Array(value.bytes()?),
                6 => Self::Map(value.bytes()?),
                7 => Self::Bytes(value.bytes()?),
                _ => found,
            };
        }
        Ok(found)
    }

    /// Appends the value as a label would have it: strings as they are, arrays and maps as JSON,
    /// bytes in base64, nothing for nothing.
    pub(crate) fn write_text(self, out: &mut String) -> Result<(), Malformed> {
        match self {
            Self::Empty => {}
            Self::Text(text) => out.push_str(text),
            Self::Double(number) => write_double(number, out),
            Self::Bytes(bytes) => base64(bytes, out),
            other => other.write_json(out, 0)?,
        }
        Ok(())
    }

    fn write_json(self, out: &mut String, depth: usize) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed::TooDeep);
        }
        match self {
            Self::Empty => out.push_str("null"),
            Self::Text(text) => quote(text, out),
            Self::Bool(truth) => out.push_str(if truth { "true" } else { "false" }),
            Self::Int(number) => {
                // Writing to a string does not fail.
                let _ = write!(out, "{number}");
            }
            Self::Double(number) if number.is_finite() => write_double(number, out),
            Self::Double(number) => {
                out.push('"');
                write_double(number, out);
                out.push('"');
            }
            Self::Bytes(bytes) => {
                out.push('"');
                base64(bytes, out);
                out.push('"');
            }
            Self::Array(list) => write_list(list, ['[', ']'], out, |item, out| {
                Self::read(item)?.write_json(out, depth + 1)
            })?,
            Self::Map(list) => write_list(list, ['{', '}'], out, |item, out| {
                let pair = KeyValue::read(item)?;
                quote(pair.key, out);
                out.push(':');
                AnyValue::read(pair.value)?.write_json(out, depth + 1)
            })?,
        }
        Ok(())
    }
}

/// `ArrayValue` and `KeyValueList` alike hold their items in field 1.
fn write_list<'a>(
    list: &'a [u8],
    [open, close]: [char; 2],
    out: &mut String,
    mut item: impl FnMut(&'a [u8], &mut String) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    out.push(open);
    let mut fields = Fields::new(list);
    let mut first = true;
    while let Some((number, value)) = fields.next()? {
        if let (1, Value::Bytes(bytes)) = (number, value) {
            if !first {
                out.push(',');
            }
            first = false;
            item(bytes, out)?;
        } else if number == 1 {
            return Err(Malformed::WrongType);
        }
    }
    out.push(close);
    Ok(())
}

/// The shortest text that reads back as the same number; very large and very small ones with an
/// exponent, as JSON writers do.
pub(crate) fn write_double(number: f64, out: &mut String) {
    let size = number.abs();
    let _ = if number.is_nan() {
        out.write_str("NaN")
    } else if number.is_infinite() {
        out.write_str(if number > 0.0 { "+Inf" } else { "-Inf" })
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        write!(out, "{number:e}")
    } else {
        write!(out, "{number}")
    };
}

/// Appends a JSON string.
pub(crate) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends standard base64 with padding (RFC 4648 §4).
pub(crate) fn base64(bytes: &[u8], out: &mut String) {
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let c = if i <= chunk.len() {
                BASE64[(bits >> (18 - 6 * i) & 63) as usize]
            } else {
                b'='
            };
            out.push(char::from(c));
        }
    }
}

/// Calls `each` for every byte of a base64 text, with or without padding, both alphabets.
pub(crate) fn each_base64(text: &str, mut each: impl FnMut(u8)) -> Option<()> {
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            each((bits >> held) as u8);
        }
    }
    (held < 6).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_both_ways() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"\xff\xfe", "//4="),
        ] {
            let mut out = String::new();
            base64(bytes, &mut out);
            assert_eq!(out, text);
            let mut back = Vec::new();
            each_base64(text, |byte| back.push(byte)).unwrap();
            assert_eq!(back, bytes);
        }
        assert_eq!(each_base64("a", |_| ()), None);
        assert_eq!(each_base64("a!", |_| ()), None);
    }

    #[test]
    fn doubles() {
        let text = |number| {
            let mut out = String::new();
            write_double(number, &mut out);
            out
        };
        let expect = ["0.1", "1", "-0", "100000000000000000000", "1e21", "1e-7"];
        assert_eq!([0.1, 1.0, -0.0, 1e20, 1e21, 1e-7].map(text), expect);
        assert_eq!(
            [f64::INFINITY, f64::NEG_INFINITY, f64::NAN].map(text),
            ["+Inf", "-Inf", "NaN"]
        );
    }
}
