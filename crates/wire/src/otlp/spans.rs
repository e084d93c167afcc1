//! Spans whose other side may come yet, each partition's by itself.
//!
//! A call has two sides, a client's span and its child in another service, and they come in any
//! order and in different records. So the last spans of each partition are remembered by their ids,
//! oldest out first. What is found depends on the partition's own records alone, in their order.
//! Owns ids and names of services; knows no bytes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};

use foghorn_model::{Partition, SampleSink};
use smallvec::SmallVec;
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use crate::options::TraceOptions;

/// Most services that wait for one span.
const MAX_WAITING: usize = 16;

/// Maps that are never iterated.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// A span's identity: a hash of its trace's id and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SpanKey(u128);

impl SpanKey {
    /// Of a span; `None` where it has no id.
    pub(crate) fn of(trace: &[u8], span: &[u8]) -> Option<Self> {
        let seed = xxh3_128(trace) as u64;
        (!span.is_empty()).then(|| Self(xxh3_128_with_seed(span, seed)))
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct SpanTable {
    options: TraceOptions,
    lanes: BTreeMap<Partition, Lane>,
    current: Partition,
}

/// One partition's spans.
#[derive(Debug, Default)]
struct Lane {
    spans: Map<SpanKey, Known>,
    /// Keys of `spans` by arrival.
    order: VecDeque<SpanKey>,
    numbers: Map<String, u32>,
    names: Vec<String>,
}

/// What is known of a span: its service, or only who says that it is its parent.
#[derive(Debug, Default)]
struct Known {
    service: Option<u32>,
    waiting: SmallVec<[u32; 2]>,
}

impl SpanTable {
    /// An empty table.
    pub(crate) fn new(options: TraceOptions) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// From here on, spans are of this partition.
    pub(crate) fn enter(&mut self, partition: Partition) {
        self.current = partition;
    }

    /// The number of a service in the current partition; `None` where there are too many.
    pub(crate) fn service(&mut self, name: &str) -> Option<u32> {
        let lane = self.lanes.entry(self.current).or_default();
        if let Some(number) = lane.numbers.get(name) {
            return Some(*number);
        }
        if lane.names.len() >= self.options.max_services {
            return None;
        }
        let number = lane.names.len() as u32;
        lane.names.push(name.to_owned());
        lane.numbers.insert(name.to_owned(), number);
        Some(number)
    }

    /// A span of a service: whoever waited for it is called by it.
    pub(crate) fn span(&mut self, key: SpanKey, service: u32, sink: &mut impl SampleSink) {
        let Some(lane) = self.lanes.get_mut(&self.current) else {
            return;
        };
        let known = lane.known(key, self.options.max_spans);
        known.service = Some(service);
        for callee in std::mem::take(&mut known.waiting) {
            lane.edge(service, callee, sink);
        }
    }

    /// A span of a service that was called by another span.
    pub(crate) fn called_by(&mut self, parent: SpanKey, service: u32, sink: &mut impl SampleSink) {
        let Some(lane) = self.lanes.get_mut(&self.current) else {
            return;
        };
        let known = lane.known(parent, self.options.max_spans);
        match known.service {
            Some(caller) => lane.edge(caller, service, sink),
            None if known.waiting.contains(&service) || known.waiting.len() >= MAX_WAITING => {}
            None => known.waiting.push(service),
        }
    }
}

impl Lane {
    fn known(&mut self, key: SpanKey, max_spans: usize) -> &mut Known {
        if !self.spans.contains_key(&key) {
            if self.order.len() >= max_spans.max(1)
                && let Some(oldest) = self.order.pop_front()
            {
                self.spans.remove(&oldest);
            }
            self.order.push_back(key);
        }
        self.spans.entry(key).or_default()
    }

    fn edge(&self, client: u32, server: u32, sink: &mut impl SampleSink) {
        if client != server {
            sink.edge(&self.names[client as usize], &self.names[server as usize]);
        }
    }
}
