//! The signal log as a topic of one partition, so that whoever takes over has it.
//!
//! An owner takes over by a record that says so, and what it writes holds only once it has read it back
//! and nobody took over before it: Kafka's own order within a partition decides, and nothing else does.
//! A writer that was stopped for an hour and wakes up writes behind the takeover of its successor,
//! and learns so before any effect of what it wrote.

mod fold;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fail::fail_point;
use foghorn_engine::Entry;
use foghorn_kafka::{Admin, KafkaError, Outgoing, OwnedRecord, Producer, Reader, SendError};
use foghorn_model::Offset;

use crate::error::StoreError;
use crate::numbers;
use fold::{Fold, Owner, Part, Taken, heads};

/// A record's payload is at most so long, in bytes: half of what a broker takes by default.
const RECORD_BYTES: usize = 512 << 10;
/// One wait for records.
const WAIT: Duration = Duration::from_millis(20);
/// So often a takeover is tried that another instance's crosses.
const TRIES: usize = 10;

/// What says that it is no use going on, and why.
pub type GivenUp = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// The clients that a log in a topic needs.
pub struct LogClients {
    /// Writes to it.
    pub producer: Box<dyn Producer>,
    /// Reads its only partition from the first record that is kept.
    pub reader: Box<dyn Reader>,
    /// Has it forget what is of no more use.
    pub admin: Box<dyn Admin + Send>,
}

/// See the module's text.
pub struct SharedLog {
    topic: String,
    me: Owner,
    clients: LogClients,
    fold: Fold,
    /// What was not read back yet.
    pending: VecDeque<Batch>,
    /// Of it, how many batches were sent.
    sent: usize,
    token: u64,
    /// See [`RECORD_BYTES`].
    record_bytes: usize,
    given_up: GivenUp,
}

/// Entries that are written in one go. However often it is sent, it is the same.
struct Batch {
    entry: u64,
    entries: u64,
    parts: Vec<Vec<u8>>,
}

impl SharedLog {
    /// Takes the log over: from here on nobody else's records count. Gives all entries that are
    /// kept, those of former owners that arrive while it is taken over among them.
    ///
    /// `name` is this start's own: no other process, before or after, has it.
    ///
    /// # Errors
    /// [`StoreError::GivenUp`], [`StoreError::Fenced`] where others keep taking over,
    /// [`StoreError::Forgotten`] where they forget meanwhile (try again), and what the cluster says.
    pub fn take_over(
        clients: LogClients,
        topic: &str,
        name: &str,
        given_up: GivenUp,
    ) -> Result<(Self, Vec<Entry>), StoreError> {
        let mut log = Self {
            topic: topic.to_owned(),
            me: Owner {
                epoch: 0,
                name: name.to_owned(),
            },
            clients,
            fold: Fold::default(),
            pending: VecDeque::new(),
            sent: 0,
            token: 0,
            record_bytes: RECORD_BYTES,
            given_up,
        };
        let mut entries = Vec::new();
        log.read_to_end(&mut entries)?;
        for _ in 0..TRIES {
            log.me.epoch = log.fold.owner().map_or(0, |owner| owner.epoch) + 1;
            if log.claim(&mut entries)? {
                return Ok((log, entries));
            }
        }
        Err(log.fenced())
    }

    fn read_to_end(&mut self, entries: &mut Vec<Entry>) -> Result<(), StoreError> {
        let (low, end) = self.clients.reader.bounds()?;
        let mut next = low;
        while next < end {
            self.go_on()?;
            for record in self.read(WAIT)? {
                next = record.offset + 1;
                self.take(&record, entries)?;
            }
        }
        Ok(())
    }

