//! An intake: where one worker's decoders write to.
//!
//! Owns the caches from a decoder's key to a dense number, the clocks of the partitions that the
//! worker reads, and the columns on their way to the shards. Nothing is allocated for a sample of
//! a known series.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use foghorn_model::{
    Change, Labels, LogRecord, Offset, OutsideAlert, Partition, RecordSink, Refusal, SampleSink,
    SeriesKey, SeriesKind, SeriesRef, Timestamp,
};
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use crate::batch::{Batch, Birth, Cell, Holds, Late, Segment};
use crate::catalog::{Catalog, HitUse, ReadId};
use crate::clock::{Arrival, PartitionClock};
use crate::logs::{Scratch, StreamMatch};

/// Keys are hashes already: their low half is the table's hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = self.0.rotate_left(23) ^ u64::from_le_bytes(word);
        }
    }
    fn write_u128(&mut self, key: u128) {
        self.0 ^= key as u64 ^ (key >> 64) as u64;
    }
    fn write_u32(&mut self, value: u32) {
        self.0 = self.0.rotate_left(31) ^ u64::from(value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Most pairs of services that one intake learns from spans; further ones are not reported.
const MAX_EDGES: usize = 100_000;

type KeyMap<K, V> = HashMap<K, V, BuildHasherDefault<KeyHasher>>;

/// A log record that a match rule is waiting for.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchHit {
    /// Group and rule.
    pub rule: (usize, usize),
    /// Labels that the pipeline gives.
    pub labels: Labels,
    /// Event time.
    pub at: Timestamp,
    /// Of a late record: ticks after this one count it, no others.
    pub hidden: Option<Timestamp>,
    /// The line, cut to 512 bytes.
    pub line: String,
}

/// What a record said that is not a sample: it must be acted on at once, in the record's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Which partition.
    pub partition: Partition,
    /// Which record.
    pub offset: Offset,
    /// Log matches.
    pub matches: Vec<MatchHit>,
    /// Changes.
    pub changes: Vec<Change>,
    /// Other programs' alerts.
    pub alerts: Vec<OutsideAlert>,
    /// Edges of the service graph that this intake has not seen before: (client, server).
    pub edges: Vec<(String, String)>,
}

impl Said {
    fn is_empty(&self) -> bool {
        self.matches.is_empty()
            && self.changes.is_empty()
            && self.alerts.is_empty()
            && self.edges.is_empty()
    }
}

/// The series by which tracing pipelines tell who calls whom.
const SERVICE_GRAPH: &str = "traces_service_graph_request_total";

/// Counts of an intake since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntakeStats {
    /// Records begun.
    pub records: u64,
    /// Samples seen.
    pub samples: u64,
    /// Samples of series that nothing names.
    pub unnamed: u64,
    /// Samples at or below their partition's watermark.
    pub late: u64,
    /// Samples too far ahead of their record's stamp to move the watermark.
    pub ahead: u64,
    /// Samples so far ahead that they were refused.
    pub refused_ahead: u64,
    /// Log records seen.
    pub log_records: u64,
    /// Log hits: (record, pipeline) pairs.
    pub log_hits: u64,
    /// Changes.
    pub changes: u64,
    /// Outside alerts.
    pub alerts: u64,
}

#[derive(Debug)]
struct Stream {
    labels: Labels,
    mask: StreamMatch,
}

#[derive(Debug)]
struct Known {
    owner: u16,
    /// It stands for no series: a death mark that comes now was answered already.
    free: bool,
    /// The decoder's keys (or log hits' keys) that lead to this number.
    keys: SmallVec<[NumberKey; 1]>,
}

#[derive(Clone, Copy, Debug)]
enum NumberKey {
    Series(SeriesKey),
    Hit(u32, u128),
}

/// See the module's text.
#[derive(Debug)]
pub struct Intake {
    catalog: Arc<Catalog>,
    keys: KeyMap<SeriesKey, SeriesRef>,
    hits: KeyMap<(u32, u128), u32>,
    known: Vec<Known>,
    free: Vec<u32>,
    stream_keys: KeyMap<SeriesKey, SeriesRef>,
    streams: Vec<Stream>,
    scratch: Scratch,
    clocks: Vec<(Partition, PartitionClock)>,
    out: Vec<Batch>,
    said: Vec<Said>,
    refused: Vec<(Partition, Offset, Refusal)>,
    stats: IntakeStats,
    // The record that is being read.
    offset: Offset,
    /// Position of its partition's clock; also where the next record's is looked for first.
    at: usize,
    /// Its source: series of different sources are different, since groups choose among sources.
    source: u16,
    salt: u128,
    reading: bool,
    stamp_mattered: bool,
    current: Said,
    /// Hashes of the pairs of services that spans showed, so that each is reported once.
    edges: HashSet<u128, BuildHasherDefault<KeyHasher>>,
}

