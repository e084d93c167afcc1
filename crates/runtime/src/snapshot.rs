//! A snapshot's contents: one cut through everything that thought remembers.
//!
//! A cut has what the log comes to ([`foghorn_engine::LogState`]) and a head, both made at one instant,
//! and blocks of series, which are packed a few at a time afterwards and stand as they stood then. Head
//! and series are good for those rules, sources and scopes under which they were made, and only while
//! the log says nothing after the cut that contradicts them. Without them the sources are read again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;

use foghorn_engine::core::{Core, CoreSnapshot, RestoreError};
use foghorn_engine::{Entry, History, RuleFile};
use foghorn_eval::clock::ClockState;
use foghorn_eval::scope::World;
use foghorn_eval::shard::{AdoptError, Block, Image, Ranks, Shard, ShardState, unpack};
use foghorn_ingest::{DedupState, SourceConfig};
use foghorn_model::{Offset, Partition};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::scoping::scope_of;

/// What is remembered beside the series of the shards.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Head {
    /// The rules in force.
    pub files: Vec<RuleFile>,
    /// Sources, by position, and what they say of scopes.
    pub sources: Vec<String>,
    /// What has been read of each partition.
    pub clocks: Vec<(Partition, ClockState)>,
    /// Ids of records that may come twice.
    pub dedup: Vec<DedupState>,
    /// Per shard, per world: what it knows beside its series.
    pub shards: Vec<Vec<ShardState>>,
    /// What the rules remember, packed: see [`CoreSnapshot::pack`].
    pub core: ByteBuf,
}

