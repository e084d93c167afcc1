//! A load whose alerts are known: services that fail for a few seconds, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use foghorn_kafka::{Admin, Outgoing, Producer, RdAdmin, RdProducer};
use foghorn_model::Timestamp;
use foghorn_runtime::clock::wall;
use foghorn_testkit::broker::Broker;
use serde_json::Value;

use crate::feed::gauge;
use crate::home::{assert_said_once, until};

/// Services take turns in beginning to fail.
const SERVICES: [&str; 3] = ["payments", "checkout", "search"];
/// So often each says how it does, in milliseconds.
const EVERY_MS: u64 = 250;
/// Each fails once in so long, for so long, in milliseconds.
const PERIOD_MS: i64 = 10_000;
const FAILS_MS: i64 = 4_000;
/// A later one begins to fail so much later, in milliseconds.
const APART_MS: i64 = 500;

/// A stretch of failing: (service, the first and the last sample of it).
#[derive(Clone, Copy, Debug)]
pub(super) struct Episode {
    service: &'static str,
    first: Timestamp,
    last: Timestamp,
}

/// See the module's text.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    partitions: Arc<AtomicU32>,
    sender: JoinHandle<Vec<Episode>>,
}

/// What was said of a load.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) episodes: usize,
    pub(super) incidents: usize,
    pub(super) revisions: usize,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} alerts in {} incidents, {} revisions: 0 lost, 0 twice",
            self.episodes, self.incidents, self.revisions
        )
    }
}

impl Load {
    /// Sends until it is asked to stop, and then until nobody fails.
    pub(super) fn start(broker: &Broker, topic: &str, partitions: u32, seed: u64) -> Self {
        // An outage of the broker is waited for.
        let properties = broker
            .properties()
            .with("delivery.timeout.ms", "180000")
            .with("linger.ms", "0")
            // After an outage it comes back late, as one does that was cut off for long.
            .with("reconnect.backoff.ms", "8000")
            // A topic that grows is noticed soon.
            .with("topic.metadata.refresh.interval.ms", "1000");
        let producer = RdProducer::open(&properties).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let partitions = Arc::new(AtomicU32::new(partitions));
        let spread = Arc::clone(&partitions);
        let (asked, topic) = (Arc::clone(&stop), topic.to_owned());
        let offset_ms = (seed % PERIOD_MS as u64) as i64;
        let sender =
            std::thread::spawn(move || send(&producer, &topic, &spread, offset_ms, &asked));
        Self {
            stop,
            partitions,
            sender,
        }
    }

    /// From now on it writes to so many partitions.
    pub(super) fn spread(&self, partitions: u32) {
        self.partitions.store(partitions, Ordering::Release);
    }

    /// As [`Self::finish`], where Foghorn had a word to say of itself, too.
    pub(super) fn finish_but_own(self, broker: &Broker, incidents: &str) -> Outcome {
        self.check(broker, incidents, true)
    }

    /// Stops, waits until all of it is said and over, and checks that nothing is missing, and nothing
    /// twice.
    pub(super) fn finish(self, broker: &Broker, incidents: &str) -> Outcome {
        self.check(broker, incidents, false)
    }

    fn check(self, broker: &Broker, incidents: &str, but_own: bool) -> Outcome {
        self.stop.store(true, Ordering::Release);
        let episodes = self.sender.join().unwrap();
        let read = || said_on(broker, incidents);
        // What is missing then is missing for good.
        let mut missing = Vec::new();
        let end = wall() + 60_000;
        let said = until("everything is said, or a minute has passed", 70, || {
            let said = read();
            let found = occurrences(&said);
            missing = episodes
                .iter()
                .filter(|episode| !found.iter().any(|it| it.is_of(episode)))
                .collect();
            let all_over = but_own || latest(&said).values().all(|it| is_over(it));
            (missing.is_empty() && all_over || wall() > end).then_some(said)
        });
        assert!(missing.is_empty(), "lost: {missing:?}");
        assert_said_once(&said);
        let found = occurrences(&said);
        for episode in &episodes {
            let of: Vec<_> = found.iter().filter(|it| it.is_of(episode)).collect();
            assert_eq!(of.len(), 1, "{episode:?} was said as {of:?}");
        }
        assert_eq!(found.len(), episodes.len(), "of nothing else");
        assert!(
            but_own || latest(&said).values().all(|it| is_over(it)),
            "all of them are over"
        );
        Outcome {
            episodes: episodes.len(),
            incidents: latest(&said).len(),
            revisions: said.len(),
        }
    }
}

