//! A state that version 0.1.0 left when it was killed: it is read from now on.
//!
//! Seven rules (thresholds with `for` and `keep_firing_for`, one over a recorded series, one over an
//! hour, a log match, a band, an absence) over 45 bodies that came by HTTP in ten seconds: gauges,
//! cumulative and delta counters, log records. A snapshot every four seconds.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use foghorn_rules::LoadOptions;
use foghorn_store::{Journal, Outbox, SignalLog};

use super::*;
use crate::live::catalog_of;

const STATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/state-0.1.0");

/// A copy of it, to be opened: what opens it writes.
fn copy() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for folder in ["signals", "snapshots", "journal", "outbox"] {
        let (from, to) = (Path::new(STATE).join(folder), copy.path().join(folder));
        fs::create_dir(&to).unwrap();
        for file in fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    copy
}

/// What a start finds: the snapshot's position, entries after it, series, and alerts that are open.
fn found(state: &Path) -> (u64, usize, usize, usize) {
    let (log, entries) = SignalLog::open(&state.join("signals")).unwrap();
    let store = Snapshots::open(&state.join("snapshots")).unwrap();
    let fresh = |history: &History| {
        let files = history.files.clone().unwrap();
        let catalog = catalog_of(&files, &LoadOptions::default());
        catalog.name_sources(["http".to_owned()]);
        Core::new(Arc::clone(&catalog), Vec::new())
    };
    let names = ["http: Plain".to_owned()];
    let known = Known {
        names: &names,
        first: log.first(),
        fresh: &fresh,
        shards: 2,
    };
    let found = find(&store, &known, entries).unwrap();
    let restored = found.restored.expect("its series are good");
    let shards = restored.shards.iter();
    let series = shards.map(|shard| shard.counts().series).sum();
    let groups = found.history.groups.values();
    let open = groups.map(|group| group.open.len()).sum();
    let position = found.state.map(|state| state.position);
    (position.unwrap(), found.later.len(), series, open)
}

#[test]
fn a_state_of_version_0_1_0_is_read() {
    let state = copy();
    assert_eq!(found(state.path()), (16_634, 0, 2, 3));
    let newest = state.path().join("snapshots/00000000000000016634.snapshot");
    fs::remove_file(newest).unwrap();
    assert_eq!(found(state.path()), (16_618, 16, 2, 3));

    let journal = Journal::open(&state.path().join("journal"), 0, 1 << 30).unwrap();
    let bodies: Result<Vec<_>, _> = journal.replay(0).collect();
    assert_eq!(bodies.unwrap().len(), 45);
    let outbox = Outbox::open(&state.path().join("outbox")).unwrap();
    let revisions: Vec<_> = outbox.known().values().copied().collect();
    assert_eq!(revisions, [2], "of one incident");
}
