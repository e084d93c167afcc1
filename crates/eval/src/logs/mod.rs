//! Matching log records against many pipelines at once.
//!
//! Owns the literal prefilter, the parsers of lines (JSON, logfmt, patterns, expressions) and the
//! label set that a record ends up with. Keeps no state between records (a [`Scratch`] only saves
//! allocations), so what a record matches depends on that record alone. Counts nothing: windows
//! are the caller's.

mod condition;
mod hit;
mod json;
mod literals;
mod logfmt;
mod needles;
mod prefilter;
mod run;
mod scratch;
mod step;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use foghorn_model::{Labels, LogRecord, matcher};
use foghorn_rules::logql::Pipeline;

pub use hit::HitLabels;
pub use scratch::Scratch;

use prefilter::Prefilter;
use run::Run;
use step::Program;

/// Position of a pipeline in the list that the matcher was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipelineId(pub u32);

/// Many pipelines, compiled. Immutable, so workers share one.
#[derive(Debug)]
pub struct LogMatcher {
    pipelines: Vec<Arc<Pipeline>>,
    programs: Vec<Program>,
    prefilter: Prefilter,
}

/// Which pipelines' stream selectors accept a stream. It stays true as long as the matcher lives:
/// the caller keeps one for each stream. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamMatch {
    accepted: Arc<Accepted>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Accepted {
    /// One bit a pipeline.
    mask: Vec<u64>,
    /// Accepted pipelines that only a line with one of their literals can pass.
    searched: Vec<u32>,
    /// Accepted pipelines that any line may pass.
    always: Vec<u32>,
}

impl StreamMatch {
    /// Whether no pipeline accepts the stream: its records need not be looked at.
    pub fn is_empty(&self) -> bool {
        self.accepted.searched.is_empty() && self.accepted.always.is_empty()
    }

    /// The pipelines that accept the stream, in order.
    pub fn pipelines(&self) -> impl Iterator<Item = PipelineId> {
        let bits = self.accepted.mask.iter().enumerate();
        bits.flat_map(|(word, bits)| {
            (0..64)
                .filter(move |bit| bits >> bit & 1 == 1)
                .map(move |bit| PipelineId(word as u32 * 64 + bit))
        })
    }
}

impl Accepted {
    fn holds(&self, pipeline: u32) -> bool {
        self.mask
            .get(pipeline as usize / 64)
            .is_some_and(|word| word >> (pipeline % 64) & 1 == 1)
    }
}

impl LogMatcher {
    /// Compiles a list of pipelines.
    pub fn new(pipelines: &[Arc<Pipeline>]) -> Self {
        Self {
            programs: pipelines
                .iter()
                .map(|pipeline| Program::new(pipeline))
                .collect(),
            prefilter: Prefilter::new(pipelines),
            pipelines: pipelines.to_vec(),
        }
    }

    /// Number of pipelines.
    pub fn len(&self) -> usize {
        self.pipelines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pipelines.is_empty()
    }

    /// Which pipelines' selectors accept a stream. Asks every pipeline: once per stream, not per
    /// record.
    pub fn stream_mask(&self, stream_labels: &Labels) -> StreamMatch {
        let mut found = Accepted {
            mask: vec![0; self.pipelines.len().div_ceil(64)],
            ..Accepted::default()
        };
        for (id, pipeline) in self.pipelines.iter().enumerate() {
            if !matcher::all_match(&pipeline.matchers, stream_labels) {
                continue;
            }
            found.mask[id / 64] |= 1 << (id % 64);
            let list = if self.prefilter.needs_literal(id) {
                &mut found.searched
            } else {
                &mut found.always
            };
            list.push(id as u32);
        }
        StreamMatch {
            accepted: Arc::new(found),
        }
    }

    /// Hands every pipeline that a record passes to `on_hit`, in the pipelines' order.
    ///
    /// `stream` must be this matcher's answer for `stream_labels`.
    pub fn run(
        &self,
        scratch: &mut Scratch,
        stream: &StreamMatch,
        stream_labels: &Labels,
        record: &LogRecord<'_>,
        on_hit: &mut dyn FnMut(PipelineId, &HitLabels<'_>),
    ) {
        if self.search(scratch, stream, record.line) {
            self.verify(scratch, stream_labels, record, on_hit);
        }
    }

    /// The first half of [`run`](Self::run): whether some pipeline may let the line pass. It is
    /// cheap and seldom true.
    #[inline]
    pub fn search(&self, scratch: &mut Scratch, stream: &StreamMatch, line: &str) -> bool {
        let Scratch {
            candidates, marks, ..
        } = scratch;
        self.prefilter
            .candidates(line, &stream.accepted, marks, candidates);
        !candidates.is_empty()
    }

    /// The second half: tries the pipelines that the search found, which must have been of the
    /// same stream and line.
    pub fn verify(
        &self,
        scratch: &mut Scratch,
        stream_labels: &Labels,
        record: &LogRecord<'_>,
        on_hit: &mut dyn FnMut(PipelineId, &HitLabels<'_>),
    ) {
        let candidates = std::mem::take(&mut scratch.candidates);
        scratch.begin_record();
        for &id in &candidates {
            let program = &self.programs[id as usize];
            let mut run = Run::new(scratch, stream_labels, record);
            if program.steps.iter().all(|step| run.step(step)) {
                run.hit(program.keep.as_deref(), |hit| on_hit(PipelineId(id), hit));
            }
        }
        scratch.candidates = candidates;
    }
}
