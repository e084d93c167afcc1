//! An intake: where one worker's decoders write to.
//!
//! Owns the caches from a decoder's key to a dense number, the clocks of the partitions that the
//! worker reads, and the columns on their way to the shards. Nothing is allocated for a sample of
//! a known series. What it keeps has a bound: a series over it is turned away.

mod numbers;
mod said;
mod shares;
#[cfg(test)]
mod tests;
mod turned;
mod unnamed;
mod worlds;

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_model::{
    Change, Labels, LogRecord, Offset, OutsideAlert, Partition, RecordSink, Refusal, SampleSink,
    SeriesKey, SeriesKind, SeriesRef, Timestamp,
};
use hashbrown::{HashMap, HashSet};
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use crate::batch::{Batch, Birth, Cell, Holds, Late, Segment};
use crate::catalog::{Catalog, HitUse, ReadId};
use crate::clock::{Arrival, ClockState, PartitionClock};
use crate::logs::{Scratch, StreamMatch};
use crate::scope::World;
use numbers::Numbers;
use shares::Shares;
use turned::{Sight, TurnedTable};
use unnamed::Unnamed;
use worlds::Worlds;

pub use said::{IntakeStats, MatchHit, Said};
pub use turned::{TURNED_AWAY_MS, TurnedAway};
pub use worlds::DEFAULT_MAX_WORLDS;

/// Most pairs of services that one intake learns from spans; further ones are refused.
const MAX_EDGES: usize = 100_000;

#[derive(Debug)]
struct Stream {
    labels: Labels,
    mask: StreamMatch,
}

/// See the module's text.
#[derive(Debug)]
pub struct Intake {
    catalog: Arc<Catalog>,
    numbers: Numbers,
    worlds: Worlds,
    unnamed: Unnamed,
    turned: TurnedTable,
    /// Bound on the numbers in use.
    max_series: usize,
    /// Bounds on those of single sources.
    shares: Shares,
    stream_keys: HashMap<SeriesKey, SeriesRef>,
    streams: Vec<Stream>,
    scratch: Scratch,
    clocks: Vec<(Partition, PartitionClock)>,
    out: Vec<Batch>,
    said: Vec<Said>,
    refused: Vec<(Partition, Offset, Refusal)>,
    stats: IntakeStats,
    /// Samples that were refused for being too far ahead of their stamp, by source.
    far_ahead: BTreeMap<u16, u64>,
    // The record that is being read.
    offset: Offset,
    /// Position of its partition's clock; also where the next record's is looked for first.
    at: usize,
    /// Its source: series of different sources are different, since groups choose among sources.
    source: u16,
    salt: u128,
    reading: bool,
    /// Whether records of the partition at `at` have ended since its progress was reported.
    dirty: bool,
    stamp_mattered: bool,
    current: Said,
    /// Hashes of the pairs of services that spans showed, so that each is reported once.
    edges: HashSet<u128>,
}

impl Intake {
    /// The intake of worker `id`, feeding `shards` shards.
    pub fn new(id: u16, shards: usize, catalog: Arc<Catalog>) -> Self {
        Self {
            catalog,
            numbers: Numbers::default(),
            worlds: Worlds::new(shards),
            unnamed: Unnamed::default(),
            turned: TurnedTable::default(),
            max_series: usize::MAX,
            shares: Shares::default(),
            stream_keys: HashMap::new(),
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
            far_ahead: BTreeMap::new(),
            offset: 0,
            at: 0,
            source: 0,
            salt: 0,
            reading: false,
            dirty: false,
            stamp_mattered: false,
            current: no_word(),
            edges: HashSet::new(),
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
        self.flush();
        self.turned.leave(partition);
        let at = self.find(partition)?;
        Some(self.clocks.remove(at).1)
    }

    /// What has been read of each partition, at its last record's border.
    pub fn clocks(&self) -> impl Iterator<Item = (Partition, ClockState)> + '_ {
        let clocks = self.clocks.iter();
        clocks.map(|(partition, clock)| (*partition, clock.state()))
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
        self.flush();
        self.clocks[at].1.pin(tick);
        self.report(at);
        Some(self.clocks[at].1.next_offset)
    }

    /// A partition is read to its end and there will be no more.
    pub fn finish(&mut self, partition: Partition) {
        self.pin(partition, Timestamp::MAX);
    }

