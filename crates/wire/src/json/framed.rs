//! A short way for the layout that most producers write: `{"ts":…,` first, `,"value":…}` last.
//!
//! What stands between is the same bytes in every record of a series, so it is hashed in one piece
//! and nothing in it is looked at. Sound, because an unknown key takes the long way, and the key is
//! only defined when that found the time and the value in this very frame: what the bytes between
//! mean does not depend on the numbers around them.

use foghorn_model::Timestamp;

use crate::json::metrics::{Role, role};
use crate::json::scan::{Cursor, JsonStr, Scalar};
use crate::options::JsonMetricMapping;
use crate::time;

/// A text in this layout, in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Framed<'a> {
    /// The time, a number.
    pub time: &'a str,
    /// From the comma behind the time to the comma before the value's key.
    pub between: &'a str,
    /// The value, a number.
    pub value: &'a str,
}

impl<'a> Framed<'a> {
    /// The parts, where a text has this layout.
    pub(crate) fn split(mapping: &JsonMetricMapping, text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let rest = text.strip_prefix("{\"")?;
        let key_end = 2 + memchr::memchr(b'"', rest.as_bytes())?;
        let is = |raw, wanted| {
            role(
                mapping,
                JsonStr {
                    raw,
                    escaped: false,
                },
            ) == wanted
        };
        if bytes.get(key_end + 1) != Some(&b':') || !is(&text[2..key_end], Role::Time) {
            return None;
        }
        let (time, from) = number(text, key_end + 2)?;
        let digit = |b: &u8| matches!(b, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E');
        let inner = text.strip_suffix('}')?.as_bytes();
        let digits = inner.iter().rev().take_while(|b| digit(b)).count();
        let at = inner.len() - digits;
        let head = text[..at].strip_suffix("\":")?;
        let key_start = memchr::memrchr(b'"', head.as_bytes())?;
        let framed = key_start > from && bytes[from] == b',' && bytes[key_start - 1] == b',';
        if !framed || !is(&head[key_start + 1..], Role::Value) {
            return None;
        }
        let (value, end) = number(text, at)?;
        (end == inner.len()).then(|| Self {
            time,
            between: &text[from..key_start],
            value,
        })
    }

    /// Value and time.
    pub(crate) fn read(self) -> Option<(f64, Timestamp)> {
        Some((self.value.parse().ok()?, time::from_text(self.time)?))
    }

    /// Whether the long way found time and value in this frame, and the object's end at the text's.
    pub(crate) fn holds(
        self,
        time: Option<Scalar<'_>>,
        value: Option<Scalar<'_>>,
        rest: usize,
    ) -> bool {
        let same = |found: Option<Scalar<'_>>, ours: &str| matches!(found, Some(Scalar::Number(text)) if std::ptr::eq(text, ours));
        rest == 0 && same(time, self.time) && same(value, self.value)
    }
}

/// A number that begins at a byte, and where it ends.
fn number(text: &str, at: usize) -> Option<(&str, usize)> {
    if !matches!(text.as_bytes().get(at)?, b'-' | b'0'..=b'9') {
        return None;
    }
    let mut cursor = Cursor::starting(text, at);
    match cursor.scalar() {
        Ok(Scalar::Number(number)) => Some((number, cursor.at())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::recording::RecordingSink;
    use crate::{DecodeOptions, Decoder, Format};

    fn check(text: &str, expect: Option<&str>) {
        let split = Framed::split(&JsonMetricMapping::default(), text);
        assert_eq!(split.map(|framed| framed.between), expect, "{text}");
    }

    #[test]
    fn only_time_first_and_value_last() {
        check(r#"{"ts":1,"name":"m","value":2}"#, Some(r#","name":"m","#));
        check(r#"{"ts":1,"value":2}"#, Some(","));
        check(r#"{"name":"m","ts":1,"value":2}"#, None);
        check(r#"{"ts":1,"name":"m","value":2} "#, None);
        check(r#"{"ts":1,"name":"m","value":02}"#, None);
        check(r#"{"ts":"1","name":"m","value":2}"#, None);
        check(r#"{"ts":1,"name":"m","o":{"value":2}}"#, None);
        check(r#"{"ts":1,"name":"m","x\"value":2}"#, None);
    }

    /// What a fresh decoder and sink make of each text, or one pair of them of all.
    fn decoded(texts: &[String], fresh: bool) -> Vec<String> {
        let (mut decoder, mut sink) = (
            Decoder::new(DecodeOptions::default()),
            RecordingSink::default(),
        );
        let mut said = Vec::new();
        for text in texts {
            if fresh {
                (decoder, sink) = (
                    Decoder::new(DecodeOptions::default()),
                    RecordingSink::default(),
                );
            }
            let done = decoder.decode(
                Format::JsonMetrics,
                text.as_bytes(),
                Timestamp(7),
                &mut sink,
            );
            said.push(format!("{done:?} {:?}", std::mem::take(&mut sink.samples)));
        }
        said
    }

    #[test]
    fn a_frame_that_is_none_stays_the_long_way() {
        // The first of each pair is understood, and says nothing about the second.
        let texts = [
            r#"{"ts":1,"name":"m","ts":5,"value":2}"#,
            r#"{"ts":2,"name":"m","ts":5,"value":3}"#,
            r#"{"ts":1,"name":"m","labels":{"a":"b","value":2}"#,
            r#"{"ts":1,"name":"m"},{"ts":1,"value":2}"#,
            r#"{"ts":1,"name":"m","value":7}{"ts":1,"name":"m","value":2}"#,
            r#"{"ts":1,"name":"m","value":8}{"ts":1,"name":"m","value":2}"#,
        ];
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(decoded(&texts, false), decoded(&texts, true));
    }

    proptest! {
        #[test]
        fn what_was_learnt_changes_nothing(
            parts in prop::collection::vec(("[0-9.e-]{1,4}", "[\\]\\[{}:,\"\\\\namelbstvu0]{0,12}", 0_u8..3), 1..24)
        ) {
            let texts: Vec<String> = parts.iter().map(|(number, noise, shape)| match shape {
                0 => format!("{{\"ts\":{number},\"name\":\"m\",\"labels\":{{\"a\":\"x\"}},\"value\":{number}}}"),
                1 => format!("{{\"ts\":{number},\"name\":\"m\"{noise},\"value\":{number}}}"),
                _ => format!("{{\"ts\":{number},{noise},\"value\":1}}"),
            }).collect();
            prop_assert_eq!(decoded(&texts, false), decoded(&texts, true));
        }
    }
}
