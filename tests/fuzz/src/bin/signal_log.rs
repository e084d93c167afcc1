//! Any bytes as a signal log, and what its entries come to.

#![no_main]

use foghorn_engine::History;
use foghorn_fuzz::state::{file, folder, header};
use foghorn_store::SignalLog;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let folder = folder();
    let bytes = file(header(*b"FHSIGLOG"), input);
    std::fs::write(folder.join("signals.log"), bytes).expect("memory");
    let Ok((log, entries)) = SignalLog::open(&folder) else {
        return;
    };
    drop(History::read(&entries));
    drop(log);
    // What was cut off stays cut off, and everything else stays.
    let (_, again) = SignalLog::open(&folder).expect("it was opened before");
    assert_eq!(entries.len(), again.len());
});