/// Why a snapshot cannot be gone on from. It is no error of the log's: the sources are read again
/// from further back.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It was made under other rules.
    #[error("it was made under other rules than those that the log holds to be in force")]
    Rules,
    /// It was made of other sources.
    #[error("it was made of other sources, or other scopes of them")]
    Sources,
    /// The log ends before it, or begins after it.
    #[error("it stands at entry {wanted}, and the log has those from {first} to {end}")]
    Log {
        /// The log's first entry.
        first: u64,
        /// The one behind its last.
        end: u64,
        /// Entries before the cut.
        wanted: u64,
    },
    /// It has read past a decision that the log holds and it does not know.
    #[error(
        "it is of an abandoned branch: it has read {partition} up to {read}, and the log decided \
         otherwise at {decided}"
    )]
    Abandoned {
        /// Where.
        partition: Partition,
        /// Up to which offset it has read.
        read: Offset,
        /// The offset of the decision.
        decided: Offset,
    },
    /// Its head, or what it says of the log, cannot be read.
    #[error("its head cannot be read: {0}")]
    Head(#[from] rmp_serde::decode::Error),
    /// A part of it is missing.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// The rules' memory.
    #[error(transparent)]
    Core(#[from] RestoreError),
    /// A series.
    #[error(transparent)]
    Series(#[from] AdoptError),
    /// The system has no thread left.
    #[error("no thread could be started: {0}")]
    Thread(std::io::Error),
}

impl SnapshotError {
    /// Whether it says that the snapshot is whole, and only does not fit.
    pub fn is_no_damage(&self) -> bool {
        matches!(
            self,
            Self::Rules | Self::Sources | Self::Log { .. } | Self::Abandoned { .. }
        )
    }
}

/// Which shard a block of series is of.
#[derive(Debug, Serialize, Deserialize)]
struct BlockHead {
    shard: usize,
    world: Option<World>,
}

/// What a snapshot must know of its sources: their names and what they say of scopes.
pub fn names_of(sources: &[SourceConfig]) -> Vec<String> {
    let scoped = sources.iter().map(|source| (source, scope_of(source)));
    scoped
        .map(|(source, scope)| format!("{}: {scope:?}", source.name))
        .collect()
}

impl Head {
    /// With what the rules remember, packed: that takes a while, and nobody needs to wait for it.
    ///
    /// # Errors
    /// As [`Head::pack`].
    pub fn with_core(self, core: &CoreSnapshot) -> Result<Self, rmp_serde::encode::Error> {
        let core = core.pack()?.into();
        Ok(Self { core, ..self })
    }

    /// As bytes.
    ///
    /// # Errors
    /// It holds what cannot be written: a mistake of ours.
    pub fn pack(&self) -> Result<Vec<u8>, rmp_serde::encode::Error> {
        rmp_serde::to_vec_named(self)
    }

    /// From bytes.
    ///
    /// # Errors
    /// They are not a head's.
    pub fn unpack(bytes: &[u8]) -> Result<Self, SnapshotError> {
        Ok(rmp_serde::from_slice(bytes)?)
    }

    /// Whether it may be gone on from: under these sources, with a log that says `later` after the cut,
    /// and all in all `history`.
    ///
    /// # Errors
    /// It may not, and why.
    pub fn check(
        &self,
        sources: &[String],
        later: &[Entry],
        history: &History,
    ) -> Result<(), SnapshotError> {
        if self.sources != sources {
            return Err(SnapshotError::Sources);
        }
        if history.files.as_ref() != Some(&self.files) {
            return Err(SnapshotError::Rules);
        }
        let read: BTreeMap<_, _> = self.clocks.iter().copied().collect();
        for entry in later {
            let decided = match entry {
                Entry::Pin(pin) | Entry::Join { pin, .. } => vec![(pin.partition, pin.offset)],
                Entry::Lowered {
                    partition, offset, ..
                }
                | Entry::Arrival {
                    partition, offset, ..
                } => vec![(*partition, *offset)],
                Entry::TurnedAway { decisions } => {
                    let decisions = decisions.iter();
                    decisions.map(|it| (it.partition, it.offset)).collect()
                }
                _ => continue,
            };
            for (partition, decided) in decided {
                let clock = read.get(&partition);
                if let Some(clock) = clock.filter(|clock| decided < clock.next_offset) {
                    return Err(SnapshotError::Abandoned {
                        partition,
                        read: clock.next_offset,
                        decided,
                    });
                }
            }
        }
        Ok(())
    }

    /// What had been read of a partition.
    pub fn clock(&self, partition: Partition) -> Option<ClockState> {
        let mut clocks = self.clocks.iter();
        clocks.find(|(of, _)| *of == partition).map(|(_, at)| *at)
    }
}

/// A block of series of a shard, as bytes.
pub fn pack_block(shard: usize, block: &Block) -> Vec<u8> {
    let head = BlockHead {
        shard,
        world: block.world.clone(),
    };
    let head = rmp_serde::to_vec(&head).unwrap_or_default();
    let mut bytes = Vec::with_capacity(head.len() + block.bytes.len() + 4);
    bytes.extend_from_slice(&(head.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(&block.bytes);
    bytes
}

/// Builds what goes on from a snapshot: feed it blocks, then take the shards. Some threads unpack series,
/// block by block in turns, and one takes them in, in their order, while whoever feeds it reads on.
pub struct Restore {
    core: Core,
    /// Where the next block goes, and the ones after it.
    unpackers: VecDeque<SyncSender<Vec<u8>>>,
    unpacking: Vec<JoinHandle<()>>,
    adopting: Option<JoinHandle<Result<Adopting, SnapshotError>>>,
}

/// Threads that unpack: that takes twice as long as taking in.
const UNPACKERS: usize = 2;

/// Series of one shard of the snapshot, in one world.
struct Unpacked {
    of: (usize, Option<World>),
    series: Vec<Image>,
}

/// Blocks that wait before each of the two.
const AHEAD: usize = 4;

impl Unpacked {
    /// From a block that [`pack_block`] made.
    fn of(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let torn = || SnapshotError::Missing("whole block of series");
        let (len, rest) = bytes.split_first_chunk().ok_or_else(torn)?;
        let len = u32::from_le_bytes(*len) as usize;
        let (head, series) = rest.split_at_checked(len).ok_or_else(torn)?;
        let BlockHead { shard, world } = rmp_serde::from_slice(head)?;
        let series = unpack(series).collect::<Result<_, _>>()?;
        Ok(Self {
            of: (shard, world),
            series,
        })
    }
}

/// The part of a [`Restore`] that takes series in.
struct Adopting {
    shards: Vec<Shard>,
    /// Per shard of the snapshot and world: the ranks of its partitions in each new shard.
    ranks: BTreeMap<(usize, Option<World>), Vec<Ranks>>,
    series: usize,
}

impl Adopting {
    fn take(&mut self, unpacked: Unpacked) -> Result<(), SnapshotError> {
        let ranks = self.ranks.get(&unpacked.of);
        let ranks = ranks.ok_or(SnapshotError::Missing("such shard"))?;
        let world = unpacked.of.1.as_ref();
        for image in unpacked.series {
            let owner = (image.fingerprint().0 % self.shards.len() as u128) as usize;
            self.shards[owner].adopt(world, image, &ranks[owner])?;
            self.series += 1;
        }
        Ok(())
    }
}

impl Restore {
    /// Begins with a head that was [checked](Head::check), and a core that has seen nothing.
    ///
    /// # Errors
    /// The head does not fit these rules, or the system has no thread left.
    pub fn begin(head: &Head, mut core: Core, shards: usize) -> Result<Self, SnapshotError> {
        core.restore(&head.core)?;
        let shards = (0..shards).map(|_| Shard::new(Arc::clone(core.catalog())));
        let mut shards: Vec<_> = shards.collect();
        let mut ranks = BTreeMap::new();
        for (from, states) in head.shards.iter().enumerate() {
            for state in states {
                let ranked = shards.iter_mut().map(|shard| shard.learn(state));
                ranks.insert((from, state.world.clone()), ranked.collect());
            }
        }
        let mut adopting = Adopting {
            shards,
            ranks,
            series: 0,
        };
        let thread = || std::thread::Builder::new().name("restore".to_owned());
        let (mut unpackers, mut unpacking) = (VecDeque::new(), Vec::new());
        let mut ready = Vec::new();
        for _ in 0..UNPACKERS {
            let (blocks, given) = mpsc::sync_channel::<Vec<u8>>(AHEAD);
            let (unpacked, next) = mpsc::sync_channel(AHEAD);
            let unpack = move || {
                let all = given.iter().map(|block| Unpacked::of(&block));
                // Where nobody takes it in something was wrong before: who was to says what.
                let _ended = all.map(|one| unpacked.send(one)).find(Result::is_err);
            };
            unpackers.push_back(blocks);
            unpacking.push(thread().spawn(unpack).map_err(SnapshotError::Thread)?);
            ready.push(next);
        }
        let adopt = move || {
            for next in ready.iter().cycle() {
                let Ok(unpacked) = next.recv() else {
                    break;
                };
                adopting.take(unpacked?)?;
            }
            Ok(adopting)
        };
        Ok(Self {
            core,
            unpackers,
            unpacking,
            adopting: Some(thread().spawn(adopt).map_err(SnapshotError::Thread)?),
        })
    }

    /// Takes in a block that [`pack_block`] made; what is wrong with it may show later only.
    ///
    /// # Errors
    /// It, or one before it, is not one of this snapshot's.
    pub fn take(&mut self, block: Vec<u8>) -> Result<(), SnapshotError> {
        self.unpackers.rotate_left(1);
        match self.unpackers.back().map(|next| next.send(block)) {
            Some(Ok(())) => Ok(()),
            // Nobody takes it: something was wrong before.
            _ => self.adopted().map(drop),
        }
    }

    fn adopted(&mut self) -> Result<Adopting, SnapshotError> {
        let gone = || SnapshotError::Missing("thread that takes it in");
        self.unpackers.clear();
        let adopted = self.adopting.take().ok_or_else(gone)?.join();
        let mut unpacked = self.unpacking.drain(..).map(JoinHandle::join);
        if unpacked.any(|ended| ended.is_err()) {
            return Err(gone());
        }
        adopted.unwrap_or_else(|_| Err(gone()))
    }

    /// The core and the shards, and how many series they hold.
    ///
    /// # Errors
    /// Some block was not one of this snapshot's.
    pub fn finish(mut self) -> Result<(Core, Vec<Shard>, usize), SnapshotError> {
        let Adopting { shards, series, .. } = self.adopted()?;
        Ok((self.core, shards, series))
    }
}

#[cfg(test)]
mod tests {
    use foghorn_engine::Pin;
    use foghorn_eval::clock::{PartitionClock, TimeRules};
    use foghorn_eval::intake::TurnedAway;
    use foghorn_model::{SeriesKey, Timestamp};

    use super::*;

    const READ: Partition = Partition::new(0, 0);
    const OTHER: Partition = Partition::new(0, 1);

    fn files(text: &str) -> Vec<RuleFile> {
        vec![RuleFile {
            path: "r.yaml".to_owned(),
            text: text.to_owned(),
        }]
    }

    /// Has read one partition up to offset 10.
    fn head() -> Head {
        let clock = PartitionClock::new(TimeRules::default(), 10, Vec::new());
        Head {
            files: files("groups: []"),
            sources: vec!["metrics".to_owned()],
            clocks: vec![(READ, clock.state())],
            dedup: Vec::new(),
            shards: Vec::new(),
            core: ByteBuf::new(),
        }
    }

    fn checked(sources: &str, rules: &str, later: &[Entry]) -> Result<(), SnapshotError> {
        let mut history = History::read(&[Entry::Rules {
            files: files(rules),
        }]);
        later.iter().for_each(|entry| history.take(entry));
        let head = Head::unpack(&head().pack().unwrap()).unwrap();
        head.check(&[sources.to_owned()], later, &history)
    }

    fn check(later: &Entry, expect: bool) {
        let checked = checked("metrics", "groups: []", std::slice::from_ref(later));
        assert_eq!(checked.is_ok(), expect, "{later:?}: {checked:?}");
    }

    #[test]
    fn what_was_decided_of_records_that_it_has_read_is_of_another_branch() {
        for (partition, offset, expect) in [
            (READ, 9, false),
            (READ, 10, true),
            (READ, 11, true),
            (OTHER, 9, true),
        ] {
            let (tick, stamp, until) = (Timestamp(1), Timestamp(1), Timestamp(1));
            let pin = Pin {
                partition,
                offset,
                tick,
            };
            check(&Entry::Pin(pin), expect);
            check(
                &Entry::Join {
                    pin,
                    topic: String::new(),
                },
                expect,
            );
            check(
                &Entry::Lowered {
                    partition,
                    offset,
                    stamp,
                },
                expect,
            );
            check(
                &Entry::Arrival {
                    partition,
                    offset,
                    signals: Vec::new(),
                    changes: Vec::new(),
                    alerts: Vec::new(),
                    edges: Vec::new(),
                },
                expect,
            );
            let decision = TurnedAway {
                partition,
                offset,
                key: SeriesKey(1),
                until,
            };
            check(
                &Entry::TurnedAway {
                    decisions: vec![decision],
                },
                expect,
            );
        }
    }

    #[test]
    fn other_rules_and_other_sources_are_told_apart_from_damage() {
        assert!(checked("metrics", "groups: []", &[]).is_ok());
        for other in [
            checked("metrics", "groups: [ ]", &[]),
            checked("logs", "groups: []", &[]),
        ] {
            assert!(other.is_err_and(|why| why.is_no_damage()));
        }
    }
}
