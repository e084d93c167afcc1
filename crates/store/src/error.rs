//! What can go wrong with files, in words that an operator can act on.

use std::io;
use std::path::{Path, PathBuf};

use foghorn_kafka::KafkaError;
use foghorn_model::Offset;

/// A state file could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system said no.
    #[error("{path}: cannot {what}: {source}", path = path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// Another process holds the lock.
    #[error(
        "{path}: another foghorn uses this state directory; stop it, or give this one a \
         directory of its own",
        path = path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The file begins with something else.
    #[error("{path}: this is not a foghorn {kind}; move it away or name another directory", path = path.display())]
    NotOurs {
        /// Which file.
        path: PathBuf,
        /// What it should have been.
        kind: &'static str,
    },
    /// The file was written in a format that this version does not know.
    #[error(
        "{path}: format version {found}, and this foghorn reads up to {known}; use the version \
         that wrote it, or a later one",
        path = path.display()
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// What it says.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// A record that was once whole can no longer be read.
    #[error(
        "{path}: corrupt at byte {at} ({why}), and it is not merely a torn end. Nothing was \
         changed. Restore the file from a copy; or keep it elsewhere and cut it at that byte \
         (`truncate -s {at}`), which gives up everything after it; or move it away and begin anew",
        path = path.display()
    )]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where the record begins.
        at: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The log's beginning was forgotten, and no snapshot that can be read tells what it said.
    #[error(
        "{path}: the log begins at entry {first}, and no snapshot in {snapshots} can be read that says what \
         came before. Nothing was changed. Restore a snapshot from a copy; or move the whole state directory away \
         and begin anew, which gives up what is known of open incidents",
        path = path.display(), snapshots = snapshots.display()
    )]
    NoBeginning {
        /// The log's directory.
        path: PathBuf,
        /// Its first entry.
        first: u64,
        /// Where snapshots were looked for.
        snapshots: PathBuf,
    },
    /// A write or an fsync failed, so what is on disk is no longer known.
    #[error(
        "{path}: an earlier write or fsync failed, so its end is unknown; nothing more is \
         written. Restart to recover from what is on disk",
        path = path.display()
    )]
    Poisoned {
        /// Which file.
        path: PathBuf,
    },
    /// The cluster that holds a log said no.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// A record of a log in a topic cannot be read, or not be written (then its offset is -1).
    #[error(
        "topic `{topic}`, offset {offset}: the signal log cannot go on: {why}. Nothing was changed"
    )]
    Topic {
        /// The topic.
        topic: String,
        /// Where.
        offset: Offset,
        /// What is wrong with it.
        why: String,
    },
    /// Another instance has taken over: what was not acknowledged before that does not hold.
    #[error("topic `{topic}`: {by} has taken over (epoch {epoch})")]
    Fenced {
        /// The topic.
        topic: String,
        /// Who.
        by: String,
        /// Its epoch.
        epoch: u64,
    },
    /// What was still to be read of a log in a topic is not kept any more.
    #[error(
        "topic `{topic}`: records that were still to be read have been deleted: another instance has \
         taken over, or the topic has a retention of its own (it must have none)"
    )]
    Forgotten {
        /// The topic.
        topic: String,
    },
    /// It is no use going on with a log in a topic.
    #[error("the signal log is given up: {why}")]
    GivenUp {
        /// Why.
        why: String,
    },
    /// A record cannot be written in the file's format.
    #[error("{path}: a record cannot be written: {why}", path = path.display())]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl StoreError {
    /// For `map_err`: an I/O error with its place.
    pub(crate) fn io<'a>(
        path: &'a Path,
        what: &'static str,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io {
            path: path.to_owned(),
            what,
            source,
        }
    }
}
