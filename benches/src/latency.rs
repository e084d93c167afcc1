//! From a produced record to the incident on the output topic, through the live runtime, its logs on
//! disk and a Kafka sink, while a steady load flows.
//!
//! Two sorts of probes, each an alert and an incident of its own: a log line that a rule matches on
//! arrival; and a metric above a threshold, timed from the record that releases the tick at which it
//! fires (the first one, in the last partition, whose time is past the tick by the allowed lateness).
//!
//! Two spans are told: from sending to seeing, which holds the queues of the bench's own clients as
//! well; and from the broker's appending the one to its appending the other, which is the runtime's
//! alone (fetching and the sink's producer included).
//!
//! With `--share 0.7` the load is seven tenths of what this machine can take, everything on it, the
//! bench's own producer too: first records are sent as fast as they go, until all are read. Before
//! each phase a bare loop reads the same load: how late it is by itself is the floor.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use foghorn_engine::RuleFile;
use foghorn_ingest::SourceConfig;
use foghorn_kafka::{Outgoing, Properties, RdProducer};
use foghorn_model::Timestamp;
use foghorn_runtime::StartFrom;
use foghorn_wire::Format;
use tokio::time::Instant;

use crate::Failure;
use crate::appended;
use crate::cluster::{Cluster, acknowledged, send};
use crate::dataset::{Dataset, METRIC};
use crate::live::Setup;
use crate::measure::{say, sleep_until, wall};
use crate::probes::{Observer, Sight, between, latencies, service, words};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Records a second, beside the probes.
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// A share of the rate at which this machine is busy, in place of a rate.
    #[arg(long)]
    share: Option<f64>,
    /// Seconds that probes are sent for.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// How long flooding takes.
const FLOOD: Duration = Duration::from_secs(9);
/// How long a start may take.
const READY: Duration = Duration::from_secs(30);
/// Partitions of the topics that are read.
const PARTITIONS: u32 = 4;
/// How far the watermark trails: the default of JSON, in milliseconds.
const LATENESS_MS: i64 = 2_000;
/// The metric group's interval, in milliseconds.
const INTERVAL_MS: i64 = 1_000;
/// Load without probes: before the first, so that all is warm, and after the last, so that its tick
/// is released.
const MARGIN_MS: i64 = 4_000;
/// A log probe every so many milliseconds; metric probes come five to a tick.
const LOG_PROBE_EVERY_MS: i64 = 50;
const METRIC_PROBE_EVERY_MS: i64 = 200;

/// A steady load that a phase makes, record by record.
trait Phase {
    /// Format of its topic.
    const FORMAT: Format;
    /// Its rules.
    fn rules() -> String;
    /// Writes load record `number`.
    fn load(&self, number: u64, at: Timestamp, into: &mut String);
    /// Writes probe `number`.
    fn probe(number: u32, at: Timestamp, into: &mut String);
    /// Milliseconds between probes.
    const PROBE_EVERY_MS: i64;
    /// The instant that releases what a probe sent at `at` sets off: its event time.
    fn released_at(at: Timestamp) -> Timestamp;
}

/// Log lines, matched on arrival.
struct Logs;
/// Samples, evaluated at ticks.
struct Metrics(Dataset);

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    say(&format!(
        "load: over {PARTITIONS} partitions, probes for {} s",
        args.seconds
    ));
    measure(args, &cluster, &Logs, "log match on arrival")?;
    let metrics = Metrics(Dataset::new(10_000, 1));
    let what = "metric alert from the record that releases its tick";
    measure(args, &cluster, &metrics, what)
}

fn measure<P: Phase>(args: &Args, cluster: &Cluster, phase: &P, what: &str) -> Result<(), Failure> {
    let rate = match args.share {
        Some(share) => (flood(cluster, phase)? * share) as u64,
        None => args.rate,
    };
    let floor = floor(rate, args.seconds, cluster, phase)?;
    say(&format!(
        "a bare loop at {rate} records/s, from append to its hands: {floor}"
    ));
    let told = probe(rate, args.seconds, cluster, phase)?;
    say(&format!("{what} at {rate} records/s: {told}"));
    Ok(())
}

