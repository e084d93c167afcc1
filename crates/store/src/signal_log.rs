//! The signal log: the one written order that correlation folds over, and every decision that is
//! in no source.
//!
//! Files of one frame an entry: `signals.log` holds those from the first on, `signals-N.log` those from
//! entry N on. A snapshot begins a new file, and when it is no longer needed what came before an
//! older snapshot is forgotten, file by file. The caller commits in groups: append what a step decided,
//! sync once, and only then let effects out.

use std::fs;
use std::path::{Path, PathBuf};

use fail::fail_point;
use foghorn_engine::Entry;

use crate::error::StoreError;
use crate::frame::FileKind;
use crate::lock::DirLock;
use crate::numbers;
use crate::segment::{Segment, sync_parent};
use crate::shared_log::SharedLog;

const KIND: FileKind = FileKind {
    magic: *b"FHSIGLOG",
    version: 1,
    name: "signal log",
};

/// The log of one instance: on disk, in a topic that others can take over or, for replays, nowhere.
#[derive(Debug)]
pub struct SignalLog {
    kept: Kept,
    /// Entries that were ever in it, those that are forgotten among them. A topic counts its own.
    entries: u64,
    /// Of them, those that are forgotten.
    first: u64,
}

#[derive(Debug)]
enum Kept {
    Nowhere,
    Disk(Disk),
    Topic(Box<SharedLog>),
}

#[derive(Debug)]
struct Disk {
    dir: PathBuf,
    /// Files that take no more entries, oldest first.
    full: Vec<Full>,
    segment: Segment,
    /// The first entry of the file that takes more.
    begins: u64,
    _lock: DirLock,
}

#[derive(Debug)]
struct Full {
    path: PathBuf,
    /// The first entry behind it.
    end: u64,
    bytes: u64,
}

/// The file that begins with an entry.
fn file_of(dir: &Path, first: u64) -> PathBuf {
    if first == 0 {
        dir.join("signals.log")
    } else {
        dir.join(format!("signals-{first:020}.log"))
    }
}

/// The first entry of each file in `dir`, in order; that of a first start where there is none.
fn files_in(dir: &Path) -> Result<Vec<u64>, StoreError> {
    let listed = fs::read_dir(dir).map_err(StoreError::io(dir, "list"))?;
    let mut found = Vec::new();
    for entry in listed {
        let name = entry.map_err(StoreError::io(dir, "list"))?.file_name();
        let name = name.to_string_lossy();
        let number = name.strip_prefix("signals-");
        let number = number.and_then(|rest| rest.strip_suffix(".log")?.parse().ok());
        found.extend(number.or((name == "signals.log").then_some(0)));
    }
    found.sort_unstable();
    if found.is_empty() {
        found.push(0);
    }
    Ok(found)
}

impl SignalLog {
    /// Opens or creates the log in `dir`, and reads all of it: entries from [`Self::first`] on. A torn
    /// last record is cut off with a warning.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another process has it, [`StoreError::Corrupt`] where a record
    /// before the end cannot be read or a file is missing, and what the system says.
    pub fn open(dir: &Path) -> Result<(Self, Vec<Entry>), StoreError> {
        let lock = DirLock::take(dir, "signals.lock")?;
        let files = files_in(dir)?;
        let first = files.first().copied().unwrap_or(0);
        let (mut entries, mut full) = (Vec::new(), Vec::new());
        let mut last: Option<Segment> = None;
        for begins in &files {
            let here = first + entries.len() as u64;
            if *begins != here {
                let missing = StoreError::Corrupt {
                    path: file_of(dir, *begins),
                    at: 0,
                    why: format!("it begins with entry {begins}, and {here} is the next one"),
                };
                return Err(missing);
            }
            if let Some(before) = last.take() {
                full.push(Full {
                    path: before.path().to_owned(),
                    end: here,
                    bytes: before.bytes(),
                });
            }
            last = Some(Segment::open(
                file_of(dir, *begins),
                KIND,
                &mut |payload| {
                    entries.push(numbers::decode(payload).map_err(|error| error.to_string())?);
                    Ok(())
                },
            )?);
        }
        let kept = last.map_or(Kept::Nowhere, |segment| {
            Kept::Disk(Disk {
                dir: dir.to_owned(),
                full,
                segment,
                begins: files.last().copied().unwrap_or(0),
                _lock: lock,
            })
        });
        let log = Self {
            kept,
            entries: first + entries.len() as u64,
            first,
        };
        Ok((log, entries))
    }

