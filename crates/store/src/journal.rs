//! The journal: bodies of telemetry that came by HTTP, durable before their senders hear of success.
//!
//! It is to them what a topic is to the others: a log with offsets from which what came can be read
//! again. The files `journal-OFFSET-STAMP.log`, one frame a body; OFFSET is the first body's, STAMP
//! the newest time of receipt (Unix milliseconds) of all bodies before. The last file is written,
//! the others are not touched any more. Frames are not JSON as elsewhere: format name, time of
//! receipt and length in front, then the body, packed by zstd.
//!
//! It is bounded. Files that no restart needs are deleted; over the bound, those go, too, that only
//! fill windows again; what has still to be decided on is kept, and then nothing more is taken.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use fail::fail_point;
use foghorn_model::{Offset, Timestamp};

use crate::error::StoreError;
use crate::frame::FileKind;
use crate::lock::DirLock;
use crate::segment::{Frames, Segment, sync_parent};

const KIND: FileKind = FileKind {
    magic: *b"FHJOURNL",
    version: 1,
    name: "journal",
};

/// A file is closed when it has so many bytes, or an eighth of the journal's bound.
const FILE_BYTES: u64 = 64 << 20;

/// Fast, and a third to a tenth of a body's bytes.
const ZSTD_LEVEL: i32 = 1;

/// A body as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What it holds: the name of a format.
    pub format: String,
    /// When it came.
    pub received: Timestamp,
    /// Its bytes, unpacked.
    pub body: Vec<u8>,
}

/// A file that is not written any more.
#[derive(Clone, Debug)]
struct Closed {
    path: PathBuf,
    first: Offset,
    /// The next file's first offset. What lies at or past it was never confirmed.
    next: Offset,
    /// Newest time of receipt in it and before it.
    newest: Timestamp,
    bytes: u64,
}

/// See the module's text.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    closed: VecDeque<Closed>,
    /// The file that is written.
    segment: Segment,
    first: Offset,
    next: Offset,
    newest: Timestamp,
    max_bytes: u64,
    /// Files that were deleted though a restart would have needed them.
    shortened: u64,
    /// What was received at or after this may not be deleted.
    undecided: Timestamp,
    _lock: DirLock,
}

impl Journal {
    /// Opens or creates the journal in `dir`, of at most about so many bytes. A torn last body is cut
    /// off with a warning: its sender never heard of success. Where the journal ends before
    /// `at_least`, it begins anew there: all that it held was decided on, and offsets have no gaps.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another process has it, [`StoreError::Corrupt`] where a body
    /// before the end of the last file cannot be read, and what the system says.
    pub fn open(dir: &Path, at_least: Offset, max_bytes: u64) -> Result<Self, StoreError> {
        let lock = DirLock::take(dir, "journal.lock")?;
        let mut names = named(dir)?;
        names.sort_unstable();
        let (first, before, path) = names.pop().unwrap_or_else(|| {
            (
                at_least,
                Timestamp::MIN,
                path_of(dir, at_least, Timestamp::MIN),
            )
        });
        let (mut next, mut newest) = (first, before);
        let segment = Segment::open(path, KIND, &mut |payload| {
            newest = newest.max(unpack(payload)?.received);
            next += 1;
            Ok(())
        })?;
        let mut follower = (first, before);
        let mut closed = VecDeque::new();
        for (first, before, path) in names.into_iter().rev() {
            let bytes = fs::metadata(&path)
                .map_err(StoreError::io(&path, "read"))?
                .len();
            closed.push_front(Closed {
                path,
                first,
                next: follower.0,
                newest: follower.1,
                bytes,
            });
            follower = (first, before);
        }
        let mut journal = Self {
            dir: dir.to_owned(),
            closed,
            segment,
            first,
            next,
            newest,
            max_bytes,
            shortened: 0,
            undecided: Timestamp::MIN,
            _lock: lock,
        };
        if journal.next < at_least {
            tracing::warn!(
                dir = %dir.display(),
                ends = journal.next,
                logged = at_least,
                "the journal ends before what was decided on, as after a copy was put back: it begins \
                 anew, and windows over what came by HTTP come back empty"
            );
            journal.next = at_least;
            journal.roll()?;
            while !journal.closed.is_empty() {
                journal.delete_oldest()?;
            }
        }
        Ok(journal)
    }

