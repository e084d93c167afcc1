//! Foghorn beside promtool: random series under rules of public files, and everything that both say
//! at every tick.
//!
//! ```text
//! cargo run -p foghorn-testkit --bin differential -- --promtool promtool --rules FOLDER
//! ```
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that says what it found"
)]

mod answers;
mod case;
mod compare;
mod corpus;
mod features;
mod scrambled;
mod series;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use foghorn_testkit::rng::Rng;

use answers::Answers;
use case::Case;
use compare::{Verdict, compare, compare_texts};

/// Compares Foghorn with promtool.
#[derive(Parser)]
struct Args {
    /// A `promtool` binary, 3.5.
    #[arg(long)]
    promtool: PathBuf,
    /// A folder of rule files that rules are drawn from.
    #[arg(long)]
    rules: PathBuf,
    /// Every case follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many cases.
    #[arg(long, default_value_t = 1_200)]
    cases: usize,
    /// Fewest ticks with a result that each feature must have.
    #[arg(long, default_value_t = 200)]
    least: usize,
    /// Where the cases' files are written; a folder that goes away where it is not said.
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// Cases of one call of promtool.
const TOGETHER: usize = 40;

/// What was found.
#[derive(Default)]
struct Report {
    alert_ticks: usize,
    firing_ticks: usize,
    expr_ticks: usize,
    expr_results: usize,
    shown_ticks: usize,
    pending_ticks: usize,
    last_bit: usize,
    looser: usize,
    failed_alike: usize,
    first_of_several: usize,
    ties: usize,
    scrambled: usize,
    not_scrambled: usize,
    features: BTreeMap<&'static str, usize>,
    differences: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("differential: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<bool, String> {
    let corpus = corpus::read(&args.rules)?;
    let promtool = args
        .promtool
        .canonicalize()
        .map_err(|e| format!("{}: {e}", args.promtool.display()))?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let folder = args.keep.as_deref().unwrap_or(folder.path());
    let mut report = Report::default();
    for name in features::all() {
        report.features.insert(name, 0);
    }
    let numbers: Vec<_> = (0..args.cases).collect();
    for numbers in numbers.chunks(TOGETHER) {
        let cases = numbers.iter().map(|number| {
            let mut rng = Rng::new(args.seed << 32 | *number as u64);
            case::make(*number, &corpus, &mut rng)
        });
        let cases: Vec<_> = cases.collect();
        cases.iter().try_for_each(|case| write(folder, case))?;
        let theirs = answers::of_promtool(&promtool, folder, &cases)?;
        for (case, theirs) in cases.iter().zip(&theirs) {
            let ours = answers::of_foghorn(case)?;
            report.take(case, &ours, theirs);
            let mut rng = Rng::new(args.seed << 32 | case.number as u64);
            match scrambled::check(case, &ours, &mut rng) {
                Ok(true) => report.scrambled += 1,
                Ok(false) => report.not_scrambled += 1,
                Err(why) => report.differs(case, "scrambled", &why, ""),
            }
        }
    }
    report.tell(corpus.len(), args)
}

fn write(folder: &Path, case: &Case) -> Result<(), String> {
    let (test, rules) = case.files();
    let all = [(test, case.test()), (rules, case.rules.clone())];
    for (name, text) in all {
        std::fs::write(folder.join(&name), text.to_string()).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(())
}

impl Report {
    fn take(&mut self, case: &Case, ours: &Answers, theirs: &Answers) {
        let failed = |answers: &Answers| {
            let mut rules = answers.keys().filter(|key| !is_question(key));
            rules.next().cloned()
        };
        if let (Some(a), Some(b)) = (failed(ours), failed(theirs)) {
            // A rule that cannot be evaluated ends a test; which elements the words name is chance.
            if until_words(&a) == until_words(&b) {
                self.failed_alike += 1;
            } else {
                self.differs(case, "a rule fails", &a, &b);
            }
            return;
        }
        let ticks = case::TICKS;
        self.alert_ticks += ticks * case.alerts.len();
        self.expr_ticks += ticks * case.exprs.len();
        self.shown_ticks += 2 * ticks;
        let mut questions: Vec<_> = ours.keys().chain(theirs.keys()).collect();
        questions.sort();
        questions.dedup();
        for question in questions {
            let nothing = String::new();
            let both = [ours, theirs].map(|answers| answers.get(question).unwrap_or(&nothing));
            self.question(case, question, both);
        }
    }

    fn question(&mut self, case: &Case, question: &str, [ours, theirs]: [&String; 2]) {
        if question.starts_with("alertname") {
            self.firing_ticks += 1;
            // Where in a template its error is, ours does not tell.
            let theirs = &without_place(theirs);
            // A template that takes the first of several takes any: Prometheus has no order there.
            let takes_first = case.rules.to_string().contains("first");
            let name = question["alertname: ".len()..].split(", time: ").next();
            let expr = case
                .alerts
                .iter()
                .find(|(known, _)| Some(known.as_str()) == name);
            let expr = expr.map_or("", |(_, expr)| expr.as_str());
            let verdict = compare_texts(expr, ours, theirs);
            if verdict == Verdict::Different && takes_first && labels(ours) == labels(theirs) {
                self.first_of_several += 1;
                return;
            }
            return self.judge(verdict, case, question, [ours, theirs]);
        }
        let Some(expr) = question.strip_prefix("expr: ") else {
            return self.differs(case, question, ours, theirs);
        };
        if expr.starts_with("\"ALERTS") {
            self.pending_ticks += usize::from(theirs.contains("alertstate=\"pending\""));
        } else if !theirs.is_empty() {
            self.expr_results += 1;
            let quoted = expr
                .rsplit_once(", time: ")
                .map_or(expr, |(quoted, _)| quoted);
            let asked = case
                .exprs
                .iter()
                .find(|(text, _)| quoted == format!("{}", serde_json::json!(text)));
            for feature in asked.iter().flat_map(|(_, features)| features) {
                *self.features.entry(feature).or_default() += 1;
            }
        }
        // What a rule recorded, and what alerts show, is as near as what it came from.
        let whole: Vec<_> = case.exprs.iter().map(|(text, _)| text.as_str()).collect();
        let expr = if expr.starts_with("\"case:recorded") {
            whole[whole.len() - 2]
        } else {
            expr
        };
        self.judge(compare(expr, ours, theirs), case, question, [ours, theirs]);
    }

    fn judge(&mut self, verdict: Verdict, case: &Case, question: &str, [ours, theirs]: [&str; 2]) {
        match verdict {
            Verdict::Same => {}
            Verdict::Tie => self.ties += 1,
            Verdict::LastBit => self.last_bit += 1,
            Verdict::Looser => self.looser += 1,
            Verdict::Different => self.differs(case, question, ours, theirs),
        }
    }

    fn differs(&mut self, case: &Case, what: &str, ours: &str, theirs: &str) {
        self.differences.push(format!(
            "case {}: {what}\n  ours:\n{ours}\n  theirs:\n{theirs}",
            case.number
        ));
    }

    fn tell(&self, rules: usize, args: &Args) -> Result<bool, String> {
        for difference in self.differences.iter().take(12) {
            println!("{difference}\n");
        }
        println!(
            "{} cases of seed {}, rules drawn from {rules}: {} differences",
            args.cases,
            args.seed,
            self.differences.len()
        );
        println!(
            "  {} alert-ticks, {} of them firing",
            self.alert_ticks, self.firing_ticks
        );
        println!(
            "  {} ticks of ALERTS and ALERTS_FOR_STATE, {} of them with pending alerts",
            self.shown_ticks, self.pending_ticks
        );
        println!(
            "  {} expression-ticks, {} of them with a result",
            self.expr_ticks, self.expr_results
        );
        println!(
            "  {} sums over series differ in the last bit, {} of what works on such a sum by more (at most 8 units in the last place; variances and subqueries 1,024)",
            self.last_bit, self.looser
        );
        println!(
            "  {} alert-ticks whose text takes the first of several elements, which is chance",
            self.first_of_several
        );
        println!(
            "  {} choices of topk or bottomk among equal values, which is chance",
            self.ties
        );
        println!(
            "  {} tests end alike with a rule that fails",
            self.failed_alike
        );
        println!(
            "  {} cases with the same alerts at each tick, scrambled over 8 partitions; {} not run so, since a rule fails",
            self.scrambled, self.not_scrambled
        );
        let rare = self.features.iter().min_by_key(|(_, count)| **count);
        let (name, count) = rare.ok_or("no features")?;
        println!(
            "  {} features, each in at least {count} ticks with a result ({name})",
            self.features.len()
        );
        let few: Vec<_> = self
            .features
            .iter()
            .filter(|(_, count)| **count < args.least)
            .collect();
        if !few.is_empty() {
            println!("  fewer than {}: {few:?}", args.least);
        }
        Ok(self.differences.is_empty() && few.is_empty())
    }
}

fn is_question(key: &str) -> bool {
    key.starts_with("alertname: ") || key.starts_with("expr: ")
}

/// What Go says of a template's error, without the place.
fn without_place(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, error)) = rest.split_once("error executing template ") {
        out.push_str(before);
        rest = error.split_once(">: ").map_or(error, |(_, words)| words);
    }
    out + rest
}

/// The alerts without what is said of them.
fn labels(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| line.starts_with("Labels:"))
        .collect()
}

/// What an error is about, without what it names.
fn until_words(error: &str) -> &str {
    let end = error.find(['{', ';', '[']).unwrap_or(error.len());
    &error[..end]
}
