//! Any text as an expression of PromQL.

#![no_main]

use foghorn_rules::promql::compile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut leaves = Vec::new();
    if let Err(error) = compile(text, 15_000, &mut leaves) {
        assert!(leaves.is_empty(), "refused, and yet read: {error:?}");
    }
});
