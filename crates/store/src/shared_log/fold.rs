//! What a topic of entries says, record by record: the same for everybody who reads it.
//!
//! A record counts only if the latest takeover before it, in the topic's own order, is its writer's,
//! and if it holds the entry that comes next. So a writer that was overtaken writes in vain, however
//! late it wakes up, and a record that was sent twice counts once.

use std::collections::VecDeque;

use foghorn_engine::Entry;
use foghorn_kafka::OwnedRecord;
use foghorn_model::Offset;

use crate::numbers;

/// The version of the records.
const FORMAT: u64 = 1;

pub(crate) const FORMAT_HEADER: &str = "foghorn-format";
pub(crate) const EPOCH_HEADER: &str = "foghorn-epoch";
pub(crate) const OWNER_HEADER: &str = "foghorn-owner";
pub(crate) const ENTRY_HEADER: &str = "foghorn-entry";
pub(crate) const PART_HEADER: &str = "foghorn-part";

/// Who writes: the epoch rises with each takeover, the name tells two apart that took the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) epoch: u64,
    pub(crate) name: String,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// From here on the writer is the owner.
    Takeover,
    /// So many of so many parts of what begins with an entry; (1, 1) of whole entries.
    Of(u64, u64),
}

/// What a record's headers say.
#[derive(Debug)]
struct Heads {
    owner: Owner,
    /// The first entry that it holds or, of a takeover, the next one.
    entry: u64,
    part: Part,
}

/// What came of a record.
#[derive(Debug, PartialEq)]
pub(crate) enum Taken {
    /// It does not count, or is a part of what is not whole yet.
    Nothing,
    /// Somebody took over.
    Takeover,
    /// Entries, in order.
    Entries(Vec<Entry>),
}

/// Where an entry begins a record.
#[derive(Clone, Copy, Debug)]
struct Place {
    entry: u64,
    offset: Offset,
    bytes: u64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    owner: Option<Owner>,
    /// The entry that comes next; `None` before the first record.
    next: Option<u64>,
    first: u64,
    partial: Option<Partial>,
    places: VecDeque<Place>,
    /// Records that did not count.
    pub(crate) ignored: u64,
}

#[derive(Debug)]
struct Partial {
    offset: Offset,
    parts: u64,
    has: u64,
    bytes: Vec<u8>,
}

/// The headers of a record, for the topic.
pub(crate) fn heads(owner: &Owner, entry: u64, part: Part) -> Vec<(&'static str, String)> {
    let part = match part {
        Part::Takeover => "takeover".to_owned(),
        Part::Of(number, of) => format!("{number}/{of}"),
    };
    vec![
        (FORMAT_HEADER, FORMAT.to_string()),
        (EPOCH_HEADER, owner.epoch.to_string()),
        (OWNER_HEADER, owner.name.clone()),
        (ENTRY_HEADER, entry.to_string()),
        (PART_HEADER, part),
    ]
}

impl Heads {
    /// `None` for a record that is none of ours.
    fn of(record: &OwnedRecord) -> Result<Option<Self>, String> {
        let text = |name: &str| record.header(name);
        let number = |name: &str| text(name)?.parse::<u64>().ok();
        let Some(format) = number(FORMAT_HEADER) else {
            return Ok(None);
        };
        if format > FORMAT {
            return Err(format!(
                "format version {format}, and this foghorn reads up to {FORMAT}; use the version that wrote it, or \
                 a later one"
            ));
        }
        let part = |text: &str| match text.split_once('/') {
            None => (text == "takeover").then_some(Part::Takeover),
            Some((number, of)) => Some(Part::Of(number.parse().ok()?, of.parse().ok()?)),
        };
        let heads = || {
            Some(Self {
                owner: Owner {
                    epoch: number(EPOCH_HEADER)?,
                    name: text(OWNER_HEADER)?.to_owned(),
                },
                entry: number(ENTRY_HEADER)?,
                part: part(text(PART_HEADER)?)?,
            })
        };
        let heads = heads().ok_or("its headers cannot be read")?;
        Ok(Some(heads))
    }
}

