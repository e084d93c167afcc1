//! A window as it stands in a snapshot: its chunks, the open one last. What sealed chunks come to is
//! summed up anew.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Window;
use crate::chunk::Chunk;

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.chunks().collect::<Vec<_>>())
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut chunks = Vec::<Chunk>::deserialize(deserializer)?;
        let Some(open) = chunks.pop() else {
            return Err(D::Error::custom("a window without a chunk"));
        };
        let mut window = Self { open, sealed: None };
        for chunk in chunks {
            if chunk.is_empty() {
                return Err(D::Error::custom("a sealed chunk without points"));
            }
            window.sealed.get_or_insert_default().push(chunk);
        }
        Ok(window)
    }
}
