//! Any bytes as `remote_write_1`.

#![no_main]

use foghorn_fuzz::decoder;
use foghorn_wire::{Compression, Format};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| decoder::run(Format::RemoteWrite1, Compression::None, bytes));