    /// Tells the shards how far the partition that was read last has got.
    fn flush(&mut self) {
        if std::mem::take(&mut self.dirty) {
            self.report(self.at);
        }
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
            report_to(batch, segment);
            for (_, batch) in &mut batch.worlds {
                let reported = batch.segments.last().map_or(0, |last| last.cells_end);
                let cells_end = batch.cells.len() as u32;
                if cells_end > reported {
                    report_to(
                        batch,
                        Segment {
                            cells_end,
                            ..segment
                        },
                    );
                }
            }
        }
    }

    /// A shard's death mark: the number leads nowhere from here on.
    pub fn forget(&mut self, number: u32) {
        if let Some(owner) = self.numbers.free(number) {
            self.shares.free(number);
            let batch = self.worlds.batch(&mut self.out, owner);
            batch.freed.push(number);
        }
    }

    /// From here on a series that would be one more than `most` is turned away. Series that are known
    /// stay.
    pub fn bound_series(&mut self, most: usize) {
        self.max_series = most;
    }

    /// From here on a series that would be one more than so many of its source is turned away: per
    /// source, by position in the config. Series that are known stay, and count.
    pub fn bound_sources(&mut self, most: Vec<Option<usize>>) {
        self.shares.bound(most);
    }

    /// From here on series of a world that would be one more than `most` are turned away. Worlds
    /// that are known stay.
    pub fn bound_worlds(&mut self, most: usize) {
        self.worlds.bound(most);
    }

    /// Numbers in use: series that are known, once for each of a decoder's keys.
    pub fn live_series(&self) -> usize {
        self.numbers.live()
    }

    /// Which series were turned away since the last call. Arrival order is chance, so this is a
    /// decision for the log, before anything follows from it.
    pub fn take_turned_away(&mut self) -> Vec<TurnedAway> {
        self.turned.take_made()
    }

    /// Obeys the log's decisions of a partition that has [joined](Self::join): what they turn away is
    /// turned away again, and of its records below `settled` nothing else is, whatever the bound.
    pub fn turn_away(
        &mut self,
        partition: Partition,
        settled: Offset,
        decisions: impl IntoIterator<Item = TurnedAway>,
    ) {
        self.turned.obey(partition, settled, decisions);
    }

    /// The batches so far, one per shard. Whoever takes one in clears it in place, or leaves an empty
    /// one.
    pub fn batches(&mut self) -> &mut [Batch] {
        self.flush();
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

    /// Samples that were refused for being too far ahead of their record's stamp, by source.
    pub fn far_ahead(&self) -> &BTreeMap<u16, u64> {
        &self.far_ahead
    }

    /// Takes new rules: what was unnamed may be named now, and streams are matched anew.
    pub fn reload(&mut self, catalog: Arc<Catalog>) {
        self.unnamed.clear();
        self.forget_streams();
        for number in self.numbers.hits() {
            self.forget(number);
        }
        self.catalog = catalog;
    }

    fn forget_streams(&mut self) {
        self.stream_keys.clear();
        self.streams.clear();
    }

    fn number(&mut self, labels: Labels, holds: Holds, key: SeriesKey, world: u16) -> u32 {
        let shard = (labels.fingerprint().0 % self.out.len() as u128) as u16;
        let owner = self.worlds.owner(world, shard);
        let is_hit = matches!(holds, Holds::Records(_));
        let number = self.numbers.give(key, owner, is_hit);
        self.shares.give(number, self.source);
        let batch = self.worlds.batch(&mut self.out, owner);
        batch.births.push(Birth {
            series: number,
            labels,
            holds,
            source: self.source,
        });
        number
    }

    /// Whether the log has decided about the new series of the record that is being read.
    fn is_settled(&self) -> bool {
        let reading = self.clocks.get(self.at);
        reading.is_some_and(|(partition, _)| self.turned.is_settled(*partition, self.offset))
    }

    /// Whether a series that is not known may be.
    fn admit(&mut self, key: SeriesKey) -> bool {
        let is_room = self.numbers.live() < self.max_series && self.shares.has_room(self.source);
        let admitted = is_room || self.is_settled();
        if !admitted {
            self.turn_away_from_here(key);
            self.say_refused();
        }
        admitted
    }

    fn turn_away_from_here(&mut self, key: SeriesKey) {
        if let Some((partition, _)) = self.clocks.get(self.at) {
            self.stats.refused_series += 1;
            self.turned.decide(*partition, self.offset, key);
        }
    }

    /// The number of the world that a series lives in; `None` where it is turned away with it.
    fn world(&mut self, world: Option<World>, key: SeriesKey) -> Option<u16> {
        let Some(world) = world else { return Some(0) };
        let number = self.worlds.number(world.clone(), self.is_settled());
        if number.is_none() {
            self.turn_away_from_here(key);
            let World { scope, replica } = world;
            self.refuse(Refusal::new(
                "scope_limit",
                format!("scope {scope}, replica {replica:?}: as many are known as may be"),
            ));
        }
        number
    }

    /// Whether a series is turned away in the record that is being read, known or not.
    #[cold]
    fn is_turned_away(&mut self, key: SeriesKey) -> bool {
        let Some((partition, clock)) = self.clocks.get(self.at) else {
            return false;
        };
        let sight = self.turned.see(*partition, key, self.offset, clock.high());
        if sight == Sight::First {
            self.say_refused();
        }
        sight != Sight::Free
    }

    fn say_refused(&mut self) {
        self.refuse(Refusal::new(
            "series_limit",
            "a new series, and as many are known as may be",
        ));
    }

    #[inline]
    fn cell(&mut self, number: u32, at: Timestamp, value: f64, arrival: Arrival) {
        let batch = match &mut self.out[..] {
            [only] if self.worlds.is_empty() => only,
            all => self.worlds.batch(all, self.numbers.owner(number)),
        };
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
        let (partition, clock) = self.clocks.get_mut(self.at)?;
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
                *self.far_ahead.entry(partition.source).or_default() += 1;
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
        let key = SeriesKey(hit.key() ^ self.salt ^ self.catalog.pipeline_key(pipeline));
        if self.turned.any() && self.is_turned_away(key) {
            self.stats.refused_samples += 1;
            return;
        }
        let number = match self.numbers.get(key) {
            Some(number) => number,
            None if !self.admit(key) => {
                self.stats.refused_samples += 1;
                return;
            }
            None => self.number(hit.labels(), Holds::Records(read), key, 0),
        };
        self.cell(number, record.at, hit.line().len() as f64, arrival);
    }
}

