use std::fs;

use foghorn_model::incident::Status::{Open, Resolved};

use super::*;
use crate::fixtures::incident;

/// What `sink` has still to send, as (incident, revision).
fn check(outbox: &Outbox, sink: &str, expect: &[(u128, u32)]) {
    let pending: Vec<_> = outbox
        .pending(sink)
        .map(|item| (item.incident.id.0, item.incident.revision))
        .collect();
    assert_eq!(pending, expect, "for {sink}");
}

fn say(outbox: &mut Outbox, revisions: &[(u128, u32)]) -> usize {
    let incidents: Vec<_> = revisions
        .iter()
        .map(|&(id, revision)| incident(id, revision, Open))
        .collect();
    outbox.append(&incidents).unwrap()
}

fn saved(outbox: &mut Outbox) {
    outbox.take_unsaved().unwrap().write().unwrap();
}

fn opened(dir: &Path, sinks: &[&str]) -> Outbox {
    let mut outbox = Outbox::open(dir).unwrap();
    outbox.set_sinks(sinks).unwrap();
    outbox
}

#[test]
fn what_a_crash_takes_is_said_again_under_the_same_name_and_seen() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = opened(dir.path(), &["kafka"]);
    say(&mut outbox, &[(1, 1)]);
    saved(&mut outbox);
    let durable = outbox.bytes();
    say(&mut outbox, &[(1, 2), (1, 3)]);
    outbox.delivered("kafka", 3);
    saved(&mut outbox);
    drop(outbox);
    // As if the cursors had come to the disk and the log's end had not.
    let log = fs::OpenOptions::new()
        .write(true)
        .open(dir.path().join("outbox.log"))
        .unwrap();
    log.set_len(durable).unwrap();
    let mut outbox = opened(dir.path(), &["kafka"]);
    check(&outbox, "kafka", &[]);
    assert_eq!(say(&mut outbox, &[(1, 1), (1, 3)]), 1);
    check(&outbox, "kafka", &[(1, 3)]);
}

#[test]
fn what_was_saved_needs_no_saving() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = opened(dir.path(), &["kafka"]);
    say(&mut outbox, &[(1, 1)]);
    let unsaved = outbox.take_unsaved().unwrap();
    assert!(unsaved.log.is_some() && unsaved.cursors.is_none());
    outbox.delivered("kafka", 1);
    let unsaved = outbox.take_unsaved().unwrap();
    assert!(unsaved.log.is_none() && unsaved.cursors.is_some());
    let unsaved = outbox.take_unsaved().unwrap();
    assert!(unsaved.log.is_none() && unsaved.cursors.is_none());
}

#[test]
fn what_could_not_be_saved_is_saved_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = opened(dir.path(), &["kafka"]);
    say(&mut outbox, &[(1, 1), (2, 1)]);
    outbox.delivered("kafka", 1);
    // A folder stands where the new file would be written.
    let new = dir.path().join("outbox.tmp");
    fs::create_dir(&new).unwrap();
    let unsaved = outbox.take_unsaved().unwrap();
    assert!(unsaved.write().is_err());
    outbox.not_saved(&unsaved);
    fs::remove_dir(&new).unwrap();
    saved(&mut outbox);
    drop(outbox);
    check(&opened(dir.path(), &["kafka"]), "kafka", &[(2, 1)]);
}

#[test]
fn each_sink_has_its_own_pace_and_a_dead_one_holds_only_itself_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = opened(dir.path(), &["kafka", "pager"]);
    say(&mut outbox, &[(1, 1), (2, 1), (1, 2)]);
    let last = outbox.pending("kafka").last().unwrap().seq;
    outbox.delivered("kafka", last);
    check(&outbox, "kafka", &[]);
    check(&outbox, "pager", &[(1, 1), (2, 1), (1, 2)]);
    check(&outbox, "nobody", &[]);
    assert_eq!(outbox.held(), 3);
    outbox.delivered("pager", last);
    assert_eq!(outbox.held(), 0);
}

