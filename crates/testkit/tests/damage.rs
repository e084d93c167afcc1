//! Snapshots that were damaged, by chance: the one before serves, or the start is refused; what comes
//! back is never anything else than what was written.

#[expect(
    dead_code,
    reason = "several tests share it, and each needs its own part"
)]
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use foghorn_engine::LogState;
use foghorn_engine::core::Core;
use foghorn_runtime::snapshot::{Head, Restore};
use foghorn_store::{PartKind, Snapshots};
use foghorn_testkit::rng::Rng;
use world::rules::{INSTANTS, RANGES, TOTALS};
use world::run::{PATIENCE, Run, Trouble, layout};
use world::source::World;

type Parts = Vec<(PartKind, Vec<u8>)>;

/// A world, and what some run through it wrote as snapshots.
fn snapshots(seed: u64) -> (World, Vec<Parts>) {
    let rules = [RANGES, INSTANTS, TOTALS][seed as usize % 3];
    let world = World::random(seed, rules, 200_000);
    let mut rng = Rng::new(seed);
    let mut run = Run::start(&world, layout(&mut rng, PATIENCE));
    run.go(
        &mut rng,
        Trouble {
            snapshots: true,
            ..Trouble::default()
        },
    );
    let parts = run.snapshots().map(|(state, head, blocks)| {
        let series = blocks.iter().cloned();
        let series = series.map(|block| (PartKind::Series, block));
        let log = (PartKind::Log, state.pack().expect("bytes"));
        let head = (PartKind::Head, head.pack().expect("bytes"));
        [log, head].into_iter().chain(series).collect()
    });
    let all: Vec<Parts> = parts.collect();
    drop(run);
    assert!(all.len() >= 2, "{} snapshots", all.len());
    (world, all)
}

fn write(all: &Snapshots, position: u64, parts: &Parts) {
    let mut writer = all.begin(position).expect("a file");
    for (kind, part) in parts {
        writer.put(*kind, part).expect("a part");
    }
    writer.finish().expect("a snapshot");
}

fn read(path: &Path) -> Option<Parts> {
    let mut parts = Vec::new();
    let read = Snapshots::read(path, &mut |kind, part| {
        parts.push((kind, part));
        Ok(())
    });
    read.is_ok().then_some(parts)
}

/// Something happens to a file's bytes.
fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.below(bytes.len());
    match rng.below(6) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = bytes[at].wrapping_add(1 + rng.below(255) as u8),
        2 => bytes.truncate(at),
        3 => {
            // A page that was never written.
            let end = (at + 4_096).min(bytes.len());
            bytes[at..end].fill(0);
        }
        4 => {
            // A page of somewhere else.
            let from = rng.below(bytes.len());
            let len = 512.min(bytes.len() - from.max(at));
            bytes.copy_within(from..from + len, at);
        }
        _ => drop(bytes.drain(at..(at + 1 + rng.below(64)).min(bytes.len()))),
    }
}

/// The newest that is whole, as a start finds it.
fn newest_whole(all: &Snapshots) -> Option<(PathBuf, Parts)> {
    let mut paths = all.newest_first().expect("a list").into_iter();
    paths.find_map(|path| Some((path.clone(), read(&path)?)))
}

#[test]
fn a_damaged_snapshot_is_never_taken_for_a_whole_one() {
    let (mut damaged, mut alike) = (0, 0);
    for seed in 0..6 {
        let (_, written) = snapshots(seed);
        let dir = tempfile::tempdir().expect("a directory");
        let all = Snapshots::open(dir.path()).expect("snapshots");
        let [.., before, newest] = &written[..] else {
            panic!("two at least")
        };
        write(&all, 1, before);
        write(&all, 2, newest);
        let path = all.newest_first().expect("a list").remove(0);
        let bytes = std::fs::read(&path).expect("its bytes");
        let mut rng = Rng::new(seed ^ 0xbad);
        for _ in 0..200 {
            let mut other = bytes.clone();
            damage(&mut other, &mut rng);
            std::fs::write(&path, &other).expect("written");
            let (_, found) = newest_whole(&all).expect("the one before is whole");
            if other == bytes {
                alike += 1;
                assert_eq!(&found, newest);
            } else {
                damaged += 1;
                assert_eq!(&found, before, "of {} bytes", other.len());
            }
        }
    }
    assert!(damaged >= 1_000, "{damaged} damaged, {alike} by chance not");
}

#[test]
fn parts_that_were_damaged_before_they_were_written_break_nothing() {
    let (mut refused, mut taken) = (0, 0);
    for seed in 0..6 {
        let (world, written) = snapshots(seed);
        let newest = written.last().expect("one at least");
        let mut rng = Rng::new(seed ^ 0xbeef);
        for _ in 0..300 {
            let mut parts = newest.clone();
            let at = rng.below(parts.len());
            damage(&mut parts[at].1, &mut rng);
            match restore(&world, &parts) {
                // A number in the place of another is a number.
                Ok(series) => taken += usize::from(series > 0),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 500, "{refused} refused, {taken} taken");
}

/// Series that come back.
fn restore(world: &World, parts: &Parts) -> Result<usize, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (mut begun, mut series) = (None, 0);
    for (kind, part) in parts {
        match (kind, &mut begun) {
            (PartKind::Log, _) => drop(LogState::unpack(part).map_err(|e| text(&e))?),
            (PartKind::Head, begun) => {
                let head = Head::unpack(part).map_err(|e| text(&e))?;
                let core = Core::new(Arc::clone(&world.catalog), Vec::new());
                *begun = Some(Restore::begin(&head, core, 2).map_err(|e| text(&e))?);
            }
            (PartKind::Series, Some(restore)) => {
                restore.take(part.clone()).map_err(|e| text(&e))?;
            }
            (PartKind::Series, None) => return Err("no head".to_owned()),
        }
    }
    if let Some(restore) = begun {
        series = restore.finish().map_err(|e| text(&e))?.2;
    }
    Ok(series)
}
