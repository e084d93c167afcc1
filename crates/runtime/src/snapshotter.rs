//! Writing snapshots: the one thread that packs what a cut has marked, and writes it.
//!
//! The brain's thread makes the cut and sends it here once the log that it stands on is durable. From
//! then on each shard is locked for the time of one block only, so that neither reading nor a tick
//! waits for longer than that.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use fail::fail_point;
use foghorn_engine::core::{Core, CoreSnapshot};
use foghorn_engine::{Entry, History, LogState};
use foghorn_eval::shard::Shard;
use foghorn_store::{PartKind, SnapshotTopic, Snapshots, StoreError};
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::hub::{Hub, lock};
use crate::snapshot::{Head, Restore, SnapshotError, pack_block};

/// Bytes of a block of series: about a millisecond's work.
const BLOCK: usize = 1 << 20;

/// One cut, but for the series, which the shards give.
pub(crate) struct Cut {
    pub(crate) state: LogState,
    pub(crate) head: Head,
    /// What the rules remember, still to be packed.
    pub(crate) core: CoreSnapshot,
}

/// How the last snapshot went, and how many did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    /// Wall time of the last good one, in milliseconds; 0 before the first.
    pub(crate) at_ms: i64,
    pub(crate) bytes: u64,
    pub(crate) series: u64,
    pub(crate) took: Duration,
    /// No snapshot that is kept needs what the log says before this entry.
    pub(crate) oldest: u64,
    /// Good ones so far.
    pub(crate) good: u64,
    /// Those that could not be written, so far.
    pub(crate) failed: u64,
}

/// What the brain's thread and the writer share.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    busy: AtomicBool,
    given_up: AtomicBool,
    failed: AtomicU64,
    last: Mutex<Written>,
}

impl Writing {
    /// Whether one is being written.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// The one that is being written is of no use any more; whether that is news. To be called while
    /// every shard is held.
    pub(crate) fn give_up(&self) -> bool {
        !self.given_up.swap(true, Ordering::AcqRel)
    }

    /// How the last one went.
    pub(crate) fn last(&self) -> Written {
        Written {
            failed: self.failed.load(Ordering::Relaxed),
            ..*lock(&self.last)
        }
    }
}

/// The brain's end: it makes cuts and sends them.
pub(crate) struct Cuts {
    pub(crate) writing: Arc<Writing>,
    cuts: mpsc::Sender<Cut>,
}

impl Cuts {
    /// Both ends.
    pub(crate) fn new(
        hub: Arc<Hub>,
        store: Snapshots,
        topic: Option<SnapshotTopic>,
    ) -> (Self, Snapshotter) {
        let writing = Arc::new(Writing::default());
        let (cuts, come) = mpsc::channel();
        let writer = Snapshotter {
            hub,
            store,
            topic,
            cuts: come,
            writing: Arc::clone(&writing),
        };
        (Self { writing, cuts }, writer)
    }

    /// Sends a cut, whose log is durable.
    pub(crate) fn send(&self, cut: Cut) {
        self.writing.given_up.store(false, Ordering::Release);
        self.writing.busy.store(true, Ordering::Release);
        if self.cuts.send(cut).is_err() {
            self.writing.busy.store(false, Ordering::Release);
        }
    }
}

/// See the module's text.
pub(crate) struct Snapshotter {
    hub: Arc<Hub>,
    store: Snapshots,
    /// Where they are published, for whoever takes over.
    topic: Option<SnapshotTopic>,
    cuts: mpsc::Receiver<Cut>,
    writing: Arc<Writing>,
}

impl Snapshotter {
    /// Writes what it is sent until nobody sends any more.
    pub(crate) fn run(mut self, now_ms: impl Fn() -> i64) {
        while let Ok(cut) = self.cuts.recv() {
            let began = Instant::now();
            let position = cut.state.position;
            match self.write(cut) {
                Ok(Some((bytes, series, oldest))) => {
                    let took = began.elapsed();
                    let mut last = lock(&self.writing.last);
                    *last = Written {
                        at_ms: now_ms(),
                        bytes,
                        series,
                        oldest: oldest.unwrap_or(last.oldest),
                        took,
                        good: last.good + 1,
                        failed: 0,
                    };
                    let ms = took.as_millis();
                    info!(bytes, series, ms, position, "snapshot");
                }
                Ok(None) => info!("a snapshot was given up"),
                Err(error) => {
                    self.writing.failed.fetch_add(1, Ordering::Relaxed);
                    warn!(%error, "no snapshot could be written; the last good ones stay");
                    for worker in &self.hub.workers {
                        worker.lock().shard.give_up_capture();
                    }
                }
            }
            self.writing.busy.store(false, Ordering::Release);
        }
    }