    /// Says that this is the owner, and reads until that has come back; whether it holds.
    fn claim(&mut self, entries: &mut Vec<Entry>) -> Result<bool, StoreError> {
        let (_, next) = self.fold.bounds();
        self.token += 1;
        let mut said = false;
        loop {
            self.go_on()?;
            if !said {
                said = self.send_record(next, Part::Takeover, None)?;
                fail_point!("takeover-said", |_| std::process::abort());
            }
            for ack in self.clients.producer.poll_acks(Duration::ZERO) {
                match ack.result {
                    Err(error) if error.is_fatal() => return Err(error.into()),
                    // Perhaps it is there, perhaps not: twice is no harm.
                    Err(_) => said = false,
                    Ok(_) => {}
                }
            }
            let (mut held, mut beaten) = (false, false);
            for record in self.read(WAIT)? {
                let taken = self.take(&record, entries)?;
                if self.fold.owner() == Some(&self.me) {
                    held = true;
                } else if taken && held {
                    return Err(self.fenced());
                } else {
                    beaten |= taken;
                }
            }
            if held || beaten {
                fail_point!("takeover-read-back", |_| std::process::abort());
                return Ok(held);
            }
        }
    }

    /// Takes in a record; whether somebody took over by it.
    fn take(&mut self, record: &OwnedRecord, entries: &mut Vec<Entry>) -> Result<bool, StoreError> {
        let taken = self
            .fold
            .take(record)
            .map_err(|why| self.unreadable(record.offset, why))?;
        match taken {
            Taken::Nothing => Ok(false),
            Taken::Takeover => Ok(true),
            Taken::Entries(more) => {
                entries.extend(more);
                Ok(false)
            }
        }
    }

    fn read(&mut self, wait: Duration) -> Result<Vec<OwnedRecord>, StoreError> {
        self.clients.reader.read(wait).map_err(|error| match error {
            KafkaError::Client { code, .. } if code == "AutoOffsetReset" => StoreError::Forgotten {
                topic: self.topic.clone(),
            },
            error => error.into(),
        })
    }

    fn go_on(&self) -> Result<(), StoreError> {
        (self.given_up)().map_or(Ok(()), |why| Err(StoreError::GivenUp { why }))
    }

    fn unreadable(&self, offset: Offset, why: String) -> StoreError {
        StoreError::Topic {
            topic: self.topic.clone(),
            offset,
            why,
        }
    }

    fn fenced(&self) -> StoreError {
        let owner = self.fold.owner();
        StoreError::Fenced {
            topic: self.topic.clone(),
            by: owner.map_or_else(String::new, |owner| owner.name.clone()),
            epoch: owner.map_or(0, |owner| owner.epoch),
        }
    }

