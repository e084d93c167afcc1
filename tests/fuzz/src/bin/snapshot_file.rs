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
    let read = || {
        let mut parts = Vec::new();
        let read = Snapshots::read(&path, &mut |kind, part| {
            parts.push((kind, part));
            Ok(())
        });
        (read.is_ok(), parts)
    };
    let (is_whole, parts) = read();
    // A piece is 4 MiB at most, whatever it says of itself.
    let most = (input.len() / 2 + 1) * (4 << 20);
    let bytes: usize = parts.iter().map(|(_, part)| part.len()).sum();
    assert!(bytes <= most, "{bytes} bytes");
    assert!(
        (is_whole, parts) == read(),
        "said otherwise the second time"
    );
});
