//! OTLP JSON, rewritten as protobuf while it is scanned.
//!
//! What OTLP's JSON adds to protobuf's: ids are hexadecimal, enums are numbers (their names are
//! read too), unknown keys are skipped. 64-bit integers come as numbers or as strings; `null` is
//! a field that is not there.

use foghorn_model::Refusal;

use crate::json::scan::{Cursor, JsonError, JsonStr, MAX_DEPTH, Scalar};
use crate::otlp::any_value::each_base64;
use crate::otlp::schema::{Field, Kind, LOGS_REQUEST, METRICS_REQUEST, Message, TRACES_REQUEST};
use crate::proto::Writer;

/// Rewrites metrics requests (one, or one after another) into `out`.
pub(crate) fn to_metrics_proto(
    text: &str,
    unescaped: &mut String,
    out: &mut Writer,
) -> Result<(), Refusal> {
    rewrite(text, &METRICS_REQUEST, unescaped, out)
}

/// Rewrites logs requests (one, or one after another) into `out`.
pub(crate) fn to_logs_proto(
    text: &str,
    unescaped: &mut String,
    out: &mut Writer,
) -> Result<(), Refusal> {
    rewrite(text, &LOGS_REQUEST, unescaped, out)
}

/// Rewrites traces requests (one, or one after another) into `out`.
pub(crate) fn to_traces_proto(
    text: &str,
    unescaped: &mut String,
    out: &mut Writer,
) -> Result<(), Refusal> {
    rewrite(text, &TRACES_REQUEST, unescaped, out)
}

fn rewrite(
    text: &str,
    request: &Message,
    unescaped: &mut String,
    out: &mut Writer,
) -> Result<(), Refusal> {
    out.clear();
    let mut scan = Scan {
        cursor: Cursor::new(text),
        unescaped,
        out,
        root_known: false,
    };
    while scan.cursor.peek().is_some() {
        scan.message(request, 0).map_err(JsonError::refusal)?;
    }
    if scan.root_known {
        return Ok(());
    }
    let key = request.fields.first().map_or("", |field| field.json);
    Err(Refusal::new(
        "missing_field",
        format!("no {key} in the request"),
    ))
}

struct Scan<'a, 's> {
    cursor: Cursor<'a>,
    unescaped: &'s mut String,
    out: &'s mut Writer,
    /// Whether some request had the key that makes it one.
    root_known: bool,
}

