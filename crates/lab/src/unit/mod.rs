//! `foghorn test`: unit tests of rules, as `promtool test rules` runs them, over the engine's own
//! path: intake, shard and core, one tick after another.
//!
//! Reads nothing itself, and knows no terminal.

mod bench;
mod diff;
mod dump;
mod junit;
mod told;

#[cfg(test)]
mod tests;

use foghorn_rules::Source;
use foghorn_rules::unit_test::{TestFile, TestGroup};
use regex::Regex;

pub use junit::{Suite, junit};

use bench::Bench;

/// Which tests run, and how much is told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only tests whose names match one of these; empty for all.
    run: Vec<Regex>,
    /// Differences of alerts are shown as a coloured diff.
    pub diff: bool,
    /// What all series held is told.
    pub debug: bool,
}

impl Options {
    /// Only tests whose names match one of the patterns; without patterns all.
    ///
    /// # Errors
    /// A pattern is no regular expression.
    pub fn only(patterns: &[String]) -> Result<Self, regex::Error> {
        let run: Result<_, _> = patterns.iter().map(|pattern| Regex::new(pattern)).collect();
        Ok(Self {
            run: run?,
            ..Self::default()
        })
    }

    fn runs(&self, name: &str) -> bool {
        self.run.is_empty() || self.run.iter().any(|run| run.is_match(name))
    }
}

/// What came of one test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// The test's name, or `unnamed#N`.
    pub name: String,
    /// What was not as expected; empty where it passed.
    pub failures: Vec<String>,
    /// With [`Options::debug`]: what all series held, line by line.
    pub dump: Vec<String>,
    /// How many alerts and expressions were asked for.
    pub checks: usize,
}

/// What is told while tests run.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The test of this name begins.
    Starts(&'a str),
    /// It is over.
    Done(&'a Case),
}

/// Runs the tests of a file over its rule files.
pub fn run(
    file: &TestFile,
    rules: &[Source],
    options: &Options,
    mut told: impl FnMut(Progress<'_>),
) -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, test) in file.tests.iter().enumerate() {
        if !options.runs(&test.name) {
            continue;
        }
        let name = if test.name.is_empty() {
            format!("unnamed#{number}")
        } else {
            test.name.clone()
        };
        told(Progress::Starts(&name));
        let mut case = Case {
            name,
            checks: test.alert_tests.len() + test.expr_tests.len(),
            ..Case::default()
        };
        match Bench::new(file, test, rules, options) {
            Ok(bench) => bench.run(&mut case),
            Err(failures) => case.failures = failures,
        }
        told(Progress::Done(&case));
        cases.push(case);
    }
    cases
}

/// The latest instant that a test asks for, in milliseconds after its beginning.
fn last_ms(test: &TestGroup) -> i64 {
    let alerts = test.alert_tests.iter().map(|test| test.eval_ms);
    let exprs = test.expr_tests.iter().map(|test| test.eval_ms);
    alerts.chain(exprs).max().unwrap_or(0)
}