impl Intake {
    /// The intake of worker `id`, feeding `shards` shards.
    pub fn new(id: u16, shards: usize, catalog: Arc<Catalog>) -> Self {
        Self {
            catalog,
            keys: KeyMap::default(),
            hits: KeyMap::default(),
            known: Vec::new(),
            free: Vec::new(),
            stream_keys: KeyMap::default(),
            streams: Vec::new(),
            scratch: Scratch::default(),
            clocks: Vec::new(),
            out: (0..shards)
                .map(|_| Batch {
                    intake: id,
                    ..Batch::default()
                })
                .collect(),
            said: Vec::new(),
            refused: Vec::new(),
            stats: IntakeStats::default(),
            offset: 0,
            at: 0,
            source: 0,
            salt: 0,
            reading: false,
            stamp_mattered: false,
            current: no_word(),
            edges: HashSet::default(),
        }
    }

    /// Starts (or restarts) reading a partition at the clock's position.
    pub fn join(&mut self, partition: Partition, clock: PartitionClock) {
        self.leave(partition);
        self.clocks.push((partition, clock));
        self.report(self.clocks.len() - 1);
    }

    /// Stops reading a partition; its clock.
    pub fn leave(&mut self, partition: Partition) -> Option<PartitionClock> {
        let at = self.find(partition)?;
        Some(self.clocks.remove(at).1)
    }

    /// The clock of a partition that it reads.
    pub fn clock(&self, partition: Partition) -> Option<&PartitionClock> {
        self.find(partition).map(|at| &self.clocks[at].1)
    }

    #[inline]
    fn find(&self, partition: Partition) -> Option<usize> {
        match self.clocks.get(self.at) {
            Some((known, _)) if *known == partition => Some(self.at),
            _ => self
                .clocks
                .iter()
                .position(|(known, _)| *known == partition),
        }
    }

    /// From its present position on, a partition's watermark is at least `tick`. Its position.
    pub fn pin(&mut self, partition: Partition, tick: Timestamp) -> Option<Offset> {
        let at = self.find(partition)?;
        self.clocks[at].1.pin(tick);
        self.report(at);
        Some(self.clocks[at].1.next_offset)
    }

    /// A partition is read to its end and there will be no more.
    pub fn finish(&mut self, partition: Partition) {
        self.pin(partition, Timestamp::MAX);
    }

    fn report(&mut self, at: usize) {
        let (partition, clock) = &self.clocks[at];
        let (partition, next_offset, watermark) =
            (*partition, clock.next_offset, clock.watermark());
        let furthest = clock.furthest();
        for batch in &mut self.out {
            let segment = Segment {
                partition,
                cells_end: batch.cells.len() as u32,
                next_offset,
                watermark,
                furthest,
            };
            match batch.segments.last_mut() {
                Some(last) if last.partition == partition => *last = segment,
                _ => batch.segments.push(segment),
            }
        }
    }

    /// A shard's death mark: the number leads nowhere from here on.
    pub fn forget(&mut self, number: u32) {
        let known = self.known.get_mut(number as usize);
        let Some(known) = known.filter(|known| !known.free) else {
            return;
        };
        known.free = true;
        for key in known.keys.drain(..) {
            match key {
                NumberKey::Series(key) => drop(self.keys.remove(&key)),
                NumberKey::Hit(pipeline, key) => drop(self.hits.remove(&(pipeline, key))),
            }
        }
        self.out[known.owner as usize].freed.push(number);
        self.free.push(number);
    }

    /// The batches so far, one per shard. Whoever takes one in clears it in place, or leaves an empty
    /// one.
    pub fn batches(&mut self) -> &mut [Batch] {
        &mut self.out
    }

