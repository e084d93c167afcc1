//! Incidents as `CloudEvents` on a topic, keyed by incident: on a compacted topic the latest
//! revision of each is what stays.
//!
//! Before its first delivery a sink reads what was said lately: a crash may have come between a delivery
//! and the note of it. Where others may take over it goes on reading, and writes again what an older
//! owner's late record stands behind.

mod spoken;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use fail::fail_point;
use foghorn_kafka::{
    Admin as _, KafkaError, Outgoing, OwnedRecord, Producer, RdAdmin, RdProducer, RdTail,
    SendError, Tail,
};
use foghorn_model::{Incident, Timestamp};

use crate::config::{Delivery, KafkaSinkConfig, properties};
use crate::sink::{Delivered, DeliveryError, Sink};
use spoken::{EPOCH_HEADER, Overtaken, REVISION_HEADER, Spoken};

/// One wait for acks.
const POLL: Duration = Duration::from_millis(100);
/// So many waits without any ack end an attempt: longer than the producer's own
/// `delivery.timeout.ms` (10 s), after which every record has its ack, good or bad.
const POLLS: u32 = 150;

/// Clocks of those who write to the topic differ by so much at most, in milliseconds.
const CLOCKS_MS: i64 = 600_000;
/// What was said is looked for so many times; then it may be said twice.
const LOOKS: u32 = 3;
/// Waits for records of one look.
const LOOK_POLLS: u32 = 100;
/// How often the topic is looked at where others may take over.
const TEND: Duration = Duration::from_secs(5);
/// Nothing that a late record overtakes may be compacted away before it is written again: an hour, in
/// milliseconds.
const LEAST_COMPACTION_LAG_MS: i64 = 3_600_000;

/// Who writes, where other instances may take over.
#[derive(Clone)]
pub struct Owner {
    /// How often the work had been taken over when this one did so.
    pub epoch: u64,
    /// Whether certainly nobody has taken over since.
    pub is_sure: Arc<dyn Fn() -> bool + Send + Sync>,
}

type Factory = Box<dyn FnMut() -> Result<Box<dyn Producer>, KafkaError> + Send>;
type TailFactory = Box<dyn FnMut(Timestamp) -> Result<Box<dyn Tail>, KafkaError> + Send>;

/// Writes to a topic through an idempotent producer that waits for all in-sync replicas. All
/// revisions of a delivery are in flight together; what counts is the unbroken run of acks from the
/// first on.
pub struct KafkaSink {
    name: String,
    topic: String,
    source: String,
    open: Factory,
    producer: Option<Box<dyn Producer>>,
    /// Tokens are never used twice, so that a late ack of an earlier attempt is told apart.
    next_token: u64,
    open_tail: TailFactory,
    tail: Option<Box<dyn Tail>>,
    spoken: Spoken,
    /// Looks at what was said that went wrong; `None` once one went well.
    looks: Option<u32>,
    /// Where others may take over.
    owner: Option<Owner>,
    is_transactional: bool,
    /// Another producer has taken this one's place: to open one more would take it back.
    is_fenced: bool,
}

impl KafkaSink {
    /// Sets the sink up; the connection is made behind the scenes. `owner` says who this is, where other
    /// instances may take over.
    ///
    /// # Errors
    /// In words: a secret cannot be read, a property is refused, or the topic may be compacted too
    /// early.
    pub fn open(config: &KafkaSinkConfig, owner: Option<Owner>) -> Result<Self, String> {
        let properties = properties(
            config.brokers.as_deref(),
            &config.properties,
            &config.property_files,
        )?;
        if owner.is_some() {
            check_compaction(&RdAdmin::open(&properties), &config.topic)?;
        }
        let (to_read, topic) = (properties.clone(), config.topic.clone());
        let open_tail = move |since: Timestamp| -> Result<Box<dyn Tail>, KafkaError> {
            Ok(Box::new(RdTail::open(&to_read, &topic, since.ms())?))
        };
        let (name, topic, source) = (&config.name, &config.topic, &config.source);
        let is_transactional = config.delivery == Delivery::Transactional;
        let fence = is_transactional.then(|| format!("{source}/{name}/{topic}"));
        // Properties are checked at once; a fence needs the cluster, and a sink's must not hold a start up.
        let producer = RdProducer::open(&properties).map_err(|error| error.to_string())?;
        let open = move || -> Result<Box<dyn Producer>, KafkaError> {
            Ok(match &fence {
                Some(fence) => Box::new(RdProducer::open_transactional(&properties, fence)?),
                None => Box::new(RdProducer::open(&properties)?),
            })
        };
        let mut sink = Self::over(name, topic, source, Box::new(producer), open, open_tail);
        sink.producer.take_if(|_| is_transactional);
        Ok(Self {
            owner,
            is_transactional,
            ..sink
        })
    }

