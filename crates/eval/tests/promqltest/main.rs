//! PromQL told in promqltest's language: our own cases, and Prometheus' files where they are at hand.

mod script;
mod series;
mod storage;

use std::path::PathBuf;

#[test]
fn our_own_cases() {
    let outcome = script::run(include_str!("cases.test"));
    assert!(outcome.failed.is_empty(), "{}", outcome.failed.join("\n"));
    assert!(outcome.skipped.is_empty(), "{:?}", outcome.skipped);
    assert!(outcome.passed > 0);
}

/// Cases that Prometheus itself passes only with a feature flag on, and one that needs a label name
/// that is no UTF-8: by file, how many.
const KNOWN: [(&str, usize); 3] = [
    ("functions.test", 1),
    // promql-delayed-name-removal
    ("name_label_dropping.test", 5),
    // type-and-unit-labels
    ("type_and_unit.test", 15),
];

/// Names the folder that has `promql/language/*.test` of Prometheus.
const CONFORMANCE: &str = "FOGHORN_CONFORMANCE";

#[test]
fn prometheus_own_cases() {
    #[expect(
        clippy::disallowed_methods,
        reason = "where the files are is not ours to know"
    )]
    let Ok(folder) = std::env::var(CONFORMANCE) else {
        println!("skipped: {CONFORMANCE} is not set");
        return;
    };
    let folder = PathBuf::from(folder).join("promql/language");
    let entries = std::fs::read_dir(&folder).expect("the folder of Prometheus' files");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "test")
    });
    paths.sort();
    assert!(!paths.is_empty(), "no .test files in {}", folder.display());
    let (mut passed, mut skipped, mut failed) = (0, 0, 0);
    let mut worse = Vec::new();
    for path in paths {
        let outcome = script::run(&std::fs::read_to_string(&path).expect("a readable file"));
        let left_out: usize = outcome.skipped.values().sum();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        println!(
            "{name}: {} passed, {} failed, {left_out} skipped",
            outcome.passed,
            outcome.failed.len()
        );
        for (why, times) in &outcome.skipped {
            println!("    skipped {times}: {why}");
        }
        for why in &outcome.failed {
            println!("  {why}");
        }
        passed += outcome.passed;
        skipped += left_out;
        failed += outcome.failed.len();
        let known = KNOWN
            .iter()
            .find(|(file, _)| *file == name)
            .map_or(0, |(_, known)| *known);
        if outcome.failed.len() > known {
            worse.push(name);
        }
    }
    println!("all: {passed} passed, {failed} failed, {skipped} skipped");
    assert!(
        worse.is_empty(),
        "more failures than known in {worse:?}: see above"
    );
}
