//! Any bytes as an outbox.

#![no_main]

use foghorn_fuzz::state::{file, folder, header};
use foghorn_store::Outbox;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let folder = folder();
    let bytes = file(header(*b"FHOUTBOX"), input);
    std::fs::write(folder.join("outbox.log"), bytes).expect("memory");
    let Ok(outbox) = Outbox::open(&folder) else {
        return;
    };
    let known = outbox.known().clone();
    drop(outbox);
    let again = Outbox::open(&folder).expect("it was opened before");
    assert_eq!(known, *again.known());
});
