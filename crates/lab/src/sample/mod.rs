//! `foghorn source sample`: what a handful of records decode to, for a person who sets a source up.
//!
//! Decodes as the engine would, through the same feeder, and remembers what came out instead of
//! evaluating it. Reads nothing itself, and knows no terminal.

mod finding;
mod summary;
mod text;
mod watch;

pub use finding::{Edge, Finding, LogShown, Refused, SampleShown};
pub use summary::{Summary, source_block};
pub use text::{attempt_line, finding_text, summary_text};

use foghorn_ingest::{Feeder, SourceConfig, Specimen};
use foghorn_model::Timestamp;

use watch::Watch;

/// Decodes records one after another, and keeps count.
#[derive(Debug)]
pub struct Sampler {
    feeder: Feeder,
    watch: Watch,
    summary: Summary,
}

impl Sampler {
    /// For a source.
    pub fn new(source: &SourceConfig) -> Self {
        Self {
            feeder: Feeder::new(source),
            watch: Watch::default(),
            summary: Summary::of(source),
        }
    }

    /// Decodes one record. `now` is wall time where the record comes from a live topic.
    pub fn take(&mut self, specimen: &Specimen, now: Option<Timestamp>) -> Finding {
        self.watch.finding = Finding::of(specimen);
        let before = self.feeder.dedup_stats().duplicates;
        let done = self.feeder.feed(&specimen.raw(), now, &mut self.watch);
        let mut finding = std::mem::take(&mut self.watch.finding);
        finding.duplicate = self.feeder.dedup_stats().duplicates > before;
        finding.unusable = done.is_err();
        finding.refused.extend(done.err().map(Refused::from));
        self.summary.add(&finding);
        finding
    }

    /// What it came to.
    pub fn finish(mut self) -> Summary {
        self.summary.series = self.watch.series();
        self.summary.streams = self.watch.streams();
        self.summary.trails_ms = self.watch.trails_ms;
        self.summary.ahead_ms = self.watch.ahead_ms;
        self.summary
    }
}

#[cfg(test)]
mod tests;
