//! One instance does the work, another stands by, and takes over with nothing lost and nothing twice.

use foghorn_kafka::{Admin, RdAdmin, RdReader, Reader, TopicSpec};
use foghorn_runtime::clock::wall;
use foghorn_testkit::broker::{Broker, Kind};
use serde_json::Value;

use crate::feed::{Feed, gauge, instant};
use crate::home::{Home, assert_said_once, member, not_proven, until};

const RULES: &str = r"
groups:
  - name: requests
    interval: 1s
    rules:
      - alert: HighErrorRate
        expr: max by (service_name) (error_ratio) > 0.05
        for: 1s
        labels: {severity: critical}
      - alert: SomeLatency
        expr: max by (service_name) (latency_seconds) > 1
";

/// The group gives a silent member up after so long.
const SESSION_MS: i64 = 6_000;

/// Instances that share topics, and what they read and write.
struct Shop {
    broker: Broker,
    metrics: String,
    incidents: String,
    /// The same by transactions.
    committed: String,
}

impl Shop {
    /// `None` where there is no real Kafka.
    fn open() -> Option<Self> {
        let broker = Broker::start();
        if broker.kind() == Kind::Mock {
            not_proven(
                "mock brokers have no topics that instances could share: no failover was tried",
            );
            return None;
        }
        let [metrics, incidents, committed] = [("metrics", 2), ("incidents", 1), ("committed", 1)]
            .map(|(what, n)| broker.topic(what, n));
        Some(Self {
            broker,
            metrics,
            incidents,
            committed,
        })
    }

    fn instance(&self, name: &str) -> Home {
        self.instance_with(name, RULES, "5m")
    }

    fn instance_with(&self, name: &str, rules: &str, snapshot_interval: &str) -> Home {
        let (brokers, metrics) = (self.broker.bootstrap(), &self.metrics);
        let (incidents, committed) = (&self.incidents, &self.committed);
        let config = format!(
            "
kafka:
  brokers: '{brokers}'
  group: '{metrics}'
  instance: {name}
  properties: {{session.timeout.ms: '{SESSION_MS}', heartbeat.interval.ms: '1000'}}
failover: {{topics: '{metrics}'}}
sources:
  - {{name: metrics, topics: ['{metrics}'], format: otlp_metrics_proto, allowed_lateness: 500ms}}
sinks:
  - {{type: ndjson, name: lines, path: incidents.ndjson}}
  - {{type: kafka, name: bus, brokers: '{brokers}', topic: '{incidents}'}}
  - {{type: kafka, name: once, brokers: '{brokers}', topic: '{committed}', delivery: transactional}}
time: {{idle_timeout: 1s}}
snapshot_interval: {snapshot_interval}
"
        );
        Home::new(&config, rules)
    }

    fn feed(&self) -> Feed {
        Feed::to(&self.broker)
    }

    /// What was said on the topic of incidents, to readers who have seen a higher epoch and pass over
    /// lower ones: nothing twice.
    fn said(&self, feed: &Feed) -> Vec<Value> {
        Self::said_on(feed, &self.incidents)
    }

    fn said_on(feed: &Feed, topic: &str) -> Vec<Value> {
        let (mut events, mut highest, mut late) = (Vec::new(), 0, 0);
        for record in feed.read(topic) {
            let event: Value = serde_json::from_slice(record.payload.as_ref().unwrap()).unwrap();
            let epoch: u64 = record.header("foghorn-epoch").unwrap().parse().unwrap();
            if epoch < highest {
                late += 1;
            } else if late > 0 && events.last() == Some(&event["data"]) {
                // It was written over what came late.
                late -= 1;
            } else {
                events.push(event["data"].clone());
            }
            highest = highest.max(epoch);
        }
        assert_said_once(&events);
        events
    }
}

/// Two instances, of which the first works and has opened an incident.
struct Pair {
    shop: Shop,
    feed: Feed,
    first: Home,
    second: Home,
    before: Value,
}

impl Pair {
    /// `None` where there is no real Kafka.
    fn at_work() -> Option<Self> {
        let shop = Shop::open()?;
        let (mut first, mut second) = (shop.instance("a"), shop.instance("b"));
        first.start();
        stands_by(&mut second);
        let mut feed = shop.feed();
        let before = until("an incident", 40, || {
            say(&mut feed, &shop, 0.2, 0.1);
            first.incident_with("HighErrorRate", "firing")
        });
        Some(Self {
            shop,
            feed,
            first,
            second,
            before,
        })
    }

