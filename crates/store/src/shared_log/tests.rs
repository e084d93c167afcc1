use std::sync::Mutex;

use foghorn_kafka::{AckFate, ModelCluster, TopicSpec};
use foghorn_model::Timestamp;

use super::*;
use crate::fixtures;

const TOPIC: &str = "log";

fn cluster() -> ModelCluster {
    let cluster = ModelCluster::new();
    cluster.create_topic(&TopicSpec::new(TOPIC, 1)).unwrap();
    cluster
}

fn clients(cluster: &ModelCluster) -> LogClients {
    LogClients {
        producer: Box::new(cluster.producer()),
        reader: Box::new(cluster.reader(TOPIC, 0, None)),
        admin: Box::new(cluster.clone()),
    }
}

fn take_over(cluster: &ModelCluster, name: &str) -> (SharedLog, Vec<Entry>) {
    let nobody: GivenUp = Arc::new(|| None);
    SharedLog::take_over(clients(cluster), TOPIC, name, nobody).unwrap()
}

/// An entry that is told from all others.
fn entry(id: i64) -> Entry {
    Entry::Timer { now: Timestamp(id) }
}

fn ids(entries: &[Entry]) -> Vec<i64> {
    let id = |entry: &Entry| match entry {
        Entry::Timer { now } => now.ms(),
        other => panic!("{other:?}"),
    };
    entries.iter().map(id).collect()
}

#[test]
fn every_kind_of_entry_comes_back() {
    let cluster = cluster();
    let all = fixtures::entries();
    let (mut log, before) = take_over(&cluster, "a");
    assert_eq!((before.len(), log.len(), log.epoch()), (0, 0, 1));
    log.append(&all).unwrap();
    log.sync().unwrap();
    let (log, after) = take_over(&cluster, "b");
    assert_eq!(after, all);
    assert_eq!((log.len(), log.epoch()), (all.len() as u64, 2));
}

#[test]
fn an_entry_that_is_longer_than_a_record_comes_in_parts() {
    let cluster = cluster();
    let all = fixtures::entries();
    for bytes in [1, 40, 100, 1_000] {
        let (mut log, before) = take_over(&cluster, "a");
        log.record_bytes = bytes;
        log.append(&all).unwrap();
        log.sync().unwrap();
        let (_, after) = take_over(&cluster, "b");
        assert_eq!(after[before.len()..], all, "{bytes} bytes a record");
    }
}

#[test]
fn whoever_was_overtaken_learns_so_and_what_it_wrote_then_does_not_hold() {
    let cluster = cluster();
    let (mut first, _) = take_over(&cluster, "a");
    first.append(&[entry(1)]).unwrap();
    first.sync().unwrap();
    // It is sent, and not read back, when the other takes over: that holds.
    first.append(&[entry(2)]).unwrap();
    first.send().unwrap();
    let (mut second, found) = take_over(&cluster, "b");
    assert_eq!(ids(&found), [1, 2]);
    // Now it wakes up.
    first.append(&[entry(3)]).unwrap();
    let error = first.sync().unwrap_err();
    assert!(error.to_string().contains("b has taken over"), "{error}");
    second.append(&[entry(4)]).unwrap();
    second.sync().unwrap();
    let (_, found) = take_over(&cluster, "c");
    assert_eq!(ids(&found), [1, 2, 4]);
}

#[test]
fn two_that_take_over_at_once_both_come_to_an_end_and_one_has_it() {
    let cluster = cluster();
    let inner = cluster.clone();
    let rival: Arc<Mutex<Option<SharedLog>>> = Arc::default();
    let (held, calls) = (Arc::clone(&rival), Arc::new(Mutex::new(0)));
    // Between the look at the topic and the claim.
    let hook: GivenUp = Arc::new(move || {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        if *calls == 1 {
            *held.lock().unwrap() = Some(take_over(&inner, "rival").0);
        }
        None
    });
    let (mut log, _) = SharedLog::take_over(clients(&cluster), TOPIC, "a", hook).unwrap();
    let mut rival = rival.lock().unwrap().take().unwrap();
    assert_eq!((rival.epoch(), log.epoch()), (1, 2));
    log.append(&[entry(1)]).unwrap();
    log.sync().unwrap();
    rival.append(&[entry(2)]).unwrap();
    assert!(matches!(rival.sync(), Err(StoreError::Fenced { .. })));
}

#[test]
fn what_is_forgotten_is_gone_and_the_rest_keeps_its_numbers() {
    let cluster = cluster();
    let (mut log, _) = take_over(&cluster, "a");
    for id in 0..10 {
        log.append(&[entry(id)]).unwrap();
        log.sync().unwrap();
    }
    let bytes = log.bytes();
    log.forget_before(4).unwrap();
    assert_eq!((log.first(), log.len()), (4, 10));
    assert!(log.bytes() < bytes);
    let (mut log, found) = take_over(&cluster, "b");
    assert_eq!((log.first(), ids(&found)), (4, (4..10).collect()));
    log.append(&[entry(10)]).unwrap();
    log.sync().unwrap();
    assert_eq!(log.len(), 11, "positions never come again");
}

