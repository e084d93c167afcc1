//! The brain: core, sequencer and correlator behind one door. Pure: time is an argument.
//!
//! Its owner moves records through intakes and shards, and then, again and again:
//! 1. [`Brain::advance`] decides what happened and gives the entries to write down;
//! 2. the owner makes them durable;
//! 3. [`Brain::fold`] gives what follows from them.

mod log_state;
mod publish;

pub use log_state::LogState;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foghorn_correlate::{Correlator, Input};
use foghorn_eval::catalog::Catalog;
use foghorn_eval::intake::Said;
use foghorn_eval::shard::Shard;
use foghorn_model::{AlertId, Incident, Offset, Partition, Timestamp};

use crate::core::{Closed, Core, CoreSnapshot, Recorded};
use crate::entry::{Command, Entry, GroupKey, Pin, RuleFile};
use crate::history::History;
use crate::query::{Answer, Query, QueryError};
use crate::resolved::Resolved;
use crate::sequencer::{Decision, PartitionState, Patience, Skip, decide};
use crate::view::View;

/// What the sources look like to the brain.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Partitions that are read.
    pub partitions: BTreeMap<Partition, PartitionState>,
    /// Names of the sources, by position in the config.
    pub names: Vec<String>,
}

/// What [`Brain::advance`] found.
#[derive(Debug, Default)]
pub struct Advance {
    /// Entries to make durable, in this order, before [`Brain::fold`] sees them.
    pub entries: Vec<Entry>,
    /// Partitions to pin at their positions: tell the intakes, give the pins to
    /// [`Brain::pinned`], and call again.
    pub wanted: BTreeMap<Partition, (Timestamp, Skip)>,
    /// Partitions that hold some tick back, with the earliest tick that waits.
    pub waiting: BTreeMap<Partition, Timestamp>,
    /// What rules recorded, where [`Core::export`] asked for it: to be sent on once the entries are
    /// durable.
    pub recorded: Vec<Recorded>,
}

/// Closed incidents are shown for so long, where nobody says otherwise: 30 days, in milliseconds of
/// correlation's now.
pub const INCIDENT_RETENTION_MS: i64 = 30 * 86_400_000;

/// See the module's text.
pub struct Brain {
    core: Core,
    correlator: Correlator,
    patience: Patience,
    view: Arc<View>,
    resolved: Resolved,
    /// Whether a tick has closed since the view's values were brought up to date.
    ticked: bool,
    /// Alerts of log matches and of other programs that the view shows.
    heard: BTreeSet<AlertId>,
    /// Pins taken since the last advance, to be written before the tick that they let go.
    pins: Vec<Pin>,
    /// Entries that say which of those pins leave somebody behind.
    left: Vec<Entry>,
    /// Watermarks of the partitions that the last advance wanted pinned.
    behind: BTreeMap<Partition, Timestamp>,
    /// Ticks that partitions are left behind at: (after, until].
    blind: BTreeMap<Partition, Vec<(Timestamp, Timestamp)>>,
    /// Partitions that were left behind since somebody asked.
    left_behind: BTreeSet<Partition>,
    /// Arrivals below these positions are in the log already.
    logged: BTreeMap<Partition, Offset>,
    /// The positions and watermarks that the log was last told of.
    read: BTreeMap<Partition, (Offset, Timestamp)>,
    /// Most ticks that one advance closes, so that effects leave in between.
    ticks_at_once: usize,
    /// No tick after this one closes.
    last_tick: Timestamp,
    /// What the log says to a restart; after the start only where [`Brain::log_state`] will ask.
    history: History,
    keeps_history: bool,
    /// Closed incidents are shown for so long.
    retention_ms: i64,
    next_forget: Timestamp,
    /// Whether correlation's now follows event time (a replay) in place of wall time.
    event_now: bool,
}

