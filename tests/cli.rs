//! The command line as text files: `tests/cli/*.txt`, run in name order, each in a folder of its own.
//!
//! A file begins with words for people; then sections, each headed by a line that begins with `---`:
//!
//! - `--- file PATH`: a file that the commands find.
//! - `--- run foghorn ARGS`: a command line (`'…'` quotes); the sections behind it are about it:
//! - `--- stdout`, `--- stderr`: what is expected there; nothing, where the section is missing. In
//!   place of the text, `--- stdout again` asks for what the command before printed.
//! - `--- exit CODE`: 0, where it is missing.
//! - `--- shows PATH`: what is expected in a file afterwards.
//!
//! In expected text, a line of `...` stands for any lines, and `...` in a line for any text. Spaces
//! at ends of lines do not count.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail by panicking, like the test"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cli");

/// One command and what is expected of it.
#[derive(Debug, Default)]
struct Step {
    line: usize,
    words: Vec<String>,
    stdout: Expected,
    stderr: Expected,
    exit: i32,
    shows: Vec<(String, String)>,
}

#[derive(Debug)]
enum Expected {
    Text(String),
    Again,
}

impl Default for Expected {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

#[derive(Debug, Default)]
struct Case {
    files: Vec<(String, String)>,
    steps: Vec<Step>,
}

impl Case {
    fn parse(text: &str) -> Result<Self, String> {
        let mut case = Self::default();
        let mut sections: Vec<(usize, &str, String)> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(head) = line.strip_prefix("---") {
                sections.push((number, head.trim(), String::new()));
            } else if let Some((_, _, body)) = sections.last_mut() {
                body.push_str(line);
                body.push('\n');
            }
        }
        for (line, head, body) in sections {
            case.add(line, head, body)
                .map_err(|why| format!("line {line}: {why}"))?;
        }
        if case.steps.is_empty() {
            return Err("nothing is run".to_owned());
        }
        Ok(case)
    }

    fn add(&mut self, line: usize, head: &str, body: String) -> Result<(), String> {
        let (word, rest) = head.split_once(' ').unwrap_or((head, ""));
        if word == "file" {
            self.files.push((rest.to_owned(), body));
            return Ok(());
        }
        if word == "run" {
            let words = words(rest);
            if words.first().is_none_or(|first| first != "foghorn") {
                return Err("only foghorn is run".to_owned());
            }
            self.steps.push(Step {
                line,
                words,
                ..Step::default()
            });
            return Ok(());
        }
        let step = self.steps.last_mut().ok_or("nothing was run yet")?;
        let expected = match rest {
            "again" => Expected::Again,
            _ => Expected::Text(body.clone()),
        };
        match word {
            "stdout" => step.stdout = expected,
            "stderr" => step.stderr = expected,
            "exit" => step.exit = rest.parse().map_err(|_| format!("exit {rest:?}"))?,
            "shows" => step.shows.push((rest.to_owned(), body)),
            _ => return Err(format!("no section is called {word:?}")),
        }
        Ok(())
    }

    /// Runs it in a folder; what was not as expected.
    fn run(&self, folder: &Path) -> String {
        for (name, text) in &self.files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let (mut complaints, mut before) = (String::new(), [String::new(), String::new()]);
        for step in &self.steps {
            let output = Command::new(env!("CARGO_BIN_EXE_foghorn"))
                .args(&step.words[1..])
                .current_dir(folder)
                .output()
                .unwrap();
            let said = [&output.stdout, &output.stderr]
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            let mut wrong = String::new();
            for (name, expected, at) in [("stdout", &step.stdout, 0), ("stderr", &step.stderr, 1)] {
                let fits = match expected {
                    Expected::Text(pattern) => fits(pattern, &said[at]),
                    Expected::Again => said[at] == before[at],
                };
                if !fits {
                    write!(wrong, "--- {name} is:\n{}\n", said[at]).unwrap();
                }
            }
            if output.status.code() != Some(step.exit) {
                writeln!(wrong, "--- exit is: {}", output.status).unwrap();
            }
            for (name, pattern) in &step.shows {
                let text = fs::read_to_string(folder.join(name)).unwrap_or_else(|e| e.to_string());
                if !fits(pattern, &text) {
                    write!(wrong, "--- {name} shows:\n{text}\n").unwrap();
                }
            }
            if !wrong.is_empty() {
                writeln!(
                    complaints,
                    "line {}: {}\n{wrong}",
                    step.line,
                    step.words.join(" ")
                )
                .unwrap();
            }
            before = said;
        }
        complaints
    }
}

/// Splits a command line; single quotes hold words together.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for c in text.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Whether a text is as a pattern wants it.
fn fits(pattern: &str, text: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        let text = text.trim_end();
        text.lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    };
    lines_fit(&lines(pattern), &lines(text))
}

fn lines_fit(pattern: &[String], text: &[String]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((any, rest)) if any == "..." => {
            (0..=text.len()).any(|skip| lines_fit(rest, &text[skip..]))
        }
        Some((first, rest)) => text
            .split_first()
            .is_some_and(|(line, text)| line_fits(first, line) && lines_fit(rest, text)),
    }
}

fn line_fits(pattern: &str, line: &str) -> bool {
    match pattern.split_once("...") {
        None => pattern == line,
        Some((head, rest)) => line.strip_prefix(head).is_some_and(|line| {
            let starts = line.char_indices().map(|(at, _)| at).chain([line.len()]);
            starts.into_iter().any(|at| line_fits(rest, &line[at..]))
        }),
    }
}

#[test]
fn commands_do_as_the_text_files_say() {
    let mut paths: Vec<PathBuf> = fs::read_dir(CASES)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    assert!(!paths.is_empty(), "no cases in {CASES}");
    let mut complaints = String::new();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let folder = tempfile::tempdir().unwrap();
        let wrong = match Case::parse(&fs::read_to_string(&path).unwrap()) {
            Ok(case) => case.run(folder.path()),
            Err(why) => why,
        };
        if !wrong.is_empty() {
            writeln!(complaints, "==== {name}\n{wrong}").unwrap();
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

#[test]
fn dots_stand_for_anything_and_nothing_else_does() {
    let check = |pattern: &str, text: &str, expect: bool| {
        assert_eq!(fits(pattern, text), expect, "{pattern:?} {text:?}");
    };
    check("a\nb\n", "a  \nb", true);
    check("a\nb\n", "a\nc\n", false);
    check("", "a", false);
    check("a\n...\nd\n", "a\nb\nc\nd\n", true);
    check("a\n...\nd\n", "a\nb\n", false);
    check("it took ... ms", "it took 17 ms", true);
    check("it took ... ms", "it took 17 s", false);
}

#[test]
fn a_case_that_makes_no_sense_is_an_error() {
    let check = |text: &str, word: &str| {
        let error = Case::parse(text).unwrap_err();
        assert!(error.contains(word), "{error}");
    };
    check("words only", "nothing is run");
    check("--- run rm -rf x", "only foghorn");
    check("--- stdout\nx", "nothing was run yet");
    check("--- run foghorn\n--- stdin\n", "no section");
    assert_eq!(
        words("foghorn --set 'a=b c' d"),
        ["foghorn", "--set", "a=b c", "d"]
    );
}
