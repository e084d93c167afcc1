//! The outbox: every incident revision, until every sink has it.
//!
//! What is put into it follows from the signal log, which is durable already: a crash that takes
//! the end of this file with it costs a redelivery at most, since the log is folded again and says
//! the same. So it is fsynced in the background, and nobody waits for it.
//!
//! The file `outbox.log` holds items in order, `outbox.cursors` how far each sink has come. What
//! all sinks have passed is dropped, and the file rewritten now and then. The highest revision
//! of each incident is remembered beyond that, so that a replay after a crash says nothing twice.

mod cursors;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use fail::fail_point;
use foghorn_model::incident::Status;
use foghorn_model::{Incident, IncidentId};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::frame::FileKind;
use crate::lock::DirLock;
use crate::numbers::{self, Numbers};
use crate::segment::{Segment, Syncing};
use cursors::{Cursors, CursorsFile};

const KIND: FileKind = FileKind {
    magic: *b"FHOUTBOX",
    version: 1,
    name: "outbox",
};

/// The file is rewritten when it has grown by so many bytes, and more than half of it is of no
/// more use.
const REWRITE_AFTER: u64 = 8 << 20;

/// Items that are held for the slowest sink before superseded revisions are dropped.
pub const HELD_BOUND: usize = 4096;

/// One revision of an incident, in its place in the queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutboxItem {
    /// Position: rises by at least 1 from item to item, from 1, over restarts too.
    pub seq: u64,
    /// The revision.
    pub incident: Arc<Incident>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Record {
    Item(OutboxItem),
    /// What was known when the file was rewritten.
    Known {
        next: u64,
        revisions: Vec<(IncidentId, u32)>,
    },
}

impl Numbers for Record {
    fn numbers(&mut self, visit: &mut dyn FnMut(&mut f64)) {
        if let Self::Item(item) = self {
            Arc::make_mut(&mut item.incident).numbers(visit);
        }
    }
}

/// The queue in front of the sinks.
#[derive(Debug)]
pub struct Outbox {
    disk: Option<Disk>,
    cursors: Cursors,
    /// Whether somebody said which sinks there are; until then nothing is dropped.
    named: bool,
    /// Items that some sink has not delivered.
    items: BTreeMap<u64, Arc<Incident>>,
    known: BTreeMap<IncidentId, u32>,
    next: u64,
    /// Whether something was appended that was not made durable since.
    unsynced: bool,
    superseded: u64,
    /// Do not thin out again before there are so many.
    thin_at: usize,
    /// What each sink has acknowledged, where whoever takes over is to know.
    told: Option<Told>,
}

/// Per sink, the highest revision of each incident that it acknowledged.
pub type Acknowledged = BTreeMap<String, BTreeMap<IncidentId, u32>>;

#[derive(Debug, Default)]
struct Told {
    all: Acknowledged,
    /// Of it, what nobody was told of yet.
    news: Acknowledged,
}

#[derive(Debug)]
struct Disk {
    segment: Segment,
    /// Bytes after the last rewrite.
    base: u64,
    _lock: DirLock,
}