#[test]
fn cursors_and_items_survive() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = opened(dir.path(), &["kafka", "pager"]);
    say(&mut outbox, &[(1, 1), (2, 1), (1, 2)]);
    let first = outbox.pending("pager").next().unwrap();
    assert_eq!(*first.incident, incident(1, 1, Open));
    outbox.delivered("pager", first.seq);
    saved(&mut outbox);
    drop(outbox);
    let outbox = opened(dir.path(), &["kafka", "pager"]);
    check(&outbox, "kafka", &[(1, 1), (2, 1), (1, 2)]);
    check(&outbox, "pager", &[(2, 1), (1, 2)]);
    assert_eq!(
        *outbox.pending("kafka").next().unwrap().incident,
        incident(1, 1, Open)
    );
}

#[test]
fn a_replay_says_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = opened(dir.path(), &["kafka"]);
    assert_eq!(say(&mut outbox, &[(1, 1), (1, 2), (2, 1)]), 3);
    outbox.delivered("kafka", 3);
    outbox.rewrite().unwrap();
    drop(outbox);
    let mut outbox = opened(dir.path(), &["kafka"]);
    assert_eq!(outbox.known().get(&IncidentId(1)), Some(&2));
    assert_eq!(
        say(&mut outbox, &[(1, 1), (1, 2), (2, 1), (2, 2), (2, 2)]),
        1
    );
    check(&outbox, "kafka", &[(2, 2)]);
    outbox.forget(|id| id == IncidentId(1));
    assert_eq!(say(&mut outbox, &[(1, 1), (2, 2)]), 1);
}

#[test]
fn a_rewrite_keeps_what_is_undelivered_and_never_reuses_a_number() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = opened(dir.path(), &["kafka"]);
    say(&mut outbox, &[(1, 1), (2, 1), (3, 1)]);
    outbox.delivered("kafka", 2);
    let before = outbox.bytes();
    outbox.rewrite().unwrap();
    assert!(outbox.bytes() < before);
    say(&mut outbox, &[(4, 1)]);
    drop(outbox);
    let mut outbox = opened(dir.path(), &["kafka"]);
    let seqs: Vec<_> = outbox
        .pending("kafka")
        .map(|item| (item.seq, item.incident.id.0))
        .collect();
    assert!(seqs.ends_with(&[(3, 3), (4, 4)]), "{seqs:?}");
    outbox.delivered("kafka", 4);
    outbox.rewrite().unwrap();
    drop(outbox);
    let mut outbox = opened(dir.path(), &["kafka"]);
    say(&mut outbox, &[(5, 1)]);
    assert_eq!(outbox.pending("kafka").next().unwrap().seq, 5);
}

#[test]
fn without_its_log_nothing_new_hides_behind_a_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = opened(dir.path(), &["kafka"]);
    say(&mut outbox, &[(1, 1), (2, 1)]);
    outbox.delivered("kafka", 2);
    saved(&mut outbox);
    drop(outbox);
    fs::remove_file(dir.path().join("outbox.log")).unwrap();
    let mut outbox = opened(dir.path(), &["kafka"]);
    say(&mut outbox, &[(3, 1)]);
    check(&outbox, "kafka", &[(3, 1)]);
}

#[test]
fn without_its_cursors_everything_held_goes_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = opened(dir.path(), &["kafka"]);
    say(&mut outbox, &[(1, 1), (2, 1)]);
    outbox.delivered("kafka", 1);
    saved(&mut outbox);
    drop(outbox);
    fs::write(dir.path().join("outbox.cursors"), b"{\"kafka\": tru").unwrap();
    check(&opened(dir.path(), &["kafka"]), "kafka", &[(1, 1), (2, 1)]);
}

