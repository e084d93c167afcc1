//! One line of JSON for each revision, to standard output or to the end of a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use foghorn_model::Incident;

use crate::sink::{Delivered, DeliveryError, Sink};

/// Writes lines.
pub struct NdjsonSink {
    name: String,
    to: To,
}

enum To {
    Stdout,
    File(File),
}

impl NdjsonSink {
    /// Writes to `path`, or to standard output where it is `-`.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn open(name: &str, path: &Path) -> io::Result<Self> {
        let to = if path == Path::new("-") {
            To::Stdout
        } else {
            To::File(OpenOptions::new().create(true).append(true).open(path)?)
        };
        Ok(Self {
            name: name.to_owned(),
            to,
        })
    }

    /// All lines at once: a reader of the file never sees half a line of ours, short of a crash.
    fn write(&mut self, lines: &str) -> io::Result<()> {
        match &mut self.to {
            To::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines.as_bytes())?;
                stdout.flush()
            }
            To::File(file) => {
                file.write_all(lines.as_bytes())?;
                file.sync_data()
            }
        }
    }
}

impl Sink for NdjsonSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver(&mut self, incidents: &[Arc<Incident>]) -> Delivered {
        let mut lines = String::new();
        for incident in incidents {
            lines.push_str(foghorn_wire::out::ndjson(incident).trim_end());
            lines.push('\n');
        }
        match self.write(&lines) {
            Ok(()) => Delivered::all(incidents),
            Err(error) => Delivered::stopped(
                0,
                DeliveryError::retryable(format!("cannot write: {error}")),
            ),
        }
    }

    fn coalesces(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use foghorn_model::incident::Status::{Open, Resolved};

    use super::*;
    use crate::fixtures::incident;

    #[test]
    fn one_line_a_revision_after_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("incidents.ndjson");
        for revisions in [vec![(1, Open), (2, Open)], vec![(3, Resolved)]] {
            let mut sink = NdjsonSink::open("file", &path).unwrap();
            let incidents: Vec<_> = revisions
                .iter()
                .map(|&(n, status)| Arc::new(incident(7, n, status)))
                .collect();
            assert_eq!(sink.deliver(&incidents), Delivered::all(&incidents));
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let revisions: Vec<_> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["revision"]
                    .as_u64()
                    .unwrap()
            })
            .collect();
        assert_eq!(revisions, [1, 2, 3]);
    }

    #[test]
    fn a_missing_directory_is_an_error_at_the_start() {
        assert!(NdjsonSink::open("file", Path::new("/nonexistent/x/incidents.ndjson")).is_err());
    }
}