    /// Says how the shop does until there is something to see.
    fn say_until<T>(
        &mut self,
        what: &str,
        (ratio, latency): (f64, f64),
        see: impl Fn(&Home, &Home) -> Option<T>,
    ) -> T {
        until(what, 60, || {
            say(&mut self.feed, &self.shop, ratio, latency);
            see(&self.first, &self.second)
        })
    }
}

fn say(feed: &mut Feed, shop: &Shop, ratio: f64, latency: f64) {
    let metrics = (&*shop.metrics, 2);
    feed.gauge(metrics, "error_ratio", "payments", ratio);
    feed.gauge(metrics, "latency_seconds", "payments", latency);
}

/// Its last word, where that is an end.
fn resolved(home: &Home) -> Option<Value> {
    let last = home.revisions().pop()?;
    (last["status"] == "resolved").then_some(last)
}

fn stands_by(home: &mut Home) {
    home.spawn();
    until("it stands by", 30, || {
        home.has_said("standing by").then_some(())
    });
    // Its door opens a moment after it has said so.
    home.address();
}

#[test]
fn another_instance_goes_on_where_a_killed_one_was() {
    let Some(mut pair) = Pair::at_work() else {
        return;
    };
    assert!(!pair.second.is_ready(), "who stands by is not ready");
    pair.first.kill();
    let killed = wall();
    let after = pair.say_until("the other one goes on", (0.2, 3.0), |_, second| {
        second.incident_with("SomeLatency", "firing")
    });
    let took_ms = wall() - killed;
    assert!(
        took_ms >= SESSION_MS / 2,
        "a lease is not given away at once"
    );
    let before = pair.before.clone();
    assert_eq!(after["id"], before["id"]);
    let alerts = [&before, &after].map(|it| member(it, "HighErrorRate").unwrap());
    assert_eq!(alerts[0]["active_at"], alerts[1]["active_at"]);
    assert_eq!(alerts[0]["alert"], alerts[1]["alert"]);

    // It comes back, and finds the work done.
    stands_by(&mut pair.first);
    pair.say_until("resolved", (0.01, 0.1), |_, second| resolved(second));
    pair.second.stop();
    until("the first one works again", 60, || {
        pair.first.is_ready().then_some(())
    });
    pair.first.stop();
    let said = pair.shop.said(&pair.feed);
    assert!(said.iter().all(|it| it["id"] == before["id"]));
    assert_eq!(said.last().unwrap()["status"], "resolved");
    assert_eq!(said.last().unwrap()["alerts"].as_array().unwrap().len(), 2);
}

#[test]
fn one_that_was_stopped_for_long_says_nothing_when_it_wakes_up() {
    let Some(mut pair) = Pair::at_work() else {
        return;
    };
    pair.first.signal("STOP");
    let after = pair.say_until("the other one goes on", (0.2, 3.0), |_, second| {
        second.incident_with("SomeLatency", "firing")
    });
    assert_eq!(after["id"], pair.before["id"]);
    let said = pair.first.revisions().len();
    pair.first.signal("CONT");
    pair.say_until("the first one knows", (0.2, 0.1), |first, _| {
        first.has_said("standing by again").then_some(())
    });
    assert!(pair.second.is_ready(), "whoever works is not disturbed");
    let last = pair.say_until("resolved", (0.01, 0.1), |_, second| resolved(second));
    assert_eq!(pair.first.revisions().len(), said, "it said nothing");
    let all = pair.shop.said(&pair.feed);
    assert!(all.iter().all(|it| it["id"] == pair.before["id"]));
    assert_eq!(all.last(), Some(&last));
    pair.second.stop();
    let committed = Shop::said_on(&pair.feed, &pair.shop.committed);
    assert_eq!(committed, all, "and brokers let nobody else write");
    pair.first.stop();
}

#[test]
fn one_that_is_back_within_its_session_goes_on_and_nothing_moves() {
    let Some(mut pair) = Pair::at_work() else {
        return;
    };
    for _ in 0..3 {
        pair.first.kill();
        pair.first.start();
    }
    let last = pair.say_until("resolved", (0.01, 0.1), |first, _| resolved(first));
    assert_eq!(last["id"], pair.before["id"]);
    assert!(!pair.second.has_said("this instance does the work"));
    pair.shop.said(&pair.feed);
    pair.first.stop();
    pair.second.stop();
}

