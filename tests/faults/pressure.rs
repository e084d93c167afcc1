//! More than it can do, and what it can do for long.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use foghorn_kafka::{Outgoing, Producer, RdProducer, SendError};
use foghorn_model::Timestamp;
use foghorn_runtime::clock::wall;
use foghorn_testkit::broker::{Broker, Kind};
use foghorn_wire::encode::{MetricKind, OtlpMetrics, Point};

use super::load::{Load, own};
use super::{is_long, report};
use crate::home::{Home, not_proven, until};

/// Series of the bulk, and samples of a request.
const BULK: usize = 500;

/// The known load's rule, and what keeps the bulk's windows and is never true.
const RULES: &str = r"
groups:
  - name: requests
    interval: 1s
    rules:
      - alert: HighErrorRate
        expr: error_ratio > 0.5
        labels: {severity: critical}
  - name: queues
    interval: 5s
    rules:
      - alert: QueueDeep
        expr: avg by (service_name) (avg_over_time(queue_depth[1m])) > 1e9
      - record: queue:depth:max
        expr: max by (service_name) (max_over_time(queue_depth[30s]))
";

/// A request with a sample of each series of the bulk.
fn bulk(at: Timestamp) -> Vec<u8> {
    let names: Vec<_> = (0..BULK).map(|n| n.to_string()).collect();
    let attributes: Vec<_> = names.iter().map(|n| [("queue", n.as_str())]).collect();
    let points: Vec<_> = attributes
        .iter()
        .map(|attributes| Point {
            attributes,
            at,
            value: (at.ms() % 1_000) as f64,
        })
        .collect();
    let request = OtlpMetrics::new().resource(&[("service.name", "bulk")], |metrics| {
        metrics.numbers("queue_depth", "", MetricKind::Gauge, &points);
    });
    request.into_bytes()
}

/// Sends requests of the bulk, so many samples a second as it is told at the time.
struct Bulk {
    rate: Arc<AtomicU64>,
    asked: Arc<AtomicBool>,
    sender: JoinHandle<u64>,
}

impl Bulk {
    fn start(broker: &Broker, topic: &str) -> Self {
        let producer = RdProducer::open(&broker.properties()).unwrap();
        let (rate, asked) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (told, over, topic) = (Arc::clone(&rate), Arc::clone(&asked), topic.to_owned());
        let sender = std::thread::spawn(move || {
            let (mut sent, mut due, mut before) = (0_u64, 0.0, wall());
            while !over.load(Ordering::Acquire) {
                let now = wall();
                let rate = told.load(Ordering::Acquire) as f64;
                // What it cannot send it does not make up for.
                due = (due + (now - before) as f64 / 1e3 * rate).min(rate / 10.0);
                before = now;
                while due >= BULK as f64 {
                    let payload = bulk(now);
                    let record = Outgoing {
                        topic: &topic,
                        partition: Some((sent % 2) as u32),
                        payload: Some(&payload),
                        timestamp_ms: Some(now.ms()),
                        ..Outgoing::default()
                    };
                    while let Err(error) = producer.send(&record, sent) {
                        assert!(matches!(error, SendError::Full), "{error:?}");
                        producer.poll_acks(Duration::from_millis(5));
                    }
                    sent += 1;
                    due -= BULK as f64;
                }
                producer.poll_acks(Duration::ZERO);
                std::thread::sleep(Duration::from_millis(10));
            }
            producer.flush(Duration::from_mins(1)).unwrap();
            sent * BULK as u64
        });
        Self {
            rate,
            asked,
            sender,
        }
    }

    fn sends(&self, rate: u64) {
        self.rate.store(rate, Ordering::Release);
    }

    /// How many samples it has sent.
    fn stop(self) -> u64 {
        self.asked.store(true, Ordering::Release);
        self.sender.join().unwrap()
    }
}

struct Pressed {
    broker: Broker,
    metrics: String,
    incidents: String,
    home: Home,
}

impl Pressed {
    fn open(broker: Broker) -> Self {
        let (metrics, incidents) = (broker.topic("metrics", 2), broker.topic("incidents", 1));
        let brokers = broker.bootstrap();
        let config = format!(
            "
kafka: {{brokers: '{brokers}', group: '{metrics}'}}
sources:
  - {{name: metrics, topics: ['{metrics}'], format: otlp_metrics_proto, allowed_lateness: 500ms}}
sinks:
  - {{type: kafka, name: bus, brokers: '{brokers}', topic: '{incidents}'}}
time: {{idle_timeout: 1s}}
correlate: {{reopen_window_ms: 2000, close_after_ms: 3000}}
snapshot_interval: 30s
start: latest
"
        );
        let mut home = Home::new(&config, RULES);
        home.start();
        Self {
            broker,
            metrics,
            incidents,
            home,
        }
    }

    fn samples(&self) -> f64 {
        self.home.metric("foghorn_samples_total")
    }

