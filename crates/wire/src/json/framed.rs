//! The short way of JSON metrics: time and value are read where the last records had them, and all
//! that stands between is hashed in one piece, not looked into.
//!
//! Sound, because an unknown key takes the long way, which validates the whole text, and a key is
//! defined only with the layout in which the long way found time and value. A known key means: the
//! same text up to the numbers, in the same places, so a walk would go through the same states and
//! meet the same members; only the two scalars differ, and those are checked here. So neither what
//! stands between nor its encoding is judged again.

use foghorn_model::{SampleSink, SeriesKey, Timestamp};
use xxhash_rust::xxh3::xxh3_128;

use crate::decoder::Settings;
use crate::json::metrics::number as spelled;
use crate::json::number::Number;
use crate::json::scan::plain_prefix;
use crate::pairs::chain;
use crate::time;

/// Layouts that are remembered. A source rarely has more than one.
const LAYOUTS: usize = 4;
/// Longest text around the scalars that is remembered, in bytes.
const MAX_LITERAL: usize = 256;

/// What a scalar is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hole {
    Time,
    Value,
}

/// Where a member's scalar stands, and what comes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which member of the object it is, from 0.
    pub index: usize,
    /// Where the value before it ends; the text's begin for the first.
    pub member: usize,
    /// Where the scalar begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// Where the long way found what matters in an object that is all of its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub time: Option<Place>,
    pub value: Place,
    /// Members of the object.
    pub members: usize,
}

/// A scalar and the text that comes before it.
#[derive(Debug)]
struct Part {
    hole: Hole,
    literal: Vec<u8>,
}

/// A layout: scalars at the front, the rest, scalars at the back, the end.
#[derive(Debug, Default)]
struct Layout {
    /// What its keys begin with: settings and literals.
    salt: u128,
    /// Of which settings.
    owner: u128,
    front: Vec<Part>,
    back: Vec<Part>,
    tail: Vec<u8>,
}

/// The layouts of a decoder's last records.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    layouts: Vec<Layout>,
    /// Which is replaced next.
    oldest: usize,
}

impl Frames {
    /// Whether the text was a sample of a known series in a known layout; the sink has it then.
    #[inline]
    pub(crate) fn sample(
        &self,
        settings: &Settings,
        text: &[u8],
        record_time: Timestamp,
        sink: &mut impl SampleSink,
    ) -> bool {
        for layout in &self.layouts {
            if layout.owner == settings.metrics_salt
                && let Some(found) = layout.split(text)
                && let Some(series) = sink.series(layout.key(found.between))
            {
                sink.sample(series, found.time.unwrap_or(record_time), found.value);
                return true;
            }
        }
        false
    }

    /// Remembers the layout of a text that the long way went through, and gives the key of its
    /// series; `None` where the text has no such layout.
    pub(crate) fn learn(
        &mut self,
        settings: &Settings,
        text: &[u8],
        places: &Places,
    ) -> Option<SeriesKey> {
        let plan = Plan::of(text, places)?;
        let between = &text[plan.from..plan.to];
        let owner = settings.metrics_salt;
        let known = self
            .layouts
            .iter()
            .find(|layout| layout.owner == owner && plan.is(layout, text));
        if let Some(layout) = known {
            return Some(layout.key(between));
        }
        if self.layouts.len() < LAYOUTS {
            self.layouts.push(Layout::default());
            self.oldest = self.layouts.len() - 1;
        }
        let oldest = self.oldest;
        self.oldest = (oldest + 1) % LAYOUTS;
        let layout = self.layouts.get_mut(oldest)?;
        plan.write(layout, text, owner);
        Some(layout.key(between))
    }
}

/// A layout as places in one text.
#[derive(Debug)]
struct Plan {
    /// Up to two at the front, in order.
    front: [Option<(Hole, Place)>; 2],
    /// Up to two at the back, in order.
    back: [Option<(Hole, Place)>; 2],
    /// Where what stands between begins and ends.
    from: usize,
    to: usize,
    /// Where the last scalar at the back ends; the text's end where none is there.
    tail: usize,
}