    /// The offset of the next body.
    pub fn next_offset(&self) -> Offset {
        self.next
    }

    /// The offset of the oldest body that is kept; the next one's where there is none.
    pub fn oldest_offset(&self) -> Offset {
        self.closed.front().map_or(self.first, |file| file.first)
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segment.bytes() + self.closed.iter().map(|file| file.bytes).sum::<u64>()
    }

    /// Files that were deleted for want of room though a restart would have read them again.
    pub fn shortened(&self) -> u64 {
        self.shortened
    }

    /// Whether more is taken: makes room where that is possible.
    ///
    /// # Errors
    /// What the system says.
    pub fn has_room(&mut self) -> Result<bool, StoreError> {
        while self.bytes() >= self.max_bytes {
            let oldest = self.closed.front();
            if oldest.is_none_or(|file| file.newest >= self.undecided) {
                return Ok(false);
            }
            self.delete_oldest()?;
            self.shortened += 1;
            tracing::warn!(
                bound = self.max_bytes,
                "the journal is full: its oldest file is deleted, and after a restart windows over \
                 what came by HTTP come back shorter; raise receivers.journal_bytes"
            );
        }
        Ok(true)
    }

    /// Appends bodies, in this order, and makes them durable: all or none. After an error the next
    /// call may succeed.
    ///
    /// # Errors
    /// What the system says.
    pub fn append<'a>(
        &mut self,
        bodies: impl IntoIterator<Item = &'a Kept>,
    ) -> Result<(), StoreError> {
        let (mut frames, mut count, mut newest) = (Vec::new(), 0, self.newest);
        for kept in bodies {
            let payload = pack(kept).map_err(|why| StoreError::Unwritable {
                path: self.segment.path().to_owned(),
                why,
            })?;
            self.segment.frame(&payload, &mut frames)?;
            newest = newest.max(kept.received);
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        if self.segment.bytes() >= FILE_BYTES.min(self.max_bytes / 8) && self.next > self.first {
            self.roll()?;
        }
        if let Err(error) = self
            .segment
            .append(&frames)
            .and_then(|()| self.segment.sync())
        {
            self.leave_behind();
            return Err(error);
        }
        fail_point!("journal-durable", |_| std::process::abort());
        self.next += count;
        self.newest = newest;
        Ok(())
    }

    /// What was received before `needed` is of no more use and goes; what was received at or after
    /// `undecided` has still to be decided on.
    ///
    /// # Errors
    /// What the system says.
    pub fn keep(&mut self, needed: Timestamp, undecided: Timestamp) -> Result<(), StoreError> {
        self.undecided = undecided;
        while self.closed.front().is_some_and(|file| file.newest < needed) {
            self.delete_oldest()?;
        }
        Ok(())
    }

    /// Everything from an offset on that is in it now.
    pub fn replay(&self, from: Offset) -> Replay {
        let last = Closed {
            path: self.segment.path().to_owned(),
            first: self.first,
            next: self.next,
            newest: self.newest,
            bytes: self.segment.bytes(),
        };
        let files = self.closed.iter().cloned().chain([last]);
        Replay {
            files: files.filter(|file| file.next > from).collect(),
            open: None,
            from,
            payload: Vec::new(),
        }
    }

    fn delete_oldest(&mut self) -> Result<(), StoreError> {
        if let Some(file) = self.closed.pop_front() {
            fs::remove_file(&file.path).map_err(StoreError::io(&file.path, "delete"))?;
        }
        Ok(())
    }

    /// Goes on in a new file.
    fn roll(&mut self) -> Result<(), StoreError> {
        let path = path_of(&self.dir, self.next, self.newest);
        let segment = Segment::open(path, KIND, &mut |_| {
            Err("there is a file already where the next one begins".to_owned())
        })?;
        let old = std::mem::replace(&mut self.segment, segment);
        self.closed.push_back(Closed {
            path: old.path().to_owned(),
            first: self.first,
            next: self.next,
            newest: self.newest,
            bytes: old.bytes(),
        });
        self.first = self.next;
        Ok(())
    }

    /// After a failed write: what it left is cut off, by the segment itself or, where its end is not
    /// known any more, by going on in another file. Where neither can be done now, the next call
    /// fails in the same way and tries again.
    fn leave_behind(&mut self) {
        if self.segment.is_usable() {
            return;
        }
        let left = if self.next > self.first {
            self.roll()
        } else {
            // It holds nothing that was confirmed: it begins anew.
            let path = self.segment.path().to_owned();
            fs::remove_file(&path)
                .map_err(StoreError::io(&path, "delete"))
                .and_then(|()| sync_parent(&path))
                .and_then(|()| Segment::open(path, KIND, &mut |_| Ok(())))
                .map(|segment| self.segment = segment)
        };
        if let Err(error) = left {
            tracing::error!(%error, "the journal cannot go on in a new file");
        }
    }
}

