//! How far each sink has come: a small JSON file, replaced whole.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::error::StoreError;
use crate::segment;

/// The highest sequence number that each sink has delivered; 0 for nothing yet.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    path: Option<PathBuf>,
    at: BTreeMap<String, u64>,
    unsaved: bool,
}

impl Cursors {
    /// Reads the file; without one, or with one that cannot be understood, every sink begins at
    /// the oldest item that is kept (redelivery is harmless, loss is not).
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let at = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(
                    path = %path.display(), %error,
                    "cannot be understood: every sink delivers again what the outbox still holds"
                );
                BTreeMap::new()
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => {
                return Err(StoreError::Io {
                    path,
                    what: "read",
                    source,
                });
            }
        };
        Ok(Self {
            path: Some(path),
            at,
            unsaved: false,
        })
    }

    /// Where a sink is.
    pub(super) fn of(&self, sink: &str) -> Option<u64> {
        self.at.get(sink).copied()
    }

    /// The slowest sink's place; `None` where there is no sink.
    pub(super) fn lowest(&self) -> Option<u64> {
        self.at.values().copied().min()
    }

    /// The fastest sink's place.
    pub(super) fn highest(&self) -> u64 {
        self.at.values().copied().max().unwrap_or(0)
    }

    /// Keeps exactly these sinks. A new one begins where the slowest was, removed ones included:
    /// a sink that was renamed loses nothing.
    pub(super) fn set(&mut self, sinks: &[&str]) -> Result<(), StoreError> {
        let begin = self.lowest().unwrap_or(0);
        let kept = sinks
            .iter()
            .map(|&sink| (sink.to_owned(), self.of(sink).unwrap_or(begin)))
            .collect();
        if self.at != kept {
            self.at = kept;
            self.unsaved = true;
        }
        self.take_unsaved()?.map_or(Ok(()), |file| file.write())
    }

    /// Moves a sink on; never back.
    pub(super) fn advance(&mut self, sink: &str, seq: u64) {
        if let Some(at) = self.at.get_mut(sink).filter(|at| **at < seq) {
            *at = seq;
            self.unsaved = true;
        }
    }

    /// The file could not be written.
    pub(super) fn not_saved(&mut self) {
        self.unsaved = true;
    }

    /// The file as it should be, where something changed since this was last asked.
    pub(super) fn take_unsaved(&mut self) -> Result<Option<CursorsFile>, StoreError> {
        let Some(path) = self.path.as_ref().filter(|_| self.unsaved) else {
            return Ok(None);
        };
        let text = serde_json::to_vec_pretty(&self.at).map_err(|error| StoreError::Unwritable {
            path: path.clone(),
            why: error.to_string(),
        })?;
        self.unsaved = false;
        Ok(Some(CursorsFile {
            path: path.clone(),
            text,
        }))
    }
}

/// The file, to be written.
#[derive(Debug)]
pub(super) struct CursorsFile {
    path: PathBuf,
    text: Vec<u8>,
}

impl CursorsFile {
    /// Replaces the file, durably.
    pub(super) fn write(&self) -> Result<(), StoreError> {
        segment::replace(&self.path, &self.text).map(drop)
    }
}
