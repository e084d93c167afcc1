//! The demo's script: a shop of 13 services that goes through a cascading failure.
//!
//! Writes what real pipelines would send (OTLP metrics and logs, CDEvents), step by step of event
//! time. Deterministic: its only noise is a hash of what it is about.

use foghorn_model::Timestamp;
use foghorn_wire::encode::{HistogramPoint, LogLine, MetricKind, OtlpLogs, OtlpMetrics, Point};

/// A step of event time, in milliseconds.
pub(super) const STEP_MS: i64 = 5_000;
/// Metrics are exported so often, in milliseconds.
const SCRAPE_MS: i64 = 15_000;
/// The story's length, in milliseconds.
pub(super) const LENGTH_MS: i64 = 58 * MINUTE;
const MINUTE: i64 = 60_000;

/// When the bad deploy of `payments` goes out, and when it is rolled back.
const DEPLOY: i64 = 28 * MINUTE;
const ROLLBACK: i64 = 44 * MINUTE;

/// A service: its name, requests a second, median seconds of a request.
struct Service {
    name: &'static str,
    rate: f64,
    median: f64,
    /// How hard the failure hits it: (minutes after the deploy, times slower, share of errors).
    hit: Option<(f64, f64, f64)>,
}

const fn service(
    name: &'static str,
    rate: f64,
    median: f64,
    hit: Option<(f64, f64, f64)>,
) -> Service {
    Service {
        name,
        rate,
        median,
        hit,
    }
}

const SERVICES: [Service; 13] = [
    service("web", 180.0, 0.14, Some((4.0, 3.6, 0.07))),
    service("gateway", 170.0, 0.12, Some((3.5, 4.4, 0.09))),
    service("checkout", 40.0, 0.15, Some((2.0, 6.5, 0.22))),
    service("payments", 38.0, 0.09, Some((1.0, 14.0, 0.35))),
    service("catalog", 90.0, 0.05, None),
    service("search", 45.0, 0.08, None),
    service("recommendations", 60.0, 0.06, None),
    service("cart", 55.0, 0.05, None),
    service("fraud", 36.0, 0.05, None),
    service("orders", 30.0, 0.07, None),
    service("inventory", 50.0, 0.04, None),
    service("shipping", 20.0, 0.06, None),
    service("notifications", 25.0, 0.04, None),
];

const CALLS: [(&str, &str); 13] = [
    ("web", "gateway"),
    ("gateway", "catalog"),
    ("gateway", "search"),
    ("gateway", "cart"),
    ("gateway", "checkout"),
    ("search", "catalog"),
    ("catalog", "recommendations"),
    ("checkout", "cart"),
    ("checkout", "payments"),
    ("checkout", "orders"),
    ("payments", "fraud"),
    ("orders", "inventory"),
    ("orders", "notifications"),
];

const HOSTS: [&str; 5] = ["node-1", "node-2", "node-3", "node-4", "batch-7"];

const BOUNDS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1.0, 2.5, 5.0, 10.0];

/// What the shop sends in one step.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// OTLP metrics, one export request each: (partition, bytes).
    pub(super) metrics: Vec<(u32, Vec<u8>)>,
    /// OTLP logs.
    pub(super) logs: Vec<Vec<u8>>,
    /// CDEvents.
    pub(super) changes: Vec<Vec<u8>>,
}

/// The shop as it runs: counters go on from step to step.
#[derive(Debug)]
pub(super) struct Shop {
    begin: Timestamp,
    totals: Vec<Totals>,
    exports: u32,
}

#[derive(Clone, Debug, Default)]
struct Totals {
    good: f64,
    bad: f64,
    buckets: [u64; BOUNDS.len() + 1],
    sum: f64,
}