#[test]
fn what_is_not_ours_is_passed_over_and_what_is_newer_is_refused() {
    let cluster = cluster();
    let (mut log, _) = take_over(&cluster, "a");
    log.append(&[entry(1)]).unwrap();
    log.sync().unwrap();
    let send = |headers: &[(&str, &[u8])]| {
        let record = Outgoing {
            topic: TOPIC,
            partition: Some(0),
            payload: Some(b"hello"),
            headers,
            ..Outgoing::default()
        };
        cluster.producer().send(&record, 0).unwrap();
    };
    send(&[]);
    send(&[("trace", b"1")]);
    assert_eq!(ids(&take_over(&cluster, "b").1), [1]);
    send(&[("foghorn-format", b"2")]);
    let nobody: GivenUp = Arc::new(|| None);
    let error = SharedLog::take_over(clients(&cluster), TOPIC, "c", nobody).unwrap_err();
    assert!(error.to_string().contains("format version 2"), "{error}");
}

#[test]
fn a_topic_that_lost_a_takeover_is_an_error_and_not_an_empty_log() {
    let cluster = cluster();
    drop(take_over(&cluster, "a"));
    let (mut log, _) = take_over(&cluster, "b");
    log.append(&[entry(1)]).unwrap();
    log.sync().unwrap();
    // As if a retention had passed over it, and a late record of the first one had stayed.
    let whole = cluster.read_to_end(TOPIC, None).unwrap();
    let damaged = self::cluster();
    for record in [&whole[0], &whole[2]] {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .collect();
        let again = Outgoing {
            topic: TOPIC,
            partition: Some(0),
            payload: record.payload.as_deref(),
            headers: &headers,
            ..Outgoing::default()
        };
        damaged.producer().send(&again, 0).unwrap();
    }
    let nobody: GivenUp = Arc::new(|| None);
    let error = SharedLog::take_over(clients(&damaged), TOPIC, "c", nobody).unwrap_err();
    assert!(error.to_string().contains("has deleted"), "{error}");
}

#[test]
fn what_was_dropped_or_whose_ack_was_lost_is_sent_again_and_counts_once() {
    use AckFate::{Deliver, Drop, Duplicate, Lose};
    for fates in [
        [Drop, Deliver],
        [Drop, Drop],
        [Lose, Deliver],
        [Duplicate, Lose],
    ] {
        let cluster = cluster();
        let (mut log, _) = take_over(&cluster, "a");
        cluster.next_acks(fates);
        for id in 0..4 {
            log.append(&[entry(id)]).unwrap();
        }
        log.sync().unwrap();
        assert_eq!(ids(&take_over(&cluster, "b").1), [0, 1, 2, 3], "{fates:?}");
    }
}

#[test]
fn parts_of_two_owners_are_never_joined() {
    let cluster = cluster();
    let (mut first, _) = take_over(&cluster, "a");
    first.record_bytes = 34;
    // The number is in the first part, and the second one is lost.
    cluster.next_acks([AckFate::Deliver, AckFate::Drop]);
    first.append(&[entry(1)]).unwrap();
    first.send().unwrap();
    let (mut second, found) = take_over(&cluster, "b");
    assert_eq!(found.len(), 0);
    second.record_bytes = 34;
    // The first part is lost; the second would complete what the other one began.
    cluster.next_acks([AckFate::Drop]);
    second.append(&[entry(2)]).unwrap();
    second.sync().unwrap();
    assert_eq!(ids(&take_over(&cluster, "c").1), [2]);
}

#[test]
fn whoever_gives_up_waits_for_nobody() {
    let cluster = cluster();
    let over: Arc<Mutex<Option<String>>> = Arc::default();
    let asked = Arc::clone(&over);
    let given_up: GivenUp = Arc::new(move || asked.lock().unwrap().clone());
    let (mut log, _) = SharedLog::take_over(clients(&cluster), TOPIC, "a", given_up).unwrap();
    cluster.hold(TOPIC, 0);
    log.append(&[entry(1)]).unwrap();
    *over.lock().unwrap() = Some("the lease is lost".to_owned());
    let error = log.sync().unwrap_err();
    assert!(error.to_string().contains("the lease is lost"), "{error}");
}

/// A small generator: the same seed gives the same world.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// An instance that believes itself the owner.
struct Instance {
    log: SharedLog,
    /// What it appended, with its positions.
    appended: Vec<(u64, i64)>,
}