impl Plan {
    fn of(text: &[u8], places: &Places) -> Option<Self> {
        let mut holes = [
            places.time.map(|place| (Hole::Time, place)),
            Some((Hole::Value, places.value)),
        ];
        holes.sort_by_key(|hole| hole.map_or(0, |(_, place)| place.start));
        let mut plan = Self {
            front: [None; 2],
            back: [None; 2],
            from: 0,
            to: text.len(),
            tail: text.len(),
        };
        let mut taken = 0;
        for hole in holes.iter_mut().filter(|hole| hole.is_some()) {
            let Some((_, place)) = *hole else { continue };
            if place.index == taken {
                plan.front[taken] = hole.take();
                plan.from = place.end;
                taken += 1;
            }
        }
        let mut members = places.members;
        for hole in holes.iter_mut().rev() {
            let Some((_, place)) = *hole else { continue };
            if place.index + 1 != members {
                return None;
            }
            members -= 1;
            let slot = usize::from(plan.back[1].is_none());
            plan.back[slot] = hole.take();
            plan.to = place.member;
        }
        if let Some((_, last)) = plan.back[1] {
            plan.tail = last.end;
        }
        let literals = plan.parts().map(|(_, place)| place.start - place.member);
        let longest = literals.max().unwrap_or(0).max(text.len() - plan.tail);
        (longest <= MAX_LITERAL).then_some(plan)
    }

    fn parts(&self) -> impl Iterator<Item = (Hole, Place)> {
        self.front.iter().chain(&self.back).flatten().copied()
    }

    fn is(&self, layout: &Layout, text: &[u8]) -> bool {
        let fits = |places: &[Option<(Hole, Place)>], parts: &[Part]| {
            let mut parts = parts.iter();
            let same = places.iter().flatten().all(|(hole, place)| {
                parts.next().is_some_and(|part| {
                    part.hole == *hole && part.literal == text[place.member..place.start]
                })
            });
            same && parts.next().is_none()
        };
        fits(&self.front, &layout.front)
            && fits(&self.back, &layout.back)
            && layout.tail == text[self.tail..]
    }

    fn write(&self, layout: &mut Layout, text: &[u8], owner: u128) {
        let mut salt = !owner;
        let mut fill = |places: &[Option<(Hole, Place)>], parts: &mut Vec<Part>| {
            parts.clear();
            for (hole, place) in places.iter().flatten() {
                let literal = &text[place.member..place.start];
                salt = chain(chain(salt, literal), &[*hole as u8]);
                parts.push(Part {
                    hole: *hole,
                    literal: literal.to_vec(),
                });
            }
            salt = chain(salt, b"|");
        };
        fill(&self.front, &mut layout.front);
        fill(&self.back, &mut layout.back);
        layout.tail.clear();
        layout.tail.extend_from_slice(&text[self.tail..]);
        layout.salt = chain(salt, &layout.tail);
        layout.owner = owner;
    }
}

/// A text in a layout.
struct Split<'a> {
    between: &'a [u8],
    /// `None` where the layout has none.
    time: Option<Timestamp>,
    value: f64,
}

impl Layout {
    #[inline]
    fn key(&self, between: &[u8]) -> SeriesKey {
        SeriesKey(self.salt.wrapping_add(xxh3_128(between)))
    }

    /// The parts of a text that has this layout, and scalars that can be read.
    #[inline]
    fn split<'a>(&self, text: &'a [u8]) -> Option<Split<'a>> {
        let (mut time, mut value) = (None, None);
        let mut take = |hole: Hole, scalar: &Scalar<'a>| -> Option<()> {
            match hole {
                Hole::Time => time = Some(scalar.time()?),
                Hole::Value => value = Some(scalar.value()?),
            }
            Some(())
        };
        let mut rest = text.strip_suffix(&*self.tail)?;
        for part in &self.front {
            rest = rest.strip_prefix(&*part.literal)?;
            let scalar = Scalar::at_start(rest)?;
            take(part.hole, &scalar)?;
            rest = &rest[scalar.len()..];
        }
        for part in self.back.iter().rev() {
            let start = last_scalar(rest)?;
            let scalar = Scalar::at_start(&rest[start..])?;
            if start + scalar.len() != rest.len() {
                return None;
            }
            take(part.hole, &scalar)?;
            rest = rest[..start].strip_suffix(&*part.literal)?;
        }
        Some(Split {
            between: rest,
            time,
            value: value?,
        })
    }
}

