//! The clients against a cluster: real Kafka where it can be had, mock brokers else.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail by panicking, like the test"
)]

#[path = "../../testkit/src/broker.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "shared with other rooms' tests, which use the rest of it"
)]
mod broker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Kind};
use foghorn_kafka::{
    Admin, Consumer, ConsumerConfig, Creation, Event, KafkaError, Outgoing, OwnedRecord, Position,
    Producer, RdAdmin, RdConsumer, RdProducer, RdReader, RdTail, Reader as _, Start, StartAt, Tail,
    TopicPartition, TopicSpec,
};

const SECOND: Duration = Duration::from_secs(1);
const TURN: Duration = Duration::from_millis(50);
/// Turns of [`TURN`] (some are shorter) after which a test gives up.
const PATIENCE: usize = 600;

/// A consumer with all that it has shown.
struct Reader {
    consumer: Box<RdConsumer>,
    records: Vec<OwnedRecord>,
    events: Vec<Event>,
    /// Last offset of each partition in this assignment: every test checks that none comes twice.
    last: BTreeMap<u32, i64>,
}

impl Reader {
    fn join(broker: &Broker, topic: &str, group: &str, start: Start) -> Self {
        let config = ConsumerConfig::new(broker.properties(), group, &[topic]);
        Self::with(&config, Box::new(move |_: &str, _: u32| start))
    }

    fn with(config: &ConsumerConfig, owner: Box<dyn StartAt>) -> Self {
        let consumer = Box::new(RdConsumer::join(config, owner).unwrap());
        Self {
            consumer,
            records: Vec::new(),
            events: Vec::new(),
            last: BTreeMap::new(),
        }
    }

    fn turn(&mut self) -> Result<usize, KafkaError> {
        self.turn_of(TURN)
    }

    fn turn_of(&mut self, timeout: Duration) -> Result<usize, KafkaError> {
        let mut batch = Vec::new();
        let blank: Arc<str> = Arc::from("");
        let polled = self.consumer.poll_batch(1000, timeout, &mut |r| {
            batch.push((r.topic, r.to_owned(&blank)));
        });
        assert!(polled.is_err() || polled == Ok(batch.len()));
        let topics = self.consumer.topics();
        for (id, mut record) in batch {
            record.topic = Arc::clone(&topics[usize::from(id.0)]);
            let last = self.last.insert(record.partition, record.offset);
            assert!(last < Some(record.offset), "{last:?} before {record:?}");
            self.records.push(record);
        }
        let events = self.consumer.events();
        if events.iter().any(|e| matches!(e, Event::Assigned(_))) {
            self.last.clear();
        }
        self.events.extend(events);
        polled
    }

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..PATIENCE {
            if done(self) {
                return;
            }
            self.turn().unwrap();
        }
        panic!(
            "never {what}: {} records, events {:?}",
            self.records.len(),
            self.events
        );
    }

    fn assigned(&self) -> usize {
        let changed = |n: usize, event: &Event| match event {
            Event::Assigned(new) => n + new.len(),
            Event::Revoked { partitions, .. } => n - partitions.len(),
            _ => n,
        };
        self.events.iter().fold(0, changed)
    }

    fn ends(&self) -> usize {
        self.events
            .iter()
            .filter(|e| matches!(e, Event::EndOfPartition { .. }))
            .count()
    }

    fn payloads(&self) -> Vec<String> {
        let text = |r: &OwnedRecord| String::from_utf8(r.payload.clone().unwrap()).unwrap();
        self.records.iter().map(text).collect()
    }
}

