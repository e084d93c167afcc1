//! How far each sink has come: a small JSON file, replaced whole.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::error::StoreError;
use crate::segment;

/// Deliveries that may be forgotten by a crash (and are then made again): the file is not
/// rewritten more often than once for so many.
const SAVE_EVERY: u32 = 256;

/// The highest sequence number that each sink has delivered; 0 for nothing yet.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    path: Option<PathBuf>,
    at: BTreeMap<String, u64>,
    unsaved: u32,
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
            unsaved: 0,
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
            self.unsaved += 1;
        }
        self.save()
    }

    /// Moves a sink on; never back.
    pub(super) fn advance(&mut self, sink: &str, seq: u64) -> Result<(), StoreError> {
        match self.at.get_mut(sink) {
            Some(at) if *at < seq => *at = seq,
            _ => return Ok(()),
        }
        self.unsaved += 1;
        if self.unsaved >= SAVE_EVERY {
            self.save()
        } else {
            Ok(())
        }
    }

    /// Writes the file where something changed.
    pub(super) fn save(&mut self) -> Result<(), StoreError> {
        if let (Some(path), true) = (&self.path, self.unsaved > 0) {
            let text =
                serde_json::to_vec_pretty(&self.at).map_err(|error| StoreError::Unwritable {
                    path: path.clone(),
                    why: error.to_string(),
                })?;
            segment::replace(path, &text)?;
        }
        self.unsaved = 0;
        Ok(())
    }
}