impl Brain {
    /// A brain that has seen nothing.
    pub fn new(core: Core, correlator: Correlator, patience: Patience, view: Arc<View>) -> Self {
        let brain = Self {
            core,
            correlator,
            patience,
            view,
            resolved: Resolved::default(),
            ticked: false,
            heard: BTreeSet::new(),
            pins: Vec::new(),
            left: Vec::new(),
            behind: BTreeMap::new(),
            blind: BTreeMap::new(),
            left_behind: BTreeSet::new(),
            logged: BTreeMap::new(),
            read: BTreeMap::new(),
            ticks_at_once: 64,
            last_tick: Timestamp::MAX,
            history: History::default(),
            keeps_history: false,
            retention_ms: INCIDENT_RETENTION_MS,
            next_forget: Timestamp::MIN,
            event_now: false,
        };
        brain.publish_groups();
        brain
    }

    /// Correlation's now follows the low watermark of all sources: for replays.
    pub fn follow_event_time(&mut self) {
        self.event_now = true;
    }

    /// No tick after this one closes: where a recording ends.
    pub fn stop_at(&mut self, last_tick: Timestamp) {
        self.last_tick = last_tick;
    }

    /// Event time begins: the entry that says so.
    pub fn start(&mut self, origin: Timestamp, silent_until: Timestamp) -> Entry {
        self.core.start(origin, silent_until);
        Entry::Start {
            origin,
            silent_until,
        }
    }

    /// All that the rules remember; `None` where something that was decided is still to be
    /// written down, or the log is not caught up with. What correlation remembers is in the log.
    pub fn snapshot(&mut self) -> Option<CoreSnapshot> {
        let groups = 0..self.core.catalog().rules.groups.len();
        let behind = groups.into_iter().any(|group| self.core.is_replayed(group));
        let whole = self.pins.is_empty() && self.left.is_empty() && !behind;
        whole.then(|| self.core.snapshot())
    }

    /// Goes on with another core, which was [restored](Core::restore): to be done first of all.
    pub fn take_core(&mut self, core: Core) {
        self.core = core;
        self.publish_groups();
    }

    /// Comes back from a log: correlation folds it again (what it said then was said then), groups
    /// obey it. `begin` is the instant from which the sources are read again, where the core was not
    /// [restored](Core::restore).
    pub fn recover(&mut self, entries: &[Entry], begin: Timestamp) -> History {
        let mut incidents = Vec::new();
        for entry in entries {
            self.history.take(entry);
            self.correlate(entry, &mut incidents);
        }
        let history = self.history.clone();
        incidents
            .iter()
            .for_each(|incident| self.publish_incident(incident));
        if !self.core.is_restored() {
            let silent = history.start.map_or(Timestamp::MIN, |(_, silent)| silent);
            // Nothing is said of the time before time began, though its samples may be read.
            let origin = history.start.map_or(begin, |(origin, _)| origin);
            self.core.start(begin.max(origin), silent);
            if let Some(latest) = history.latest() {
                self.core
                    .begin_after(latest, |key| !history.groups.contains_key(key));
            }
        }
        for (key, group) in &history.groups {
            self.core.resume(key, group);
        }
        self.logged = history.positions.clone();
        self.blind = history.blind.clone();
        // What is over already is nobody's concern.
        self.forget_blind();
        self.publish_alerts(entries);
        self.publish_heard();
        history
    }

    /// The pins that were taken at the intakes' positions.
    pub fn pinned(&mut self, pin: Pin, skip: Skip) {
        self.pins.push(pin);
        if skip == Skip::Blind {
            let Pin {
                partition,
                tick: until,
                ..
            } = pin;
            let after = self
                .behind
                .get(&partition)
                .copied()
                .unwrap_or(Timestamp::MIN);
            self.left_behind.insert(partition);
            self.blind
                .entry(partition)
                .or_default()
                .push((after, until));
            self.left.push(Entry::Blind {
                partition,
                after,
                until,
            });
        }
    }

