//! What a tool answers: per question the words that follow it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use foghorn_lab::unit::{self, Options};
use foghorn_rules::Source;
use foghorn_rules::unit_test::TestFile;

use crate::case::Case;

/// By question (its line), what was got; a question whose answer is nothing is not there.
pub(crate) type Answers = BTreeMap<String, String>;

/// Asks promtool about cases whose files stand in a folder.
///
/// # Errors
/// It does not run, or says what is not understood.
pub(crate) fn of_promtool(
    binary: &Path,
    folder: &Path,
    cases: &[Case],
) -> Result<Vec<Answers>, String> {
    let (mut reader, writer) = std::io::pipe().map_err(|e| e.to_string())?;
    let other = writer.try_clone().map_err(|e| e.to_string())?;
    let mut command = Command::new(binary);
    command
        .args(["test", "rules"])
        .args(cases.iter().map(|case| case.files().0))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(other);
    let mut child = command
        .spawn()
        .map_err(|e| format!("{}: {e}", binary.display()))?;
    // Its ends of the pipe must be the only ones.
    drop(command);
    let mut said = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut said).map_err(|e| e.to_string())?;
    child.wait().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&said);
    // What is said of each file begins with one of these; both streams are written at once.
    let said = said.replace("  SUCCESS\n", "  FAILED:\n");
    let files: Vec<_> = said.split("  FAILED:\n").skip(1).collect();
    if files.len() != cases.len() {
        let count = files.len();
        return Err(format!("{count} answers for {} cases: {said}", cases.len()));
    }
    Ok(files.into_iter().map(parse).collect())
}

/// Asks Foghorn about a case.
///
/// # Errors
/// The test file is not understood.
pub(crate) fn of_foghorn(case: &Case) -> Result<Answers, String> {
    let (test, rules) = case.files();
    let source = Source::new(test, case.test().to_string());
    let (file, diagnostics) = TestFile::load(&source);
    let file = file.ok_or_else(|| format!("{diagnostics:?}"))?;
    let rules = [Source::new(rules, case.rules.to_string())];
    let cases = unit::run(&file, &rules, &Options::default(), |_| {});
    let failures: Vec<_> = cases.into_iter().flat_map(|case| case.failures).collect();
    Ok(parse(&failures.join("\n")))
}

/// Questions begin at the margin of four; what belongs to them is set in deeper.
fn parse(said: &str) -> Answers {
    let mut answers = Answers::new();
    let mut question = String::new();
    for line in said.lines() {
        let line = line.trim_end();
        let is_question = ["    alertname: ", "    expr: ", "    rule: ", "    group: "]
            .iter()
            .any(|begin| line.starts_with(begin));
        if is_question {
            line.trim().clone_into(&mut question);
            answers.insert(question.clone(), String::new());
        } else if line.starts_with("      ") {
            let answer = answers.entry(question.clone()).or_default();
            answer.push_str(line.trim());
            answer.push('\n');
        } else if !line.trim().is_empty() {
            answers.insert(line.trim().to_owned(), String::new());
        }
    }
    answers
}
