use std::path::Path;

use super::*;

/// A queue whose journal is in `dir`.
fn queue(dir: &Path, queue_bytes: usize, journal_bytes: u64) -> HttpQueue {
    let queue = HttpQueue::new(queue_bytes);
    queue.attach(Journal::open(dir, 0, journal_bytes).unwrap());
    queue
}

fn offer(queue: &HttpQueue, n: usize) -> Offered {
    let body = format!("{{\"name\":\"n{n}\"}}").into_bytes();
    queue.offer(Format::JsonMetrics, body, Timestamp(n as i64))
}

fn kept(dir: &Path) -> Vec<Kept> {
    let journal = Journal::open(dir, 0, 1 << 20).unwrap();
    journal.replay(0).map(|found| found.unwrap().1).collect()
}

#[test]
fn what_many_senders_were_told_is_taken_is_in_the_journal_in_the_queues_order() {
    let dir = tempfile::tempdir().unwrap();
    let queue = queue(dir.path(), 1 << 20, 1 << 20);
    std::thread::scope(|scope| {
        for sender in 0..8 {
            let queue = &queue;
            scope.spawn(move || {
                (0..25).for_each(|n| assert_eq!(offer(queue, sender * 25 + n), Offered::Taken));
            });
        }
    });
    let queued = queue.take(Duration::ZERO);
    let queued: Vec<_> = queued.into_iter().map(|body| body.kept).collect();
    assert_eq!(queued.len(), 200);
    drop(queue);
    assert_eq!(kept(dir.path()), queued);
}

#[test]
fn what_finds_no_room_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let queue = queue(dir.path(), 30, 1 << 20);
    let offered: Vec<_> = (0..4).map(|n| offer(&queue, n)).collect();
    assert_eq!(offered[..2], [Offered::Taken, Offered::Taken]);
    assert_eq!(offered[2..], [Offered::Full, Offered::Full]);
    assert_eq!(queue.take(Duration::ZERO).len(), 2);
    assert_eq!(offer(&queue, 4), Offered::Taken, "there is room again");
    drop(queue);
    assert_eq!(kept(dir.path()).len(), 3);
}

#[test]
fn a_full_journal_holds_senders_back_until_what_it_holds_is_decided_on() {
    let dir = tempfile::tempdir().unwrap();
    let queue = queue(dir.path(), 1 << 20, 4_000);
    let taken = (0..).take_while(|n| offer(&queue, *n) == Offered::Taken);
    let taken = taken.count();
    assert!(taken > 10, "{taken}");
    assert_eq!(
        queue.take(Duration::ZERO).len(),
        taken,
        "what was held back is not queued"
    );
    queue.keep(Timestamp::MIN, Timestamp(taken as i64 + 1));
    assert_eq!(offer(&queue, taken), Offered::Taken);
    assert!(
        queue.journal_size().1 > 0,
        "a file was given up, and is counted"
    );
}
