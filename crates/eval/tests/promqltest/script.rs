//! The promqltest language: scripts of `load`, `clear` and `eval`.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_eval::promql::{EvalError, Evaluator, Value};
use foghorn_eval::vector::{Element, Vector};
use foghorn_model::labels::NAME;
use foghorn_model::{Labels, Timestamp};
use foghorn_rules::notation::{number, series, values};
use foghorn_rules::plan::Group;

use crate::series::{duration, points};
use crate::storage::{Reader, Storage};
use crate::unsupported::Feature;

/// What came of a script's cases.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) passed: usize,
    /// Of them, cases that select native histograms too: without these they give the same.
    pub(crate) without_native: usize,
    /// Cases that use what we do not have.
    pub(crate) skipped: BTreeMap<Feature, usize>,
    pub(crate) failed: Vec<String>,
}

/// What came of one case.
enum Verdict {
    Passed,
    PassedWithoutNative,
    Skipped(Feature),
    Failed(String),
}

/// Subqueries without a step of their own step by this.
const DEFAULT_STEP_MS: i64 = 60_000;

/// Runs a script, which is that of a file.
pub(crate) fn run(file: &str, text: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let mut storage = Storage::default();
    let mut evaluator = Evaluator::new();
    let lines: Vec<&str> = text.lines().collect();
    let mut at = 0;
    while at < lines.len() {
        let head = lines[at].trim();
        let start = at + 1;
        at = start;
        if head.is_empty() || head.starts_with('#') {
            continue;
        }
        while at < lines.len() && !lines[at].trim().is_empty() && !is_command(lines[at].trim()) {
            at += 1;
        }
        let body: Vec<&str> = lines[start..at]
            .iter()
            .map(|line| line.trim())
            .filter(|line| !line.starts_with('#'))
            .collect();
        if head == "clear" {
            storage = Storage::default();
        } else if let Some(rest) = head.strip_prefix("load") {
            load(&mut storage, rest, &body);
        } else {
            match case(file, &storage, &mut evaluator, head, &body) {
                Verdict::Passed => outcome.passed += 1,
                Verdict::PassedWithoutNative => {
                    outcome.passed += 1;
                    outcome.without_native += 1;
                }
                Verdict::Skipped(why) => *outcome.skipped.entry(why).or_default() += 1,
                Verdict::Failed(why) => outcome
                    .failed
                    .push(format!("line {start}: {head}\n    {why}")),
            }
        }
    }
    outcome
}

fn is_command(line: &str) -> bool {
    line == "clear"
        || line.starts_with("load ")
        || line.starts_with("load_with_nhcb")
        || line.starts_with("eval")
}

fn load(storage: &mut Storage, rest: &str, body: &[&str]) {
    let with_native = rest.starts_with("_with_nhcb");
    let step = duration(rest.trim_start_matches("_with_nhcb").trim()).expect("a step");
    for line in body {
        let (labels, rest) =
            series(line).unwrap_or_else(|error| panic!("a series: {line}: {error}"));
        if with_native && labels.get("le").is_some() {
            let name = labels.metric().trim_end_matches("_bucket").to_owned();
            let custom = labels.with("le", "").with(NAME, &name);
            storage.series.entry(custom).or_default().native = true;
        }
        let known = storage.series.entry(labels).or_default();
        if rest.contains("{{") {
            known.native = true;
            continue;
        }
        known.points.extend(points(
            &values(rest).unwrap_or_else(|error| panic!("values: {line}: {error}")),
            step,
        ));
        known.points.sort_by_key(|p| p.t);
    }
}

/// What a case says that it expects.
struct Expected {
    fails: bool,
    ordered: bool,
    /// Values by series; a lone number has no labels.
    rows: Vec<(Labels, Vec<Option<f64>>)>,
    unknown: Option<Feature>,
}

fn expectation(head: &str, body: &[&str]) -> Expected {
    let mut expected = Expected {
        fails: head.starts_with("eval_fail"),
        ordered: head.starts_with("eval_ordered"),
        rows: Vec::new(),
        unknown: None,
    };
    for line in body {
        if line.starts_with("expect") {
            expected.fails |= line.starts_with("expect fail") || line.starts_with("expected_fail");
            expected.ordered |= line.starts_with("expect ordered");
            if line.starts_with("expect string") || line.starts_with("expect range") {
                expected.unknown = Some(Feature::StringsAndRanges);
            }
            continue;
        }
        let (labels, rest) = match number(line) {
            Some(_) => (Labels::empty(), *line),
            None => series(line).unwrap_or_else(|_| (Labels::empty(), *line)),
        };
        match values(rest) {
            Ok(values) => expected.rows.push((labels, values)),
            Err(_) if line.contains("{{") => expected.unknown = Some(Feature::NativeHistograms),
            Err(_) => expected.unknown = Some(Feature::StringsAndRanges),
        }
    }
    expected
}

