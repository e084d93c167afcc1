//! Any bytes as `remote_write_2`.

#![no_main]

#[path = "../src/body.rs"]
mod body;

use foghorn_wire::{Compression, Format};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| body::run(Format::RemoteWrite2, Compression::None, bytes));