/// Sends and waits for all acks, which must be good.
fn produce(broker: &Broker, records: &[Outgoing<'_>]) {
    let producer = RdProducer::open(&broker.properties()).unwrap();
    for (token, record) in records.iter().enumerate() {
        producer.send(record, token as u64).unwrap();
    }
    producer.flush(15 * SECOND).unwrap();
    let acks = producer.poll_acks(Duration::ZERO);
    assert_eq!(acks.len(), records.len());
    let failed: Vec<_> = acks.iter().filter(|a| a.result.is_err()).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

fn numbered(broker: &Broker, topic: &str, partition: u32, numbers: std::ops::Range<i64>) {
    let texts: Vec<String> = numbers.map(|n| n.to_string()).collect();
    let record = |text| Outgoing {
        topic,
        partition: Some(partition),
        payload: Some(text),
        ..Outgoing::default()
    };
    let records: Vec<_> = texts.iter().map(|t| record(t.as_bytes())).collect();
    produce(broker, &records);
}

fn partitions(topic: &str, range: std::ops::Range<u32>) -> Vec<TopicPartition> {
    range.map(|p| TopicPartition::new(topic, p)).collect()
}

fn ten_thousand_arrive_once_in_order(broker: &Broker) {
    const COUNT: u64 = 10_000;
    let topic = broker.topic("bulk", 4);
    let producer = RdProducer::open(&broker.properties()).unwrap();
    let mut acked = BTreeMap::new();
    for n in 0..COUNT {
        let (key, payload) = (format!("key {}", n % 97), n.to_string());
        let record = Outgoing {
            topic: &topic,
            key: Some(key.as_bytes()),
            payload: Some(payload.as_bytes()),
            ..Outgoing::default()
        };
        producer.send(&record, n).unwrap();
        acked.extend(
            producer
                .poll_acks(Duration::ZERO)
                .into_iter()
                .map(|a| (a.token, a.result)),
        );
    }
    producer.flush(15 * SECOND).unwrap();
    acked.extend(
        producer
            .poll_acks(Duration::ZERO)
            .into_iter()
            .map(|a| (a.token, a.result)),
    );
    assert_eq!((acked.len() as u64, producer.in_flight()), (COUNT, 0));

    let mut reader = Reader::join(broker, &topic, "bulk", Start::Earliest);
    reader.until("read all", |r| {
        r.records.len() as u64 >= COUNT && r.ends() >= 4
    });
    assert_eq!(reader.records.len() as u64, COUNT);
    let mut next = [0_i64; 4];
    for record in &reader.records {
        let n: u64 = String::from_utf8_lossy(record.payload.as_ref().unwrap())
            .parse()
            .unwrap();
        assert_eq!(acked[&n], Ok((record.partition, record.offset)));
        let key = record.key.as_ref().unwrap();
        assert_eq!(
            record.partition,
            foghorn_kafka::partition_of(key, 4),
            "as Java would"
        );
        assert_eq!(record.offset, next[record.partition as usize]);
        next[record.partition as usize] += 1;
    }
    assert!(reader.consumer.coverage().unwrap().is_complete());
    reader.consumer.close().unwrap();
}

#[test]
fn ten_thousand_records_arrive_once_and_in_order() {
    ten_thousand_arrive_once_in_order(&Broker::start());
}

#[test]
fn the_same_clients_work_with_mock_brokers() {
    ten_thousand_arrive_once_in_order(&Broker::mock());
}

#[test]
fn keys_payloads_headers_and_times_come_as_they_were_sent() {
    let broker = Broker::start();
    let topic = broker.topic("shapes", 1);
    let headers: [(&str, &[u8]); 3] = [("a", b"1"), ("empty", b""), ("a", b"\xff")];
    let plain = Outgoing {
        topic: &topic,
        partition: Some(0),
        ..Outgoing::default()
    };
    let sent = [
        Outgoing {
            payload: Some(b"no key"),
            timestamp_ms: Some(1_700_000_000_123),
            ..plain
        },
        Outgoing {
            key: Some(b""),
            payload: Some(b""),
            ..plain
        },
        Outgoing {
            key: Some(b"tombstone"),
            headers: &headers,
            ..plain
        },
    ];
    produce(&broker, &sent);
    let mut reader = Reader::join(&broker, &topic, "shapes", Start::Earliest);
    reader.until("read three", |r| r.records.len() == 3);
    for (record, sent) in reader.records.iter().zip(&sent) {
        assert_eq!(
            (record.key.as_deref(), record.payload.as_deref()),
            (sent.key, sent.payload)
        );
        let got: Vec<_> = record
            .headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_slice()))
            .collect();
        assert_eq!(got, sent.headers);
    }
    assert_eq!(reader.records[0].timestamp_ms, Some(1_700_000_000_123));
    assert!(!reader.records[0].log_append_time);
    if broker.kind() != Kind::Mock {
        let admin = RdAdmin::open(&broker.properties()).unwrap();
        assert_eq!(
            admin.read_to_end(&topic, None).unwrap(),
            reader.records,
            "both ways of reading"
        );
    }
}

