//! Telemetry that comes by HTTP: one more source partition. A body is durable in the journal before
//! its sender hears of success; from there it goes through a bounded queue, and after a restart it is
//! read again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use foghorn_ingest::Raw;
use foghorn_model::{Offset, Partition, Timestamp};
use foghorn_store::{Journal, Kept, Replay, StoreError};
use foghorn_wire::Format;

use crate::clock::wall;
use crate::hub::{Hub, State, lock};

/// What became of a body that was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is durable, and on its way.
    Taken,
    /// There is no room now.
    Full,
    /// It could not be made durable: the disk's word. Nothing of it is kept.
    Failed(String),
}

/// A body on its way.
#[derive(Debug)]
struct Body {
    format: Format,
    kept: Kept,
    outcome: Arc<OnceLock<Offered>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Bodies that are not durable yet.
    pending: Vec<Body>,
    /// Bodies that are, to be read.
    queue: VecDeque<Body>,
    /// Bytes of both.
    bytes: usize,
}

/// The queue between HTTP handlers and the worker that reads it, with the journal in front. Bounded
/// in bytes.
#[derive(Debug)]
pub struct HttpQueue {
    max_bytes: usize,
    inner: Mutex<Inner>,
    filled: Condvar,
    /// Whoever holds it makes durable what is pending, for all.
    journal: Mutex<Option<Journal>>,
    marks: Marks,
}

/// What the engine's thread and the journal's tell one another: neither waits for the other's disk.
#[derive(Debug)]
struct Marks {
    /// See [`Journal::keep`].
    needed: AtomicI64,
    undecided: AtomicI64,
    bytes: AtomicU64,
    shortened: AtomicU64,
}

impl Default for Marks {
    fn default() -> Self {
        Self {
            needed: AtomicI64::new(i64::MIN),
            undecided: AtomicI64::new(i64::MIN),
            bytes: AtomicU64::new(0),
            shortened: AtomicU64::new(0),
        }
    }
}

impl Marks {
    /// Makes room in a journal and writes a group; `false` where it is full.
    fn write<'a>(
        &self,
        journal: &mut Journal,
        group: impl Iterator<Item = &'a Kept>,
    ) -> Result<bool, StoreError> {
        let mark = |mark: &AtomicI64| Timestamp(mark.load(Ordering::Relaxed));
        journal.keep(mark(&self.needed), mark(&self.undecided))?;
        let has_room = journal.has_room()?;
        if has_room {
            journal.append(group)?;
        }
        self.show(journal);
        Ok(has_room)
    }

    fn show(&self, journal: &Journal) {
        self.bytes.store(journal.bytes(), Ordering::Relaxed);
        self.shortened.store(journal.shortened(), Ordering::Relaxed);
    }
}

impl HttpQueue {
    /// A queue of at most so many bytes, with no journal yet.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            inner: Mutex::default(),
            filled: Condvar::new(),
            journal: Mutex::default(),
            marks: Marks::default(),
        }
    }

    /// Offers a body; returns when it is durable. Bodies that come while another's write is on its
    /// way are made durable together by the next one.
    pub fn offer(&self, format: Format, bytes: Vec<u8>, received: Timestamp) -> Offered {
        let outcome: Arc<OnceLock<_>> = Arc::default();
        {
            let mut inner = lock(&self.inner);
            if inner.bytes + bytes.len() > self.max_bytes && inner.bytes > 0 {
                return Offered::Full;
            }
            inner.bytes += bytes.len();
            inner.pending.push(Body {
                format,
                kept: Kept {
                    format: format.to_string(),
                    received,
                    body: bytes,
                },
                outcome: Arc::clone(&outcome),
            });
        }
        let mut journal = lock(&self.journal);
        if outcome.get().is_none() {
            self.commit(journal.as_mut());
        }
        outcome.get().cloned().unwrap_or(Offered::Full)
    }

    /// Makes what is pending durable, and lets it go on.
    fn commit(&self, journal: Option<&mut Journal>) {
        let group = std::mem::take(&mut lock(&self.inner).pending);
        let kept = group.iter().map(|body| &body.kept);
        let outcome = match journal.map(|journal| self.marks.write(journal, kept)) {
            None | Some(Ok(true)) => Offered::Taken,
            Some(Ok(false)) => Offered::Full,
            Some(Err(error)) => {
                tracing::error!(%error, bodies = group.len(), "what came by HTTP cannot be kept: its senders are told to come again");
                Offered::Failed(error.to_string())
            }
        };
        let mut inner = lock(&self.inner);
        for body in group {
            // Each is committed once, by whoever took it out.
            let _first = body.outcome.set(outcome.clone());
            if outcome == Offered::Taken {
                inner.queue.push_back(body);
            } else {
                inner.bytes -= body.kept.body.len();
            }
        }
        self.filled.notify_one();
    }

    /// From now on what comes goes through this journal.
    pub(crate) fn attach(&self, journal: Journal) {
        self.marks.show(&journal);
        *lock(&self.journal) = Some(journal);
    }

    /// Bytes of the journal, and files that it had to give up for want of room.
    pub(crate) fn journal_size(&self) -> (u64, u64) {
        let size = (&self.marks.bytes, &self.marks.shortened);
        (
            size.0.load(Ordering::Relaxed),
            size.1.load(Ordering::Relaxed),
        )
    }

    /// See [`Journal::keep`]; heeded when the next body comes.
    pub(crate) fn keep(&self, needed: Timestamp, undecided: Timestamp) {
        self.marks.needed.store(needed.ms(), Ordering::Relaxed);
        self.marks
            .undecided
            .store(undecided.ms(), Ordering::Relaxed);
    }

    /// Share of the queue that is in use.
    pub fn fill(&self) -> f64 {
        lock(&self.inner).bytes as f64 / self.max_bytes as f64
    }

    fn take(&self, at_most: Duration) -> Vec<Body> {
        let inner = lock(&self.inner);
        let (mut inner, _) = self
            .filled
            .wait_timeout_while(inner, at_most, |inner| inner.queue.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let bodies: Vec<_> = inner.queue.drain(..).collect();
        inner.bytes -= bodies.iter().map(|b| b.kept.body.len()).sum::<usize>();
        bodies
    }

    fn is_empty(&self) -> bool {
        lock(&self.inner).queue.is_empty()
    }
}