    /// Decides what has happened: arrivals first, then every tick that may close, lowest first.
    pub fn advance(
        &mut self,
        said: Vec<Said>,
        sources: &Sources,
        shards: &mut [&mut Shard],
        wall: Timestamp,
    ) -> Advance {
        let mut advance = Advance::default();
        for said in said {
            self.arrive(said, &mut advance.entries);
        }
        advance.entries.splice(0..0, self.left.drain(..));
        advance.entries.extend(self.pins.drain(..).map(Entry::Pin));
        self.forget_blind();
        for _ in 0..self.ticks_at_once {
            if !self.close_one(sources, shards, wall, &mut advance) {
                break;
            }
        }
        advance.recorded = self.core.take_recorded();
        let now = if self.event_now {
            low_watermark(sources)
        } else {
            Some(wall)
        };
        let due = self
            .correlator
            .next_deadline()
            .is_some_and(|deadline| now.is_some_and(|now| deadline <= now));
        let speaks = advance.entries.iter().any(|entry| match entry {
            Entry::Tick { signals, .. } => !signals.is_empty(),
            Entry::Arrival { .. } | Entry::Command(_) => true,
            _ => false,
        });
        if let Some(now) = now
            .filter(|now| (due || speaks) && *now > self.correlator.now() && *now < Timestamp::MAX)
        {
            // Before what speaks: it is said at this instant.
            let at = advance
                .entries
                .iter()
                .position(|entry| {
                    !matches!(
                        entry,
                        Entry::Pin(_)
                            | Entry::Blind { .. }
                            | Entry::Lowered { .. }
                            | Entry::TurnedAway { .. }
                    )
                })
                .unwrap_or(advance.entries.len());
            advance.entries.insert(at, Entry::Timer { now });
        }
        advance
    }

    /// Spans that no group's next tick can stand in any more.
    fn forget_blind(&mut self) {
        let next = (0..self.core.catalog().rules.groups.len())
            .map(|group| self.core.next_tick(group))
            .min();
        for spans in self.blind.values_mut() {
            spans.retain(|(_, until)| next.is_some_and(|next| *until >= next));
        }
    }

    fn arrive(&mut self, said: Said, entries: &mut Vec<Entry>) {
        let signals = self.core.arrive(&said);
        if self
            .logged
            .get(&said.partition)
            .is_some_and(|logged| said.offset < *logged)
        {
            return;
        }
        let Said {
            partition,
            offset,
            changes,
            alerts,
            edges,
            ..
        } = said;
        if !(signals.is_empty() && changes.is_empty() && alerts.is_empty() && edges.is_empty()) {
            entries.push(Entry::Arrival {
                partition,
                offset,
                signals,
                changes,
                alerts,
                edges,
            });
        }
    }