    /// Bytes and series of what was written, and what the oldest that is kept needs of the log; `None`
    /// where it was given up.
    fn write(&mut self, cut: Cut) -> Result<Option<(u64, u64, Option<u64>)>, StoreError> {
        let position = cut.state.position;
        let mut writer = self.store.begin(position)?;
        let mut series = 0;
        let log = cut.state.pack().map_err(|why| writer.unwritable(&why))?;
        writer.put(PartKind::Log, &log)?;
        let head = cut.head.with_core(&cut.core);
        let head = head
            .and_then(|head| head.pack())
            .map_err(|why| writer.unwritable(&why))?;
        writer.put(PartKind::Head, &head)?;
        for (shard, worker) in self.hub.workers.iter().enumerate() {
            loop {
                let block = worker.lock().shard.capture(BLOCK);
                let Some(block) = block else { break };
                series += block.series as u64;
                writer.put(PartKind::Series, &pack_block(shard, &block))?;
            }
        }
        if self.writing.given_up.load(Ordering::Acquire) {
            return Ok(None);
        }
        let (bytes, mut oldest) = writer.finish()?;
        if let Some(topic) = &mut self.topic {
            let published = topic.publish(&self.store.path_of(position), position)?;
            // Nobody has less than what stands in the topic.
            oldest = oldest.zip(published).map(|(one, other)| one.min(other));
        }
        Ok(Some((bytes, series, oldest)))
    }
}

/// What comes back from the log and the snapshots.
pub(crate) struct Found {
    /// What a snapshot says that the log came to.
    pub(crate) state: Option<LogState>,
    /// What it said after that.
    pub(crate) later: Vec<Entry>,
    /// What both say to a restart.
    pub(crate) history: History,
    /// What need not be read again.
    pub(crate) restored: Option<Restored>,
}

/// What need not be read again.
pub(crate) struct Restored {
    pub(crate) head: Head,
    pub(crate) core: Core,
    pub(crate) shards: Vec<Shard>,
}

/// What a start knows beside its snapshots.
pub(crate) struct Known<'a> {
    /// Sources as a snapshot knows them.
    pub(crate) names: &'a [String],
    /// Position of the log's first entry.
    pub(crate) first: u64,
    /// Makes a core that has seen nothing, under the rules that a log holds to be in force.
    pub(crate) fresh: &'a dyn Fn(&History) -> Core,
    pub(crate) shards: usize,
}

/// Goes on from the newest snapshot that is whole. Where its series do not fit the log, the rules or the
/// sources, what it says of the log is good all the same.
///
/// # Errors
/// What the system says, and [`StoreError::NoBeginning`].
pub(crate) fn find(
    store: &Snapshots,
    known: &Known<'_>,
    mut entries: Vec<Entry>,
) -> Result<Found, StoreError> {
    let all = store.newest_first()?;
    for path in &all {
        let began = Instant::now();
        let snapshot = path.display();
        match read(path, known, &entries) {
            Ok((one, restored)) => {
                if let Some(why) = one.unfit {
                    warn!(%snapshot, %why, "a snapshot's series do not fit and are not used: the sources are read again");
                }
                let restored = restored.map(|(restored, series)| {
                    let ms = began.elapsed().as_millis();
                    info!(%snapshot, series, ms, "gone on from a snapshot");
                    fail_point!("restored", |_| std::process::abort());
                    restored
                });
                let later = entries.split_off((one.state.position - known.first) as usize);
                return Ok(Found {
                    state: Some(one.state),
                    later,
                    history: one.history,
                    restored,
                });
            }
            Err(Refused::Unfit(why)) => {
                warn!(%snapshot, %why, "a snapshot does not fit and is not used");
            }
            Err(Refused::Unreadable(error @ StoreError::Corrupt { .. })) => {
                error!(%error, "a snapshot is corrupt and is not used");
                store.put_aside(path)?;
            }
            Err(Refused::Unreadable(error)) => {
                error!(%error, "a snapshot cannot be read and is not used");
            }
        }
    }
    if known.first > 0 {
        return Err(store.no_beginning(known.first));
    }
    if !all.is_empty() {
        warn!("no snapshot can be used: the sources are read again as far back as the rules reach");
    }
    Ok(Found {
        state: None,
        history: History::read(&entries),
        later: entries,
        restored: None,
    })
}