/// Series that all intakes together should know at most, where the config does not say otherwise.
pub const DEFAULT_MAX_SERIES: usize = 2_000_000;

/// Stands for a series that is turned away in the record that is being read.
const TURNED_AWAY: SeriesRef = SeriesRef(u32::MAX - 1);

/// The series by which tracing pipelines tell who calls whom.
const SERVICE_GRAPH: &str = "traces_service_graph_request_total";

/// Log streams whose labels and matches are kept at hand; past so many they are looked up anew.
const MAX_STREAMS: usize = 100_000;

/// The matcher's view of one hit's labels.
type Hit<'a> = crate::logs::HitLabels<'a>;

/// A batch's cells up to here are of this partition, and it has got so far.
fn report_to(batch: &mut Batch, segment: Segment) {
    match batch.segments.last_mut() {
        Some(last) if last.partition == segment.partition => *last = segment,
        _ => batch.segments.push(segment),
    }
}

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
        if offset < self.clocks[at].1.next_offset {
            return false;
        }
        if at != self.at {
            self.flush();
        }
        if self.streams.len() >= MAX_STREAMS {
            self.forget_streams();
        }
        self.clocks[at].1.begin(offset, stamp);
        self.turned.begin(partition, offset);
        (self.at, self.offset, self.reading) = (at, offset, true);
        self.stamp_mattered = self.clocks[at].1.goes_by_stamp();
        (self.source, self.salt) = (partition.source, salt(partition.source));
        self.stats.records += 1;
        true
    }

    fn end(&mut self) {
        if !std::mem::take(&mut self.reading) {
            return;
        }
        let (partition, clock) = &mut self.clocks[self.at];
        clock.end();
        self.dirty = true;
        self.unnamed.pass(clock.high());
        self.turned.end(*partition, clock.high());
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
        let key = SeriesKey(key.0 ^ self.salt);
        if self.turned.any() && self.is_turned_away(key) {
            return Some(TURNED_AWAY);
        }
        match self.numbers.get(key) {
            Some(number) => Some(SeriesRef(number)),
            None => self.unnamed.has(key).then_some(SeriesRef::UNNAMED),
        }
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
        let rule = self.catalog.scoping().and_then(|s| s.rule_of(self.source));
        let (world, labels) = match rule.map(|rule| rule.split(&labels)) {
            Some((world, seen)) => (Some(world), seen),
            None => (None, labels),
        };
        if self.catalog.reads_of(&labels, self.source).next().is_none() {
            self.unnamed.insert(key);
            return SeriesRef::UNNAMED;
        }
        if !self.admit(key) {
            return TURNED_AWAY;
        }
        match self.world(world, key) {
            Some(world) => SeriesRef(self.number(labels, Holds::Samples(kind), key, world)),
            None => TURNED_AWAY,
        }
    }

    #[inline]
    fn sample(&mut self, series: SeriesRef, at: Timestamp, value: f64) {
        self.stats.samples += 1;
        let Some(arrival) = self.see(at) else { return };
        if series >= TURNED_AWAY {
            let unnamed = series == SeriesRef::UNNAMED;
            self.stats.unnamed += u64::from(unnamed);
            self.stats.refused_samples += u64::from(!unnamed);
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
        let pair = xxh3_128_with_seed(server.as_bytes(), seed);
        if self.edges.contains(&pair) {
            return;
        }
        if self.edges.len() >= MAX_EDGES {
            return self.refuse(Refusal::new(
                "too_many_edges",
                format!("{client} calls {server}: {MAX_EDGES} pairs of services are known"),
            ));
        }
        self.edges.insert(pair);
        self.current
            .edges
            .push((client.to_owned(), server.to_owned()));
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
