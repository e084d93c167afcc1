//! Faults, counted: a load whose alerts are known, instances that are killed, stopped, relieved and cut
//! off while they work on it, and what of it reached the topic of incidents.
//!
//! A short run belongs to every test run. `FOGHORN_FAULTS=long` makes it long (half an hour), and prints
//! a line of the table for each fault:
//!
//! ```text
//! FOGHORN_FAULTS=long cargo test -p foghorn --test e2e faults -- --nocapture --test-threads 1
//! ```

mod clocks;
mod disk;
mod kills;
mod load;
mod network;
mod outages;
mod points;
mod pressure;
mod sinks;

use std::io::Write;
use std::time::Duration;

use foghorn_testkit::broker::Broker;
use foghorn_testkit::rng::Rng;

use crate::home::Home;
use load::Load;

/// A rule whose alerts follow from the load alone.
pub(super) const RULES: &str = r"
groups:
  - name: requests
    interval: 1s
    rules:
      - alert: HighErrorRate
        expr: error_ratio > 0.5
        labels: {severity: critical}
";

/// Whether this is the long run.
fn is_long() -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the tests says how long they may take"
    )]
    std::env::var("FOGHORN_FAULTS").is_ok_and(|value| value == "long")
}

/// A line of the table, on the real stderr: the harness keeps what passing tests print.
fn report(fault: &str, figures: &str) {
    // Where stderr is gone there is nobody to tell.
    drop(writeln!(
        std::io::stderr(),
        "*** faults: {fault}: {figures}"
    ));
}

/// A wait of so many milliseconds at least and at most.
fn rest(rng: &mut Rng, least: i64, most: i64) {
    std::thread::sleep(Duration::from_millis(rng.within(least, most) as u64));
}

/// The median and the largest of some times, in milliseconds.
fn median_and_most(mut times: Vec<i64>) -> (i64, i64) {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or(0);
    (median, times.last().copied().unwrap_or(0))
}

/// Topics of a load and what is said of it, and instances that work on them.
struct Shop {
    broker: Broker,
    /// Where instances connect.
    brokers: String,
    metrics: String,
    incidents: String,
    session_ms: i64,
}

/// The group gives a silent member up after so long, unless it is said otherwise.
const SESSION_MS: i64 = 6_000;

impl Shop {
    fn open(broker: Broker) -> Self {
        let (metrics, incidents) = (broker.topic("metrics", 2), broker.topic("incidents", 1));
        Self {
            brokers: broker.bootstrap().to_owned(),
            broker,
            metrics,
            incidents,
            session_ms: SESSION_MS,
        }
    }

    fn load(&self, seed: u64) -> Load {
        Load::start(&self.broker, &self.metrics, 2, seed)
    }

    /// What was said so far.
    fn said(&self) -> Vec<serde_json::Value> {
        load::said_on(&self.broker, &self.incidents)
    }

    /// An instance; where it is one of several, they relieve each other.
    fn instance(&self, name: &str, is_one_of_several: bool) -> Home {
        self.instance_with(name, is_one_of_several, "")
    }

    /// With these sinks more.
    fn instance_with(&self, name: &str, is_one_of_several: bool, sinks: &str) -> Home {
        let (brokers, metrics) = (&self.brokers, &self.metrics);
        let (incidents, session_ms) = (&self.incidents, self.session_ms);
        let failover = if is_one_of_several {
            format!("failover: {{topics: '{metrics}'}}")
        } else {
            String::new()
        };
        let config = format!(
            "
kafka:
  brokers: '{brokers}'
  group: '{metrics}'
  instance: {name}
  properties: {{session.timeout.ms: '{session_ms}', heartbeat.interval.ms: '500'}}
{failover}
sources:
  - {{name: metrics, topics: ['{metrics}'], format: otlp_metrics_proto, allowed_lateness: 500ms}}
sinks:
  - {{type: kafka, name: bus, brokers: '{brokers}', topic: '{incidents}'}}
{sinks}
time: {{idle_timeout: 1s}}
# Each round of failures is an incident of its own.
correlate: {{reopen_window_ms: 2000, close_after_ms: 3000}}
snapshot_interval: 2s
"
        );
        Home::new(&config, RULES)
    }
}
