//! The borrowed walk: field by field, nothing copied, nothing allocated.

use foghorn_model::Refusal;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// The bytes end inside a field.
    #[error("the bytes end inside a field")]
    Truncated,
    /// A varint of more than ten bytes, or of more than 64 bits.
    #[error("a varint does not fit 64 bits")]
    BadVarint,
    /// Field number 0, or a wire type that does not exist or went out of use.
    #[error("a field's tag is not valid")]
    BadTag,
    /// A known field with another wire type than its own.
    #[error("a field has the wrong wire type")]
    WrongType,
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    BadUtf8,
    /// Values nested deeper than anybody needs.
    #[error("values are nested too deeply")]
    TooDeep,
}

impl Malformed {
    /// The refusal's code, fit for a metric label.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::BadVarint | Self::BadTag => "malformed",
            Self::WrongType => "wrong_type",
            Self::BadUtf8 => "bad_utf8",
            Self::TooDeep => "too_deep",
        }
    }

    /// A refusal that says where.
    pub(crate) fn at(self, place: &str) -> Refusal {
        Refusal::new(self.code(), format!("{place}: {self}"))
    }
}

/// The value of one field as it stands in the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5; no field that we read has it.
    Fixed32,
}

impl<'a> Value<'a> {
    /// A varint's 64 bits.
    pub(crate) const fn varint(self) -> Result<u64, Malformed> {
        if let Self::Varint(bits) = self {
            Ok(bits)
        } else {
            Err(Malformed::WrongType)
        }
    }

    /// A fixed field's 64 bits.
    pub(crate) const fn fixed64(self) -> Result<u64, Malformed> {
        if let Self::Fixed64(bits) = self {
            Ok(bits)
        } else {
            Err(Malformed::WrongType)
        }
    }

    /// A double.
    pub(crate) fn double(self) -> Result<f64, Malformed> {
        self.fixed64().map(f64::from_bits)
    }

    /// Bytes or an embedded message.
    pub(crate) const fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Self::Bytes(bytes) = self {
            Ok(bytes)
        } else {
            Err(Malformed::WrongType)
        }
    }

    /// A string.
    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        str::from_utf8(self.bytes()?).map_err(|_| Malformed::BadUtf8)
    }
}

/// Walks the fields of one message.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of `message`.
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and value; `None` at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed::BadTag)?;
        if number == 0 || number >= 1 << 29 {
            return Err(Malformed::BadTag);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                let (head, rest) = self
                    .rest
                    .split_first_chunk::<8>()
                    .ok_or(Malformed::Truncated)?;
                self.rest = rest;
                Value::Fixed64(u64::from_le_bytes(*head))
            }
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| Malformed::Truncated)?;
                let (head, rest) = self
                    .rest
                    .split_at_checked(len)
                    .ok_or(Malformed::Truncated)?;
                self.rest = rest;
                Value::Bytes(head)
            }
            5 => {
                self.rest = self.rest.get(4..).ok_or(Malformed::Truncated)?;
                Value::Fixed32
            }
            _ => return Err(Malformed::BadTag),
        };
        Ok(Some((number, value)))
    }

    /// Walks to the end without looking inside, so that a broken frame is known before anything
    /// of the message is used.
    pub(crate) fn check(message: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Self::new(message);
        while fields.next()?.is_some() {}
        Ok(())
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut bits = 0_u64;
        for (i, byte) in self.rest.iter().enumerate().take(10) {
            if i == 9 && *byte > 1 {
                return Err(Malformed::BadVarint);
            }
            bits |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(bits);
            }
        }
        Err(if self.rest.len() < 10 {
            Malformed::Truncated
        } else {
            Malformed::BadVarint
        })
    }
}

/// Calls `each` for every number of a repeated fixed64 field, packed or not.
pub(crate) fn each_fixed64(value: Value<'_>, mut each: impl FnMut(u64)) -> Result<(), Malformed> {
    match value {
        Value::Fixed64(bits) => each(bits),
        Value::Bytes(bytes) => {
            let (chunks, rest) = bytes.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(Malformed::Truncated);
            }
            for chunk in chunks {
                each(u64::from_le_bytes(*chunk));
            }
        }
        Value::Varint(_) | Value::Fixed32 => return Err(Malformed::WrongType),
    }
    Ok(())
}

/// Calls `each` for every number of a repeated double field, packed or not.
pub(crate) fn each_double(value: Value<'_>, mut each: impl FnMut(f64)) -> Result<(), Malformed> {
    each_fixed64(value, |bits| each(f64::from_bits(bits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expect: Result<(u32, u64), Malformed>) {
        let got = Fields::new(bytes).next().map(|field| {
            let (number, value) = field.unwrap();
            (number, value.varint().unwrap())
        });
        assert_eq!(got, expect, "{bytes:x?}");
    }

    #[test]
    fn varints() {
        check(&[0x08, 0x96, 0x01], Ok((1, 150)));
        check(&[0x08, 0x80, 0x80, 0x00], Ok((1, 0)));
        check(
            &[
                0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
            ],
            Ok((1, u64::MAX)),
        );
        check(
            &[
                0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02,
            ],
            Err(Malformed::BadVarint),
        );
        check(&[0x08, 0x80], Err(Malformed::Truncated));
    }

    #[test]
    fn tags_and_lengths() {
        check(&[0x00], Err(Malformed::BadTag));
        check(&[0x0b], Err(Malformed::BadTag));
        check(
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x00],
            Err(Malformed::Truncated),
        );
        check(&[0x09, 1, 2, 3], Err(Malformed::Truncated));
        check(&[0x0d, 1, 2, 3], Err(Malformed::Truncated));
    }
}