    /// A log in a topic, taken over.
    pub fn shared(log: SharedLog) -> Self {
        Self {
            kept: Kept::Topic(Box::new(log)),
            entries: 0,
            first: 0,
        }
    }

    /// A log that keeps nothing but its length: for replays and tests, whose input is still there.
    pub fn memory() -> Self {
        Self {
            kept: Kept::Nowhere,
            entries: 0,
            first: 0,
        }
    }

    /// Writes entries to the end, in this order; durable only after [`Self::sync`].
    ///
    /// # Errors
    /// What the system says; none of the entries is in the log then.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        match &mut self.kept {
            Kept::Nowhere => {}
            Kept::Disk(disk) => disk.append(entries)?,
            Kept::Topic(topic) => topic.append(entries)?,
        }
        self.entries += entries.len() as u64;
        fail_point!("log-appended", |_| std::process::abort());
        Ok(())
    }

    /// Makes everything that was appended durable.
    ///
    /// # Errors
    /// What the system says; the log takes nothing more after that. [`StoreError::Fenced`] where
    /// another instance has taken over a log in a topic.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        match &mut self.kept {
            Kept::Nowhere => Ok(()),
            Kept::Disk(disk) => disk.segment.sync(),
            Kept::Topic(topic) => topic.sync(),
        }
    }

    /// Begins a new file with the next entry, where the last one has any. What was appended is durable.
    ///
    /// # Errors
    /// What the system says; the log goes on in its last file then.
    pub fn roll(&mut self) -> Result<(), StoreError> {
        self.sync()?;
        let Kept::Disk(disk) = &mut self.kept else {
            // A topic is forgotten by the record.
            return Ok(());
        };
        if disk.begins >= self.entries {
            return Ok(());
        }
        let path = file_of(&disk.dir, self.entries);
        let begun = begin(&path);
        if begun.is_err() && path.exists() {
            // Else it would be found later in the midst of what its predecessor goes on to hold.
            fs::remove_file(&path).map_err(StoreError::io(&path, "remove"))?;
        }
        let next = begun?;
        fail_point!("log-rolled", |_| std::process::abort());
        let before = std::mem::replace(&mut disk.segment, next);
        disk.full.push(Full {
            path: before.path().to_owned(),
            end: self.entries,
            bytes: before.bytes(),
        });
        disk.begins = self.entries;
        Ok(())
    }

    /// Forgets entries before a position, as far as whole files hold nothing else.
    ///
    /// # Errors
    /// What the system says; what is left is a log all the same.
    pub fn forget_before(&mut self, position: u64) -> Result<(), StoreError> {
        let disk = match &mut self.kept {
            Kept::Nowhere => return Ok(()),
            Kept::Topic(topic) => return topic.forget_before(position),
            Kept::Disk(disk) => disk,
        };
        while let Some(oldest) = disk.full.first().filter(|full| full.end <= position) {
            fs::remove_file(&oldest.path).map_err(StoreError::io(&oldest.path, "remove"))?;
            fail_point!("log-forgotten", |_| std::process::abort());
            sync_parent(&oldest.path)?;
            self.first = oldest.end;
            disk.full.remove(0);
        }
        Ok(())
    }

    /// Position of the oldest entry that is kept.
    pub fn first(&self) -> u64 {
        match &self.kept {
            Kept::Topic(topic) => topic.first(),
            _ => self.first,
        }
    }

    /// Position of the next entry: how many were ever appended.
    pub fn len(&self) -> u64 {
        match &self.kept {
            Kept::Topic(topic) => topic.len(),
            _ => self.entries,
        }
    }

    /// Whether it never had any: a first start.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of what is kept; 0 for one in memory.
    pub fn bytes(&self) -> u64 {
        match &self.kept {
            Kept::Nowhere => 0,
            Kept::Disk(disk) => {
                let full: u64 = disk.full.iter().map(|full| full.bytes).sum();
                full + disk.segment.bytes()
            }
            Kept::Topic(topic) => topic.bytes(),
        }
    }

    /// How often a log in a topic was taken over; `None` for any other.
    pub fn epoch(&self) -> Option<u64> {
        match &self.kept {
            Kept::Topic(topic) => Some(topic.epoch()),
            _ => None,
        }
    }
}