/// Bytes of bodies that are read again before others get their turn.
const REPLAYED_AT_ONCE: usize = 1 << 20;

/// The worker that reads the queue.
pub(crate) struct HttpWorker {
    pub(crate) hub: Arc<Hub>,
    pub(crate) state: Arc<State>,
    pub(crate) queue: Arc<HttpQueue>,
    pub(crate) partition: Partition,
    pub(crate) next_offset: Offset,
}

impl HttpWorker {
    /// Reads what the journal held at the start, then the queue, until the end is asked for and the
    /// queue is empty.
    pub(crate) fn run(mut self, replay: Replay) {
        match self.replay(replay) {
            Ok(true) => {}
            // What waits in the queue is in the journal.
            Ok(false) => return,
            Err(error) => return self.hub.fail(error.to_string()),
        }
        while !(self.hub.stopping() && self.queue.is_empty()) {
            let bodies = self.queue.take(Duration::from_millis(20));
            let bodies: Vec<_> = bodies
                .into_iter()
                .map(|body| (Some(body.format), body.kept))
                .collect();
            let at_end = self.queue.is_empty();
            self.feed(&bodies, at_end);
        }
    }

    /// Whether all of it was read: the end need not wait for what is in the journal still.
    fn replay(&mut self, replay: Replay) -> Result<bool, StoreError> {
        let (mut bodies, mut bytes, begun) = (Vec::new(), 0, self.next_offset);
        for found in replay {
            let (_, kept) = found?;
            bytes += kept.body.len();
            bodies.push((kept.format.parse().ok(), kept));
            if bytes >= REPLAYED_AT_ONCE {
                self.feed(&bodies, false);
                bodies.clear();
                bytes = 0;
                self.wait_while_paused();
                if self.hub.stopping() {
                    return Ok(false);
                }
            }
        }
        self.feed(&bodies, false);
        if self.next_offset > begun {
            let bodies = self.next_offset - begun;
            tracing::info!(bodies, "what came by HTTP was read again");
        }
        Ok(true)
    }

    /// It is far ahead of the slowest group: what is read waits in memory.
    fn wait_while_paused(&self) {
        while !self.hub.stopping() && lock(&self.hub.paused).contains(&self.partition) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Feeds bodies that lie at the position, one after the other.
    fn feed(&mut self, bodies: &[(Option<Format>, Kept)], at_end: bool) {
        let now = wall();
        let mut state = self.state.lock();
        for (format, kept) in bodies {
            let raw = Raw {
                partition: self.partition,
                offset: self.next_offset,
                timestamp: Some(kept.received),
                format: *format,
                payload: &kept.body,
                ..Raw::default()
            };
            if let Err(refusal) = state.feed(&raw, now) {
                tracing::warn!(
                    format = kept.format,
                    reason = refusal.code,
                    detail = refusal.detail,
                    "a body could not be decoded"
                );
            }
            self.next_offset += 1;
        }
        if let Some(facts) = state.facts.get_mut(&self.partition) {
            facts.at_end = at_end;
        }
        if !bodies.is_empty() {
            state.hand_over();
            drop(state);
            self.hub.ring();
        }
    }
}

#[cfg(test)]
mod tests;