#[derive(Default)]
struct World {
    instances: Vec<Instance>,
    /// What some instance was told to be durable.
    told: Vec<(u64, i64)>,
    /// What takeovers found, with the position where it begins.
    found: Vec<(u64, Vec<i64>)>,
    next_id: i64,
    fenced: u32,
}

impl World {
    /// Somebody appends and sends, or hears what came, or forgets.
    fn act(&mut self, dice: &mut Dice) {
        let count = self.instances.len() as u64;
        if count == 0 {
            return;
        }
        let at = dice.roll(count) as usize;
        let instance = &mut self.instances[at];
        match dice.roll(8) {
            0..=3 => {
                let number = 1 + dice.roll(4);
                let begin = instance.log.len();
                let new: Vec<_> = (0..number)
                    .map(|n| (begin + n, self.next_id + n as i64))
                    .collect();
                self.next_id += number as i64;
                let entries: Vec<_> = new.iter().map(|(_, id)| entry(*id)).collect();
                instance.log.append(&entries).unwrap();
                instance.appended.extend(new);
                instance.log.send().unwrap();
            }
            4 => {
                let durable = instance.log.len() - instance.appended.len() as u64;
                // Of an overtaken one it is in vain, or no harm.
                instance.log.forget_before(durable / 2).unwrap();
            }
            _ => {
                instance.log.send().unwrap();
                let heard = instance.log.hear(Duration::ZERO);
                let left: u64 = instance.log.pending.iter().map(|it| it.entries).sum();
                let done = instance.appended.len() - left as usize;
                match heard {
                    Ok(()) => self.told.extend(instance.appended.drain(..done)),
                    Err(StoreError::Fenced { .. } | StoreError::Forgotten { .. }) => {
                        self.fenced += 1;
                        self.instances.remove(at);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}

/// Instances that take over from each other at random, with acks lost and records dropped or doubled.
fn check(seed: u64) -> (usize, u32) {
    let dice = Arc::new(Mutex::new(Dice(
        seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
    )));
    let roll = |sides| dice.lock().unwrap().roll(sides);
    let cluster = cluster();
    let world = Arc::new(Mutex::new(World::default()));
    for step in 0..60 {
        match roll(12) {
            0 | 1 => {
                // Others go on meanwhile.
                let (others, theirs) = (Arc::clone(&world), Arc::clone(&dice));
                let hook: GivenUp = Arc::new(move || {
                    let mut dice = theirs.lock().unwrap();
                    others.lock().unwrap().act(&mut dice);
                    None
                });
                let name = format!("{step}");
                let taken = SharedLog::take_over(clients(&cluster), TOPIC, &name, hook);
                let (mut log, entries) = match taken {
                    Ok(taken) => taken,
                    // Those that were overtaken by it forgot what it was reading, or another came.
                    Err(StoreError::Forgotten { .. }) => continue,
                    Err(error) => panic!("seed {seed}: {error}"),
                };
                log.given_up = Arc::new(|| None);
                log.record_bytes = [20, 100, 10_000][roll(3) as usize];
                let mut world = world.lock().unwrap();
                world.found.push((log.first(), ids(&entries)));
                world.instances.push(Instance {
                    log,
                    appended: Vec::new(),
                });
            }
            2 => {
                let fate = [
                    AckFate::Drop,
                    AckFate::Lose,
                    AckFate::Duplicate,
                    AckFate::Hold,
                ];
                cluster.next_acks([fate[roll(4) as usize]]);
            }
            3 => cluster.release_acks(),
            4 => cluster.hold(TOPIC, 0),
            _ => {
                cluster.release(TOPIC, 0);
                world.lock().unwrap().act(&mut dice.lock().unwrap());
            }
        }
        cluster.release(TOPIC, 0);
    }
    let (log, last) = take_over(&cluster, "last");
    let (first, last) = (log.first(), ids(&last));
    let at = |position: u64| last.get(usize::try_from(position.checked_sub(first)?).ok()?);
    let world = world.lock().unwrap();
    for (position, id) in &world.told {
        let kept = *position < first || at(*position) == Some(id);
        assert!(
            kept,
            "seed {seed}: {id} was told to be durable at {position}"
        );
    }
    for (begin, ids) in &world.found {
        for (position, id) in (*begin..).zip(ids) {
            let same = position < first || at(position) == Some(id);
            assert!(same, "seed {seed}: a takeover found {id} at {position}");
        }
    }
    let mut once = last.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), last.len(), "seed {seed}: twice in the log");
    (world.told.len(), world.fenced)
}

#[test]
fn whatever_is_told_to_be_durable_stands_in_the_log_once_whoever_takes_over_when() {
    let (mut told, mut fenced) = (0, 0);
    for seed in 1..=1_500 {
        let (more, out) = check(seed);
        told += more;
        fenced += out;
    }
    // The worlds are worth their while.
    assert!(
        told > 10_000 && fenced > 1_000,
        "{told} told, {fenced} fenced"
    );
}
