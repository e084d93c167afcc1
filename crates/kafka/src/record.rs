//! A record as it lies in the client's buffer, and a copy of one.

use std::sync::Arc;

use foghorn_model::Offset;

use crate::batch::NativeHeaders;

/// A topic by the order in which one consumer first saw it (names that came with one assignment
/// are numbered in name order). Stable for the consumer's life; [`crate::Consumer::topics`] names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u16);

/// One record, borrowed from the client: valid only during the callback that shows it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Topic it came from.
    pub topic: TopicId,
    /// Partition of that topic.
    pub partition: u32,
    /// Position in the partition.
    pub offset: Offset,
    /// Kafka's timestamp in ms since the epoch, if the record has one.
    pub timestamp_ms: Option<i64>,
    /// Whether the broker set that timestamp (`LogAppendTime`) and not the sender.
    pub log_append_time: bool,
    /// Key, if any; an empty key is not a missing one.
    pub key: Option<&'a [u8]>,
    /// Payload; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    pub(crate) headers: HeaderSource<'a>,
}

/// Where a record's headers are read from, when somebody asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HeaderSource<'a> {
    Native(NativeHeaders<'a>),
    Listed(&'a [(String, Vec<u8>)]),
}

impl<'a> Record<'a> {
    /// Headers in their order in the record, parsed only now. Names may repeat. A null value reads
    /// as empty, and a name that is not UTF-8 as "".
    #[inline]
    pub fn headers(&self) -> Headers<'a> {
        Headers {
            source: self.headers,
            next: 0,
        }
    }

    /// A copy that outlives the callback.
    pub fn to_owned(&self, topic: &Arc<str>) -> OwnedRecord {
        OwnedRecord {
            topic: Arc::clone(topic),
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            log_append_time: self.log_append_time,
            key: self.key.map(<[u8]>::to_vec),
            payload: self.payload.map(<[u8]>::to_vec),
            headers: self
                .headers()
                .map(|(n, v)| (n.to_owned(), v.to_vec()))
                .collect(),
        }
    }
}

/// Iterator over a record's headers.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    source: HeaderSource<'a>,
    next: usize,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next;
        self.next += 1;
        match self.source {
            HeaderSource::Native(native) => native.get(index),
            HeaderSource::Listed(list) => list.get(index).map(|(n, v)| (n.as_str(), v.as_slice())),
        }
    }
}

/// A copied record, with its topic's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Topic's name.
    pub topic: Arc<str>,
    /// Partition of that topic.
    pub partition: u32,
    /// Position in the partition.
    pub offset: Offset,
    /// Kafka's timestamp in ms since the epoch, if the record has one.
    pub timestamp_ms: Option<i64>,
    /// Whether the broker set that timestamp.
    pub log_append_time: bool,
    /// Key, if any.
    pub key: Option<Vec<u8>>,
    /// Payload; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl OwnedRecord {
    /// The first header of this name, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(known, _)| known == name)?;
        std::str::from_utf8(value).ok()
    }

    /// The record as a callback would be shown it, under the consumer's `topic` number.
    pub fn as_record(&self, topic: TopicId) -> Record<'_> {
        Record {
            topic,
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            log_append_time: self.log_append_time,
            key: self.key.as_deref(),
            payload: self.payload.as_deref(),
            headers: HeaderSource::Listed(&self.headers),
        }
    }
}
