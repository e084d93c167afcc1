//! The model log keeps a log's promises, and breaks exactly those it is told to break.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail by panicking, like the test"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use foghorn_kafka::{
    AckFate, Admin, Consumer, Event, KafkaError, ModelCluster, ModelConsumer, Outgoing, Position,
    Producer, SendError, Start, TopicPartition, TopicSpec,
};
use proptest::prelude::*;

fn cluster(partitions: u32) -> ModelCluster {
    let cluster = ModelCluster::new();
    cluster
        .create_topic(&TopicSpec::new("t", partitions))
        .unwrap();
    cluster
}

fn to(partition: u32) -> Outgoing<'static> {
    Outgoing {
        topic: "t",
        partition: Some(partition),
        payload: Some(b"x"),
        ..Outgoing::default()
    }
}

fn fill(cluster: &ModelCluster, partition: u32, count: u64) {
    let producer = cluster.producer();
    (0..count).for_each(|n| producer.send(&to(partition), n).unwrap());
}

fn member(cluster: &ModelCluster, name: &str, start: Start) -> ModelConsumer {
    cluster.join("g", name, &["t"], Box::new(move |_: &str, _: u32| start))
}

type Seen = (Vec<(u32, i64)>, Vec<Event>);

fn turn(consumer: &mut ModelConsumer) -> Seen {
    let mut records = Vec::new();
    let each = &mut |r: &foghorn_kafka::Record<'_>| records.push((r.partition, r.offset));
    consumer.poll_batch(100, Duration::ZERO, each).unwrap();
    (records, consumer.events())
}

/// Turns until nothing new comes; everything seen.
fn drain(consumer: &mut ModelConsumer) -> Seen {
    let mut all = Seen::default();
    loop {
        let (records, events) = turn(consumer);
        if records.is_empty() && events.is_empty() {
            return all;
        }
        all.0.extend(records);
        all.1.extend(events);
    }
}

fn assigned(partitions: std::ops::Range<u32>) -> Event {
    Event::Assigned(partitions.map(|p| TopicPartition::new("t", p)).collect())
}

#[test]
fn a_rebalance_waits_until_all_have_given_up_and_then_shares_by_range() {
    let cluster = cluster(3);
    let mut a = member(&cluster, "a", Start::Earliest);
    assert_eq!(turn(&mut a).1, [assigned(0..3)]);
    let mut b = member(&cluster, "b", Start::Earliest);
    assert_eq!(turn(&mut b), Seen::default(), "a still owns everything");
    let revoked = turn(&mut a).1;
    assert!(
        matches!(
            &revoked[..],
            [Event::Revoked { lost: false, .. }, Event::Assigned(_)]
        ),
        "{revoked:?}"
    );
    assert_eq!(revoked[1], assigned(0..2));
    assert_eq!(turn(&mut b).1, [assigned(2..3)]);
    Box::new(b).close().unwrap();
    assert_eq!(
        drain(&mut a)
            .1
            .iter()
            .rfind(|e| matches!(e, Event::Assigned(_))),
        Some(&assigned(0..3))
    );
    assert!(a.coverage().unwrap().is_complete());
}

#[test]
fn a_member_that_was_thrown_out_learns_that_it_lost_and_its_commits_do_not_count() {
    let cluster = cluster(1);
    fill(&cluster, 0, 3);
    let mut zombie = member(&cluster, "a", Start::Earliest);
    assert_eq!(drain(&mut zombie).0, [(0, 0), (0, 1), (0, 2)]);
    cluster.expire("g", "a");
    zombie
        .commit(&[Position {
            topic: "t".into(),
            partition: 0,
            offset: 3,
        }])
        .unwrap();
    assert_eq!(cluster.committed("g"), []);
    let (records, events) = turn(&mut zombie);
    assert!(records.is_empty());
    assert!(
        matches!(&events[0], Event::Error { code, .. } if code == "IllegalGeneration"),
        "{events:?}"
    );
    assert!(
        matches!(&events[1..], [Event::Revoked { lost: true, .. }]),
        "{events:?}"
    );
    assert_eq!(
        drain(&mut zombie).0.len(),
        3,
        "it joins again and starts where it is told"
    );
}

