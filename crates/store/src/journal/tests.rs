use std::fs::OpenOptions;

use super::*;

fn body(n: i64) -> Kept {
    Kept {
        format: "json_metrics".to_owned(),
        received: Timestamp(n * 1_000),
        // Every body its own bytes, and no way to pack them much: a file fills up soon.
        body: (0..300_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(n as u32 * 97) >> 13) as u8)
            .collect(),
    }
}

fn open(dir: &Path) -> Journal {
    Journal::open(dir, 0, 16_000).unwrap()
}

fn fill(journal: &mut Journal, bodies: std::ops::Range<i64>) {
    for n in bodies {
        journal.append([&body(n)]).unwrap();
    }
}

/// What is read from an offset on: the offsets, having compared the bodies.
fn offsets(journal: &Journal, from: Offset) -> Vec<Offset> {
    let found = journal.replay(from).map(|found| {
        let (offset, kept) = found.unwrap();
        assert_eq!(kept, body(offset));
        offset
    });
    found.collect()
}

#[test]
fn bodies_come_back_over_many_files_and_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    fill(&mut journal, 0..20);
    assert!(journal.closed.len() > 1, "{} files", journal.closed.len());
    assert_eq!(offsets(&journal, 0), (0..20).collect::<Vec<_>>());
    drop(journal);
    let mut journal = open(dir.path());
    fill(&mut journal, 20..23);
    assert_eq!(offsets(&journal, 0), (0..23).collect::<Vec<_>>());
    assert_eq!(offsets(&journal, 21), [21, 22]);
    assert_eq!(offsets(&journal, 23), [0; 0]);
}

#[test]
fn what_no_restart_needs_is_deleted_by_the_stamps_of_whole_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    fill(&mut journal, 0..20);
    let second = journal.closed[1].first;
    journal
        .keep(Timestamp(second * 1_000), Timestamp(0))
        .unwrap();
    assert_eq!(journal.oldest_offset(), second);
    drop(journal);
    let mut journal = open(dir.path());
    assert_eq!(offsets(&journal, 0), (second..20).collect::<Vec<_>>());
    journal.keep(Timestamp(i64::MAX), Timestamp(0)).unwrap();
    assert_eq!(
        journal.oldest_offset(),
        journal.first,
        "never the last file"
    );
}

#[test]
fn over_the_bound_the_decided_goes_and_the_undecided_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    let mut n = 0;
    while journal.has_room().unwrap() {
        fill(&mut journal, n..n + 1);
        n += 1;
    }
    assert_eq!(journal.oldest_offset(), 0, "nothing is decided on");
    let third = journal.closed[2].first;
    journal
        .keep(Timestamp(0), Timestamp(third * 1_000))
        .unwrap();
    assert!(journal.has_room().unwrap());
    assert_eq!(
        (journal.shortened(), journal.oldest_offset()),
        (1, journal.closed[0].first)
    );
    for _ in 0..100 {
        if journal.has_room().unwrap() {
            fill(&mut journal, n..n + 1);
            n += 1;
        }
    }
    assert!(!journal.has_room().unwrap());
    assert_eq!(journal.oldest_offset(), third);
}

#[test]
fn a_torn_body_is_cut_off_wherever_it_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    fill(&mut journal, 0..2);
    let two = journal.bytes();
    fill(&mut journal, 2..3);
    let three = journal.bytes();
    let path = journal.segment.path().to_owned();
    drop(journal);
    for length in (two..three).rev() {
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length).unwrap();
        assert_eq!(
            offsets(&open(dir.path()), 0),
            [0, 1],
            "{length} of {three} bytes"
        );
    }
}

#[test]
fn a_changed_byte_is_told_and_never_taken_for_a_body() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    fill(&mut journal, 0..12);
    let path = journal.closed[0].path.clone();
    drop(journal);
    let good = fs::read(&path).unwrap();
    for at in (FIRST..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        fs::write(&path, &bad).unwrap();
        let found: Result<Vec<_>, _> = open(dir.path()).replay(0).collect();
        let error = found.unwrap_err().to_string();
        assert!(error.contains("corrupt at byte"), "byte {at}: {error}");
    }
}

/// The first byte after the file's header.
const FIRST: usize = crate::frame::FILE_HEADER;

#[test]
fn after_a_journal_that_was_taken_away_offsets_go_on_from_what_was_decided() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path(), 40, 16_000).unwrap();
    assert_eq!((journal.oldest_offset(), journal.next_offset()), (40, 40));
    fill(&mut journal, 40..43);
    drop(journal);
    let mut journal = Journal::open(dir.path(), 50, 16_000).unwrap();
    assert_eq!(journal.next_offset(), 50);
    fill(&mut journal, 50..51);
    assert_eq!(offsets(&journal, 0), [50]);
    drop(journal);
    assert_eq!(offsets(&open(dir.path()), 0), [50]);
}

#[test]
fn a_file_whose_end_is_unknown_is_left_behind_and_its_unconfirmed_bodies_do_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    fill(&mut journal, 0..2);
    // As if the write got to the disk and the fsync failed: no success was said.
    let payload = pack(&body(7)).unwrap();
    let mut frames = Vec::new();
    journal.segment.frame(&payload, &mut frames).unwrap();
    journal.segment.append(&frames).unwrap();
    journal.segment.poison();
    journal.append([&body(2)]).unwrap_err();
    fill(&mut journal, 2..4);
    assert_eq!(offsets(&journal, 0), [0, 1, 2, 3]);
    drop(journal);
    assert_eq!(offsets(&open(dir.path()), 0), [0, 1, 2, 3]);
}