    fn lag(&self) -> f64 {
        self.home.metric("foghorn_kafka_consumer_lag")
    }

    /// Samples that it takes a second at most: what it does with more than it can do, for a while.
    fn capacity(&self, bulk: &Bulk, for_s: u64) -> u64 {
        bulk.sends(4_000_000);
        std::thread::sleep(Duration::from_secs(3));
        let (at, before) = (wall(), self.samples());
        std::thread::sleep(Duration::from_secs(for_s));
        let (took, more) = (wall() - at, self.samples() - before);
        bulk.sends(0);
        until("what was too much is worked off", 300, || {
            (self.lag() == 0.0).then_some(())
        });
        (more / (took as f64 / 1e3)) as u64
    }
}

/// Descriptors that a process has open.
fn descriptors(home: &Home) -> usize {
    fs::read_dir(format!("/proc/{}/fd", home.pid())).map_or(0, Iterator::count)
}

#[test]
fn three_times_what_it_can_do_makes_it_late_and_nothing_else() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return not_proven("mock brokers cannot be asked for what was said: nobody was overloaded");
    }
    let for_s = if is_long() { 600 } else { 5 };
    let mut pressed = Pressed::open(broker);
    let bulk = Bulk::start(&pressed.broker, &pressed.metrics);
    let capacity = pressed.capacity(&bulk, if is_long() { 20 } else { 4 });
    let before = pressed.home.resident();
    let load = Load::start(&pressed.broker, &pressed.metrics, 2, 15);
    bulk.sends(capacity * 3);
    let (mut most, mut lag) = (0, 0.0_f64);
    for _ in 0..for_s {
        std::thread::sleep(Duration::from_secs(1));
        most = pressed.home.resident().max(most);
        lag = pressed.lag().max(lag);
    }
    let sent = bulk.stop();
    let drained = wall();
    until("the backlog is worked off", 3_600, || {
        most = pressed.home.resident().max(most);
        (pressed.lag() == 0.0).then_some(())
    });
    let drain_s = (wall() - drained) / 1_000;
    let outcome = load.finish_but_own(&pressed.broker, &pressed.incidents);
    let own = own(&pressed.broker, &pressed.incidents);
    if is_long() {
        assert!(own.contains("FoghornLagging"), "{own:?}");
    }
    // What it holds of a backlog is bounded by its clients' queues, not by the backlog.
    assert!(
        most < before + (512 << 20),
        "{before} bytes, and then {most}"
    );
    pressed.home.stop();
    report(
        "3 times what it can do",
        &format!(
            "{capacity} samples/s it can do, {for_s} s of three times that ({sent} samples): {lag} records behind \
             at most, worked off {drain_s} s later; {} MB before, {} MB at most; {outcome}; {own:?} were said",
            before >> 20,
            most >> 20
        ),
    );
}

#[test]
fn for_long_it_does_what_it_can_and_grows_no_more() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return not_proven(
            "mock brokers cannot be asked for what was said: nobody was busy for long",
        );
    }
    if !is_long() {
        // Ten minutes of an hour would say nothing of growth.
        return not_proven("growth over an hour: not in a short run");
    }
    let (warm_s, for_s) = (600, 3_600);
    let mut pressed = Pressed::open(broker);
    let bulk = Bulk::start(&pressed.broker, &pressed.metrics);
    let capacity = pressed.capacity(&bulk, 20);
    let load = Load::start(&pressed.broker, &pressed.metrics, 2, 16);
    bulk.sends(capacity * 7 / 10);
    let mut looks = Vec::new();
    for _ in 0..for_s / 10 {
        std::thread::sleep(Duration::from_secs(10));
        looks.push((pressed.home.resident(), descriptors(&pressed.home)));
    }
    let sent = bulk.stop();
    let outcome = load.finish_but_own(&pressed.broker, &pressed.incidents);
    pressed.home.stop();
    let warm = &looks[warm_s / 10..];
    let median = |of: &[(u64, usize)]| {
        let mut resident: Vec<_> = of.iter().map(|(resident, _)| *resident).collect();
        let mut open: Vec<_> = of.iter().map(|(_, open)| *open).collect();
        resident.sort_unstable();
        open.sort_unstable();
        (resident[resident.len() / 2], open[open.len() / 2])
    };
    let (first, last) = (median(&warm[..30]), median(&warm[warm.len() - 30..]));
    report(
        "an hour at 70 % of what it can do",
        &format!(
            "{capacity} samples/s it can do, {sent} sent; after {warm_s} s {} MB and {} descriptors, in the \
             last five minutes {} MB and {}; {outcome}",
            first.0 >> 20,
            first.1,
            last.0 >> 20,
            last.1
        ),
    );
    assert!(last.0 as f64 <= first.0 as f64 * 1.05, "memory grew");
    assert!(last.1 as f64 <= first.1 as f64 * 1.05, "descriptors grew");
}
