//! Any bytes as a packed remote write request; the first one says how it is packed.

#![no_main]

use foghorn_fuzz::decoder;
use foghorn_wire::{Compression, Format};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((first, packed)) = bytes.split_first() {
        let all = [Compression::Snappy, Compression::Gzip];
        decoder::run(
            Format::RemoteWrite1,
            all[usize::from(*first) % all.len()],
            packed,
        );
    }
});