#[test]
fn a_second_member_gets_half_and_gives_it_back() {
    let broker = Broker::start();
    let topic = broker.topic("shared", 4);
    for p in 0..4 {
        numbered(&broker, &topic, p, 0..100);
    }
    let mut first = Reader::join(&broker, &topic, "shared", Start::Earliest);
    first.until("own all", |r| r.assigned() == 4 && r.records.len() == 400);

    let mut second = Reader::join(&broker, &topic, "shared", Start::At(90));
    for _ in 0..PATIENCE {
        first.turn().unwrap();
        second.turn().unwrap();
        if (first.assigned(), second.assigned()) == (2, 2) && second.records.len() == 20 {
            break;
        }
    }
    assert_eq!(
        (first.assigned(), second.assigned()),
        (2, 2),
        "{:?}",
        first.events
    );
    assert_eq!(second.records.len(), 20, "from 90 on, of two partitions");
    assert!(!second.consumer.coverage().unwrap().is_complete());
    let last = second
        .events
        .iter()
        .rfind(|e| matches!(e, Event::Assigned(_)));
    let Some(Event::Assigned(of_second)) = last else {
        panic!("{:?}", second.events)
    };
    let not_mine = first.consumer.pause(of_second);
    assert!(
        matches!(not_mine, Err(KafkaError::NotAssigned { .. })),
        "{not_mine:?}"
    );

    // A pause ends with the assignment.
    let (before, kept) = (
        first.records.len(),
        first.consumer.coverage().unwrap().assigned,
    );
    first.consumer.pause(&kept).unwrap();
    second.consumer.close().unwrap();
    first.until("own and read all again", |r| {
        r.assigned() == 4 && r.records.len() >= before + 400
    });
    first.consumer.close().unwrap();
}

#[test]
fn a_paused_partition_is_silent_and_goes_on_exactly_where_it_stopped() {
    let broker = Broker::start();
    let topic = broker.topic("paused", 2);
    numbered(&broker, &topic, 0, 0..10);
    let mut reader = Reader::join(&broker, &topic, "paused", Start::Earliest);
    reader.until("own both", |r| r.assigned() == 2);
    // Without waiting, so that the end is taken by a batch call: then librdkafka's own position is
    // one too far, and a resume would skip a record.
    for _ in 0..10_000_000 {
        if reader.ends() == 2 {
            break;
        }
        reader.turn_of(Duration::ZERO).unwrap();
    }
    assert_eq!((reader.ends(), reader.records.len()), (2, 10));
    reader.consumer.pause(&partitions(&topic, 0..1)).unwrap();
    numbered(&broker, &topic, 0, 10..13);
    numbered(&broker, &topic, 1, 0..5);
    reader.until("read the other partition", |r| r.records.len() == 15);
    assert!(reader.records[10..].iter().all(|r| r.partition == 1));

    reader.consumer.resume(&partitions(&topic, 0..1)).unwrap();
    reader.until("read on", |r| r.records.len() == 18);
    assert_eq!(reader.payloads()[15..], ["10", "11", "12"]);

    // Never read from since the assignment, and paused at once.
    let mut other = Reader::join(&broker, &topic, "paused-2", Start::At(2));
    other.until("own both", |r| r.assigned() == 2);
    other.consumer.pause(&partitions(&topic, 0..2)).unwrap();
    other.turn().unwrap();
    assert!(other.records.is_empty());
    other.consumer.resume(&partitions(&topic, 0..2)).unwrap();
    other.until("read all from 2 on", |r| {
        r.records.len() >= 14 && r.ends() >= 2
    });
    assert_eq!(other.records.len(), 11 + 3);
}

#[test]
fn seeking_throws_away_what_was_fetched_before() {
    let broker = Broker::start();
    let topic = broker.topic("sought", 1);
    numbered(&broker, &topic, 0, 0..500);
    let mut reader = Reader::join(&broker, &topic, "sought", Start::Earliest);
    let mut first = 0;
    while first == 0 {
        first = reader.consumer.poll_batch(10, TURN, &mut |_| ()).unwrap();
        reader.consumer.events();
    }
    let to = |offset| {
        [Position {
            topic: topic.clone(),
            partition: 0,
            offset,
        }]
    };
    reader.consumer.seek(&to(490)).unwrap();
    reader.until("read the rest", |r| r.ends() > 0);
    assert_eq!(
        reader.payloads(),
        (490..500).map(|n| n.to_string()).collect::<Vec<_>>()
    );
    reader.consumer.seek(&to(497)).unwrap();
    reader.last.clear();
    reader.until("read back", |r| r.records.len() == 13);
    assert_eq!(reader.payloads()[10..], ["497", "498", "499"]);
}