#[test]
fn topics_that_forget_are_refused_at_the_start() {
    let Some(shop) = Shop::open() else { return };
    let admin = RdAdmin::open(&shop.broker.properties()).unwrap();
    let refused = |shop: &Shop, why: &str| {
        let mut home = shop.instance("a");
        home.spawn();
        assert_eq!(home.await_end(60).code(), Some(1), "{why}");
        let said = home.all_said().join("\n");
        assert!(said.contains(why), "{said}");
    };
    // Another one would take over a log without its beginning.
    let log = format!("{}.log", shop.metrics);
    let spec = TopicSpec::new(&log, 1).with("retention.ms", "3600000");
    admin.create_topic(&spec).unwrap();
    refused(&shop, "retention.ms is 3600000, not -1");

    let mut other = Shop::open().unwrap();
    other.incidents = format!("{}-compacted", other.incidents);
    let spec = TopicSpec::new(&other.incidents, 1).with("cleanup.policy", "compact");
    admin.create_topic(&spec).unwrap();
    refused(&other, "min.compaction.lag.ms is 0");
}

const SEEN: &str = r"
groups:
  - name: seen
    interval: 1s
    rules:
      - alert: Seen
        expr: sum_over_time(error_ratio[1h]) >= 1
        keep_firing_for: 1h
";

/// Waits until the rule has seen so many, and never more.
fn sees(home: &Home, count: usize) {
    let value = until(&format!("{count} seen"), 40, || {
        let alert = home.alert("Seen")?;
        let value = alert["value"].as_str()?.parse::<f64>().ok()?;
        (value >= count as f64).then_some(value)
    });
    let each_once = (value - count as f64).abs() < f64::EPSILON;
    assert!(each_once, "{value} of {count}");
}

#[test]
fn one_without_a_disk_knows_what_neither_source_nor_log_has_any_more() {
    let Some(shop) = Shop::open() else { return };
    let (mut feed, metrics) = (shop.feed(), (&*shop.metrics, 2));
    let admin = RdAdmin::open(&shop.broker.properties()).unwrap();
    let mut total = 0;
    let mut give = |count: usize| {
        (0..count).for_each(|_| feed.gauge(metrics, "error_ratio", "payments", 1.0));
        total += count;
        total
    };
    // Each has a folder of its own, with nothing in it.
    let mut former: Option<Home> = None;
    for name in ["a", "b", "c"] {
        let mut home = shop.instance_with(name, SEEN, "500ms");
        home.spawn();
        // It may stand by at first, and its door is another one then.
        until("it does the work", 40, || home.is_ready().then_some(()));
        if former.is_some() {
            assert!(home.has_said("a snapshot was fetched"));
            assert!(home.has_said("gone on from a snapshot"));
        }
        sees(&home, give(5));
        let written = || home.metric("foghorn_snapshots_total");
        let before = written();
        until("snapshots", 20, || {
            (written() >= before + 3.0).then_some(())
        });
        let log = format!("{}.log", shop.metrics);
        let mut reader = RdReader::open(&shop.broker.properties(), &log, 0, None).unwrap();
        assert!(reader.bounds().unwrap().0 > 0, "the log was cut");
        home.kill();
        for partition in 0..2 {
            admin.delete_records(&shop.metrics, partition).unwrap();
        }
        former = Some(home);
    }
    let mut last = former.unwrap();
    last.start();
    sees(&last, give(1));
    assert!(last.alert("FoghornGap").is_none());
    last.stop();
}

#[test]
fn what_was_taken_by_http_is_with_whoever_takes_over() {
    let Some(shop) = Shop::open() else { return };
    let (brokers, prefix) = (shop.broker.bootstrap(), &shop.metrics);
    let instance = |name: &str| {
        let config = format!(
            "
kafka:
  brokers: '{brokers}'
  group: '{prefix}'
  instance: {name}
  properties: {{session.timeout.ms: '{SESSION_MS}', heartbeat.interval.ms: '1000'}}
failover: {{topics: '{prefix}'}}
sources: []
sinks: []
time: {{idle_timeout: 1s}}
"
        );
        Home::new(&config, SEEN)
    };
    let post = |home: &Home| {
        let body = gauge("error_ratio", "payments", instant(), 1.0);
        let headers = ["Content-Type: application/x-protobuf"];
        home.ask("POST /v1/metrics", &headers, &body).status
    };
    let (mut first, mut second) = (instance("a"), instance("b"));
    first.start();
    stands_by(&mut second);
    assert_eq!(post(&second), 429, "who stands by takes nothing");
    (0..5).for_each(|_| assert_eq!(post(&first), 200));
    sees(&first, 5);
    // The last of it may not even have been read when it dies.
    (0..3).for_each(|_| assert_eq!(post(&first), 200));
    first.kill();
    until("the other one works", 60, || {
        second.is_ready().then_some(())
    });
    sees(&second, 8);
    assert_eq!(post(&second), 200);
    sees(&second, 9);
    second.stop();
}
