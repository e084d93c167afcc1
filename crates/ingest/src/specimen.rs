//! Records that were taken out to be looked at: of a topic or of a file, owned, headers and all.

use foghorn_kafka::OwnedRecord;
use foghorn_model::{Offset, Partition, Timestamp};

use crate::feeder::Raw;
use crate::files::Records;

/// One record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Specimen {
    /// Topic, or the file's path.
    pub source: String,
    /// Partition of the topic; `None` in a file.
    pub partition: Option<u32>,
    /// Offset; the record's number from 0 in a file.
    pub offset: Offset,
    /// The record's own timestamp.
    pub timestamp: Option<Timestamp>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The bytes; a tombstone's are none.
    pub payload: Vec<u8>,
}

impl Specimen {
    /// A topic's record.
    pub fn of_topic(record: OwnedRecord) -> Self {
        Self {
            source: record.topic.to_string(),
            partition: Some(record.partition),
            offset: record.offset,
            timestamp: record.timestamp_ms.map(Timestamp),
            key: record.key,
            headers: record.headers,
            payload: record.payload.unwrap_or_default(),
        }
    }

    /// A file's record.
    pub fn of_file(records: &Records, index: usize) -> Self {
        Self {
            source: records.path.display().to_string(),
            offset: index as Offset,
            payload: records.record(index).to_vec(),
            ..Self::default()
        }
    }

    /// As a feeder takes it, with the headers that a feeder heeds.
    pub fn raw(&self) -> Raw<'_> {
        let mut raw = Raw {
            partition: Partition::new(0, self.partition.unwrap_or_default()),
            offset: self.offset,
            timestamp: self.timestamp,
            payload: &self.payload,
            ..Raw::default()
        };
        for (name, value) in &self.headers {
            raw.heed(name, value);
        }
        raw
    }
}