#[test]
fn an_offset_that_is_not_there_is_told_and_nothing_is_read_instead() {
    let broker = Broker::start();
    let topic = broker.topic("gone", 1);
    numbered(&broker, &topic, 0, 0..3);
    let gone =
        |e: &Event| matches!(e, Event::PartitionError { code, .. } if code == "AutoOffsetReset");
    let mut reader = Reader::join(&broker, &topic, "gone", Start::At(1000));
    reader.until("be told", |r| r.events.iter().any(gone));
    assert!(reader.records.is_empty());
    reader
        .consumer
        .seek(&[Position {
            topic,
            partition: 0,
            offset: 2,
        }])
        .unwrap();
    reader.until("go on elsewhere", |r| r.payloads() == ["2"]);
}

#[test]
fn what_the_owner_says_last_is_where_the_next_member_starts() {
    struct Last(String);
    impl StartAt for Last {
        fn start_at(&mut self, _: &str, _: u32) -> Start {
            Start::Earliest
        }
        fn before_revoke(&mut self, going: &[TopicPartition], lost: bool) -> Vec<Position> {
            assert!(!lost && going.len() == 1, "{going:?}");
            vec![Position {
                topic: self.0.clone(),
                partition: 0,
                offset: 7,
            }]
        }
    }
    let broker = Broker::start();
    let topic = broker.topic("last", 1);
    numbered(&broker, &topic, 0, 0..10);
    let config = ConsumerConfig::new(broker.properties(), "last", &[&topic]);
    let mut first = Reader::with(&config, Box::new(Last(topic.clone())));
    first.until("read all", |r| r.records.len() == 10);
    first
        .consumer
        .commit(&[Position {
            topic: topic.clone(),
            partition: 0,
            offset: 3,
        }])
        .unwrap();
    first.consumer.close().unwrap();

    let mut next = Reader::join(&broker, &topic, "last", Start::Committed);
    next.until("read the rest", |r| r.records.len() == 3);
    assert_eq!(next.payloads(), ["7", "8", "9"]);
}

#[test]
fn a_static_member_is_fenced_by_its_successor() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return;
    }
    let topic = broker.topic("fenced", 1);
    let mut config = ConsumerConfig::new(broker.properties(), "fenced", &[&topic]);
    config.instance = Some("pod-0".into());
    let mut zombie = Reader::with(&config, Box::new(|_: &str, _: u32| Start::Earliest));
    zombie.until("own it", |r| r.assigned() == 1);
    let mut successor = Reader::with(&config, Box::new(|_: &str, _: u32| Start::Earliest));
    successor.until("own it", |r| r.assigned() == 1);
    let fenced = (0..PATIENCE).find_map(|_| zombie.turn().err());
    assert!(
        fenced.as_ref().is_some_and(KafkaError::is_fatal),
        "{fenced:?}"
    );
    zombie.consumer.close().unwrap();
    successor.consumer.close().unwrap();
}

#[test]
fn times_and_ends_and_topics_are_found() {
    let broker = Broker::start();
    let topic = broker.topic("times", 2);
    let times = [100_000, 200_000, 300_000];
    let plain = Outgoing {
        topic: &topic,
        partition: Some(1),
        payload: Some(b"x"),
        ..Outgoing::default()
    };
    produce(
        &broker,
        &times.map(|t| Outgoing {
            timestamp_ms: Some(t),
            ..plain
        }),
    );
    let mut reader = Reader::join(&broker, &topic, "times", Start::Earliest);
    let consumer = &mut reader.consumer;
    assert_eq!(consumer.watermarks(&topic, 1), Ok((0, 3)));
    assert_eq!(consumer.partitions(&topic), Ok(vec![(topic.clone(), 2)]));
    assert_eq!(
        consumer.partitions(&format!("^{topic}$")),
        Ok(vec![(topic.clone(), 2)])
    );
    assert_eq!(consumer.partitions("^no such"), Ok(vec![]));
    if broker.kind() == Kind::Mock {
        return;
    }
    let mut check = |ms, expect: Option<i64>| {
        let found = consumer
            .offsets_for_time(&partitions(&topic, 0..2), ms)
            .unwrap();
        let expect = [None, expect].into_iter().zip(partitions(&topic, 0..2));
        assert_eq!(
            found,
            expect.map(|(o, p)| (p, o)).collect::<Vec<_>>(),
            "{ms}"
        );
    };
    check(0, Some(0));
    check(100_001, Some(1));
    check(300_000, Some(2));
    check(300_001, None);
}

