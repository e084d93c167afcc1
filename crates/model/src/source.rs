//! Where records come from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Position of a record in its partition. For files: the record's number from 0.
pub type Offset = i64;

/// One partition of one source, in an order that does not depend on arrival:
/// (source's position in the config, topic's position in it, partition).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Partition {
    /// Source, by its position in the config.
    pub source: u16,
    /// Topic of that source, by name order at first sight; 0 for files and HTTP.
    pub topic: u16,
    /// Partition number; for files the file's position.
    pub index: u32,
}

impl Partition {
    /// A partition of a source that has one topic.
    pub const fn new(source: u16, index: u32) -> Self {
        Self {
            source,
            topic: 0,
            index,
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}/{}", self.source, self.topic, self.index)
    }
}
