//! One search over a line for the literals of all pipelines.

use std::collections::BTreeMap;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use foghorn_rules::logql::Pipeline;

use super::Accepted;
use super::literals::required;

/// With at most so many pipelines to tell apart, trying each beats the search.
const FEW: usize = 3;
/// Kelvin sign and long s: the two characters outside ASCII that `(?i)` takes for ASCII letters.
const FOLDED: [&str; 2] = ["\u{212a}", "\u{17f}"];

/// Finds the pipelines that a line may pass.
#[derive(Debug)]
pub(super) struct Prefilter {
    automaton: Option<AhoCorasick>,
    /// The pipelines that each pattern speaks for.
    owners: Vec<Vec<u32>>,
    /// Whether a pipeline passes only lines that hold one of its literals.
    needs_literal: Vec<bool>,
}

/// What was found in the present line: numbers of patterns and pipelines, stamped by line.
#[derive(Debug, Default)]
pub(super) struct Marks {
    line: u64,
    patterns: Vec<u64>,
    pipelines: Vec<u64>,
}

impl Marks {
    fn begin(&mut self, patterns: usize, pipelines: usize) {
        self.line += 1;
        if self.patterns.len() < patterns {
            self.patterns.resize(patterns, 0);
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
        let mut patterns: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        let mut needs_literal = Vec::with_capacity(pipelines.len());
        for (id, pipeline) in pipelines.iter().enumerate() {
            let needles = required(pipeline);
            needs_literal.push(needles.is_some());
            for needle in needles.into_iter().flatten() {
                if needle.folds {
                    for folded in FOLDED {
                        patterns
                            .entry(folded.to_owned())
                            .or_default()
                            .push(id as u32);
                    }
                }
                patterns.entry(needle.text).or_default().push(id as u32);
            }
        }
        let automaton = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(patterns.keys())
            .ok();
        if automaton.is_none() {
            // Too many literals for one automaton: every pipeline is tried.
            needs_literal.fill(false);
        }
        Self {
            automaton,
            owners: patterns.into_values().collect(),
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
        match &self.automaton {
            Some(automaton) if stream.searched.len() > FEW => {
                self.search(automaton, line, stream, marks, out);
            }
            _ => out.extend_from_slice(&stream.searched),
        }
        out.sort_unstable();
    }

    fn search(
        &self,
        automaton: &AhoCorasick,
        line: &str,
        stream: &Accepted,
        marks: &mut Marks,
        out: &mut Vec<u32>,
    ) {
        marks.begin(self.owners.len(), self.needs_literal.len());
        let all = stream.always.len() + stream.searched.len();
        for found in automaton.find_overlapping_iter(line) {
            let pattern = found.pattern().as_usize();
            if !first(&mut marks.patterns, pattern, marks.line) {
                continue;
            }
            for &owner in &self.owners[pattern] {
                if stream.holds(owner) && first(&mut marks.pipelines, owner as usize, marks.line) {
                    out.push(owner);
                }
            }
            if out.len() == all {
                return;
            }
        }
    }
}
