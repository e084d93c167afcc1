//! Any text as a file of unit tests for rules.

#![no_main]

use foghorn_rules::Source;
use foghorn_rules::unit_test::TestFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (file, problems) = TestFile::load(&Source::new("tests.yaml", text));
    assert!(file.is_some() || problems.iter().any(|problem| problem.is_error()));
    for problem in &problems {
        assert!(!problem.render(text, false).is_empty());
    }
});