    /// A sink over any producer; `open` makes another when one has failed for good, `open_tail` reads
    /// the topic on from a time.
    pub fn over(
        name: &str,
        topic: &str,
        source: &str,
        producer: Box<dyn Producer>,
        open: impl FnMut() -> Result<Box<dyn Producer>, KafkaError> + Send + 'static,
        open_tail: impl FnMut(Timestamp) -> Result<Box<dyn Tail>, KafkaError> + Send + 'static,
    ) -> Self {
        Self {
            name: name.to_owned(),
            topic: topic.to_owned(),
            source: source.to_owned(),
            open: Box::new(open),
            producer: Some(producer),
            next_token: 0,
            open_tail: Box::new(open_tail),
            tail: None,
            spoken: Spoken::default(),
            looks: Some(0),
            owner: None,
            is_transactional: false,
            is_fenced: false,
        }
    }

    /// Of an instance that others may take over from.
    #[must_use]
    pub fn owned_by(mut self, owner: Owner) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Queues records until the producer takes no more; why, unless merely its queue is full.
    fn send<'a>(
        &mut self,
        producer: &dyn Producer,
        records: impl Iterator<Item = (&'a [u8], u32, &'a [u8])>,
    ) -> Option<KafkaError> {
        let epoch = self.owner.as_ref().map(|owner| owner.epoch.to_string());
        for (key, revision, payload) in records {
            let revision = revision.to_string();
            let mut headers = vec![
                ("content-type", &b"application/cloudevents+json"[..]),
                (REVISION_HEADER, revision.as_bytes()),
            ];
            if let Some(epoch) = &epoch {
                headers.push((EPOCH_HEADER, epoch.as_bytes()));
            }
            let record = Outgoing {
                topic: &self.topic,
                partition: None,
                key: Some(key),
                payload: Some(payload),
                headers: &headers,
                timestamp_ms: None,
            };
            match producer.send(&record, self.next_token) {
                Ok(()) => self.next_token += 1,
                Err(SendError::Full) => return None,
                Err(SendError::Refused(error)) => return Some(error),
            }
        }
        None
    }

    /// Sends records and waits for their acks: how many came in an unbroken run, and what broke it. In a
    /// transaction all of them, or none.
    fn write<'a>(
        &mut self,
        records: impl Iterator<Item = (&'a [u8], u32, &'a [u8])>,
    ) -> (usize, Option<KafkaError>) {
        if self.is_fenced {
            let text = "another instance has taken this sink's place".to_owned();
            let code = "Fenced".to_owned();
            return (0, Some(KafkaError::Fatal { code, text }));
        }
        let producer = match self.producer.take().map_or_else(|| (self.open)(), Ok) {
            Ok(producer) => producer,
            Err(error) => return (0, Some(error)),
        };
        // The last moment: it may have been stopped for long since it was asked to deliver.
        if self.owner.as_ref().is_some_and(|owner| !(owner.is_sure)()) {
            self.producer = Some(producer);
            let doing = "know that nobody else has taken over";
            return (0, Some(KafkaError::TimedOut { doing }));
        }
        let first = self.next_token;
        let begun = producer.begin();
        let refused = match begun {
            Ok(()) => self.send(&*producer, records),
            Err(error) => Some(error),
        };
        let (mut count, failed) = settle(&*producer, first..self.next_token);
        let mut stopped = failed.or(refused);
        if self.is_transactional {
            stopped = stopped.or_else(|| producer.commit().err());
            if let Some(error) = &stopped {
                // Nobody sees any of it, or so much is not known: the next producer ends what is open.
                (count, self.is_fenced) = (0, error.is_fatal());
                return (count, stopped);
            }
        }
        // One that failed for good is made anew by the next attempt.
        if !stopped.as_ref().is_some_and(KafkaError::is_fatal) {
            self.producer = Some(producer);
        }
        (count, stopped)
    }

    /// Reads what has been said since the oldest of these came about.
    fn look_back(&mut self, incidents: &[Arc<Incident>]) -> Result<(), KafkaError> {
        let oldest = incidents.iter().map(|incident| incident.updated_at).min();
        let since = oldest.unwrap_or(Timestamp::MIN) - CLOCKS_MS;
        let mut tail = (self.open_tail)(since)?;
        let (mut silent, mut overtaken) = (0, BTreeMap::new());
        while !tail.is_caught_up() {
            let records = tail.read(POLL)?;
            silent = if records.is_empty() { silent + 1 } else { 0 };
            if silent > LOOK_POLLS {
                return Err(KafkaError::TimedOut {
                    doing: "read what was said",
                });
            }
            self.hear(&records, &mut overtaken);
        }
        // Others' late records matter only where there are others.
        self.tail = Some(tail).filter(|_| self.owner.is_some());
        self.write_again(&overtaken)
    }

    /// Takes in records; what stands behind a late one of an older owner, by key, as of the last of them.
    fn hear(&mut self, records: &[OwnedRecord], overtaken: &mut BTreeMap<Vec<u8>, Overtaken>) {
        let epoch = self.owner.as_ref().map(|owner| owner.epoch);
        for record in records {
            match self.spoken.take(record, epoch) {
                Some(late) => drop(overtaken.insert(late.key.clone(), late)),
                // Somebody has written it again already.
                None => drop(record.key.as_ref().and_then(|key| overtaken.remove(key))),
            }
        }
    }

    fn write_again(&mut self, overtaken: &BTreeMap<Vec<u8>, Overtaken>) -> Result<(), KafkaError> {
        if overtaken.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            sink = %self.name,
            incidents = overtaken.len(),
            "an instance that was relieved wrote late: the newer revisions are written again"
        );
        let records = overtaken.values();
        let records = records.map(|it| (&*it.key, it.revision, &*it.payload));
        self.write(records).1.map_or(Ok(()), Err)
    }

    /// Writes again what late records of older owners stand behind, where others may take over.
    fn look_after(&mut self) -> Result<(), KafkaError> {
        let Some(tail) = &mut self.tail else {
            return Ok(());
        };
        let records = tail.read(Duration::ZERO)?;
        let mut overtaken = BTreeMap::new();
        self.hear(&records, &mut overtaken);
        self.write_again(&overtaken)
    }
}

