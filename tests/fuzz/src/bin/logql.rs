//! Any text as an expression of LogQL.

#![no_main]

use foghorn_rules::logql::{lower, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(expr) = parse(text) {
        // A log query has no value.
        drop(lower(&expr, &mut Vec::new()));
    }
});
