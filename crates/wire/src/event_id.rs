//! Ids that producers give their records, so that one sent twice is known again.
//!
//! Owns where an id stands in a JSON record; what is made of it (how long it is remembered, in
//! which partition) is the reader's business.

use xxhash_rust::xxh3::xxh3_128;

use crate::json::scan::{Cursor, JsonError, Scalar};
use crate::options::Names;

/// A hash of an event's id.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct EventId(pub u128);

impl EventId {
    /// Of an id that stands beside the record, in a header.
    pub fn of(id: &str) -> Self {
        Self(xxh3_128(id.as_bytes()))
    }

    /// The id that a record says in one of these places; the first that has one. `None` unless the
    /// record is one JSON object and nothing else: an id of one among many says nothing of the
    /// others. Strings, numbers and truths are ids, empty strings are none.
    pub fn find(fields: &Names, payload: &[u8]) -> Option<Self> {
        let text = str::from_utf8(payload).ok()?;
        let start = Cursor::new(text);
        let mut whole = start;
        if whole.peek() != Some(b'{') || whole.skip(0).is_err() || whole.peek().is_some() {
            return None;
        }
        fields
            .pointers()
            .find_map(|pointer| at(start, &pointer).ok().flatten())
    }
}

/// The scalar at a JSON pointer, hashed.
fn at(mut cursor: Cursor<'_>, pointer: &str) -> Result<Option<EventId>, JsonError> {
    let mut parts = pointer.strip_prefix('/').unwrap_or(pointer).split('/');
    let mut wanted = parts.next();
    let mut buffer = String::new();
    while let Some(part) = wanted {
        if cursor.peek() != Some(b'{') {
            return Ok(None);
        }
        cursor.bump();
        let part = part.replace("~1", "/").replace("~0", "~");
        let mut first = true;
        loop {
            let Some(key) = cursor.key(&mut first)? else {
                return Ok(None);
            };
            buffer.clear();
            key.decode(&mut buffer)?;
            if buffer == part {
                break;
            }
            cursor.skip(1)?;
        }
        wanted = parts.next();
    }
    buffer.clear();
    match cursor.scalar()? {
        Scalar::Str(text) => text.decode(&mut buffer)?,
        Scalar::Number(text) => buffer.push_str(text),
        Scalar::Bool(truth) => buffer.push_str(if truth { "true" } else { "false" }),
        Scalar::Null => {}
    }
    Ok((!buffer.is_empty()).then(|| EventId::of(&buffer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &[&str], payload: &str, expect: Option<&str>) {
        let found = EventId::find(&Names::of(fields), payload.as_bytes());
        assert_eq!(found, expect.map(EventId::of), "{payload}");
    }

    #[test]
    fn the_first_place_that_has_one() {
        let places = ["event_id", "/meta/a~1b", "id"];
        check(
            &places,
            r#"{"x":[1],"event_id":"e-1","id":"7"}"#,
            Some("e-1"),
        );
        check(&places, r#"{"meta":{"c":0,"a/b":12}, "id":7} "#, Some("12"));
        check(&places, r#"{"event_id":null,"id":"\u0061"}"#, Some("a"));
        check(&places, r#"{"event_id":"","id":{}}"#, None);
        check(&places, r#"{"event_id":{"id":"7"}}"#, None);
    }

    #[test]
    fn one_object_or_none() {
        for none in [
            r#"{"id":1}{"id":2}"#,
            r#"[{"id":1}]"#,
            r#"{"id":1"#,
            "7",
            "",
        ] {
            check(&["id"], none, None);
        }
    }
}
