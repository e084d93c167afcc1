//! Partitions out of step with the others: out of reach, silent, long behind, or of a host whose clock is
//! a day ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foghorn_kafka::{Admin, RdAdmin, TopicSpec};
use foghorn_model::Timestamp;
use foghorn_runtime::clock::wall;
use foghorn_testkit::broker::{Broker, Kind};

use super::load::{Load, own};
use super::{RULES, is_long, report};
use crate::feed::{Feed, gauge};
use crate::home::{Home, not_proven};

const DAY_MS: i64 = 86_400_000;

/// An instance that waits for nobody for long.
fn impatient(broker: &Broker, topics: &[&str], incidents: &str) -> Home {
    let (brokers, group) = (broker.bootstrap(), topics[0]);
    let topics = topics.join("', '");
    let config = format!(
        "
kafka: {{brokers: '{brokers}', group: '{group}'}}
sources:
  - {{name: metrics, topics: ['{topics}'], format: otlp_metrics_proto, allowed_lateness: 500ms}}
sinks:
  - {{type: kafka, name: bus, brokers: '{brokers}', topic: '{incidents}'}}
time: {{idle_timeout: 1s, max_stall: 5s}}
correlate: {{reopen_window_ms: 2000, close_after_ms: 3000}}
"
    );
    Home::new(&config, RULES)
}

#[test]
fn ticks_go_on_without_partitions_that_are_out_of_reach_and_it_is_said() {
    let broker = match Broker::several(3) {
        Ok(broker) => broker,
        Err(why) => return not_proven(&format!("no brokers of our own: all were in reach: {why}")),
    };
    let away_s = if is_long() { 300 } else { 15 };
    let incidents = broker.topic("incidents", 1);
    // Each partition is on one broker only.
    let metrics = format!("{incidents}-metrics");
    let spec = TopicSpec {
        replication: Some(1),
        ..TopicSpec::new(&metrics, 4)
    };
    let admin = RdAdmin::open(&broker.properties()).unwrap();
    admin
        .create_topic(&spec.with("min.insync.replicas", "1"))
        .unwrap();
    let mut home = impatient(&broker, &[&metrics], &incidents);
    home.start();
    let load = Load::start(&broker, &metrics, 4, 13);
    std::thread::sleep(Duration::from_secs(5));
    broker.kill_one(2);
    std::thread::sleep(Duration::from_secs(away_s));
    broker.revive_one(2);
    let outcome = load.finish_but_own(&broker, &incidents);
    assert!(own(&broker, &incidents).contains("FoghornBlind"));
    home.stop();
    report(
        "partitions out of reach",
        &format!("one broker of three for {away_s} s, {outcome}; FoghornBlind was said"),
    );
}

/// Sends, twice a second, what nobody should be misled by.
fn odd(broker: &Broker, topic: &str, asked: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let (feed, topic, asked) = (Feed::to(broker), topic.to_owned(), Arc::clone(asked));
    std::thread::spawn(move || {
        while !asked.load(Ordering::Acquire) {
            let send = |partition, service, at: Timestamp, value| {
                let payload = gauge("error_ratio", service, at, value);
                feed.send(&topic, partition, &payload, None);
            };
            // Partition 0 stays silent.
            send(1, "tomorrow", wall() + DAY_MS, 1.0);
            send(2, "yesterday", wall() - 1_800_000, 0.0);
            std::thread::sleep(Duration::from_millis(500));
        }
    })
}

#[test]
fn silence_and_clocks_that_are_wrong_mislead_nobody_and_it_is_said() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return not_proven("mock brokers cannot be asked for what was said: no clock was wrong");
    }
    let for_s = if is_long() { 300 } else { 25 };
    let (metrics, odd_one) = (broker.topic("metrics", 2), broker.topic("odd", 3));
    let incidents = broker.topic("incidents", 1);
    let mut home = impatient(&broker, &[&metrics, &odd_one], &incidents);
    home.start();
    let asked = Arc::new(AtomicBool::new(false));
    let odd = odd(&broker, &odd_one, &asked);
    let load = Load::start(&broker, &metrics, 2, 14);
    std::thread::sleep(Duration::from_secs(for_s));
    let outcome = load.finish_but_own(&broker, &incidents);
    asked.store(true, Ordering::Release);
    odd.join().unwrap();
    let own = own(&broker, &incidents);
    for word in ["FoghornRefusing", "FoghornBlind"] {
        assert!(own.contains(word), "{word}: {own:?}");
    }
    home.stop();
    report(
        "a clock a day ahead, one partition silent, one 30 minutes behind",
        &format!("{for_s} s, {outcome}; {own:?} were said"),
    );
}
