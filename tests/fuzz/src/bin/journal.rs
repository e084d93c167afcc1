//! Any bytes as a journal of what came by HTTP.

#![no_main]

use foghorn_fuzz::state::{file, folder, header};
use foghorn_store::Journal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let folder = folder();
    let bytes = file(header(*b"FHJOURNL"), input);
    let name = "journal-00000000000000000000-000000000000000.log";
    std::fs::write(folder.join(name), bytes).expect("memory");
    let Ok(journal) = Journal::open(&folder, 0, 1 << 20) else {
        return;
    };
    let kept = journal.replay(0).count();
    assert!(kept as i64 <= journal.next_offset());
});