#[test]
fn a_successor_of_the_same_name_fences() {
    let cluster = cluster(1);
    let mut old = member(&cluster, "a", Start::Earliest);
    drain(&mut old);
    let mut new = member(&cluster, "a", Start::Earliest);
    let fenced = old.poll_batch(1, Duration::ZERO, &mut |_| ());
    assert!(fenced.is_err_and(|e| e.is_fatal()));
    drop(old);
    assert_eq!(
        drain(&mut new).1[0],
        assigned(0..1),
        "the old one's end does not remove the new one"
    );
}

#[test]
fn acks_meet_their_fate() {
    let check = |fate: AckFate, written: usize, acked_at_once: bool, good: bool| {
        let cluster = cluster(1);
        let producer = cluster.producer();
        cluster.next_acks([fate]);
        producer.send(&to(0), 7).unwrap();
        assert_eq!(
            cluster.read_to_end("t", None).unwrap().len(),
            written,
            "{fate:?}"
        );
        let at_once = producer.poll_acks(Duration::ZERO);
        assert_eq!(
            (at_once.len() == 1, producer.in_flight() == 0),
            (acked_at_once, acked_at_once)
        );
        cluster.release_acks();
        let acks = [at_once, producer.poll_acks(Duration::ZERO)].concat();
        assert_eq!(acks.len(), 1, "{fate:?}");
        assert_eq!(
            (acks[0].token, acks[0].result.is_ok()),
            (7, good),
            "{fate:?}"
        );
    };
    check(AckFate::Deliver, 1, true, true);
    check(AckFate::Hold, 1, false, true);
    check(AckFate::Lose, 1, true, false);
    check(AckFate::Duplicate, 2, true, true);
    check(AckFate::Drop, 0, true, false);
}

#[test]
fn a_full_producer_refuses_until_acks_come() {
    let cluster = cluster(1);
    cluster.set_capacity(1);
    cluster.next_acks([AckFate::Hold]);
    let producer = cluster.producer();
    producer.send(&to(0), 0).unwrap();
    assert_eq!(producer.send(&to(0), 1), Err(SendError::Full));
    assert!(matches!(
        producer.flush(Duration::ZERO),
        Err(KafkaError::TimedOut { .. })
    ));
    cluster.release_acks();
    assert_eq!(producer.send(&to(0), 1), Ok(()));
}

#[test]
fn what_is_held_is_not_seen_and_does_not_move_the_end() {
    let cluster = cluster(1);
    fill(&cluster, 0, 2);
    cluster.hold("t", 0);
    fill(&cluster, 0, 2);
    let mut a = member(&cluster, "a", Start::Earliest);
    let (records, events) = drain(&mut a);
    assert_eq!(records, [(0, 0), (0, 1)]);
    assert!(
        matches!(events.last(), Some(Event::EndOfPartition { offset: 2, .. })),
        "{events:?}"
    );
    assert_eq!((a.lags()[0].next, a.lags()[0].end), (Some(2), Some(2)));
    cluster.release("t", 0);
    assert_eq!(drain(&mut a).0, [(0, 2), (0, 3)]);
}

#[test]
fn an_offset_that_retention_took_is_told_once_and_sought_past() {
    let cluster = cluster(1);
    fill(&cluster, 0, 5);
    cluster.trim("t", 0, 3);
    let mut a = member(&cluster, "a", Start::At(1));
    let (records, events) = drain(&mut a);
    assert!(records.is_empty());
    let told = events
        .iter()
        .filter(|e| matches!(e, Event::PartitionError { .. }))
        .count();
    assert_eq!(told, 1, "{events:?}");
    assert_eq!(a.watermarks("t", 0), Ok((3, 5)));
    a.seek(&[Position {
        topic: "t".into(),
        partition: 0,
        offset: 3,
    }])
    .unwrap();
    assert_eq!(drain(&mut a).0, [(0, 3), (0, 4)]);
}