impl<'a> Scan<'a, '_> {
    fn message(&mut self, message: &Message, depth: usize) -> Result<(), JsonError> {
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep(self.cursor.at()));
        }
        self.open(b'{')?;
        let mut first = true;
        while let Some(key) = self.cursor.key(&mut first)? {
            if let Some(field) = message.fields.iter().find(|field| field.json == key.raw) {
                self.root_known |= depth == 0;
                self.field(field, depth)?;
            } else {
                self.cursor.skip(depth + 1)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, byte: u8) -> Result<(), JsonError> {
        match self.cursor.peek() {
            Some(next) if next == byte => {
                self.cursor.bump();
                Ok(())
            }
            Some(_) => Err(JsonError::WrongType(self.cursor.at())),
            None => Err(JsonError::Truncated),
        }
    }

    fn field(&mut self, field: &Field, depth: usize) -> Result<(), JsonError> {
        if self.cursor.peek() == Some(b'n') {
            return self.cursor.scalar().map(|_| ());
        }
        match field.kind {
            Kind::Message(inner) => self.inner(field.number, inner, depth),
            Kind::Messages(inner) => self.array(|scan| scan.inner(field.number, inner, depth)),
            Kind::PackedDouble => {
                self.packed(field.number, |scalar| double(scalar).map(f64::to_bits))
            }
            Kind::PackedFixed64 => self.packed(field.number, unsigned),
            kind => self.single(field.number, kind),
        }
    }

    fn inner(&mut self, number: u32, message: &Message, depth: usize) -> Result<(), JsonError> {
        let opened = self.out.open(number);
        self.message(message, depth + 1)?;
        self.out.close(opened);
        Ok(())
    }

    fn single(&mut self, number: u32, kind: Kind) -> Result<(), JsonError> {
        let scalar = self.cursor.scalar()?;
        let wrong = JsonError::WrongType(self.cursor.at());
        match (kind, scalar) {
            (Kind::Text, Scalar::Str(text)) => {
                let text = unescape(text, self.unescaped)?;
                self.out.text(number, text);
            }
            (Kind::Hex, Scalar::Str(text)) => {
                let opened = self.out.open(number);
                each_hex(text.raw, |byte| self.out.byte(byte)).ok_or(wrong)?;
                self.out.close(opened);
            }
            (Kind::Base64, Scalar::Str(text)) => {
                let text = unescape(text, self.unescaped)?;
                let opened = self.out.open(number);
                each_base64(text, |byte| self.out.byte(byte)).ok_or(wrong)?;
                self.out.close(opened);
            }
            (Kind::Double, scalar) => self.out.double(number, double(scalar).ok_or(wrong)?),
            (Kind::Fixed64, scalar) => self.out.fixed64(number, unsigned(scalar).ok_or(wrong)?),
            (Kind::SFixed64, scalar) => self
                .out
                .fixed64(number, signed(scalar).ok_or(wrong)? as u64),
            (Kind::Int64, scalar) => self.out.varint(number, signed(scalar).ok_or(wrong)? as u64),
            (Kind::Enum(words), scalar) => self
                .out
                .varint(number, enumerated(words, scalar).ok_or(wrong)?),
            (Kind::Bool, Scalar::Bool(truth)) => self.out.varint(number, u64::from(truth)),
            _ => return Err(wrong),
        }
        Ok(())
    }

    fn packed(
        &mut self,
        number: u32,
        read: impl Fn(Scalar<'a>) -> Option<u64>,
    ) -> Result<(), JsonError> {
        let opened = self.out.open(number);
        self.array(|scan| {
            let scalar = scan.cursor.scalar()?;
            let bits = read(scalar).ok_or(JsonError::WrongType(scan.cursor.at()))?;
            scan.out.packed_fixed64(bits);
            Ok(())
        })?;
        self.out.close(opened);
        Ok(())
    }

    fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.open(b'[')?;
        let mut first = true;
        while self.cursor.element(&mut first)? {
            element(self)?;
        }
        Ok(())
    }
}

/// The text that is meant; borrowed from the input where nothing is escaped.
fn unescape<'t>(text: JsonStr<'t>, buffer: &'t mut String) -> Result<&'t str, JsonError> {
    if !text.escaped {
        return Ok(text.raw);
    }
    buffer.clear();
    text.decode(buffer)?;
    Ok(buffer)
}

/// A scalar's digits, written bare or as a string.
fn digits(scalar: Scalar<'_>) -> Option<&str> {
    match scalar {
        Scalar::Number(text) => Some(text),
        Scalar::Str(text) => Some(text.raw),
        Scalar::Bool(_) | Scalar::Null => None,
    }
}

fn double(scalar: Scalar<'_>) -> Option<f64> {
    match digits(scalar)? {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

/// A whole number, exactly: some writers print large ones as `1.5e18`.
fn whole(text: &str) -> Option<i128> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (head, tail) = digits.split_once('.').unwrap_or((digits, ""));
    let tail = tail.trim_end_matches('0');
    let shift = exponent
        .parse::<i32>()
        .ok()?
        .checked_sub(i32::try_from(tail.len()).ok()?)?;
    let number: i128 = format!("{head}{tail}").parse().ok()?;
    number.checked_mul(10_i128.checked_pow(u32::try_from(shift).ok()?)?)
}

fn unsigned(scalar: Scalar<'_>) -> Option<u64> {
    let text = digits(scalar)?;
    text.parse().ok().or_else(|| whole(text)?.try_into().ok())
}

fn signed(scalar: Scalar<'_>) -> Option<i64> {
    let text = digits(scalar)?;
    text.parse().ok().or_else(|| whole(text)?.try_into().ok())
}

/// An enum's number, or its name: the part past the type's prefix decides.
fn enumerated(words: &[&str], scalar: Scalar<'_>) -> Option<u64> {
    let text = digits(scalar)?;
    text.parse().ok().or_else(|| {
        let last = text.rsplit('_').next()?;
        words
            .iter()
            .position(|word| *word == last)
            .map(|i| i as u64)
    })
}

fn each_hex(text: &str, mut each: impl FnMut(u8)) -> Option<()> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    for pair in pairs {
        each((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
    }
    rest.is_empty().then_some(())
}