impl Disk {
    fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut frames = Vec::new();
        for entry in entries {
            let payload =
                numbers::encode(entry.clone()).map_err(|error| StoreError::Unwritable {
                    path: self.segment.path().to_owned(),
                    why: error.to_string(),
                })?;
            self.segment.frame(&payload, &mut frames)?;
        }
        self.segment.append(&frames)
    }
}

/// An empty file, durable.
fn begin(path: &Path) -> Result<Segment, StoreError> {
    let mut segment = Segment::open(path.to_owned(), KIND, &mut |_| Ok(()))?;
    segment.sync()?;
    sync_parent(path)?;
    Ok(segment)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use foghorn_model::{Reason, Signal};

    use super::*;
    use crate::fixtures::{entries, firing_tick};

    /// What `open` makes of a file with these bytes: how many of `all` survive, or the error.
    fn check(contents: &[u8], all: &[Entry], expect: Result<usize, &str>) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("signals.log"), contents).unwrap();
        match (SignalLog::open(dir.path()), expect) {
            (Ok((log, found)), Ok(count)) => {
                assert_eq!(found, all[..count], "of {} bytes", contents.len());
                assert_eq!(log.len(), count as u64);
                let on_disk = fs::metadata(dir.path().join("signals.log")).unwrap().len();
                assert_eq!(on_disk, log.bytes(), "a torn end is cut off");
                drop(log);
                let (_, again) = SignalLog::open(dir.path()).unwrap();
                assert_eq!(again, found);
            }
            (Err(error), Err(word)) => {
                assert!(error.to_string().contains(word), "{error}");
                assert_eq!(
                    fs::read(dir.path().join("signals.log")).unwrap(),
                    contents,
                    "untouched"
                );
            }
            (got, expect) => panic!("{got:?}, expected {expect:?}"),
        }
    }

    /// The bytes of a log with `entries`, and the offset at which each frame ends.
    fn written(entries: &[Entry]) -> (Vec<u8>, Vec<usize>) {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = SignalLog::open(dir.path()).unwrap();
        let mut ends = vec![log.bytes() as usize];
        for entry in entries {
            log.append(std::slice::from_ref(entry)).unwrap();
            ends.push(log.bytes() as usize);
        }
        log.sync().unwrap();
        (fs::read(dir.path().join("signals.log")).unwrap(), ends)
    }

    #[test]
    fn every_kind_of_entry_comes_back() {
        let all = entries();
        check(&written(&all).0, &all, Ok(all.len()));
    }

    #[test]
    fn a_value_that_json_does_not_have_comes_back_bit_for_bit() {
        for value in [
            f64::NAN,
            -f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
            0.1,
        ] {
            let dir = tempfile::tempdir().unwrap();
            let (mut log, _) = SignalLog::open(dir.path()).unwrap();
            log.append(&[firing_tick(1.0), firing_tick(value)]).unwrap();
            drop(log);
            let (_, found) = SignalLog::open(dir.path()).unwrap();
            let Entry::Tick { signals, .. } = &found[1] else {
                panic!("{found:?}")
            };
            let Signal::Transition(transition) = &signals[0] else {
                panic!("{signals:?}")
            };
            let Reason::ConditionTrue { value: reason, .. } = transition.reason else {
                panic!()
            };
            assert_eq!(
                [transition.value, reason].map(f64::to_bits),
                [value; 2].map(f64::to_bits)
            );
            assert_eq!(found[0], firing_tick(1.0));
        }
    }

    #[test]
    fn torn_at_every_byte() {
        let all = entries();
        let (bytes, ends) = written(&all);
        for cut in 0..bytes.len() {
            let whole = ends
                .iter()
                .filter(|end| **end <= cut)
                .count()
                .saturating_sub(1);
            check(&bytes[..cut], &all, Ok(whole));
        }
    }

    #[test]
    fn an_end_that_was_never_written_is_torn_too() {
        let all = entries();
        let (mut bytes, ends) = written(&all);
        let last = ends[ends.len() - 2];
        let middle = usize::midpoint(last, bytes.len());
        bytes[middle..].fill(0);
        check(&bytes, &all, Ok(all.len() - 1));
        bytes.truncate(last);
        bytes.resize(last + 4096, 0);
        check(&bytes, &all, Ok(all.len() - 1));
    }

    #[test]
    fn a_flipped_bit_is_never_taken_for_a_torn_end() {
        let all = entries();
        let (bytes, ends) = written(&all);
        let last = ends[ends.len() - 2];
        // Anywhere in a record that others follow; and in the last one's checksum or payload.
        for at in (ends[0]..last).step_by(3).chain(last + 4..bytes.len()) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            check(&flipped, &all, Err("corrupt at byte"));
        }
    }

    #[test]
    fn a_record_that_means_nothing_is_an_error_and_not_dropped() {
        let (mut bytes, _) = written(&[]);
        crate::frame::put(&mut bytes, br#"{"record":{"entry":"from_the_future"}}"#);
        check(&bytes, &[], Err("from_the_future"));
    }

    #[test]
    fn foreign_and_newer_files_are_refused() {
        check(
            b"#!/bin/sh\necho hello\n",
            &[],
            Err("not a foghorn signal log"),
        );
        check(b"FHSIGLOG\x02\0\0\0", &[], Err("format version 2"));
        check(b"hello", &[], Err("not a foghorn signal log"));
    }

    #[test]
    fn appends_go_after_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let all = entries();
        for (n, entry) in all.iter().enumerate() {
            let (mut log, found) = SignalLog::open(dir.path()).unwrap();
            assert_eq!(found, all[..n]);
            log.append(std::slice::from_ref(entry)).unwrap();
            log.sync().unwrap();
        }
    }

    /// A log of these entries whose files begin where one of `rolls` stands.
    fn rolled(dir: &Path, all: &[Entry], rolls: &[usize]) -> SignalLog {
        let (mut log, _) = SignalLog::open(dir).unwrap();
        for (n, entry) in all.iter().enumerate() {
            if rolls.contains(&n) {
                log.roll().unwrap();
            }
            log.append(std::slice::from_ref(entry)).unwrap();
        }
        log.sync().unwrap();
        log
    }

    #[test]
    fn what_came_before_a_roll_is_forgotten_and_the_rest_comes_back() {
        let all = entries();
        let dir = tempfile::tempdir().unwrap();
        // Twice at one place, and once where nothing is yet.
        let mut log = rolled(dir.path(), &all, &[0, 2, 2, 4]);
        log.forget_before(3).unwrap();
        assert_eq!((log.first(), log.len()), (2, all.len() as u64));
        let bytes = log.bytes();
        drop(log);
        let (mut log, found) = SignalLog::open(dir.path()).unwrap();
        assert_eq!(found, all[2..]);
        assert_eq!((log.first(), log.bytes()), (2, bytes));
        log.roll().unwrap();
        log.forget_before(u64::MAX).unwrap();
        assert_eq!(log.first(), log.len());
        log.append(&all[..1]).unwrap();
        drop(log);
        let (log, found) = SignalLog::open(dir.path()).unwrap();
        assert_eq!(found, all[..1]);
        assert_eq!(
            log.len(),
            all.len() as u64 + 1,
            "positions never come again"
        );
    }

    #[test]
    fn a_file_that_is_missing_or_was_cut_is_an_error() {
        let all = entries();
        for damage in ["remove", "cut"] {
            let dir = tempfile::tempdir().unwrap();
            drop(rolled(dir.path(), &all, &[2, 4]));
            let middle = file_of(dir.path(), 2);
            match damage {
                "remove" => fs::remove_file(&middle).unwrap(),
                _ => {
                    let bytes = fs::read(&middle).unwrap();
                    fs::write(&middle, &bytes[..bytes.len() - 3]).unwrap();
                }
            }
            let error = SignalLog::open(dir.path()).unwrap_err();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        }
    }

    #[test]
    fn two_never_share_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = SignalLog::open(dir.path()).unwrap();
        let error = SignalLog::open(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        drop(first);
        assert!(SignalLog::open(dir.path()).is_ok());
    }

    #[test]
    fn in_memory_it_only_counts() {
        let mut log = SignalLog::memory();
        assert!(log.is_empty());
        log.append(&entries()).unwrap();
        log.sync().unwrap();
        assert_eq!((log.len(), log.bytes()), (entries().len() as u64, 0));
    }
}