/// Bodies that are read again, oldest first, with their offsets.
pub struct Replay {
    files: VecDeque<Closed>,
    open: Option<(Frames, Offset, Offset)>,
    from: Offset,
    payload: Vec<u8>,
}

impl Replay {
    fn read(&mut self) -> Result<Option<(Offset, Kept)>, StoreError> {
        loop {
            let Some((frames, at, end)) = &mut self.open else {
                let Some(file) = self.files.pop_front() else {
                    return Ok(None);
                };
                self.open = Some((Frames::open(file.path, KIND)?, file.first, file.next));
                continue;
            };
            if at == end || !frames.next(&mut self.payload)? {
                self.open = None;
                continue;
            }
            let offset = *at;
            *at += 1;
            if offset >= self.from {
                let kept = unpack(&self.payload).map_err(|why| frames.corrupt(why))?;
                return Ok(Some((offset, kept)));
            }
        }
    }
}

impl Iterator for Replay {
    type Item = Result<(Offset, Kept), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

fn path_of(dir: &Path, first: Offset, before: Timestamp) -> PathBuf {
    // Times before 1970 do not occur, and names sort.
    dir.join(format!(
        "journal-{first:020}-{:015}.log",
        before.ms().max(0)
    ))
}

/// The journal's files: (first offset, newest stamp before, path).
fn named(dir: &Path) -> Result<Vec<(Offset, Timestamp, PathBuf)>, StoreError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(StoreError::io(dir, "list"))? {
        let path = entry.map_err(StoreError::io(dir, "list"))?.path();
        let numbers = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix("journal-")?.strip_suffix(".log"))
            .and_then(|name| name.split_once('-'))
            .and_then(|(first, before)| Some((first.parse().ok()?, before.parse().ok()?)));
        if let Some((first, before)) = numbers {
            names.push((first, Timestamp(before), path));
        }
    }
    Ok(names)
}

/// `u8` length and text of the format's name, `i64` receipt, `u32` length of the body, the body.
fn pack(kept: &Kept) -> Result<Vec<u8>, String> {
    let name = u8::try_from(kept.format.len()).map_err(|error| error.to_string())?;
    let length = u32::try_from(kept.body.len()).map_err(|error| error.to_string())?;
    let packed = zstd::bulk::compress(&kept.body, ZSTD_LEVEL).map_err(|error| error.to_string())?;
    let mut payload = Vec::with_capacity(packed.len() + kept.format.len() + 13);
    payload.push(name);
    payload.extend_from_slice(kept.format.as_bytes());
    payload.extend_from_slice(&kept.received.ms().to_le_bytes());
    payload.extend_from_slice(&length.to_le_bytes());
    payload.extend_from_slice(&packed);
    Ok(payload)
}

fn unpack(payload: &[u8]) -> Result<Kept, String> {
    let head = || -> Option<(&[u8], i64, u32, &[u8])> {
        let (name, rest) = payload.split_first()?;
        let (format, rest) = rest.split_at_checked(usize::from(*name))?;
        let (received, rest) = rest.split_first_chunk()?;
        let (length, packed) = rest.split_first_chunk()?;
        Some((
            format,
            i64::from_le_bytes(*received),
            u32::from_le_bytes(*length),
            packed,
        ))
    };
    let (format, received, length, packed) = head().ok_or("it ends within its head")?;
    let body =
        zstd::bulk::decompress(packed, length as usize).map_err(|error| error.to_string())?;
    if body.len() != length as usize {
        return Err(format!("{} bytes, and {length} were told", body.len()));
    }
    Ok(Kept {
        format: str::from_utf8(format)
            .map_err(|error| error.to_string())?
            .to_owned(),
        received: Timestamp(received),
        body,
    })
}

#[cfg(test)]
mod tests;