    /// What records said since the last call, in the order of their partitions' records.
    pub fn take_said(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.said)
    }

    /// Parts of records that were refused since the last call.
    pub fn take_refused(&mut self) -> Vec<(Partition, Offset, Refusal)> {
        std::mem::take(&mut self.refused)
    }

    /// Counts.
    pub fn stats(&self) -> IntakeStats {
        self.stats
    }

    /// Takes new rules: what was unnamed may be named now, and streams are matched anew.
    pub fn reload(&mut self, catalog: Arc<Catalog>) {
        self.keys.retain(|_, known| *known != SeriesRef::UNNAMED);
        self.stream_keys.clear();
        self.streams.clear();
        let hits: Vec<_> = self.hits.drain().map(|(_, number)| number).collect();
        for number in hits {
            self.forget(number);
        }
        self.catalog = catalog;
    }

    fn number(&mut self, labels: Labels, holds: Holds, key: NumberKey) -> u32 {
        let owner = (labels.fingerprint().0 % self.out.len() as u128) as u16;
        let known = Known {
            owner,
            free: false,
            keys: SmallVec::from_slice(&[key]),
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.known[number as usize] = known;
                number
            }
            None => {
                self.known.push(known);
                (self.known.len() - 1) as u32
            }
        };
        self.out[owner as usize].births.push(Birth {
            series: number,
            labels,
            holds,
            source: self.source,
        });
        number
    }

    #[inline]
    fn cell(&mut self, number: u32, at: Timestamp, value: f64, arrival: Arrival) {
        let owner = self.known[number as usize].owner;
        let batch = &mut self.out[owner as usize];
        if let Arrival::Late(hidden) = arrival {
            batch.late.push(Late {
                cell: batch.cells.len() as u32,
                hidden,
            });
        }
        batch.cells.push(Cell {
            series: number,
            t: at.ms(),
            v: value,
        });
    }

    /// Takes a time into account; `None` where it is refused.
    #[inline]
    fn see(&mut self, at: Timestamp) -> Option<Arrival> {
        let clock = &mut self.clocks.get_mut(self.at)?.1;
        let arrival = clock.see(at);
        match arrival {
            Arrival::OnTime => {
                let ahead = clock.is_ahead(at);
                self.stats.ahead += u64::from(ahead);
                self.stamp_mattered |= ahead;
            }
            Arrival::Late(_) => self.stats.late += 1,
            Arrival::Refused => {
                self.stats.refused_ahead += 1;
                self.stamp_mattered = true;
                return None;
            }
        }
        Some(arrival)
    }

    /// Tries the pipelines that may let a record pass.
    fn verify(&mut self, stream: SeriesRef, record: &LogRecord<'_>, arrival: Arrival) {
        let catalog = Arc::clone(&self.catalog);
        // Lent to the matcher, while hits change the rest.
        let mut scratch = std::mem::take(&mut self.scratch);
        let streams = std::mem::take(&mut self.streams);
        let labels = &streams[stream.0 as usize].labels;
        catalog
            .matcher
            .verify(&mut scratch, labels, record, &mut |pipeline, hit| {
                self.hit(&catalog, pipeline.0, hit, record, arrival);
            });
        (self.scratch, self.streams) = (scratch, streams);
    }

    fn hit(
        &mut self,
        catalog: &Catalog,
        pipeline: u32,
        hit: &Hit<'_>,
        record: &LogRecord<'_>,
        arrival: Arrival,
    ) {
        self.stats.log_hits += 1;
        for target in &catalog.uses[pipeline as usize] {
            match target {
                HitUse::Window(read) if !catalog.read_reads_source(*read, self.source) => {}
                HitUse::Window(read) => self.window_hit(pipeline, *read, hit, record, arrival),
                HitUse::Match(group, _) if !catalog.reads_source(*group, self.source) => {}
                HitUse::Match(group, rule) => self.current.matches.push(MatchHit {
                    rule: (*group, *rule),
                    labels: hit.labels(),
                    at: record.at,
                    hidden: match arrival {
                        Arrival::Late(hidden) => Some(hidden),
                        Arrival::OnTime | Arrival::Refused => None,
                    },
                    line: cut(record.line, 512).to_owned(),
                }),
            }
        }
    }

    fn window_hit(
        &mut self,
        pipeline: u32,
        read: ReadId,
        hit: &Hit<'_>,
        record: &LogRecord<'_>,
        arrival: Arrival,
    ) {
        let key = hit.key() ^ self.salt;
        let number = match self.hits.get(&(pipeline, key)) {
            Some(number) => *number,
            None => {
                let number = self.number(
                    hit.labels(),
                    Holds::Records(read),
                    NumberKey::Hit(pipeline, key),
                );
                self.hits.insert((pipeline, key), number);
                number
            }
        };
        self.cell(number, record.at, hit.line().len() as f64, arrival);
    }
}

/// The matcher's view of one hit's labels.
type Hit<'a> = crate::logs::HitLabels<'a>;

fn no_word() -> Said {
    Said {
        partition: Partition::default(),
        offset: 0,
        matches: Vec::new(),
        changes: Vec::new(),
        alerts: Vec::new(),
        edges: Vec::new(),
    }
}