/// Records a second that this machine takes from sending to having read them, as fast as they go: how
/// many are sent in a while, over the time until the last of them is read. (The counter that tells
/// moves once a second.)
fn flood<P: Phase>(cluster: &Cluster, phase: &P) -> Result<f64, Failure> {
    let input = cluster.topic("flood", PARTITIONS)?;
    let dir = tempfile::tempdir()?;
    let running = setup::<P>(cluster, &input, None, dir.path()).start()?;
    running.wait("readiness", READY, crate::live::Running::is_ready)?;
    let mut flow = Flow::new(cluster, &input)?;
    let (begin, mut sent) = (Instant::now(), 0_u64);
    while begin.elapsed() < FLOOD {
        phase.load(sent, wall(), &mut flow.text);
        flow.send((sent % u64::from(PARTITIONS)) as u32)?;
        sent += 1;
        if sent.is_multiple_of(1_000) {
            acknowledged(&flow.producer, Duration::ZERO)?;
        }
    }
    flow.producer_ends()?;
    running.wait("all is read", READY, |running| {
        running.gauge("foghorn_records_total") >= sent as f64
    })?;
    let rate = sent as f64 / begin.elapsed().as_secs_f64();
    running.finish()?;
    say(&format!(
        "flood: {sent} records sent and read, {rate:.0} a second"
    ));
    Ok(rate)
}

fn setup<'a, P: Phase>(
    cluster: &'a Cluster,
    input: &str,
    output: Option<&'a str>,
    state_dir: &'a std::path::Path,
) -> Setup<'a> {
    Setup {
        cluster,
        group: None,
        source: SourceConfig {
            topics: vec![input.to_owned()],
            ..SourceConfig::of("s", P::FORMAT)
        },
        rules: RuleFile {
            path: "probes.yaml".to_owned(),
            text: P::rules(),
        },
        workers: 1,
        start: StartFrom::Latest,
        idle_timeout_ms: 5_000,
        state_dir,
        snapshot_interval_ms: None,
        output,
        recorded: None,
    }
}

/// How long probes take from the broker's append to a bare loop that reads the same load: what
/// broker and client library take on this machine.
fn floor<P: Phase>(
    rate: u64,
    seconds: u64,
    cluster: &Cluster,
    phase: &P,
) -> Result<String, Failure> {
    let input = cluster.stamped_topic("floor", PARTITIONS)?;
    let observer = Observer::start(cluster.properties(), &input)?;
    Flow::new(cluster, &input)?.run(rate, seconds, phase)?;
    std::thread::sleep(Duration::from_secs(2));
    let seen = observer.finish()?;
    let mut histogram = hdrhistogram::Histogram::new(3)?;
    for Sight { at, appended, .. } in seen.values() {
        histogram.record(1_000 * (*at - *appended).max(0) as u64)?;
    }
    Ok(words(&histogram))
}

fn probe<P: Phase>(
    rate: u64,
    seconds: u64,
    cluster: &Cluster,
    phase: &P,
) -> Result<String, Failure> {
    let input = cluster.stamped_topic("in", PARTITIONS)?;
    let output = cluster.stamped_topic("out", 1)?;
    let observer = Observer::start(cluster.properties(), &output)?;
    let dir = tempfile::tempdir()?;
    let running = setup::<P>(cluster, &input, Some(&output), dir.path()).start()?;
    running.wait("readiness", READY, crate::live::Running::is_ready)?;
    let flow = Flow::new(cluster, &input)?;
    let (begun, releases, records) = flow.run(rate, seconds, phase)?;
    // What is on its way arrives within a moment, or never.
    std::thread::sleep(Duration::from_secs(2));
    let seen = observer.finish()?;
    running.finish()?;
    let sent_to_seen = words(&latencies(&begun, &seen)?);
    let times: Vec<_> = releases.values().copied().collect();
    let back = appended::read(cluster, &input, records, &times)?;
    let released = |number: &u32| back.reached.get(releases.get(number)?);
    let starts = back.probes.iter().map(|(number, at)| {
        let start = released(number).map_or(*at, |reached| *reached.max(at));
        (*number, start)
    });
    let appended = words(&between(starts, &seen)?);
    Ok(format!(
        "{sent_to_seen}\n  from append to append: {appended}"
    ))
}

/// Sends load and probes at their times.
struct Flow<'a> {
    producer: RdProducer,
    topic: &'a str,
    text: String,
    /// When each probe's clock began.
    begun: BTreeMap<u32, Instant>,
    /// Probes whose clock begins with the first record at or after an event time.
    waiting: BTreeMap<Timestamp, Vec<u32>>,
}

/// When each probe's clock began; the event time that releases it, where it waits for one; records.
type Sent = (BTreeMap<u32, Instant>, BTreeMap<u32, Timestamp>, u64);

impl<'a> Flow<'a> {
    fn new(cluster: &Cluster, topic: &'a str) -> Result<Self, Failure> {
        let producer = RdProducer::open(&Properties::bootstrap(cluster.bootstrap()))?;
        Ok(Self {
            producer,
            topic,
            text: String::new(),
            begun: BTreeMap::new(),
            waiting: BTreeMap::new(),
        })
    }