impl Outbox {
    /// Opens or creates the outbox in `dir`. A torn last record is cut off with a warning.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another process has it, [`StoreError::Corrupt`] where a record
    /// before the end cannot be read, and what the system says.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let lock = DirLock::take(dir, "outbox.lock")?;
        let mut outbox = Self {
            cursors: Cursors::open(dir.join("outbox.cursors"))?,
            ..Self::memory()
        };
        let segment = Segment::open(dir.join("outbox.log"), KIND, &mut |payload| {
            outbox.recall(numbers::decode(payload).map_err(|error| error.to_string())?);
            Ok(())
        })?;
        // Also where the log was taken away and the cursors left: nothing new is behind a cursor.
        outbox.next = outbox.next.max(outbox.cursors.highest() + 1);
        outbox.disk = Some(Disk {
            base: segment.bytes(),
            segment,
            _lock: lock,
        });
        outbox.drop_passed();
        Ok(outbox)
    }

    /// An outbox that no disk keeps: for replays and tests.
    pub fn memory() -> Self {
        Self {
            disk: None,
            cursors: Cursors::default(),
            named: false,
            items: BTreeMap::new(),
            known: BTreeMap::new(),
            next: 1,
            unsynced: false,
            superseded: 0,
            thin_at: HELD_BOUND,
            told: None,
        }
    }

    /// An outbox that no disk keeps, since others may take over: sinks have acknowledged this before,
    /// and what they acknowledge from now on is given by [`Self::take_acknowledged`].
    pub fn taken_over(told: Acknowledged) -> Self {
        Self {
            told: Some(Told {
                all: told,
                news: Acknowledged::new(),
            }),
            ..Self::memory()
        }
    }

    /// Whether some sink may still want this revision: one that is known has not acknowledged it, or
    /// none is known and the incident is not over.
    pub fn is_wanted(&self, incident: &Incident) -> bool {
        let Some(told) = &self.told else {
            return true;
        };
        let lacks = |of: &BTreeMap<IncidentId, u32>| {
            of.get(&incident.id).copied().unwrap_or(0) < incident.revision
        };
        !matches!(incident.status, Status::Closed) || told.all.values().any(lacks)
    }

    /// What sinks have acknowledged since this was last asked.
    pub fn take_acknowledged(&mut self) -> Acknowledged {
        let told = self.told.as_mut();
        told.map(|told| std::mem::take(&mut told.news))
            .unwrap_or_default()
    }

    /// Has a sink acknowledged this, before somebody took over?
    fn has_told(&self, sink: &str, incident: &Incident) -> bool {
        let told = self.told.as_ref().and_then(|told| told.all.get(sink));
        told.and_then(|told| told.get(&incident.id))
            .is_some_and(|revision| *revision >= incident.revision)
    }

    /// Names the sinks that there are. A removed sink's items are given up; a new one begins where
    /// the slowest was. Call it once at the start and at each reload.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_sinks(&mut self, sinks: &[&str]) -> Result<(), StoreError> {
        self.cursors.set(sinks)?;
        self.named = true;
        self.drop_passed();
        Ok(())
    }

    /// The highest revision of each incident that was ever appended (and not forgotten).
    pub fn known(&self) -> &BTreeMap<IncidentId, u32> {
        &self.known
    }

    /// Forgets incidents that no replay can bring up again.
    pub fn forget(&mut self, gone: impl Fn(IncidentId) -> bool) {
        self.known.retain(|id, _| !gone(*id));
    }

    /// Writes revisions to the end, without those that are known already (a replay's); returns how
    /// many were new. Sinks see them at once: they must follow from what is durable elsewhere.
    ///
    /// # Errors
    /// What the system says; none of the revisions is in the outbox then.
    pub fn append(&mut self, incidents: &[Incident]) -> Result<usize, StoreError> {
        let mut new: Vec<OutboxItem> = Vec::new();
        let mut seen = BTreeMap::new();
        for incident in incidents {
            let before = seen
                .get(&incident.id)
                .or_else(|| self.known.get(&incident.id));
            if before.is_none_or(|revision| *revision < incident.revision) {
                seen.insert(incident.id, incident.revision);
                let seq = self.next + new.len() as u64;
                new.push(OutboxItem {
                    seq,
                    incident: Arc::new(incident.clone()),
                });
            }
        }
        if let Some(disk) = &mut self.disk {
            let mut frames = Vec::new();
            for item in &new {
                disk.frame(Record::Item(item.clone()), &mut frames)?;
            }
            disk.segment.append(&frames)?;
        }
        let count = new.len();
        self.unsynced |= count > 0;
        for item in new {
            self.recall(Record::Item(item));
        }
        self.drop_passed();
        if self.items.len() > self.thin_at {
            self.thin_out();
        }
        Ok(count)
    }

    /// What a sink has not delivered, oldest first; nothing for a sink that was never named.
    pub fn pending<'a>(&'a self, sink: &'a str) -> impl Iterator<Item = OutboxItem> + 'a {
        let from = self.cursors.of(sink).unwrap_or(u64::MAX - 1) + 1;
        let items = self.items.range(from..);
        let wanted = items.filter(move |(_, incident)| !self.has_told(sink, incident));
        wanted.map(|(&seq, incident)| OutboxItem {
            seq,
            incident: Arc::clone(incident),
        })
    }

    /// A sink has delivered everything up to and including `seq`. Durable when what
    /// [`Self::take_unsaved`] gives is written; until then a crash makes it deliver again.
    pub fn delivered(&mut self, sink: &str, seq: u64) {
        if let Some(told) = &mut self.told {
            let from = self.cursors.of(sink).unwrap_or(seq) + 1;
            for (_, incident) in self.items.range(from.min(seq + 1)..=seq) {
                for known in [&mut told.all, &mut told.news] {
                    let of = known.entry(sink.to_owned()).or_default();
                    let revision = of.entry(incident.id).or_default();
                    *revision = incident.revision.max(*revision);
                }
            }
        }
        self.cursors.advance(sink, seq.min(self.next - 1));
        self.drop_passed();
    }

    /// What is to be made durable, to be written while the outbox is used on. Rewrites the file
    /// where most of it is of no more use. Call it about once a second, and at the end.
    ///
    /// # Errors
    /// What the system says; the outbox takes nothing more after a failed fsync.
    pub fn take_unsaved(&mut self) -> Result<Unsaved, StoreError> {
        let grown = self
            .disk
            .as_ref()
            .map_or(0, |disk| disk.segment.bytes() - disk.base);
        if grown > REWRITE_AFTER {
            self.rewrite()?;
        }
        let disk = self.disk.as_ref().filter(|_| self.unsynced);
        let log = disk.map(|disk| disk.segment.syncing()).transpose()?;
        let cursors = self.cursors.take_unsaved()?;
        self.unsynced = false;
        Ok(Unsaved { log, cursors })
    }

    /// What was taken could not be written: it is to be written still.
    pub fn not_saved(&mut self, unsaved: &Unsaved) {
        self.unsynced |= unsaved.log.is_some();
        if unsaved.cursors.is_some() {
            self.cursors.not_saved();
        }
    }

    /// Rewrites the file with what is still needed.
    ///
    /// # Errors
    /// What the system says; the file is as it was then.
    pub fn rewrite(&mut self) -> Result<(), StoreError> {
        let Some(disk) = &mut self.disk else {
            return Ok(());
        };
        let revisions = self
            .known
            .iter()
            .map(|(&id, &revision)| (id, revision))
            .collect();
        let mut frames = Vec::new();
        disk.frame(
            Record::Known {
                next: self.next,
                revisions,
            },
            &mut frames,
        )?;
        for (&seq, incident) in &self.items {
            let item = OutboxItem {
                seq,
                incident: Arc::clone(incident),
            };
            disk.frame(Record::Item(item), &mut frames)?;
        }
        disk.segment.rewrite(&frames)?;
        disk.base = disk.segment.bytes();
        self.unsynced = false;
        Ok(())
    }

    /// Items that some sink has not delivered.
    pub fn held(&self) -> usize {
        self.items.len()
    }

    /// Revisions that were dropped because a later one of the same incident waits too, and more
    /// than [`HELD_BOUND`] items were held.
    pub fn superseded(&self) -> u64 {
        self.superseded
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.disk.as_ref().map_or(0, |disk| disk.segment.bytes())
    }

    fn recall(&mut self, record: Record) {
        match record {
            Record::Item(OutboxItem { seq, incident }) => {
                let known = self.known.entry(incident.id).or_default();
                *known = incident.revision.max(*known);
                self.next = self.next.max(seq + 1);
                self.items.insert(seq, incident);
            }
            Record::Known { next, revisions } => {
                self.next = self.next.max(next);
                self.known.extend(revisions);
            }
        }
    }

    /// Drops what all sinks have passed: everything where there is none.
    fn drop_passed(&mut self) {
        if !self.named {
            return;
        }
        let passed = self.cursors.lowest().unwrap_or(self.next - 1);
        while self
            .items
            .first_key_value()
            .is_some_and(|(seq, _)| *seq <= passed)
        {
            self.items.pop_first();
        }
    }

    /// Over the bound: of each incident the latest revision stays, which carries everything, and
    /// where that one is an end, the latest before it that was not, so that no sink hears of an
    /// end without a beginning.
    fn thin_out(&mut self) {
        let (mut latest, mut begun) = (BTreeMap::new(), BTreeSet::new());
        let mut needless = Vec::new();
        for (&seq, incident) in self.items.iter().rev() {
            let over = matches!(incident.status, Status::Resolved | Status::Closed);
            let ends = *latest.entry(incident.id).or_insert_with(|| {
                if !over {
                    begun.insert(incident.id);
                }
                seq
            }) == seq;
            if !ends && (over || !begun.insert(incident.id)) {
                needless.push(seq);
            }
        }
        for seq in &needless {
            self.items.remove(seq);
        }
        self.superseded += needless.len() as u64;
        self.thin_at = HELD_BOUND.max(self.items.len() + self.items.len() / 4);
        tracing::warn!(
            dropped = needless.len(),
            held = self.items.len(),
            "a sink is far behind: superseded revisions were dropped, the latest of each incident stays"
        );
    }
}

/// What an outbox wants on disk.
#[derive(Debug)]
#[must_use = "nothing is durable before it is written"]
pub struct Unsaved {
    log: Option<Syncing>,
    cursors: Option<CursorsFile>,
}

impl Unsaved {
    /// Makes it durable: the items first, so that no cursor is ahead of them.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self) -> Result<(), StoreError> {
        if let Some(log) = &self.log {
            log.run()?;
        }
        fail_point!("outbox-durable", |_| std::process::abort());
        self.cursors.as_ref().map_or(Ok(()), CursorsFile::write)
    }
}

impl Disk {
    fn frame(&self, record: Record, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let payload = numbers::encode(record).map_err(|error| StoreError::Unwritable {
            path: self.segment.path().to_owned(),
            why: error.to_string(),
        })?;
        self.segment.frame(&payload, out)
    }
}

#[cfg(test)]
mod tests;