#[test]
fn topics_are_created_and_verified() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return;
    }
    let admin = RdAdmin::open(&broker.properties()).unwrap();
    let name = broker.topic("plain", 1);
    let compact = |n| TopicSpec::new(format!("{name}-c"), n).with("cleanup.policy", "compact");
    assert_eq!(admin.ensure_topic(&compact(2)), Ok(Creation::Created));
    assert_eq!(admin.ensure_topic(&compact(2)), Ok(Creation::Existed));
    let check = |spec: TopicSpec, expect: &[&str]| match admin.ensure_topic(&spec) {
        Err(KafkaError::TopicMismatch { differences, .. }) => assert_eq!(differences, expect),
        other => panic!("{other:?}"),
    };
    check(compact(3), &["it has 2 partitions, not 3"]);
    check(
        compact(2).with("cleanup.policy", "delete"),
        &["cleanup.policy is compact, not delete"],
    );
    let unknown = admin.read_to_end("no-such-topic", None);
    assert!(
        matches!(unknown, Err(KafkaError::UnknownTopic { .. })),
        "{unknown:?}"
    );
    assert_eq!(admin.read_to_end(&name, Some(0)), Ok(vec![]));
}

#[test]
fn a_reader_and_a_tail_see_what_stands_there_and_what_comes() {
    let broker = Broker::start();
    let topic = broker.topic("read", 2);
    numbered(&broker, &topic, 0, 0..50);
    numbered(&broker, &topic, 1, 50..60);
    let mut reader = RdReader::open(&broker.properties(), &topic, 0, Some(10)).unwrap();
    let mut seen = Vec::new();
    let mut read_until = |reader: &mut RdReader, count: usize| {
        for _ in 0..PATIENCE {
            seen.extend(reader.read(TURN).unwrap().iter().map(|r| r.offset));
            if seen.len() >= count {
                break;
            }
        }
        assert_eq!(seen, (10..10 + count as i64).collect::<Vec<_>>());
    };
    read_until(&mut reader, 40);
    assert_eq!(reader.bounds(), Ok((0, 50)));
    numbered(&broker, &topic, 0, 60..65);
    read_until(&mut reader, 45);

    if broker.kind() == Kind::Mock {
        // They do not know of times.
        return;
    }
    let mut tail = RdTail::open(&broker.properties(), &topic, 0).unwrap();
    let mut count = 0;
    while !tail.is_caught_up() {
        count += tail.read(TURN).unwrap().len();
    }
    assert_eq!(count, 65);
    let mut late = RdTail::open(&broker.properties(), &topic, i64::MAX / 2).unwrap();
    assert!(late.is_caught_up(), "nothing is as young as that");
    numbered(&broker, &topic, 1, 65..66);
    for tail in [&mut tail, &mut late] {
        let next = (0..PATIENCE).find_map(|_| tail.read(TURN).unwrap().pop());
        assert_eq!(next.unwrap().partition, 1);
    }
}

#[test]
fn whoever_reads_alone_has_its_share_and_what_is_added_to_it() {
    let broker = Broker::start();
    let topic = broker.topic("alone", 3);
    numbered(&broker, &topic, 0, 0..10);
    numbered(&broker, &topic, 2, 10..20);
    let config = ConsumerConfig::new(broker.properties(), "alone", &[&topic]);
    let start = |_: &str, _: u32| Start::At(5);
    let consumer = RdConsumer::alone(&config, 0, 2, Box::new(start)).unwrap();
    let mut reader = Reader {
        consumer: Box::new(consumer),
        records: Vec::new(),
        events: Vec::new(),
        last: BTreeMap::new(),
    };
    let coverage = reader.consumer.coverage().unwrap();
    assert_eq!(coverage.assigned.len(), 2, "partitions 0 and 2");
    for _ in 0..PATIENCE {
        reader.turn().unwrap();
        if reader.records.len() == 10 {
            break;
        }
    }
    let places: BTreeSet<_> = reader
        .records
        .iter()
        .map(|r| (r.partition, r.offset))
        .collect();
    let expect = (5..10).flat_map(|offset| [(0, offset), (2, offset)]);
    assert_eq!(places, expect.collect());
    if broker.kind() == Kind::Mock {
        return;
    }
    let admin = RdAdmin::open(&broker.properties()).unwrap();
    admin.grow(&topic, 5).unwrap();
    let grown = (0..PATIENCE).any(|_| {
        reader.turn().unwrap();
        reader.consumer.coverage().unwrap().assigned.len() == 3
    });
    assert!(grown, "partition 4");
}