    fn run<P: Phase>(mut self, rate: u64, seconds: u64, phase: &P) -> Result<Sent, Failure> {
        let (mut releases, mut records) = (BTreeMap::new(), 0);
        let begin = wall();
        let end_ms = seconds as i64 * 1_000 + 2 * MARGIN_MS;
        let (mut sent, mut probes) = (0_u64, 0_u32);
        for ms in 0..end_ms {
            let at = begin + ms;
            sleep_until(at);
            let probing = (MARGIN_MS..end_ms - MARGIN_MS).contains(&ms);
            if probing && ms % P::PROBE_EVERY_MS == 0 {
                P::probe(probes, at, &mut self.text);
                let released = P::released_at(at);
                if released <= at {
                    self.begun.insert(probes, Instant::now());
                } else {
                    self.waiting.entry(released).or_default().push(probes);
                    releases.insert(probes, released);
                }
                self.send(probes % PARTITIONS)?;
                (probes, records) = (probes + 1, records + 1);
            }
            let due = (ms as u64 + 1) * rate / 1_000;
            if sent < due {
                self.release(at);
            }
            while sent < due {
                phase.load(sent, at, &mut self.text);
                self.send((sent % u64::from(PARTITIONS)) as u32)?;
                sent += 1;
            }
            acknowledged(&self.producer, Duration::ZERO)?;
        }
        self.producer_ends()?;
        Ok((self.begun, releases, records + sent))
    }

    fn producer_ends(&self) -> Result<(), Failure> {
        use foghorn_kafka::Producer;
        self.producer.flush(Duration::from_secs(10))?;
        acknowledged(&self.producer, Duration::ZERO)
    }

    /// A burst that reaches every partition stands at this event time: what waited for it begins.
    fn release(&mut self, at: Timestamp) {
        let later = self.waiting.split_off(&(at + 1));
        for number in std::mem::replace(&mut self.waiting, later)
            .into_values()
            .flatten()
        {
            self.begun.insert(number, Instant::now());
        }
    }

    fn send(&self, partition: u32) -> Result<(), Failure> {
        let (topic, payload) = (self.topic, Some(self.text.as_bytes()));
        let record = Outgoing {
            topic,
            partition: Some(partition),
            payload,
            ..Outgoing::default()
        };
        send(&self.producer, &record, 0)
    }
}

impl Phase for Logs {
    const FORMAT: Format = Format::JsonLogs;
    const PROBE_EVERY_MS: i64 = LOG_PROBE_EVERY_MS;

    fn rules() -> String {
        "groups:\n  - name: probes\n    interval: 1s\n    rules:\n      - alert: Needle\n        expr: '{service=~\".+\"} |= \"needle in the haystack\"'\n        labels: {severity: critical}\n".to_owned()
    }

    fn load(&self, number: u64, at: Timestamp, into: &mut String) {
        into.clear();
        // Writing to a string does not fail.
        let _infallible = write!(
            into,
            "{{\"ts\":{},\"level\":\"info\",\"service\":\"svc-{:03}\",\"message\":\"GET /api/v1/items/{:05} served in {} ms\",\"trace_id\":\"{number:032x}\"}}",
            at.ms(),
            number % 200,
            number % 10_000,
            number % 97
        );
    }

    fn probe(number: u32, at: Timestamp, into: &mut String) {
        into.clear();
        let _infallible = write!(
            into,
            "{{\"ts\":{},\"level\":\"error\",\"service\":\"{}\",\"message\":\"needle in the haystack\"}}",
            at.ms(),
            service(number)
        );
    }

    fn released_at(at: Timestamp) -> Timestamp {
        at
    }
}

impl Phase for Metrics {
    const FORMAT: Format = Format::JsonMetrics;
    const PROBE_EVERY_MS: i64 = METRIC_PROBE_EVERY_MS;

    fn rules() -> String {
        format!(
            "groups:\n  - name: probes\n    interval: 1s\n    rules:\n      - alert: Probe\n        expr: probe > 0\n        labels: {{severity: critical}}\n      - alert: Load\n        expr: max_over_time({METRIC}[60s]) > 1e9\n"
        )
    }

    fn load(&self, number: u64, at: Timestamp, into: &mut String) {
        Dataset::write_as(number % self.0.series(), at, 0.25, into);
    }

    fn probe(number: u32, at: Timestamp, into: &mut String) {
        into.clear();
        let _infallible = write!(
            into,
            "{{\"ts\":{},\"name\":\"probe\",\"labels\":{{\"service\":\"{}\"}},\"value\":1}}",
            at.ms(),
            service(number)
        );
    }

    fn released_at(at: Timestamp) -> Timestamp {
        (at - 1).next_slot(INTERVAL_MS, 0) + LATENESS_MS
    }
}