fn case(
    file: &str,
    storage: &Storage,
    evaluator: &mut Evaluator,
    head: &str,
    body: &[&str],
) -> Verdict {
    let expected = expectation(head, body);
    if let Some(why) = expected.unknown {
        return Verdict::Skipped(why);
    }
    let Some((times, text)) = times(head) else {
        return Verdict::Failed("cannot read the times".to_owned());
    };
    let mut leaves = Vec::new();
    let expr = match foghorn_rules::promql::compile(text, DEFAULT_STEP_MS, &mut leaves) {
        Ok(expr) => expr,
        Err(_) if expected.fails => return Verdict::Passed,
        Err(error) => {
            return Feature::of_refusal(file, &error.message)
                .map_or(Verdict::Failed(error.message), Verdict::Skipped);
        }
    };
    let group = group(leaves);
    let mut reader = Reader {
        storage,
        leaves: &group.leaves,
        native: false,
    };
    let results: Result<Vec<Value>, EvalError> = times
        .iter()
        .map(|t| evaluator.evaluate(&group, &expr, Timestamp(*t), &mut reader))
        .collect();
    let native = reader.native;
    let verdict = match results {
        Err(_) if expected.fails => Verdict::Passed,
        Err(error) => Verdict::Failed(error.to_string()),
        Ok(results) if expected.fails => Verdict::Failed(format!("should fail, gives {results:?}")),
        Ok(results) => compare(&expected, results),
    };
    match verdict {
        Verdict::Passed if native => Verdict::PassedWithoutNative,
        _ if native => Verdict::Skipped(Feature::NativeHistograms),
        verdict => verdict,
    }
}

/// `… at 5m EXPR` or `… from 0 to 1h step 5m EXPR`.
fn times(head: &str) -> Option<(Vec<i64>, &str)> {
    fn word(text: &str) -> Option<(&str, &str)> {
        text.trim_start().split_once(char::is_whitespace)
    }
    let (_, rest) = word(head)?;
    let (kind, rest) = word(rest)?;
    let (_, rest) = word(rest)?;
    let (from, rest) = word(rest)?;
    let from = duration(from)?;
    if kind == "instant" {
        return Some((vec![from], rest.trim()));
    }
    let (_, rest) = word(rest)?;
    let (to, rest) = word(rest)?;
    let (_, rest) = word(rest)?;
    let (step, rest) = word(rest)?;
    let (to, step) = (duration(to)?, duration(step)?);
    let times = (0..=(to - from) / step).map(|i| from + i * step).collect();
    Some((times, rest.trim()))
}

fn group(leaves: Vec<foghorn_rules::plan::Leaf>) -> Group {
    Group {
        name: Arc::from("test"),
        file: Arc::from("test"),
        interval_ms: DEFAULT_STEP_MS,
        slot_ms: 0,
        query_offset_ms: 0,
        subquery_step_ms: DEFAULT_STEP_MS,
        limit: 0,
        sources: Vec::new(),
        rules: Vec::new(),
        leaves,
    }
}

fn compare(expected: &Expected, results: Vec<Value>) -> Verdict {
    let mut rows: Vec<(Labels, Vec<Option<f64>>)> = Vec::new();
    let steps = results.len();
    for (step, value) in results.into_iter().enumerate() {
        let elements: Vector = match value {
            Value::Vector(vector) => vector,
            Value::Scalar(value) => vec![Element {
                labels: Labels::empty(),
                value,
            }],
            Value::Text(_) => return Verdict::Skipped(Feature::StringsAndRanges),
        };
        for Element { labels, value } in elements {
            let at = rows
                .iter()
                .position(|(known, _)| *known == labels)
                .unwrap_or_else(|| {
                    rows.push((labels, vec![None; steps]));
                    rows.len() - 1
                });
            rows[at].1[step] = Some(value);
        }
    }
    let mut wanted = expected.rows.clone();
    for (_, values) in &mut wanted {
        values.resize(steps.max(values.len()), None);
    }
    if !expected.ordered {
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let same = rows.len() == wanted.len()
        && rows
            .iter()
            .zip(&wanted)
            .all(|(got, want)| got.0 == want.0 && same_values(&got.1, &want.1));
    if same {
        Verdict::Passed
    } else {
        Verdict::Failed(format!("gives {rows:?},\n    not   {wanted:?}"))
    }
}

fn same_values(got: &[Option<f64>], want: &[Option<f64>]) -> bool {
    got.len() == want.len()
        && got.iter().zip(want).all(|pair| match pair {
            (Some(a), Some(b)) => almost_equal(*a, *b),
            (a, b) => a == b,
        })
}

/// promqltest's own tolerance: a millionth.
fn almost_equal(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan() || (a - b).abs() < 1e-6 * (a.abs() + b.abs()).min(f64::MAX)
}