/// A number, or a string without anything that would need a second look.
enum Scalar<'a> {
    Number(Number<'a>),
    /// Between the quotes.
    Text(&'a [u8]),
}

impl<'a> Scalar<'a> {
    #[inline]
    fn at_start(text: &'a [u8]) -> Option<Self> {
        if let Some((b'"', inner)) = text.split_first() {
            let len = plain_prefix(inner);
            return (inner.get(len) == Some(&b'"')).then(|| Self::Text(&inner[..len]));
        }
        Number::at_start(text).map(Self::Number)
    }

    #[inline]
    const fn len(&self) -> usize {
        match self {
            Self::Number(number) => number.len(),
            Self::Text(text) => text.len() + 2,
        }
    }

    #[inline]
    fn time(&self) -> Option<Timestamp> {
        match self {
            Self::Number(number) => number.time(),
            Self::Text(text) => time::from_text(str::from_utf8(text).ok()?),
        }
    }

    #[inline]
    fn value(&self) -> Option<f64> {
        match self {
            Self::Number(number) => number.value(),
            Self::Text(text) => match Number::at_start(text) {
                Some(number) if number.len() == text.len() => number.value(),
                _ => spelled(str::from_utf8(text).ok()?),
            },
        }
    }
}

/// Where the scalar begins that a text ends with.
#[inline]
fn last_scalar(text: &[u8]) -> Option<usize> {
    if let Some((b'"', inner)) = text.split_last() {
        return memchr::memrchr(b'"', inner);
    }
    let of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E');
    let before = text.iter().rposition(|byte| !of_number(byte))?;
    Some(before + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decoder::Scratch;
    use crate::json::metrics;
    use crate::recording::RecordingSink;
    use crate::{DecodeOptions, Decoder, Format};

    /// What a decoder and its sink make of each text, with what they learnt from those before it or
    /// without.
    fn decoded(texts: &[Vec<u8>], learning: bool) -> Vec<String> {
        let fresh = || {
            (
                Decoder::new(DecodeOptions::default()),
                RecordingSink::default(),
            )
        };
        let (mut decoder, mut sink) = fresh();
        let said = texts.iter().map(|text| {
            if !learning {
                (decoder, sink) = fresh();
            }
            let done = decoder.decode(Format::JsonMetrics, text, Timestamp(7), &mut sink);
            let refusals = std::mem::take(&mut sink.refusals);
            format!("{done:?} {} {refusals:?}", {
                let text = sink.text();
                sink.samples.clear();
                text
            })
        });
        said.collect()
    }

    fn check_unchanged(texts: &[&[u8]]) {
        let texts: Vec<Vec<u8>> = texts.iter().map(|text| text.to_vec()).collect();
        assert_eq!(decoded(&texts, true), decoded(&texts, false));
    }

    #[test]
    fn what_looks_alike_and_is_not() {
        // The first of each group is understood, and says nothing about the others.
        check_unchanged(&[
            br#"{"ts":1,"name":"m","ts":5,"value":2}"#,
            br#"{"ts":2,"name":"m","ts":6,"value":3}"#,
        ]);
        check_unchanged(&[
            br#"{"value":2,"ts":5,"name":"m","ts":1}"#,
            br#"{"ts":2,"ts":5,"name":"m","value":1}"#,
        ]);
        check_unchanged(&[
            br#"{"ts":1,"name":"m","labels":{"a":"b"},"value":2}"#,
            br#"{"ts":1,"name":"m","labels":{"a":"b","value":2}"#,
            br#"{"ts":1,"name":"m","labels":{"a":"b"},"value":02}"#,
            br#"{"ts":1,"name":"m","labels":{"a":"b"},"value":2.}"#,
            br#"{"ts":1,"name":"m","labels":{"a":"b"},"value":2}}"#,
            br#"{"ts":1,"name":"m","labels":{"a":"b"},"value":2} x"#,
            br#"{"ts":1,"name":"m","labels":{"a":"b"},"value":"x\"}"#,
            br#"{"ts":"1\"","name":"m","labels":{"a":"b"},"value":2}"#,
            br#"{"ts":null,"name":"m","labels":{"a":"b"},"value":2}"#,
            br#"{"ts":1,"name":"m","labels":{"a":"b"},"value":2}{"ts":1,"name":"m","value":3}"#,
            b"{\"ts\":\"\xff\",\"name\":\"m\",\"labels\":{\"a\":\"b\"},\"value\":2}",
            b"{\"ts\":1,\"name\":\"m\",\"labels\":{\"a\":\"\xff\"},\"value\":2}",
        ]);
        check_unchanged(&[
            br#"{"name":"m","value":7}"#,
            br#"{"name":"m","ts":5,"value":7}"#,
            br#"{"name":"m","ts":"\u0035","value":7}"#,
            br#"{"name":"m","ts":"\u0036","value":8}"#,
        ]);
    }

    fn check(text: &str, expect: bool) {
        let settings = Settings::new(DecodeOptions::default());
        let mut scratch = Scratch::default();
        let mut sink = RecordingSink::default();
        let at = Timestamp(7);
        metrics::decode(&settings, &mut scratch, text, at, &mut sink).unwrap();
        let short = scratch
            .frames
            .sample(&settings, text.as_bytes(), at, &mut sink);
        assert_eq!(short, expect, "{text}");
        if short && let [long, short] = &*sink.samples {
            assert_eq!((&long.labels, long.at), (&short.labels, short.at), "{text}");
            assert_eq!(long.value.to_bits(), short.value.to_bits(), "{text}");
        }
    }

    #[test]
    fn layouts_with_a_short_way() {
        check(
            r#"{"ts":1,"name":"m","labels":{"a":"b"},"value":2.5}"#,
            true,
        );
        check(r#" { "ts": 1, "name": "m" , "value" : -2e3 } "#, true);
        check(
            r#"{"name":"m","labels":{"a":"b\""},"ts":"2023-11-14T22:13:20Z","value":"2"}"#,
            true,
        );
        check(
            r#"{"timestamp":1700000000000,"value":"NaN","name":"m"}"#,
            true,
        );
        check(r#"{"value":1,"name":"m","ts":3}"#, true);
        check(r#"{"name":"m","value":1}"#, true);
        check(r#"{"value":1,"name":"m"}"#, true);
        check(r#"{"name":"m","ts":null,"value":1}"#, true);
        check(r#"{"name":"m","ts":3,"labels":{},"value":1}"#, false);
        check(r#"{"name":"m","value":true}"#, false);
        check(r#"[{"name":"m","value":1}]"#, false);
        check(r#"{"name":"m","value":1}{"name":"m","value":2}"#, false);
    }

    fn member(kind: usize, number: &str, noise: &str) -> String {
        match kind {
            0 => format!("\"ts\":{number}"),
            1 => format!("\"value\": {number}"),
            2 => "\"name\":\"m\"".to_owned(),
            3 => format!("\"labels\":{{\"a\":\"{noise}\"}}"),
            4 => format!("\"time\":\"{number}\""),
            5 => format!("\"value\":\"{number}\""),
            _ => noise.to_owned(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn what_was_learnt_changes_nothing(
            shapes in prop::collection::vec(
                (prop::collection::vec(0_usize..7, 1..6), "[\\]\\[{}:,\"\\\\namelbstvu0]{0,6}", "[ x}]{0,2}"), 1..4),
            records in prop::collection::vec(
                (any::<prop::sample::Index>(), "-?[0-9.e-]{1,4}|1700000000[0-9]{3}|0\\.[0-9]{6}", any::<prop::sample::Index>(), prop::option::weighted(0.2, any::<u8>())), 1..24),
        ) {
            let texts: Vec<Vec<u8>> = records.iter().map(|(shape, number, at, damage)| {
                let (kinds, noise, end) = &shapes[shape.index(shapes.len())];
                let members: Vec<_> = kinds.iter().map(|kind| member(*kind, number, noise)).collect();
                let mut text = format!("{{{}}}{end}", members.join(",")).into_bytes();
                if let Some(byte) = damage {
                    let at = at.index(text.len());
                    text[at] = *byte;
                }
                text
            }).collect();
            prop_assert_eq!(decoded(&texts, true), decoded(&texts, false));
        }
    }
}