    /// The partitions that a group reads, those that its recorders read among them.
    fn partitions_of<'a>(
        &self,
        group: usize,
        sources: &'a Sources,
    ) -> Cow<'a, BTreeMap<Partition, PartitionState>> {
        if self.reads_all(group) {
            return Cow::Borrowed(&sources.partitions);
        }
        let mut groups = BTreeSet::from([group]);
        let mut fresh = vec![group];
        while let Some(group) = fresh.pop() {
            fresh.extend(
                self.core
                    .catalog()
                    .recorders(group)
                    .iter()
                    .filter(|recorder| groups.insert(**recorder)),
            );
        }
        let reads = |partition: &Partition| {
            groups.iter().any(|group| {
                let wanted = &self.core.catalog().group(*group).sources;
                let name = sources.names.get(partition.source as usize);
                wanted.is_empty() || name.is_some_and(|name| wanted.contains(name))
            })
        };
        let read = sources
            .partitions
            .iter()
            .filter(|(partition, _)| reads(partition));
        Cow::Owned(read.map(|(p, s)| (*p, *s)).collect())
    }

    /// Whether a group names no sources, and so reads all of them.
    fn reads_all(&self, group: usize) -> bool {
        self.core.catalog().group(group).sources.is_empty()
    }

    /// Closes the lowest tick that may close; whether there was one.
    fn close_one(
        &mut self,
        sources: &Sources,
        shards: &mut [&mut Shard],
        wall: Timestamp,
        advance: &mut Advance,
    ) -> bool {
        let mut order: Vec<_> = (0..self.core.catalog().rules.groups.len()).collect();
        order.sort_by_key(|group| (self.core.next_tick(*group), *group));
        // Groups that read everything wait alike: most stand at one tick.
        let mut waited = None;
        for group in order {
            let tick = self.core.next_tick(group);
            if tick <= Timestamp::MIN || tick > self.last_tick || !self.core.recorders_done(group) {
                continue;
            }
            let alike = (tick, self.core.is_replayed(group));
            if waited == Some(alike) && self.reads_all(group) {
                continue;
            }
            let partitions = self.partitions_of(group, sources);
            if partitions.is_empty() {
                continue;
            }
            match decide(
                tick,
                &partitions,
                wall,
                self.core.is_replayed(group),
                self.patience,
            ) {
                Decision::Close => {
                    self.close(group, tick, &partitions, shards, advance);
                    return true;
                }
                Decision::Pin(skips) => {
                    for (partition, skip) in skips {
                        self.behind
                            .insert(partition, partitions[&partition].progress.watermark);
                        let wanted = advance.wanted.entry(partition).or_insert((tick, skip));
                        *wanted = (wanted.0.max(tick), wanted.1.max(skip));
                    }
                }
                Decision::Wait(on) => {
                    if self.reads_all(group) {
                        waited = Some(alike);
                    }
                    for partition in on {
                        let first = advance.waiting.entry(partition).or_insert(tick);
                        *first = tick.min(*first);
                    }
                }
            }
        }
        false
    }

    fn close(
        &mut self,
        group: usize,
        tick: Timestamp,
        partitions: &BTreeMap<Partition, PartitionState>,
        shards: &mut [&mut Shard],
        advance: &mut Advance,
    ) {
        let skipped = |(after, until): &(Timestamp, Timestamp)| *after < tick && tick <= *until;
        let blind = partitions.keys().any(|p| {
            self.blind
                .get(p)
                .is_some_and(|spans| spans.iter().any(skipped))
        });
        let replayed = self.core.is_replayed(group);
        let Closed { signals, news } = self.core.close(group, shards, blind);
        self.ticked = true;
        if !replayed {
            self.read_to(partitions, shards, &mut advance.entries);
            let group = self.core.key(group).clone();
            if !news.is_empty() {
                advance.entries.push(Entry::Scopes {
                    group: group.clone(),
                    tick,
                    news,
                });
            }
            advance.entries.push(Entry::Tick {
                group,
                tick,
                signals,
            });
        }
    }

    /// Says how far partitions had been read, where that is news.
    fn read_to(
        &mut self,
        partitions: &BTreeMap<Partition, PartitionState>,
        shards: &[&mut Shard],
        entries: &mut Vec<Entry>,
    ) {
        let moved = |(partition, state): (&Partition, &PartitionState)| {
            let furthest = shards
                .iter()
                .map(|shard| shard.furthest(*partition))
                .max()
                .unwrap_or(Timestamp::MIN);
            let now = (
                state.progress.next_offset,
                state
                    .progress
                    .watermark
                    .max(furthest - state.allowed_lateness_ms),
            );
            let news = self.read.insert(*partition, now) != Some(now);
            news.then_some((*partition, now.0, now.1))
        };
        let positions: Vec<_> = partitions.iter().filter_map(moved).collect();
        if !positions.is_empty() {
            entries.push(Entry::Read { positions });
        }
    }

    /// What follows from entries that are durable now: incident revisions, in order.
    pub fn fold(&mut self, entries: &[Entry]) -> Vec<Incident> {
        let mut incidents = Vec::new();
        for entry in entries {
            if self.keeps_history {
                self.history.take(entry);
            }
            self.correlate(entry, &mut incidents);
        }
        for incident in &incidents {
            self.publish_incident(incident);
        }
        self.publish_alerts(entries);
        if entries.iter().any(|entry| {
            matches!(
                entry,
                Entry::Arrival { .. } | Entry::Own { .. } | Entry::Timer { .. }
            )
        }) {
            self.publish_heard();
        }
        if entries
            .iter()
            .any(|entry| matches!(entry, Entry::Tick { .. } | Entry::Rules { .. }))
        {
            self.publish_groups();
        }
        self.forget_incidents();
        incidents
    }

    fn correlate(&mut self, entry: &Entry, out: &mut Vec<Incident>) {
        let correlator = &mut self.correlator;
        match entry {
            Entry::Tick { signals, .. } => {
                signals
                    .iter()
                    .for_each(|signal| correlator.fold(Input::Signal(signal), out));
            }
            Entry::Arrival {
                signals,
                changes,
                alerts,
                edges,
                ..
            } => {
                edges.iter().for_each(|(client, server)| {
                    correlator.fold(Input::ServiceEdge { client, server }, out);
                });
                changes
                    .iter()
                    .for_each(|change| correlator.fold(Input::Change(change), out));
                signals
                    .iter()
                    .for_each(|signal| correlator.fold(Input::Signal(signal), out));
                alerts
                    .iter()
                    .for_each(|alert| correlator.fold(Input::Outside(alert), out));
            }
            Entry::Own { alerts } => alerts
                .iter()
                .for_each(|alert| correlator.fold(Input::Outside(alert), out)),
            Entry::Timer { now } => correlator.fold(Input::Timer(*now), out),
            Entry::Command(Command::Acknowledge { incident, by }) => {
                let command = foghorn_correlate::Command::Acknowledge {
                    incident: *incident,
                    by: by.clone(),
                };
                correlator.fold(Input::Command(command), out);
            }
            Entry::Start { .. }
            | Entry::Rules { .. }
            | Entry::Read { .. }
            | Entry::Scopes { .. }
            | Entry::Join { .. }
            | Entry::Pin(_)
            | Entry::Blind { .. }
            | Entry::Lowered { .. }
            | Entry::TurnedAway { .. }
            | Entry::Delivered { .. } => return,
        }
        correlator.flush(out);
    }

    /// When correlation wants to be woken, in its own now.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.correlator.next_deadline()
    }

    /// Takes new rules; the entries that say so and what ends with them.
    pub fn reload(
        &mut self,
        catalog: &Arc<Catalog>,
        files: Vec<RuleFile>,
        shards: &mut [&mut Shard],
    ) -> Vec<Entry> {
        let latest = (0..self.core.catalog().rules.groups.len())
            .filter_map(|group| self.core.closed(group))
            .max();
        let (signals, map) = self.core.reload(catalog);
        for shard in &mut *shards {
            shard.reload(self.core.catalog(), &map);
        }
        let mut entries = vec![Entry::Rules { files }];
        if let (Some(tick), false) = (latest, signals.is_empty()) {
            entries.push(Entry::Tick {
                group: GroupKey::nobody(),
                tick,
                signals,
            });
        }
        entries
    }

    /// Partitions that ticks were closed without, though they may have data, since this was last asked, or
    /// are to be. Not while ticks are closed again that the log holds: of those it was said then.
    pub fn take_blind(&mut self) -> BTreeSet<Partition> {
        let mut blind = std::mem::take(&mut self.left_behind);
        let mut groups = 0..self.core.catalog().rules.groups.len();
        if !groups.any(|group| self.core.is_replayed(group)) {
            let spans = self.blind.iter().filter(|(_, spans)| !spans.is_empty());
            blind.extend(spans.map(|(partition, _)| *partition));
        }
        blind
    }

    /// Answers a question: see [`Core::query`].
    ///
    /// # Errors
    /// It has no answer.
    pub fn query(
        &mut self,
        query: &Query,
        at: Timestamp,
        shards: &mut [&mut Shard],
    ) -> Result<Answer, QueryError> {
        self.core.query(query, at, shards)
    }

    /// The core, to look at.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// See [`Core::bound_results`].
    pub fn bound_results(&mut self, most: usize) {
        self.core.bound_results(most);
    }

    /// From now on [`Advance::recorded`] tells what rules record.
    pub fn export_recorded(&mut self) {
        self.core.export();
    }

    /// The correlator, to look at.
    pub fn correlator(&self) -> &Correlator {
        &self.correlator
    }

    /// Ends of alerts that the read model let go before their time, for want of room.
    pub fn ends_forgotten(&self) -> u64 {
        self.resolved.forgotten()
    }

    /// The read model that this brain writes.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }
}

fn low_watermark(sources: &Sources) -> Option<Timestamp> {
    sources
        .partitions
        .values()
        .map(|state| state.progress.watermark)
        .min()
}