impl Fold {
    /// Takes in the next record.
    ///
    /// # Errors
    /// In words: it counts, and cannot be read.
    pub(crate) fn take(&mut self, record: &OwnedRecord) -> Result<Taken, String> {
        let Some(heads) = Heads::of(record)? else {
            tracing::warn!(
                topic = &*record.topic,
                offset = record.offset,
                "a record that no foghorn wrote is passed over"
            );
            self.ignored += 1;
            return Ok(Taken::Nothing);
        };
        if self.next.is_none() {
            // What came before was forgotten by an owner, up to a record that counted.
            self.first = heads.entry;
            self.next = Some(heads.entry);
            self.owner = Some(heads.owner.clone());
            if heads.part == Part::Takeover {
                return Ok(Taken::Takeover);
            }
        }
        let next = self.next.unwrap_or(heads.entry);
        let (number, of) = match heads.part {
            Part::Takeover => {
                let newer = self.owner.as_ref();
                if newer.is_some_and(|owner| owner.epoch >= heads.owner.epoch) {
                    self.ignored += 1;
                    return Ok(Taken::Nothing);
                }
                self.owner = Some(heads.owner);
                self.partial = None;
                return Ok(Taken::Takeover);
            }
            Part::Of(number, of) => (number, of),
        };
        let known = self.owner.as_ref().map_or(0, |owner| owner.epoch);
        if heads.owner.epoch > known {
            return Err(format!(
                "it is of epoch {}, whose takeover is not in the topic: its retention, or somebody, has deleted \
                 records",
                heads.owner.epoch
            ));
        }
        if self.owner.as_ref() != Some(&heads.owner) || heads.entry != next {
            self.ignored += 1;
            return Ok(Taken::Nothing);
        }
        let payload = record.payload.as_deref().unwrap_or_default();
        if number == 1 {
            self.partial = Some(Partial {
                offset: record.offset,
                parts: of,
                has: 0,
                bytes: Vec::new(),
            });
        }
        let partial = self.partial.as_mut();
        let Some(partial) = partial.filter(|it| it.has + 1 == number && it.parts == of) else {
            self.ignored += 1;
            return Ok(Taken::Nothing);
        };
        partial.has = number;
        partial.bytes.extend_from_slice(payload);
        let Some(whole) = self.partial.take_if(|it| it.has == it.parts) else {
            return Ok(Taken::Nothing);
        };
        let lines = whole.bytes.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        let entries: Result<Vec<Entry>, _> = lines.map(numbers::decode).collect();
        let entries = entries.map_err(|error| error.to_string())?;
        self.places.push_back(Place {
            entry: next,
            offset: whole.offset,
            bytes: whole.bytes.len() as u64,
        });
        self.next = Some(next + entries.len() as u64);
        Ok(Taken::Entries(entries))
    }

    /// Whose records count.
    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    /// The first entry that is kept, and the one behind the last.
    pub(crate) fn bounds(&self) -> (u64, u64) {
        (self.first, self.next.unwrap_or(0))
    }

    /// Bytes of what is kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.places.iter().map(|place| place.bytes).sum()
    }

    /// The last record that begins at or before an entry, where there are any before it: up to there
    /// the topic may be forgotten.
    pub(crate) fn place_of(&self, entry: u64) -> Option<Offset> {
        let behind = self.places.partition_point(|place| place.entry <= entry);
        let at = behind.checked_sub(1).filter(|at| *at > 0)?;
        Some(self.places[at].offset)
    }

    /// The topic has forgotten what stands before an offset.
    pub(crate) fn forgot(&mut self, before: Offset) {
        while self.places.front().is_some_and(|it| it.offset < before) {
            self.places.pop_front();
        }
        self.first = self.places.front().map_or(self.first, |it| it.entry);
    }
}