#[test]
fn a_renamed_sink_loses_nothing_and_a_removed_one_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = opened(dir.path(), &["kafka", "pager"]);
    say(&mut outbox, &[(1, 1), (2, 1)]);
    outbox.delivered("kafka", 2);
    outbox.set_sinks(&["kafka", "pagerduty"]).unwrap();
    check(&outbox, "pagerduty", &[(1, 1), (2, 1)]);
    outbox.set_sinks(&["kafka"]).unwrap();
    assert_eq!(outbox.held(), 0);
    outbox.set_sinks(&[]).unwrap();
    say(&mut outbox, &[(3, 1)]);
    assert_eq!(outbox.held(), 0);
}

#[test]
fn sinks_are_named_after_the_items_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::open(dir.path()).unwrap();
    say(&mut outbox, &[(1, 1)]);
    drop(outbox);
    check(&opened(dir.path(), &["kafka"]), "kafka", &[(1, 1)]);
}

#[test]
fn over_its_bound_it_keeps_a_beginning_and_an_end_of_each_incident() {
    let mut outbox = Outbox::memory();
    outbox.set_sinks(&["pager"]).unwrap();
    let revisions: Vec<_> = (1..=HELD_BOUND as u32)
        .map(|n| incident(1, n, Open))
        .collect();
    outbox.append(&revisions).unwrap();
    let last = HELD_BOUND as u32 + 1;
    outbox
        .append(&[
            incident(1, last, Resolved),
            incident(2, 1, Open),
            incident(2, 2, Open),
        ])
        .unwrap();
    check(&outbox, "pager", &[(1, last - 1), (1, last), (2, 2)]);
    assert_eq!(outbox.superseded(), HELD_BOUND as u64);
}

#[test]
fn torn_at_every_byte_it_still_opens() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = opened(dir.path(), &["kafka"]);
    say(&mut outbox, &[(1, 1)]);
    let whole = outbox.bytes() as usize;
    say(&mut outbox, &[(1, 2)]);
    drop(outbox);
    let path = dir.path().join("outbox.log");
    let bytes = fs::read(&path).unwrap();
    for cut in whole..bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let mut outbox = opened(dir.path(), &["kafka"]);
        check(&outbox, "kafka", &[(1, 1)]);
        say(&mut outbox, &[(1, 2)]);
        check(&outbox, "kafka", &[(1, 1), (1, 2)]);
    }
}

#[test]
fn two_never_share_it() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Outbox::open(dir.path()).unwrap();
    assert!(matches!(
        Outbox::open(dir.path()),
        Err(StoreError::Locked { .. })
    ));
}

#[test]
fn whoever_takes_over_says_to_each_sink_what_it_has_not_acknowledged() {
    let sinks = ["pager", "chat"];
    let mut before = Outbox::taken_over(Acknowledged::new());
    before.set_sinks(&sinks).unwrap();
    say(&mut before, &[(1, 1), (2, 1), (1, 2)]);
    before.delivered("pager", 2);
    before.delivered("chat", 3);
    let mut told = before.take_acknowledged();
    assert_eq!(before.take_acknowledged(), Acknowledged::new(), "news once");
    before.delivered("pager", 3);
    for (sink, news) in before.take_acknowledged() {
        assert_eq!((sink.as_str(), news.len()), ("pager", 1));
        // This acknowledgement is not known to the successor.
    }
    told.retain(|_, of| !of.is_empty());

    let mut after = Outbox::taken_over(told);
    let latest = [incident(1, 2, Open), incident(2, 1, Open)];
    assert!(latest.iter().all(|it| after.is_wanted(it)));
    let over = |revision| Incident {
        status: Status::Closed,
        ..incident(2, revision, Open)
    };
    assert!(!after.is_wanted(&over(1)), "everybody has it");
    assert!(after.is_wanted(&over(2)));
    after.append(&latest).unwrap();
    after.set_sinks(&sinks).unwrap();
    check(&after, "pager", &[(1, 2)]);
    check(&after, "chat", &[]);
    say(&mut after, &[(2, 2)]);
    check(&after, "chat", &[(2, 2)]);
}
