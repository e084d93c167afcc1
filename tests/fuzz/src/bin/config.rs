//! Any text as a configuration: refusals point into it.

#![no_main]

use libfuzzer_sys::fuzz_target;

// The configuration is the binary's, not a library's.
#[allow(dead_code, unused_imports, reason = "a part of it is used here")]
#[path = "../../../../crates/foghorn/src/config/mod.rs"]
mod config;
#[allow(dead_code, unused_imports, reason = "a part of it is used here")]
#[path = "../../../../crates/foghorn/src/out.rs"]
mod out;

fuzz_target!(|text: &str| {
    let (parsed, problems) = config::parse("foghorn.yaml", text);
    assert!(parsed.is_some() || problems.iter().any(|problem| problem.is_error()));
    for problem in &problems {
        assert!(!problem.render(text, false).is_empty());
    }
    drop(config::without_secrets(text));
});