/// Whether a topic keeps what a late record stands behind for long enough.
fn check_compaction(admin: &Result<RdAdmin, KafkaError>, topic: &str) -> Result<(), String> {
    let admin = admin.as_ref().map_err(ToString::to_string)?;
    let setting = |name: &str| admin.setting(topic, name);
    let (policy, lag) = match (setting("cleanup.policy"), setting("min.compaction.lag.ms")) {
        (Ok(policy), Ok(lag)) => (policy.unwrap_or_default(), lag),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(%error, topic, "whether the topic is compacted too early is not known");
            return Ok(());
        }
    };
    compaction_problem(topic, &policy, lag.as_deref()).map_or(Ok(()), Err)
}

fn compaction_problem(topic: &str, policy: &str, lag: Option<&str>) -> Option<String> {
    let lag_ms: i64 = lag.and_then(|lag| lag.parse().ok()).unwrap_or(0);
    let early = policy.contains("compact") && lag_ms < LEAST_COMPACTION_LAG_MS;
    early.then(|| {
        format!(
            "topic `{topic}` is compacted, and its min.compaction.lag.ms is {lag_ms}: what an instance that \
             was relieved writes late could delete a newer revision; set it to {LEAST_COMPACTION_LAG_MS} or more"
        )
    })
}

/// Waits for the acks of `tokens`; how many came in an unbroken run, and what broke it.
fn settle(producer: &dyn Producer, tokens: Range<u64>) -> (usize, Option<KafkaError>) {
    let mut results = BTreeMap::new();
    let mut idle = 0;
    while (results.len() as u64) < tokens.end - tokens.start && idle < POLLS {
        let acks = producer.poll_acks(POLL);
        idle = if acks.is_empty() { idle + 1 } else { 0 };
        let ours = acks.into_iter().filter(|ack| tokens.contains(&ack.token));
        results.extend(ours.map(|ack| (ack.token, ack.result)));
    }
    let count = results.len();
    for (run, token) in tokens.enumerate() {
        match results.remove(&token) {
            Some(Ok(_)) => {}
            Some(Err(error)) => return (run, Some(error)),
            None => return (run, Some(KafkaError::TimedOut { doing: "get acks" })),
        }
    }
    (count, None)
}

