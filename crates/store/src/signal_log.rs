//! The signal log: the one written order that correlation folds over, and every decision that is
//! in no source.
//!
//! The file `signals.log`, one frame an entry. The caller commits in groups: append what a step
//! decided, sync once, and only then let effects out.

use std::path::Path;

use foghorn_engine::Entry;

use crate::error::StoreError;
use crate::frame::FileKind;
use crate::lock::DirLock;
use crate::numbers;
use crate::segment::Segment;

const KIND: FileKind = FileKind {
    magic: *b"FHSIGLOG",
    version: 1,
    name: "signal log",
};

/// The log of one instance, on disk or (for replays) nowhere.
#[derive(Debug)]
pub struct SignalLog {
    disk: Option<Disk>,
    entries: u64,
    /// Bytes on disk.
    bytes: u64,
}

#[derive(Debug)]
struct Disk {
    segment: Segment,
    _lock: DirLock,
}

impl SignalLog {
    /// Opens or creates the log in `dir`, and reads all of it. A torn last record is cut off with
    /// a warning.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another process has it, [`StoreError::Corrupt`] where a record
    /// before the end cannot be read, and what the system says.
    pub fn open(dir: &Path) -> Result<(Self, Vec<Entry>), StoreError> {
        let lock = DirLock::take(dir, "signals.lock")?;
        let mut entries = Vec::new();
        let segment = Segment::open(dir.join("signals.log"), KIND, &mut |payload| {
            entries.push(numbers::decode(payload).map_err(|error| error.to_string())?);
            Ok(())
        })?;
        let (len, bytes) = (entries.len() as u64, segment.bytes());
        Ok((
            Self {
                disk: Some(Disk {
                    segment,
                    _lock: lock,
                }),
                entries: len,
                bytes,
            },
            entries,
        ))
    }

    /// A log that keeps nothing but its length: for replays and tests, whose input is still there.
    pub fn memory() -> Self {
        Self {
            disk: None,
            entries: 0,
            bytes: 0,
        }
    }

    /// Writes entries to the end, in this order; durable only after [`Self::sync`].
    ///
    /// # Errors
    /// What the system says; none of the entries is in the log then.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        if let Some(disk) = &mut self.disk {
            let mut frames = Vec::new();
            for entry in entries {
                let payload =
                    numbers::encode(entry.clone()).map_err(|error| StoreError::Unwritable {
                        path: disk.segment.path().to_owned(),
                        why: error.to_string(),
                    })?;
                disk.segment.frame(&payload, &mut frames)?;
            }
            disk.segment.append(&frames)?;
            self.bytes = disk.segment.bytes();
        }
        self.entries += entries.len() as u64;
        Ok(())
    }

    /// Makes everything that was appended durable.
    ///
    /// # Errors
    /// What the system says; the log takes nothing more after that.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.disk
            .as_mut()
            .map_or(Ok(()), |disk| disk.segment.sync())
    }

    /// Entries in it.
    pub fn len(&self) -> u64 {
        self.entries
    }

    /// Whether it has none: a first start.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Bytes on disk; 0 for one in memory.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
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