/// A number in [-1, 1] that depends on nothing but its arguments.
fn noise(what: &str, step: i64) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ (step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in what.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^= hash >> 32;
    (hash >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

impl Shop {
    /// A shop whose story begins at this instant.
    pub(super) fn new(begin: Timestamp) -> Self {
        Self {
            begin,
            totals: vec![Totals::default(); SERVICES.len()],
            exports: 0,
        }
    }

    /// What is sent in the step that ends `at_ms` after the beginning.
    pub(super) fn step(&mut self, at_ms: i64) -> Sent {
        let at = self.begin + at_ms;
        let mut sent = Sent::default();
        for (i, service) in SERVICES.iter().enumerate() {
            self.serve(i, service, at_ms);
        }
        if at_ms % SCRAPE_MS == 0 {
            for (i, service) in SERVICES.iter().enumerate() {
                let bytes = self.export(i, service, at_ms, at);
                // As the OpenTelemetry Collector does it: key null, any partition.
                sent.metrics.push((self.exports % 2, bytes));
                self.exports += 1;
            }
            sent.metrics.push((self.exports % 2, hosts(at_ms, at)));
        }
        sent.logs.push(logs(at_ms, at));
        sent.changes.extend(changes(at_ms, at));
        sent
    }

    fn serve(&mut self, i: usize, service: &Service, at_ms: i64) {
        let harm = harm(service, at_ms);
        let requests =
            service.rate * (STEP_MS as f64 / 1e3) * (1.0 + 0.08 * noise(service.name, at_ms));
        let (slower, errors) = service
            .hit
            .map_or((1.0, 0.0), |(_, slower, errors)| (slower, errors));
        let median = service.median
            * (1.0 + 0.05 * noise(service.name, at_ms + 1))
            * (1.0 + (slower - 1.0) * harm);
        let bad = requests * (0.004 + errors * harm);
        let totals = &mut self.totals[i];
        totals.good += requests - bad;
        totals.bad += bad;
        // Log-logistic latencies with shape 4: F(x) = 1 / (1 + (x / median)^-4).
        let mut below = 0.0;
        for (bucket, bound) in BOUNDS.iter().chain([&f64::INFINITY]).enumerate() {
            let share = 1.0 / (1.0 + (bound / median).powi(-4));
            totals.buckets[bucket] += ((share - below) * requests).round() as u64;
            below = share;
        }
        totals.sum += requests * median * 1.11;
    }

    fn export(&self, i: usize, service: &Service, at_ms: i64, at: Timestamp) -> Vec<u8> {
        let totals = &self.totals[i];
        let instance = format!("{}-0", service.name);
        let resource = [
            ("service.name", service.name),
            ("service.instance.id", &instance),
            ("host.name", HOSTS[i % 4]),
        ];
        let request = OtlpMetrics::new().resource(&resource, |metrics| {
            metrics.numbers(
                "http.server.requests",
                "{request}",
                MetricKind::Counter,
                &[
                    point(&[("status", "200")], at, totals.good.round()),
                    point(&[("status", "500")], at, totals.bad.round()),
                ],
            );
            let histogram = HistogramPoint {
                attributes: &[],
                at,
                bounds: &BOUNDS,
                counts: &totals.buckets,
                sum: totals.sum,
            };
            metrics.histogram("http.server.request.duration", "s", &[histogram]);
            if service.name == "notifications" {
                metrics.numbers(
                    "queue.depth",
                    "",
                    MetricKind::Gauge,
                    &[point(&[], at, queue_depth(at_ms))],
                );
            }
            for (client, server) in CALLS.iter().filter(|(client, _)| *client == service.name) {
                let edge = [("client", *client), ("server", *server)];
                let calls = (totals.good + totals.bad).round();
                metrics.numbers(
                    "traces_service_graph_request_total",
                    "",
                    MetricKind::Counter,
                    &[point(&edge, at, calls)],
                );
            }
        });
        request.into_bytes()
    }
}

fn point<'a>(attributes: &'a [(&'a str, &'a str)], at: Timestamp, value: f64) -> Point<'a> {
    Point {
        attributes,
        at,
        value,
    }
}

