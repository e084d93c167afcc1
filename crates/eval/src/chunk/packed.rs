//! A chunk as it stands in a snapshot: its bytes as they are, and how to read them.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::times::Line;
use super::values::Coding;
use super::{Chunk, MOST};

#[derive(Serialize, Deserialize)]
struct Packed<'a> {
    origin: i64,
    step: u32,
    time_width: u8,
    base: i64,
    coding: Coding,
    head: u8,
    len: u8,
    room: u8,
    age: u8,
    #[serde(borrow, with = "serde_bytes")]
    bytes: Cow<'a, [u8]>,
}

impl Serialize for Chunk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let packed = Packed {
            origin: self.line.origin,
            step: self.line.step,
            time_width: self.line.width,
            base: self.base,
            coding: self.coding,
            head: self.head,
            len: self.len,
            room: self.room,
            age: self.age,
            bytes: Cow::Borrowed(&self.bytes),
        };
        packed.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Chunk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let packed = Packed::deserialize(deserializer)?;
        Self::unpack(packed).ok_or_else(|| serde::de::Error::custom("a chunk that holds no points"))
    }
}

impl Chunk {
    /// `None` where the bytes are not such as a chunk can have.
    fn unpack(packed: Packed<'_>) -> Option<Self> {
        let line = Line {
            origin: packed.origin,
            step: packed.step,
            width: packed.time_width,
        };
        let coding = packed.coding;
        if !line.is_possible() || !coding.is_possible() {
            return None;
        }
        let (room, bytes) = (packed.room as usize, packed.bytes);
        let need = room * (line.width as usize + coding.width()) + coding.pad();
        let fits = room <= MOST && (room == 0 || need <= bytes.len());
        let ordered = packed.head <= packed.len && packed.len <= packed.room;
        (fits && ordered).then(|| Self {
            bytes: bytes.into(),
            line,
            base: packed.base,
            coding,
            head: packed.head,
            len: packed.len,
            room: packed.room,
            age: packed.age,
        })
    }
}
