//! Public files of unit tests for rules, each of which passes under `promtool test rules`, run by
//! `foghorn test` unchanged.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail by panicking, like the test"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the folder that has `promql/rule-tests`.
const CONFORMANCE: &str = "FOGHORN_CONFORMANCE";

#[test]
fn public_rule_tests_pass() {
    #[expect(
        clippy::disallowed_methods,
        reason = "where the files are is not ours to know"
    )]
    let Ok(folder) = std::env::var(CONFORMANCE) else {
        println!("skipped: 0 files run, {CONFORMANCE} is not set");
        return;
    };
    let folder = PathBuf::from(folder).join("promql/rule-tests");
    let mut files = Vec::new();
    find(&folder, &mut files);
    files.sort();
    assert!(!files.is_empty(), "no test files in {}", folder.display());
    let mut failed = Vec::new();
    for file in &files {
        let output = Command::new(env!("CARGO_BIN_EXE_foghorn"))
            .arg("test")
            .arg(file)
            .output()
            .unwrap();
        if !output.status.success() {
            println!(
                "{}:\n{}",
                file.display(),
                String::from_utf8_lossy(&output.stderr)
            );
            failed.push(file);
        }
    }
    println!(
        "rule tests: {} passed, {} failed",
        files.len() - failed.len(),
        failed.len()
    );
    assert!(failed.is_empty(), "{failed:?}");
}

/// Files that hold tests: those with `tests:` at their top.
fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, found);
        } else if fs::read_to_string(&path)
            .is_ok_and(|text| text.lines().any(|line| line.starts_with("tests:")))
        {
            found.push(path);
        }
    }
}