/// From 0 (well) to 1 (as bad as it gets).
fn harm(service: &Service, at_ms: i64) -> f64 {
    let Some((delay, ..)) = service.hit else {
        return 0.0;
    };
    let begins = DEPLOY + (delay * MINUTE as f64) as i64;
    let rising = ((at_ms - begins) as f64 / (1.5 * MINUTE as f64)).clamp(0.0, 1.0);
    let falling = ((at_ms - ROLLBACK) as f64 / MINUTE as f64).clamp(0.0, 1.0);
    rising * (1.0 - falling)
}

/// Wobbles around 120; from minute 34 on a slow leak, far below any threshold that one would set.
fn queue_depth(at_ms: i64) -> f64 {
    let leak = ((at_ms - 34 * MINUTE) as f64 / MINUTE as f64).clamp(0.0, 24.0) * 4.0;
    120.0 + 6.0 * noise("queue", at_ms) + 3.0 * noise("queue", at_ms / MINUTE) + leak
}

fn hosts(at_ms: i64, at: Timestamp) -> Vec<u8> {
    let mut request = OtlpMetrics::new();
    for host in HOSTS {
        let busy = if host == "batch-7" && (31 * MINUTE..38 * MINUTE).contains(&at_ms) {
            0.985
        } else {
            0.35
        };
        let value = (busy + 0.01 * noise(host, at_ms)).clamp(0.0, 1.0);
        request = request.resource(&[("host.name", host)], |metrics| {
            metrics.numbers(
                "system.cpu.utilization",
                "1",
                MetricKind::Gauge,
                &[Point {
                    attributes: &[],
                    at,
                    value,
                }],
            );
        });
    }
    request.into_bytes()
}

fn logs(at_ms: i64, at: Timestamp) -> Vec<u8> {
    let mut request = OtlpLogs::new();
    for service in &SERVICES {
        let harm = harm(service, at_ms);
        request = request.resource(&[("service.name", service.name)], |logs| {
            let mut line = |severity, line: &str| {
                logs.line(&LogLine {
                    at: at - 200,
                    severity,
                    line,
                    attributes: &[],
                });
            };
            line(9, "level=info msg=\"request served\" status=200");
            if harm > 0.3 {
                for i in 0..3 {
                    let text =
                        format!("level=error msg=\"upstream failed\" status=500 attempt={i}");
                    line(17, &text);
                }
            }
            if service.name == "payments" && harm > 0.1 {
                let text =
                    "level=error msg=\"connection pool exhausted\" pool=ledger max=20 waiting=57";
                line(17, text);
            }
        });
    }
    request.into_bytes()
}

/// The bad deploy, its rollback, and innocent deploys around it.
fn changes(at_ms: i64, at: Timestamp) -> Vec<Vec<u8>> {
    let deploys = [
        (12 * MINUTE, "service.deployed", "search", "v7.4.0"),
        (24 * MINUTE, "service.upgraded", "shipping", "v3.0.5"),
        (
            26 * MINUTE,
            "service.deployed",
            "recommendations",
            "v1.19.2",
        ),
        (DEPLOY, "service.upgraded", "payments", "v2.3.1"),
        (ROLLBACK, "service.rolledback", "payments", "v2.3.0"),
    ];
    let due = deploys.iter().filter(|(when, ..)| *when == at_ms);
    due.map(|(_, kind, service, version)| {
        let event = serde_json::json!({
            "context": {
                "version": "0.4.1",
                "id": format!("{service}-{version}-{kind}"),
                "source": "/shop/deployer",
                "type": format!("dev.cdevents.{kind}.0.2.0"),
                "timestamp": (at - 1_000).to_string(),
            },
            "subject": {
                "id": service,
                "source": "/shop/deployer",
                "type": "service",
                "content": {
                    "environment": {"id": "production"},
                    "artifactId": format!("pkg:oci/{service}@{version}"),
                },
            },
        });
        event.to_string().into_bytes()
    })
    .collect()
}
