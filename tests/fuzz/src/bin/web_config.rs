//! Any text as a web configuration, whose files there are not.

#![no_main]

use std::io;

use foghorn_http::{Access, WebConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(config) = serde_saphyr::from_str::<WebConfig>(text) {
        drop(Access::of(
            &config,
            &|_| Err(io::ErrorKind::NotFound.into()),
        ));
    }
});
