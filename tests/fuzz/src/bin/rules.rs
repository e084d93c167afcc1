//! Any text as a rule file: what loads makes a catalog, what does not is shown in its place, and both
//! are said again.

#![no_main]

use foghorn_eval::catalog::Catalog;
use foghorn_rules::{LoadOptions, Source, load};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let source = [Source::new("rules.yaml", text)];
    let (rules, problems) = load(&source, &LoadOptions::default());
    for problem in &problems {
        assert!(!problem.render(text, false).is_empty());
    }
    let (_, again) = load(&source, &LoadOptions::default());
    assert_eq!(format!("{problems:?}"), format!("{again:?}"));
    drop(Catalog::new(rules));
});