/// What stands on a topic of incidents.
pub(super) fn said_on(broker: &Broker, incidents: &str) -> Vec<Value> {
    let admin = RdAdmin::open(&broker.properties()).unwrap();
    let records = admin.read_to_end(incidents, None).unwrap().into_iter();
    let events = records.map(|record| {
        let event: Value = serde_json::from_slice(&record.payload.unwrap()).unwrap();
        event["data"].clone()
    });
    events.collect()
}

/// What Foghorn said of itself.
pub(super) fn own(broker: &Broker, incidents: &str) -> BTreeSet<String> {
    let said = said_on(broker, incidents);
    let alerts = said.iter().flat_map(|it| it["alerts"].as_array().unwrap());
    let names = alerts.map(|alert| alert["name"].as_str().unwrap());
    let own = names.filter(|name| name.starts_with("Foghorn"));
    own.map(str::to_owned).collect()
}

fn send(
    producer: &RdProducer,
    topic: &str,
    partitions: &AtomicU32,
    offset_ms: i64,
    asked: &AtomicBool,
) -> Vec<Episode> {
    let begin = wall();
    let mut episodes: Vec<Episode> = Vec::new();
    let (mut round, mut sent, mut failing) = (0, 0_u64, BTreeMap::new());
    loop {
        let now = wall();
        let stops = asked.load(Ordering::Acquire);
        for (turn, service) in SERVICES.into_iter().enumerate() {
            let phase = (now - begin + offset_ms - turn as i64 * APART_MS).rem_euclid(PERIOD_MS);
            let began = failing.get(service).copied();
            // Nobody begins to fail at the end, and whoever fails does so for its whole time.
            let may_begin = !stops && phase < 2 * EVERY_MS as i64 && now - begin > 2_000;
            let fails = phase < FAILS_MS && (began.is_some() || may_begin);
            match (fails, began) {
                (true, None) => {
                    failing.insert(service, now);
                    episodes.push(Episode {
                        service,
                        first: now,
                        last: now,
                    });
                }
                (true, Some(first)) => {
                    let own = |it: &&mut Episode| it.service == service && it.first == first;
                    episodes.iter_mut().find(own).unwrap().last = now;
                }
                (false, _) => drop(failing.remove(service)),
            }
            let payload = gauge("error_ratio", service, now, f64::from(u8::from(fails)));
            round += 1;
            let record = Outgoing {
                topic,
                partition: Some(round % partitions.load(Ordering::Acquire)),
                payload: Some(&payload),
                timestamp_ms: Some(now.ms()),
                ..Outgoing::default()
            };
            if producer.send(&record, sent).is_err() {
                // A partition that the client does not know of yet.
                let partition = Some(round % 2);
                let known = Outgoing {
                    partition,
                    ..record
                };
                producer.send(&known, sent).unwrap();
            }
            sent += 1;
        }
        for ack in producer.poll_acks(Duration::ZERO) {
            ack.result.unwrap();
        }
        if stops && failing.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(EVERY_MS));
    }
    producer.flush(Duration::from_mins(3)).unwrap();
    for ack in producer.poll_acks(Duration::ZERO) {
        ack.result.unwrap();
    }
    episodes
}

/// An alert as incidents tell of it: (service, since when, in which incident).
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Occurrence {
    service: String,
    active_at: i64,
    incident: String,
}

impl Occurrence {
    fn is_of(&self, episode: &Episode) -> bool {
        let since = Timestamp(self.active_at);
        self.service == episode.service && since >= episode.first && since <= episode.last + 1_000
    }
}

fn occurrences(said: &[Value]) -> BTreeSet<Occurrence> {
    let members = said.iter().flat_map(|incident| {
        let alerts = incident["alerts"].as_array().unwrap().iter();
        let own = |alert: &&Value| alert["name"] == "HighErrorRate";
        alerts.filter(own).map(|alert| Occurrence {
            service: alert["labels"]["service_name"].as_str().unwrap().to_owned(),
            active_at: alert["active_at"].as_i64().unwrap(),
            incident: incident["id"].as_str().unwrap().to_owned(),
        })
    });
    members.collect()
}

fn is_over(incident: &Value) -> bool {
    incident["status"] == "resolved" || incident["status"] == "closed"
}

fn latest(said: &[Value]) -> BTreeMap<&str, &Value> {
    let each = said.iter();
    each.map(|incident| (incident["id"].as_str().unwrap(), incident))
        .collect()
}
