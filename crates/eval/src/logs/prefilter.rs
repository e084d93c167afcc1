//! One search over a line for the literals of all pipelines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foghorn_rules::logql::Pipeline;

use super::Accepted;
use super::literals::required;
use super::needles::NeedleSearch;

/// With at most so many pipelines to tell apart, trying each beats the search.
const FEW: usize = 3;
/// Kelvin sign and long s: the two characters outside ASCII that `(?i)` takes for ASCII letters.
const FOLDED: [char; 2] = ['\u{212a}', '\u{17f}'];

/// Finds the pipelines that a line may pass.
#[derive(Debug)]
pub(super) struct Prefilter {
    needles: NeedleSearch,
    /// The pipelines that each needle speaks for.
    owners: Vec<Vec<u32>>,
    /// The pipelines that may pass a line with one of [`FOLDED`].
    folded: Vec<u32>,
    /// Whether a pipeline passes only lines that hold one of its literals.
    needs_literal: Vec<bool>,
}

/// What was found in the present line: numbers of needles and pipelines, stamped by line.
#[derive(Debug, Default)]
pub(super) struct Marks {
    line: u64,
    needles: Vec<u64>,
    pipelines: Vec<u64>,
}

impl Marks {
    fn begin(&mut self, needles: usize, pipelines: usize) {
        self.line += 1;
        if self.needles.len() < needles {
            self.needles.resize(needles, 0);
        }
        if self.pipelines.len() < pipelines {
            self.pipelines.resize(pipelines, 0);
        }
    }
}

/// Stamps; whether it was not yet stamped for this line.
fn first(stamps: &mut [u64], at: usize, line: u64) -> bool {
    std::mem::replace(&mut stamps[at], line) != line
}

impl Prefilter {
    /// Collects the literals of all pipelines.
    pub(super) fn new(pipelines: &[Arc<Pipeline>]) -> Self {
        let mut owners: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        let mut folded = BTreeSet::new();
        let mut needs_literal = Vec::with_capacity(pipelines.len());
        for (id, pipeline) in pipelines.iter().enumerate() {
            let needles = required(pipeline);
            needs_literal.push(needles.is_some());
            for needle in needles.into_iter().flatten() {
                if needle.folds {
                    folded.insert(id as u32);
                }
                owners.entry(needle.text).or_default().push(id as u32);
            }
        }
        Self {
            needles: NeedleSearch::new(owners.keys().map(String::as_str)),
            owners: owners.into_values().collect(),
            folded: folded.into_iter().collect(),
            needs_literal,
        }
    }

    /// Whether a pipeline passes only lines that hold one of its literals.
    pub(super) fn needs_literal(&self, pipeline: usize) -> bool {
        self.needs_literal[pipeline]
    }

    /// Writes the pipelines to try, in order, to `out`.
    pub(super) fn candidates(
        &self,
        line: &str,
        stream: &Accepted,
        marks: &mut Marks,
        out: &mut Vec<u32>,
    ) {
        out.clear();
        out.extend_from_slice(&stream.always);
        if stream.searched.len() > FEW {
            self.search(line, stream, marks, out);
        } else {
            out.extend_from_slice(&stream.searched);
        }
        out.sort_unstable();
    }

    fn search(&self, line: &str, stream: &Accepted, marks: &mut Marks, out: &mut Vec<u32>) {
        marks.begin(self.needles.len(), self.needs_literal.len());
        let mut offer = |marks: &mut Marks, owners: &[u32]| {
            for &owner in owners {
                if stream.holds(owner) && first(&mut marks.pipelines, owner as usize, marks.line) {
                    out.push(owner);
                }
            }
        };
        if !self.folded.is_empty() && !line.is_ascii() && line.contains(FOLDED) {
            offer(marks, &self.folded);
        }
        self.needles.search(line, |needle| {
            if first(&mut marks.needles, needle as usize, marks.line) {
                offer(marks, &self.owners[needle as usize]);
            }
        });
    }
}