enum Refused {
    Unreadable(StoreError),
    Unfit(SnapshotError),
}

/// One snapshot's contents.
struct One {
    state: LogState,
    history: History,
    begun: Option<(Head, Restore)>,
    /// Why its series are of no use.
    unfit: Option<SnapshotError>,
}

/// Its contents, and what need not be read again, with the number of series.
type Whole = (One, Option<(Restored, usize)>);

fn read(path: &Path, known: &Known<'_>, entries: &[Entry]) -> Result<Whole, Refused> {
    let (mut one, mut refused) = (None, None);
    let read = Snapshots::read(path, &mut |kind, part| {
        let taken = match (kind, &mut one) {
            (PartKind::Log, one) => log_of(&part, known, entries).map(|it| *one = Some(it)),
            (_, None) => Err(SnapshotError::Missing("beginning")),
            (PartKind::Head, Some(one)) => begin(one, &part, known, entries),
            (PartKind::Series, Some(One { begun, .. })) => match begun {
                Some((_, restore)) => restore.take(part),
                // Of no use.
                None => Ok(()),
            },
        };
        taken.map_err(|why| {
            let text = why.to_string();
            refused = Some(why);
            text
        })
    });
    match (read, refused, one) {
        (_, Some(why), _) if why.is_no_damage() => Err(Refused::Unfit(why)),
        (Err(error), ..) => Err(Refused::Unreadable(error)),
        (Ok(()), _, None) => Err(Refused::Unfit(SnapshotError::Missing("beginning"))),
        (Ok(()), _, Some(one)) => one.finish(path),
    }
}

impl One {
    fn finish(mut self, path: &Path) -> Result<Whole, Refused> {
        let Some((head, restore)) = self.begun.take() else {
            return Ok((self, None));
        };
        let finished = restore.finish().map_err(|why| {
            Refused::Unreadable(StoreError::Corrupt {
                path: path.to_owned(),
                at: 0,
                why: why.to_string(),
            })
        });
        let (core, shards, series) = finished?;
        Ok((self, Some((Restored { head, core, shards }, series))))
    }
}

fn log_of(part: &[u8], known: &Known<'_>, entries: &[Entry]) -> Result<One, SnapshotError> {
    let state = LogState::unpack(part)?;
    let later = later(&state, known.first, entries);
    let later = later.ok_or(SnapshotError::Log {
        first: known.first,
        end: known.first + entries.len() as u64,
        wanted: state.position,
    })?;
    let mut history = state.history.clone();
    later.iter().for_each(|entry| history.take(entry));
    Ok(One {
        state,
        history,
        begun: None,
        unfit: None,
    })
}

/// What the log said after a snapshot.
fn later<'a>(state: &LogState, first: u64, entries: &'a [Entry]) -> Option<&'a [Entry]> {
    entries.get(usize::try_from(state.position.checked_sub(first)?).ok()?..)
}

fn begin(
    one: &mut One,
    part: &[u8],
    known: &Known<'_>,
    entries: &[Entry],
) -> Result<(), SnapshotError> {
    let head = Head::unpack(part)?;
    let later = later(&one.state, known.first, entries).unwrap_or_default();
    match head.check(known.names, later, &one.history) {
        Ok(()) => {
            let core = (known.fresh)(&one.history);
            let restore = Restore::begin(&head, core, known.shards)?;
            one.begun = Some((head, restore));
        }
        Err(why) => one.unfit = Some(why),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
