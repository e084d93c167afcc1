//! `foghorn test`: unit tests of rules, as promtool runs them.

use std::path::Path;

use anyhow::Context;
use foghorn_lab::unit::{self, Case, Options, Progress, Suite};
use foghorn_rules::Source;
use foghorn_rules::unit_test::TestFile;
use foghorn_runtime::clock::wall;

use crate::args::TestArgs;
use crate::out::{Failure, colours, complain, say};
use crate::rule_files;

pub(crate) fn run(args: &TestArgs) -> Result<(), Failure> {
    let mut options = Options::only(&args.run)
        .map_err(|error| Failure::Usage(format!("foghorn test --run: {error}")))?;
    (options.diff, options.debug) = (args.diff, args.debug);
    let mut suites = Vec::new();
    let mut failed = false;
    for path in &args.files {
        say(&format!("Unit Testing:  {}", path.display()));
        let suite = file(path, &options);
        let failures: Vec<_> = suite.cases.iter().flat_map(|case| &case.failures).collect();
        if suite.aborted.is_none() && failures.is_empty() {
            say("  SUCCESS");
        } else {
            failed = true;
            if suite.aborted.is_some() {
                // Why was told at once.
                say("");
            } else {
                complain("  FAILED:");
            }
            for failure in failures {
                complain(failure);
                say("");
            }
        }
        say("");
        suites.push(suite);
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, unit::junit(&suites))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    if failed { Err(Failure::Told) } else { Ok(()) }
}

/// Runs one file's tests.
fn file(path: &Path, options: &Options) -> Suite {
    let now = wall().to_string();
    let mut suite = Suite {
        file: path.display().to_string(),
        timestamp: now.get(..19).unwrap_or(&now).to_owned(),
        ..Suite::default()
    };
    match cases(path, options) {
        Ok(cases) => suite.cases = cases,
        Err((why, shown)) => {
            complain("  FAILED:");
            complain(&shown);
            suite.aborted = Some(why);
        }
    }
    suite
}

/// The tests' results; where there are none, why: in short, and for a terminal.
fn cases(path: &Path, options: &Options) -> Result<Vec<Case>, (String, String)> {
    let both = |error: anyhow::Error| {
        let why = crate::out::reasons(&error);
        (why.clone(), why)
    };
    let source = read(path).map_err(both)?;
    let (file, diagnostics) = TestFile::load(&source);
    let colour = colours(&std::io::stderr());
    let Some(file) = file else {
        let short: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
        let shown: Vec<_> = diagnostics
            .iter()
            .map(|diagnostic| diagnostic.render(&source.text, colour))
            .collect();
        return Err((short.join("\n"), shown.join("\n\n")));
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut rules = Vec::new();
    for pattern in &file.rule_files {
        let pattern = folder.join(pattern);
        let found = rule_files::matching(&pattern);
        if found.is_empty() {
            complain(&format!(
                "  WARNING: no file match pattern {}",
                pattern.display()
            ));
        }
        for path in found {
            rules.push(read(&path).map_err(both)?);
        }
    }
    let mut begun = wall();
    let cases = unit::run(&file, &rules, options, |progress| {
        if !options.debug {
            return;
        }
        match progress {
            Progress::Starts(name) => {
                begun = wall();
                say(&format!("DEBUG: Starting test {name}"));
            }
            Progress::Done(case) => {
                case.dump.iter().for_each(|line| say(line));
                let took = wall() - begun;
                say(&format!(
                    "DEBUG: Test {} finished, took {took}ms",
                    case.name
                ));
            }
        }
    });
    Ok(cases)
}

fn read(path: &Path) -> anyhow::Result<Source> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(Source::new(path.display().to_string(), text))
}
