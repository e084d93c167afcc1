//! Any bytes as a snapshot: its parts come out whole, or it is refused.

#![no_main]

use foghorn_fuzz::state::{file, folder, header};
use foghorn_store::Snapshots;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let folder = folder();
    let bytes = file(header(*b"FHSNAPSH"), input);
    let path = folder.join("00000000000000000001.snapshot");
    std::fs::write(&path, bytes).expect("memory");
    let mut parts = 0;
    let read = Snapshots::read(&path, &mut |_, _| {
        parts += 1;
        Ok(())
    });
    assert!(parts == 0 || read.is_ok() || parts <= input.len());
});