/// Keeps the keys of different sources apart.
fn salt(source: u16) -> u128 {
    u128::from(source).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

/// The longest prefix of at most `bytes` bytes that ends at a character's border.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

impl RecordSink for Intake {
    fn begin(&mut self, partition: Partition, offset: Offset, stamp: Option<Timestamp>) -> bool {
        let Some(at) = self.find(partition) else {
            return false;
        };
        let clock = &mut self.clocks[at].1;
        if offset < clock.next_offset {
            return false;
        }
        clock.begin(offset, stamp);
        (self.at, self.offset, self.reading) = (at, offset, true);
        self.stamp_mattered = false;
        (self.source, self.salt) = (partition.source, salt(partition.source));
        self.stats.records += 1;
        true
    }

    fn end(&mut self) {
        if !std::mem::take(&mut self.reading) {
            return;
        }
        self.clocks[self.at].1.end();
        self.report(self.at);
        if !self.current.is_empty() {
            let mut said = std::mem::replace(&mut self.current, no_word());
            (said.partition, said.offset) = (self.clocks[self.at].0, self.offset);
            self.said.push(said);
        }
    }

    fn stamp_mattered(&self) -> bool {
        self.stamp_mattered
    }
}

impl SampleSink for Intake {
    #[inline]
    fn series(&mut self, key: SeriesKey) -> Option<SeriesRef> {
        self.keys.get(&SeriesKey(key.0 ^ self.salt)).copied()
    }

    fn define(&mut self, key: SeriesKey, labels: Labels, kind: SeriesKind) -> SeriesRef {
        if labels.metric() == SERVICE_GRAPH {
            let edge = (
                labels.value("client").to_owned(),
                labels.value("server").to_owned(),
            );
            if !edge.0.is_empty() && !edge.1.is_empty() {
                self.current.edges.push(edge);
            }
        }
        let key = SeriesKey(key.0 ^ self.salt);
        let series = if self.catalog.reads_of(&labels, self.source).next().is_some() {
            SeriesRef(self.number(labels, Holds::Samples(kind), NumberKey::Series(key)))
        } else {
            SeriesRef::UNNAMED
        };
        self.keys.insert(key, series);
        series
    }

    #[inline]
    fn sample(&mut self, series: SeriesRef, at: Timestamp, value: f64) {
        self.stats.samples += 1;
        let Some(arrival) = self.see(at) else { return };
        if series == SeriesRef::UNNAMED {
            self.stats.unnamed += 1;
            return;
        }
        self.cell(series.0, at, value, arrival);
    }

    fn stream(&mut self, key: SeriesKey) -> Option<SeriesRef> {
        self.stream_keys.get(&key).copied()
    }

    fn define_stream(&mut self, key: SeriesKey, labels: Labels) -> SeriesRef {
        let mask = self.catalog.matcher.stream_mask(&labels);
        self.streams.push(Stream { labels, mask });
        let stream = SeriesRef((self.streams.len() - 1) as u32);
        self.stream_keys.insert(key, stream);
        stream
    }

    fn log(&mut self, stream: SeriesRef, record: &LogRecord<'_>) {
        self.stats.log_records += 1;
        let Some(arrival) = self.see(record.at) else {
            return;
        };
        let mask = &self.streams[stream.0 as usize].mask;
        let matcher = &self.catalog.matcher;
        if matcher.search(&mut self.scratch, mask, record.line) {
            self.verify(stream, record, arrival);
        }
    }

    fn change(&mut self, change: Change) {
        self.stats.changes += 1;
        if self.see(change.at).is_some() {
            self.current.changes.push(change);
        }
    }

    fn alert(&mut self, alert: OutsideAlert) {
        self.stats.alerts += 1;
        self.current.alerts.push(alert);
    }

    fn edge(&mut self, client: &str, server: &str) {
        if client.is_empty() || server.is_empty() {
            return;
        }
        let seed = xxh3_128(client.as_bytes()) as u64;
        if self.edges.len() < MAX_EDGES
            && self
                .edges
                .insert(xxh3_128_with_seed(server.as_bytes(), seed))
        {
            self.current
                .edges
                .push((client.to_owned(), server.to_owned()));
        }
    }

    fn witness(&mut self, at: Timestamp) {
        if let Some((_, clock)) = self.clocks.get_mut(self.at) {
            self.stamp_mattered |= clock.see(at) == Arrival::Refused || clock.is_ahead(at);
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        let partition = self
            .clocks
            .get(self.at)
            .map_or(Partition::default(), |(partition, _)| *partition);
        self.refused.push((partition, self.offset, refusal));
    }
}