/// Whether trying again can help.
fn judge(error: &KafkaError) -> DeliveryError {
    let hopeless = matches!(
        error,
        KafkaError::Client { code, .. } if matches!(code.as_str(), "MessageSizeTooLarge" | "InvalidRecord")
    );
    DeliveryError {
        retryable: !hopeless,
        retry_after: None,
        text: error.to_string(),
    }
}

impl Sink for KafkaSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver(&mut self, incidents: &[Arc<Incident>]) -> Delivered {
        if let Some(looks) = self.looks {
            match self.look_back(incidents) {
                Ok(()) => {
                    fail_point!("sink-looked-back", |_| std::process::abort());
                    self.looks = None;
                }
                Err(error) if looks + 1 < LOOKS => {
                    self.looks = Some(looks + 1);
                    return Delivered::stopped(0, judge(&error));
                }
                Err(error) => {
                    tracing::warn!(
                        sink = %self.name, %error,
                        "what was said before cannot be read: something may be said twice"
                    );
                    self.looks = None;
                }
            }
        }
        let new = incidents.iter().enumerate();
        let new = new.filter(|(_, incident)| !self.spoken.has(incident));
        let events: Vec<_> = new
            .map(|(at, incident)| {
                let event = foghorn_wire::out::cloudevent(incident, &self.source);
                (at, incident.id.to_string(), incident.revision, event)
            })
            .collect();
        let records = events.iter();
        let records =
            records.map(|(_, key, revision, event)| (key.as_bytes(), *revision, &**event));
        let (done, stopped) = self.write(records);
        if stopped.is_some() {
            // What was not acknowledged may stand there all the same.
            (self.tail, self.looks) = (None, Some(0));
        }
        Delivered {
            // What stands there already counts with what came before it.
            count: events.get(done).map_or(incidents.len(), |(at, ..)| *at),
            stopped: stopped.as_ref().map(judge),
        }
    }

    fn tend(&mut self) -> Option<Duration> {
        self.owner.as_ref()?;
        if let Err(error) = self.look_after() {
            tracing::warn!(sink = %self.name, %error, "the topic could not be looked at");
            // From the beginning, with the next delivery.
            (self.tail, self.looks) = (None, Some(0));
        }
        Some(TEND)
    }

    fn coalesces(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use foghorn_kafka::{AckFate, Admin, ModelCluster, TopicSpec};
    use foghorn_model::IncidentId;
    use foghorn_model::incident::Status::Open;

    use super::*;
    use crate::fixtures::incident;

    fn sink(cluster: &ModelCluster) -> KafkaSink {
        cluster
            .create_topic(&TopicSpec::new("incidents", 1))
            .unwrap();
        let (producer, again) = (Box::new(cluster.producer()), cluster.clone());
        let open =
            move || -> Result<Box<dyn Producer>, KafkaError> { Ok(Box::new(again.producer())) };
        let tails = cluster.clone();
        let open_tail =
            move |_| -> Result<Box<dyn Tail>, KafkaError> { Ok(Box::new(tails.tail("incidents"))) };
        KafkaSink::over(
            "bus",
            "incidents",
            "foghorn/test",
            producer,
            open,
            open_tail,
        )
    }

    /// Delivers revisions 1 to 3 of an incident whose records meet these fates.
    fn check(fates: &[AckFate], expect: usize, error: Option<&str>) -> ModelCluster {
        let cluster = ModelCluster::new();
        let mut sink = sink(&cluster);
        cluster.next_acks(fates.iter().copied());
        let incidents: Vec<_> = (1..=3).map(|n| Arc::new(incident(7, n, Open))).collect();
        let delivered = sink.deliver(&incidents);
        assert_eq!(delivered.count, expect);
        match (delivered.stopped, error) {
            (None, None) => {}
            (Some(got), Some(word)) => assert!(got.retryable && got.text.contains(word), "{got}"),
            (got, expect) => panic!("{got:?}, expected {expect:?}"),
        }
        // Whatever happened, the next attempt at the rest goes well.
        cluster.release_acks();
        assert_eq!(
            sink.deliver(&incidents[expect..]),
            Delivered::all(&incidents[expect..])
        );
        cluster
    }

    #[test]
    fn an_incident_is_one_key_and_each_revision_a_record() {
        let cluster = check(&[], 3, None);
        let records = cluster.read_to_end("incidents", None).unwrap();
        assert_eq!(records.len(), 3);
        for record in &records {
            assert_eq!(
                record.key.as_deref(),
                Some(IncidentId(7).to_string().as_bytes())
            );
            let header = |name| record.header(name).unwrap();
            assert_eq!(header("content-type"), "application/cloudevents+json");
            assert_eq!(header(REVISION_HEADER), (record.offset + 1).to_string());
            let event: serde_json::Value =
                serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap();
            assert_eq!(event["source"], "foghorn/test");
        }
    }

    #[test]
    fn what_counts_is_the_unbroken_run_of_acks() {
        use AckFate::{Deliver, Drop, Hold, Lose};
        check(&[Deliver, Drop, Deliver], 1, Some("in time"));
        check(&[Lose], 0, Some("in time"));
        check(&[Deliver, Deliver, Hold], 2, Some("in time"));
    }

    #[test]
    fn what_stands_there_though_its_ack_was_lost_is_not_said_again() {
        use AckFate::{Deliver, Hold, Lose};
        for fates in [[Lose, Deliver], [Deliver, Lose], [Hold, Deliver]] {
            let cluster = check(&fates, usize::from(fates[0] == Deliver), Some("in time"));
            assert_eq!(revisions(&cluster), ["1", "2", "3"], "{fates:?}");
        }
    }

    #[test]
    fn a_full_queue_is_no_error_for_what_went_before() {
        let cluster = ModelCluster::new();
        let mut sink = sink(&cluster);
        cluster.next_acks([AckFate::Hold, AckFate::Deliver]);
        cluster.set_capacity(1);
        let incidents: Vec<_> = (1..=2).map(|n| Arc::new(incident(7, n, Open))).collect();
        let delivered = sink.deliver(&incidents);
        assert_eq!(delivered.count, 0);
        assert!(delivered.stopped.unwrap().text.contains("in time"));
        cluster.release_acks();
        assert_eq!(sink.deliver(&incidents), Delivered::all(&incidents));
    }

    fn revisions(cluster: &ModelCluster) -> Vec<String> {
        let records = cluster.read_to_end("incidents", None).unwrap();
        let of = |record: &OwnedRecord| record.header(REVISION_HEADER).unwrap().to_owned();
        records.iter().map(of).collect()
    }

    #[test]
    fn what_stands_on_the_topic_already_is_not_said_again() {
        let cluster = ModelCluster::new();
        let incidents: Vec<_> = (1..=4).map(|n| Arc::new(incident(7, n, Open))).collect();
        assert_eq!(sink(&cluster).deliver(&incidents[..2]).count, 2);
        // The crash came before that was written down.
        let mut after = sink(&cluster);
        assert_eq!(after.deliver(&incidents[..1]).count, 1);
        assert_eq!(
            after.deliver(&incidents[1..]),
            Delivered::all(&incidents[1..])
        );
        assert_eq!(revisions(&cluster), ["1", "2", "3", "4"]);
    }

    #[test]
    fn where_something_goes_wrong_what_stood_there_already_counts_up_to_it() {
        let cluster = ModelCluster::new();
        let incidents: Vec<_> = [(7, 1), (8, 1), (7, 2), (8, 2)]
            .into_iter()
            .map(|(id, n)| Arc::new(incident(id, n, Open)))
            .collect();
        sink(&cluster).deliver(&incidents[1..2]);
        let mut after = sink(&cluster);
        cluster.next_acks([AckFate::Deliver, AckFate::Drop]);
        let delivered = after.deliver(&incidents);
        assert_eq!(delivered.count, 2, "{delivered:?}");
        assert!(delivered.stopped.is_some());
    }

    #[test]
    fn what_an_older_owner_says_late_is_not_the_last_word() {
        let cluster = ModelCluster::new();
        let incidents: Vec<_> = (1..=3).map(|n| Arc::new(incident(7, n, Open))).collect();
        let of = |epoch| {
            sink(&cluster).owned_by(Owner {
                epoch,
                is_sure: Arc::new(|| true),
            })
        };
        let (mut older, mut newer) = (of(1), of(2));
        older.deliver(&incidents[..1]);
        newer.deliver(&incidents[..1]);
        assert_eq!(newer.deliver(&incidents[2..]).count, 1);
        older.deliver(&incidents[1..2]);
        assert!(older.tend().is_some() && newer.tend().is_some());
        assert_eq!(revisions(&cluster), ["1", "3", "2", "3"]);
        assert!(older.tend().is_some() && newer.tend().is_some());
        assert_eq!(revisions(&cluster).len(), 4, "once is enough");
        // Late, and the owner dies before it sees it: the next one does.
        let key = incidents[1].id.to_string();
        let late = Outgoing {
            topic: "incidents",
            key: Some(key.as_bytes()),
            payload: Some(b"{}"),
            headers: &[(REVISION_HEADER, b"2"), (EPOCH_HEADER, b"1")],
            ..Outgoing::default()
        };
        cluster.producer().send(&late, 0).unwrap();
        let mut next = of(3);
        assert_eq!(next.deliver(&incidents[2..]).count, 1);
        assert_eq!(revisions(&cluster)[4..], ["2", "3"]);
        assert_eq!(
            sink(&cluster).tend(),
            None,
            "alone there is nothing to look at"
        );
    }

    #[test]
    fn a_topic_that_is_compacted_early_is_refused_where_others_may_take_over() {
        for (policy, lag, refused) in [
            ("compact", Some("0"), true),
            ("compact,delete", None, true),
            ("compact", Some("3600000"), false),
            ("delete", Some("0"), false),
        ] {
            let problem = compaction_problem("incidents", policy, lag);
            assert_eq!(problem.is_some(), refused, "{policy} {lag:?}: {problem:?}");
        }
    }

    /// A producer with transactions, of which some commits fail.
    struct Transactional(
        foghorn_kafka::ModelProducer,
        Arc<std::sync::Mutex<Vec<KafkaError>>>,
    );

    impl Producer for Transactional {
        fn send(&self, record: &Outgoing<'_>, token: u64) -> Result<(), SendError> {
            self.0.send(record, token)
        }

        fn poll_acks(&self, timeout: Duration) -> Vec<foghorn_kafka::Ack> {
            self.0.poll_acks(timeout)
        }

        fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
            self.0.flush(timeout)
        }

        fn in_flight(&self) -> usize {
            self.0.in_flight()
        }

        fn commit(&self) -> Result<(), KafkaError> {
            self.1.lock().unwrap().pop().map_or(Ok(()), Err)
        }
    }

    #[test]
    fn in_a_transaction_all_of_it_counts_or_none_and_who_was_fenced_comes_back_no_more() {
        let cluster = ModelCluster::new();
        let failures = Arc::<std::sync::Mutex<Vec<KafkaError>>>::default();
        let opened = Arc::<std::sync::Mutex<u32>>::default();
        let (again, fails, opens) = (cluster.clone(), Arc::clone(&failures), Arc::clone(&opened));
        let mut sink = KafkaSink {
            producer: None,
            // Nobody sees what was not committed.
            open_tail: Box::new(|_| {
                let nothing = ModelCluster::new();
                Ok(Box::new(nothing.tail("incidents")) as Box<dyn Tail>)
            }),
            open: Box::new(move || {
                *opens.lock().unwrap() += 1;
                let producer = Transactional(again.producer(), Arc::clone(&fails));
                Ok(Box::new(producer) as Box<dyn Producer>)
            }),
            is_transactional: true,
            ..sink(&cluster)
        };
        let incidents: Vec<_> = (1..=2).map(|n| Arc::new(incident(7, n, Open))).collect();
        cluster.next_acks([AckFate::Deliver, AckFate::Drop]);
        assert_eq!(
            sink.deliver(&incidents).count,
            0,
            "the first is not visible"
        );
        let timed_out = KafkaError::TimedOut { doing: "commit" };
        failures.lock().unwrap().push(timed_out);
        assert_eq!(sink.deliver(&incidents).count, 0);
        assert_eq!(sink.deliver(&incidents).count, 2);
        assert_eq!(*opened.lock().unwrap(), 3, "each by a producer made anew");

        let fatal = KafkaError::Fatal {
            code: "Fenced".to_owned(),
            text: "another one".to_owned(),
        };
        failures.lock().unwrap().push(fatal);
        let later = [Arc::new(incident(7, 3, Open))];
        for _ in 0..2 {
            let delivered = sink.deliver(&later);
            assert!(delivered.count == 0 && delivered.stopped.is_some());
        }
        assert_eq!(
            *opened.lock().unwrap(),
            3,
            "to open one more would fence the other"
        );
    }
}