#[test]
fn the_coordinator_knows_who_is_a_member() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        // They take commits of anybody.
        return;
    }
    let topic = broker.topic("member", 1);
    let group = format!("{topic}-group");
    let mut config = ConsumerConfig::new(broker.properties(), &group, &[&topic]);
    config.instance = Some("one".to_owned());
    let start = |_: &str, _: u32| Start::Earliest;
    let mut first = Reader::with(&config, Box::new(start));
    first.until("assigned", |it| it.assigned() == 1);
    let at = Position {
        topic: topic.clone(),
        partition: 0,
        offset: 0,
    };
    assert_eq!(first.consumer.confirm(&at), Ok(()));
    // Another one of its name: as after a restart that it does not know of.
    let mut second = Reader::with(&config, Box::new(start));
    second.until("assigned", |it| it.assigned() == 1);
    assert_eq!(second.consumer.confirm(&at), Ok(()));
    let refused = first.consumer.confirm(&at).unwrap_err();
    assert!(
        matches!(
            refused,
            KafkaError::NotMember { .. } | KafkaError::Fatal { .. }
        ),
        "{refused}"
    );
}

#[test]
fn of_two_producers_of_one_name_brokers_refuse_the_older_one() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        // Their transactions are none.
        return;
    }
    let topic = broker.topic("fenced", 1);
    let open = || RdProducer::open_transactional(&broker.properties(), &topic).unwrap();
    let say = |producer: &RdProducer, word: &str| {
        producer.begin()?;
        let record = Outgoing {
            topic: &topic,
            partition: Some(0),
            payload: Some(word.as_bytes()),
            ..Outgoing::default()
        };
        producer.send(&record, 0).unwrap();
        producer.flush(10 * SECOND)?;
        producer.commit()
    };
    let first = open();
    say(&first, "one").unwrap();
    let second = open();
    let refused = say(&first, "late").unwrap_err();
    assert!(refused.is_fatal(), "{refused}");
    say(&second, "two").unwrap();
    let admin = RdAdmin::open(&broker.properties()).unwrap();
    let records = admin.read_to_end(&topic, None).unwrap();
    let words: Vec<_> = records
        .iter()
        .map(|r| r.payload.as_deref().unwrap())
        .collect();
    assert_eq!(words, [b"one", b"two"]);
}

#[test]
fn a_broker_that_is_killed_and_comes_back_loses_and_doubles_nothing() {
    if Broker::start().kind() != Kind::Real {
        return;
    }
    let broker = Broker::dedicated().unwrap();
    let topic = broker.topic("restart", 2);
    let mut reader = Reader::join(&broker, &topic, "restart", Start::Earliest);
    for p in 0..2 {
        numbered(&broker, &topic, p, 0..1000);
    }
    reader.until("read the first half", |r| r.records.len() == 2000);
    broker.restart();
    for p in 0..2 {
        numbered(&broker, &topic, p, 1000..2000);
    }
    reader.until("read the second half", |r| {
        let highest = |p| {
            r.records
                .iter()
                .filter(|x| x.partition == p)
                .map(|x| x.offset)
                .max()
        };
        (highest(0), highest(1)) == (Some(1999), Some(1999))
    });
    // A rebalance on the way starts a partition again, from where the owner says; but no record is
    // missing, and within an assignment none came twice (see `Reader::turn`).
    let seen: BTreeSet<_> = reader
        .records
        .iter()
        .map(|r| (r.partition, r.offset))
        .collect();
    assert_eq!(seen.len(), 4000);
    let admin = RdAdmin::open(&broker.properties()).unwrap();
    assert_eq!(admin.read_to_end(&topic, None).unwrap().len(), 4000);
}
