//! Any bytes as a part of a snapshot whose checksums hold: what the log comes to, the head, or series;
//! or as changes to a good one. The first byte says which.

#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use foghorn_engine::LogState;
use foghorn_engine::core::Core;
use foghorn_eval::catalog::Catalog;
use foghorn_rules::{LoadOptions, Source, load};
use foghorn_runtime::snapshot::{Head, Restore};
use foghorn_store::{PartKind, Snapshots};
use libfuzzer_sys::fuzz_target;

const SNAPSHOT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../crates/runtime/fixtures/state-0.1.0/snapshots/00000000000000016634.snapshot"
);

/// Good parts: what the log comes to, the head, series.
static GOOD: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let mut parts = [const { Vec::new() }; 3];
    Snapshots::read(Path::new(SNAPSHOT), &mut |kind, part| {
        let place = match kind {
            PartKind::Log => 0,
            PartKind::Head => 1,
            PartKind::Series => 2,
        };
        parts[place] = part;
        Ok(())
    })
    .expect("a good snapshot");
    parts
});

/// A good part with some of its bytes changed, each as four of `changes` say.
fn changed(good: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut part = good.to_vec();
    for change in changes.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % (part.len() + 1);
        match change[2] % 4 {
            0 => part.truncate(at),
            1 => part.insert(at, change[3]),
            2 if at < part.len() => drop(part.remove(at)),
            _ if at < part.len() => part[at] = change[3],
            _ => {}
        }
    }
    part
}

fn core(head: &Head) -> Core {
    let files = head.files.iter();
    let sources: Vec<_> = files
        .map(|file| Source::new(&file.path, &file.text))
        .collect();
    let (rules, _) = load(&sources, &LoadOptions::default());
    let catalog = Arc::new(Catalog::new(rules));
    catalog.name_sources(["http".to_owned()]);
    Core::new(catalog, Vec::new())
}

fuzz_target!(|input: &[u8]| {
    let Some((&first, rest)) = input.split_first() else {
        return;
    };
    let kind = usize::from(first % 3);
    let part = if first < 128 {
        rest.to_vec()
    } else {
        changed(&GOOD[kind], rest)
    };
    let head = match kind {
        0 => {
            drop(LogState::unpack(&part));
            return;
        }
        1 => Head::unpack(&part),
        _ => Head::unpack(&GOOD[1]),
    };
    let Ok(head) = head else {
        return;
    };
    let fresh = core(&head);
    let Ok(mut restore) = Restore::begin(&head, fresh, 2) else {
        return;
    };
    if kind == 2 && restore.take(part).is_err() {
        return;
    }
    let Ok((_, shards, series)) = restore.finish() else {
        return;
    };
    let held: usize = shards.iter().map(|shard| shard.counts().series).sum();
    assert!(held <= series, "{held} of {series}");
});