    /// Queues entries behind those that are there; they hold after [`Self::sync`].
    ///
    /// # Errors
    /// One cannot be written: none of them is in the log then.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut encoded = Vec::with_capacity(entries.len());
        for entry in entries {
            let line = numbers::encode(entry.clone());
            encoded.push(line.map_err(|error| self.unreadable(-1, error.to_string()))?);
        }
        let mut batch = Batch::at(self.len());
        for (entry, mut line) in (self.len()..).zip(encoded) {
            line.push(b'\n');
            let full = batch.parts.last().map_or(0, Vec::len) + line.len() > self.record_bytes;
            if full && batch.entries > 0 {
                self.pending
                    .push_back(std::mem::replace(&mut batch, Batch::at(entry)));
            }
            batch.put(&line, self.record_bytes);
        }
        if batch.entries > 0 {
            self.pending.push_back(batch);
        }
        Ok(())
    }

    /// Waits until everything that was appended has been read back.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where somebody else has taken over: what was not read back does not
    /// hold. [`StoreError::GivenUp`], and what the cluster says.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        while !self.pending.is_empty() {
            self.go_on()?;
            self.send()?;
            self.hear(WAIT)?;
        }
        Ok(())
    }

    /// Sends what was not sent, as far as the producer takes it.
    fn send(&mut self) -> Result<(), StoreError> {
        while let Some(batch) = self.pending.get(self.sent) {
            let (entry, of) = (batch.entry, batch.parts.len() as u64);
            for number in 1..=of {
                if !self.send_record(entry, Part::Of(number, of), Some(self.sent))? {
                    // All of it again, later: parts count only where they stand together.
                    return Ok(());
                }
            }
            self.sent += 1;
            fail_point!("topic-log-sent", |_| std::process::abort());
        }
        Ok(())
    }

    /// Sends one record; `false` where there is no room at the moment.
    fn send_record(
        &mut self,
        entry: u64,
        part: Part,
        batch: Option<usize>,
    ) -> Result<bool, StoreError> {
        let heads = heads(&self.me, entry, part);
        let headers: Vec<_> = heads
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        let payload = match (part, batch) {
            (Part::Of(number, _), Some(batch)) => {
                let parts = &self.pending[batch].parts;
                parts.get(number as usize - 1).map(Vec::as_slice)
            }
            _ => None,
        };
        let record = Outgoing {
            topic: &self.topic,
            partition: Some(0),
            payload,
            headers: &headers,
            ..Outgoing::default()
        };
        self.token += 1;
        match self.clients.producer.send(&record, self.token) {
            Ok(()) => Ok(true),
            Err(SendError::Full) => Ok(false),
            Err(SendError::Refused(error)) => Err(error.into()),
        }
    }

    /// Takes in what came: acks that went wrong have what is not read back sent again.
    fn hear(&mut self, wait: Duration) -> Result<(), StoreError> {
        for ack in self.clients.producer.poll_acks(Duration::ZERO) {
            match ack.result {
                Ok(_) => {}
                Err(error) if error.is_fatal() => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, topic = self.topic, "the signal log is written again");
                    self.sent = 0;
                }
            }
        }
        for record in self.read(wait)? {
            let taken = self.fold.take(&record);
            let taken = taken.map_err(|why| self.unreadable(record.offset, why))?;
            if self.fold.owner() != Some(&self.me) {
                return Err(self.fenced());
            }
            if let Taken::Entries(entries) = taken {
                let batch = self.pending.pop_front();
                debug_assert_eq!(
                    batch.map(|it| it.entries),
                    Some(entries.len() as u64),
                    "nobody else's records count"
                );
                self.sent = self.sent.saturating_sub(1);
                fail_point!("topic-log-read-back", |_| std::process::abort());
            }
        }
        Ok(())
    }

    /// Forgets entries before a position, as far as whole records hold nothing else.
    ///
    /// # Errors
    /// What the cluster says; nothing is forgotten then.
    pub fn forget_before(&mut self, position: u64) -> Result<(), StoreError> {
        let Some(offset) = self.fold.place_of(position) else {
            return Ok(());
        };
        self.clients.admin.forget_before(&self.topic, 0, offset)?;
        fail_point!("topic-log-forgotten", |_| std::process::abort());
        self.fold.forgot(offset);
        Ok(())
    }

    /// Position of the oldest entry that is kept.
    pub fn first(&self) -> u64 {
        self.fold.bounds().0
    }

    /// Position of the next entry.
    pub fn len(&self) -> u64 {
        let last = self.pending.back().map(|batch| batch.entry + batch.entries);
        last.unwrap_or(self.fold.bounds().1)
    }

    /// Whether it never had any.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of what is kept, before compression.
    pub fn bytes(&self) -> u64 {
        self.fold.bytes()
    }

    /// How often the log was taken over, this time included.
    pub fn epoch(&self) -> u64 {
        self.me.epoch
    }
}

impl std::fmt::Debug for SharedLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedLog")
            .field("topic", &self.topic)
            .field("me", &self.me)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

impl Batch {
    fn at(entry: u64) -> Self {
        Self {
            entry,
            entries: 0,
            parts: Vec::new(),
        }
    }

    /// Adds an entry; one that is longer than a record is cut up.
    fn put(&mut self, mut line: &[u8], most: usize) {
        self.entries += 1;
        let mut last = self.parts.pop().unwrap_or_default();
        while last.len() + line.len() > most {
            let (now, later) = line.split_at(most - last.len());
            last.extend_from_slice(now);
            self.parts.push(std::mem::take(&mut last));
            line = later;
        }
        last.extend_from_slice(line);
        self.parts.push(last);
    }
}

#[cfg(test)]
mod tests;