#[test]
fn a_paused_partition_waits_and_a_grown_topic_is_shared_anew() {
    let cluster = cluster(1);
    let mut a = member(&cluster, "a", Start::Earliest);
    drain(&mut a);
    a.pause(&[TopicPartition::new("t", 0)]).unwrap();
    fill(&cluster, 0, 2);
    assert_eq!(drain(&mut a), Seen::default());
    a.resume(&[TopicPartition::new("t", 0)]).unwrap();
    assert_eq!(drain(&mut a).0.len(), 2);
    cluster.grow("t", 2);
    assert!(drain(&mut a).1.contains(&assigned(0..2)));
}

#[test]
fn a_time_is_the_first_record_at_or_after_it() {
    let cluster = cluster(1);
    let producer = cluster.producer();
    for ms in [10, 30, 20] {
        cluster.set_time(ms);
        producer.send(&to(0), 0).unwrap();
    }
    let mut a = member(&cluster, "a", Start::Earliest);
    let mut check = |ms, expect: Option<i64>| {
        let at = [TopicPartition::new("t", 0)];
        assert_eq!(a.offsets_for_time(&at, ms).unwrap()[0].1, expect, "{ms}");
    };
    check(0, Some(0));
    check(20, Some(1));
    check(31, None);
}

/// What happens in one step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Send(u32),
    Turn(usize),
    Join(usize),
    Leave(usize),
    Expire(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u32..3).prop_map(Step::Send),
        8 => (0_usize..3).prop_map(Step::Turn),
        1 => (0_usize..3).prop_map(Step::Join),
        1 => (0_usize..3).prop_map(Step::Leave),
        1 => (0_usize..3).prop_map(Step::Expire),
    ]
}

const NAMES: [&str; 3] = ["a", "b", "c"];

proptest! {
    /// However members come, go and are thrown out: of members that know that they are members, no
    /// two own a partition, and whoever is left sees every record.
    #[test]
    fn no_partition_has_two_owners_and_no_record_is_lost(steps in prop::collection::vec(step(), 0..60)) {
        let cluster = cluster(3);
        let producer = cluster.producer();
        let mut members: [Option<ModelConsumer>; 3] = [None, None, None];
        let mut zombies = BTreeSet::new();
        let mut sent = 0;
        for step in steps {
            match step {
                Step::Send(p) => {
                    producer.send(&to(p), sent).unwrap();
                    sent += 1;
                }
                Step::Turn(i) => if let Some(m) = &mut members[i] {
                    turn(m);
                    zombies.remove(&i);
                },
                Step::Join(i) => if members[i].is_none() {
                    members[i] = Some(member(&cluster, NAMES[i], Start::Earliest));
                },
                Step::Leave(i) => {
                    members[i] = None;
                    zombies.remove(&i);
                }
                Step::Expire(i) => if members[i].is_some() {
                    cluster.expire("g", NAMES[i]);
                    zombies.insert(i);
                },
            }
            let mut owned = BTreeSet::new();
            for (i, m) in members.iter_mut().enumerate() {
                if let Some(m) = m.as_mut().filter(|_| !zombies.contains(&i)) {
                    for partition in m.coverage().unwrap().assigned {
                        prop_assert!(owned.insert(partition.clone()), "{partition:?} has two owners");
                    }
                }
            }
        }
        members.fill_with(|| None);
        let mut last = member(&cluster, "last", Start::Earliest);
        let seen: BTreeSet<_> = drain(&mut last).0.into_iter().collect();
        prop_assert_eq!(seen.len() as u64, sent);
    }
}
