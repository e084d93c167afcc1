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
    #[inline]
    pub(crate) const fn varint(self) -> Result<u64, Malformed> {
        if let Self::Varint(bits) = self {
            Ok(bits)
        } else {
            Err(Malformed::WrongType)
        }
    }

    /// A fixed field's 64 bits.
    #[inline]
    pub(crate) const fn fixed64(self) -> Result<u64, Malformed> {
        if let Self::Fixed64(bits) = self {
            Ok(bits)
        } else {
            Err(Malformed::WrongType)
        }
    }

    /// A double.
    #[inline]
    pub(crate) fn double(self) -> Result<f64, Malformed> {
        self.fixed64().map(f64::from_bits)
    }

    /// Bytes or an embedded message.
    #[inline]
    pub(crate) const fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Self::Bytes(bytes) = self {
            Ok(bytes)
        } else {
            Err(Malformed::WrongType)
        }
    }

    /// A string.
    #[inline]
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
    #[inline]
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

    /// Steps over all fields that follow with one tag (of one byte, of wire type 2), and gives the
    /// bytes that they take, tags and all; none where another field comes next.
    #[inline]
    pub(crate) fn run(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        debug_assert!(tag < 0x80 && tag & 7 == 2);
        let all = self.rest;
        while let [first, rest @ ..] = self.rest
            && *first == tag
        {
            self.rest = rest;
            let len = usize::try_from(self.varint()?).map_err(|_| Malformed::Truncated)?;
            self.rest = self.rest.get(len..).ok_or(Malformed::Truncated)?;
        }
        Ok(&all[..all.len() - self.rest.len()])
    }

    /// Bytes that are not walked yet.
    #[inline]
    pub(crate) const fn left(&self) -> usize {
        self.rest.len()
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

    #[inline]
    fn long_varint(&mut self) -> Result<u64, Malformed> {
        if let Some(word) = self.rest.first_chunk::<8>()
            && let Some((bits, len)) = word_varint(u64::from_le_bytes(*word))
        {
            self.rest = &self.rest[len..];
            return Ok(bits);
        }
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

/// The varint that a word of bytes (the first one lowest) begins with, and its length; `None` where
/// it is longer.
#[inline]
fn word_varint(word: u64) -> Option<(u64, usize)> {
    let ends = !word & 0x8080_8080_8080_8080;
    if ends == 0 {
        return None;
    }
    // Up to and with the end's high bit, which is not set.
    let mut bits = word & (ends ^ (ends - 1)) & 0x7f7f_7f7f_7f7f_7f7f;
    // Groups of seven bits move together: pairs, fours, all eight.
    bits = (bits & 0x007f_007f_007f_007f) | ((bits & 0x7f00_7f00_7f00_7f00) >> 1);
    bits = (bits & 0x0000_3fff_0000_3fff) | ((bits & 0x3fff_0000_3fff_0000) >> 2);
    bits = (bits & 0x0000_0000_0fff_ffff) | ((bits & 0x0fff_ffff_0000_0000) >> 4);
    Some((bits, (ends.trailing_zeros() / 8) as usize + 1))
}

/// Calls `each` for every varint of a repeated 32-bit field, packed or not; larger ones are
/// malformed.
#[inline]
pub(crate) fn each_uint32(value: Value<'_>, mut each: impl FnMut(u32)) -> Result<(), Malformed> {
    let small = |bits: u64| u32::try_from(bits).map_err(|_| Malformed::BadVarint);
    match value {
        Value::Varint(bits) => each(small(bits)?),
        Value::Bytes(bytes) => {
            let mut packed = Fields::new(bytes);
            while !packed.rest.is_empty() {
                each(small(packed.varint()?)?);
            }
        }
        Value::Fixed64(_) | Value::Fixed32 => return Err(Malformed::WrongType),
    }
    Ok(())
}

/// Calls `each` for every number of a repeated fixed64 field, packed or not.
#[inline]
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
#[inline]
pub(crate) fn each_double(value: Value<'_>, mut each: impl FnMut(f64)) -> Result<(), Malformed> {
    each_fixed64(value, |bits| each(f64::from_bits(bits)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Writer;

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
    fn varints_of_every_length() {
        for shift in 0..64 {
            for bits in [1_u64 << shift, u64::MAX >> shift, (1 << shift) - 1] {
                let mut writer = Writer::default();
                writer.varint(1, bits);
                check(writer.bytes(), Ok((1, bits)));
                let mut longer = writer.into_bytes();
                longer.extend([0xff; 9]);
                check(&longer, Ok((1, bits)));
            }
        }
    }

    #[test]
    fn runs_end_where_another_field_begins() {
        let run = |bytes: &[u8]| {
            let mut fields = Fields::new(bytes);
            fields.run(0x0a).map(|run| (run.len(), fields.left()))
        };
        assert_eq!(run(&[0x0a, 1, 7, 0x0a, 0, 0x10, 5]), Ok((5, 2)));
        assert_eq!(run(&[0x10, 5]), Ok((0, 2)));
        assert_eq!(run(&[]), Ok((0, 0)));
        assert_eq!(run(&[0x0a, 2, 7]), Err(Malformed::Truncated));
        assert_eq!(run(&[0x0a]), Err(Malformed::Truncated));
        assert_eq!(
            run(&[
                0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f
            ]),
            Err(Malformed::BadVarint)
        );
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
