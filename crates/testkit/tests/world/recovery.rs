//! How a run comes back, from what is durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_correlate::{Config, Correlator, Topology, TopologyFile};
use foghorn_engine::{Entry, History, LogState};
use foghorn_ingest::Raw;
use foghorn_model::{Offset, Partition, Timestamp};
use foghorn_runtime::snapshot::{Head, SnapshotError};
use foghorn_runtime::{Layout, Pipeline};

use super::source::{Rec, World};

/// A pipeline that has seen nothing yet.
pub(crate) fn pipeline(world: &World, layout: &Layout) -> Pipeline {
    let correlator = Correlator::new(Config::default(), Topology::new(&TopologyFile::default()));
    let mut pipeline = Pipeline::new(
        Arc::clone(&world.catalog),
        &world.sources,
        correlator,
        Vec::new(),
        &Layout {
            scope_times: world.scope_times,
            ..layout.clone()
        },
    );
    pipeline.brain().keep_history();
    pipeline
}

pub(crate) fn raw(partition: Partition, offset: usize, record: &Rec) -> Raw<'_> {
    Raw {
        partition,
        offset: offset as Offset,
        timestamp: Some(record.stamp),
        payload: &record.payload,
        ..Raw::default()
    }
}

/// A snapshot, which may still be under way.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) state: LogState,
    pub(crate) head: Head,
    pub(crate) blocks: Vec<Vec<u8>>,
    pub(crate) is_whole: bool,
}

impl Snapshot {
    /// Cuts right after a step, where nothing is left to be decided; `position` entries are durable.
    pub(crate) fn begin(world: &World, pipeline: &mut Pipeline, position: u64) -> Option<Self> {
        let (head, core) = pipeline.cut(&world.files)?;
        let head = head.with_core(&core).expect("it can be packed");
        let reach_ms = world.catalog.longest_reach_ms();
        let lateness_ms = |of: Partition| world.sources[of.source as usize].allowed_lateness_ms();
        let state = pipeline.brain().log_state(position, reach_ms, lateness_ms);
        Some(Self {
            state,
            head,
            blocks: Vec::new(),
            is_whole: false,
        })
    }

    /// Takes in some more series.
    pub(crate) fn go_on(&mut self, pipeline: &mut Pipeline) {
        match pipeline.capture(1) {
            Some(block) => self.blocks.push(block),
            None => self.is_whole = true,
        }
    }
}

/// What came back.
pub(crate) struct Back {
    pub(crate) pipeline: Pipeline,
    /// What the log says.
    pub(crate) history: History,
    /// Where each partition is read from.
    pub(crate) next: BTreeMap<Partition, usize>,
}

/// Comes back as the live runtime does, from a snapshot (and whether more of it is good than what it
/// says of the log) and the log's entries after it.
pub(crate) fn come_back(
    world: &World,
    layout: &Layout,
    snapshot: Option<(&Snapshot, bool)>,
    later: &[Entry],
    wall: Timestamp,
) -> Back {
    let mut pipeline = pipeline(world, layout);
    let mut before = History::default();
    if let Some((snapshot, _)) = snapshot {
        before = snapshot.state.history.clone();
    }
    later.iter().for_each(|entry| before.take(entry));
    let usable = snapshot.filter(|(_, good)| *good).map(|(it, _)| it);
    // One of an abandoned branch says of the log what is true, and of its series nothing.
    let usable = usable.filter(|it| match it.head.check(pipeline.names(), later, &before) {
        Ok(()) => true,
        Err(SnapshotError::Abandoned { .. }) => false,
        Err(why) => panic!("{why}"),
    });
    if let Some(Snapshot { head, blocks, .. }) = usable {
        let head = head.pack().expect("it can be packed");
        let head = Head::unpack(&head).expect("a head comes back");
        pipeline
            .restore(&head, blocks.clone(), Vec::new())
            .expect("a snapshot comes back");
    }
    if let Some((snapshot, _)) = snapshot {
        let packed = snapshot.state.pack().expect("it can be packed");
        let state = LogState::unpack(&packed).expect("what the log came to comes back");
        pipeline = pipeline.after(state);
    }
    let begin = begin_of(world, &before);
    let history = pipeline.recover(later, begin);
    let mut next = BTreeMap::new();
    for partition in world.logs.keys() {
        let Some(joined) = history.joined(*partition) else {
            continue;
        };
        let lateness_ms = world.sources[partition.source as usize].allowed_lateness_ms();
        let logged = history.positions.get(partition).copied().unwrap_or(0);
        let Some(snapshot) = usable else {
            let rewound = history.rewind(*partition, begin, lateness_ms);
            let offset = rewound.unwrap_or(joined);
            pipeline.join(*partition, offset, &history.pins, logged, wall);
            next.insert(*partition, offset as usize);
            continue;
        };
        let clock = snapshot.head.clock(*partition);
        // One that it does not know has joined since.
        let at = clock.map_or(joined, |clock| clock.next_offset);
        next.insert(*partition, at as usize);
        match clock {
            Some(clock) => pipeline.rejoin(*partition, clock, &history.pins, logged, wall),
            None => pipeline.join(*partition, joined, &history.pins, logged, wall),
        }
    }
    Back {
        pipeline,
        history,
        next,
    }
}

/// From where sources are read again without a snapshot.
fn begin_of(world: &World, history: &History) -> Timestamp {
    let reach_ms = world.catalog.longest_reach_ms();
    let begin = history
        .frontier()
        .map(|closed| closed - reach_ms)
        .or(history.start.map(|(origin, _)| origin));
    begin.unwrap_or(Timestamp::MIN)
}
