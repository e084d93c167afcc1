//! PromQL told in promqltest's language: our own cases, and Prometheus' files where they are at hand.

mod script;
mod series;
mod storage;
mod unsupported;

use std::collections::BTreeMap;
use std::path::PathBuf;

use unsupported::Feature;

#[test]
fn our_own_cases() {
    let outcome = script::run("cases.test", include_str!("cases.test"));
    assert!(outcome.failed.is_empty(), "{}", outcome.failed.join("\n"));
    assert!(outcome.skipped.is_empty(), "{:?}", outcome.skipped);
    assert!(outcome.passed > 0);
}

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
    let (mut passed, mut without, mut failed) = (0, 0, 0);
    let mut skipped = BTreeMap::<Feature, usize>::new();
    for path in paths {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let mut outcome = script::run(&name, &text);
        // Exactly those that need a flag: one more is a failure, and one less a surprise.
        if let Some((feature, known)) = Feature::of_file(&name)
            && outcome.failed.len() == known
        {
            outcome.failed.clear();
            *outcome.skipped.entry(feature).or_default() += known;
        }
        let left_out: usize = outcome.skipped.values().sum();
        println!(
            "{name}: {} passed, {} failed, {left_out} skipped",
            outcome.passed,
            outcome.failed.len()
        );
        for (feature, times) in outcome.skipped {
            println!("    skipped {times}: {feature:?}");
            *skipped.entry(feature).or_default() += times;
        }
        for why in &outcome.failed {
            println!("  {why}");
        }
        passed += outcome.passed;
        without += outcome.without_native;
        failed += outcome.failed.len();
    }
    let left_out: usize = skipped.values().sum();
    println!("all: {passed} passed, {failed} failed, {left_out} skipped: {skipped:?}");
    println!(
        "of those passed, {without} select native histograms too, and give the same without them"
    );
    assert_eq!(failed, 0, "see above");
}
