//! A group that cannot go on holds back the partitions that run ahead of it, not the process.

use foghorn_model::Timestamp;
use foghorn_runtime::clock::wall;
use foghorn_testkit::broker::{Broker, Kind};

use crate::feed::{Feed, gauge};
use crate::home::{Home, not_proven, until};

const RULES: &str = r"
groups:
  - name: requests
    interval: 10s
    sources: [metrics]
    rules:
      - alert: HighErrorRate
        expr: max by (service_name) (error_ratio) > 0.05
        labels: {severity: critical}
";

/// Longer than a member may leave its client alone here.
const HELD_MS: i64 = 9_000;

#[test]
fn a_partition_far_ahead_is_paused_stays_in_the_group_and_goes_on() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return not_proven("mock brokers: nothing was paused");
    }
    let metrics = broker.topic("metrics", 2);
    let brokers = broker.bootstrap();
    let mut home = Home::new(
        &format!(
            "
kafka:
  brokers: '{brokers}'
  group: '{metrics}'
  properties: {{session.timeout.ms: '6000', max.poll.interval.ms: '6000'}}
sources:
  - {{name: metrics, topics: ['{metrics}'], format: otlp_metrics_proto, allowed_lateness: 500ms}}
sinks: [{{type: ndjson, name: lines, path: incidents.ndjson}}]
start: earliest
time: {{idle_timeout: 10m, max_stall: 10m, max_skew: 30s}}
"
        ),
        RULES,
    );
    let feed = Feed::to(&broker);
    let begin = Timestamp(wall().ms() / 10_000 * 10_000 - 3_600_000);
    let send = |partition: u32, seconds: std::ops::RangeInclusive<i64>| {
        for second in seconds.step_by(10) {
            let at = begin + second * 1_000;
            let payload = gauge("error_ratio", "payments", at, 0.2);
            feed.send(&metrics, partition, &payload, Some(at));
        }
    };
    // Ticks wait for partition 1, of which one record is there.
    send(1, 1..=1);
    send(0, 1..=200);
    home.start();
    until("what came first is read, and too far ahead", 30, || {
        let read = home.metric("foghorn_records_total") >= 21.0;
        (read && home.metric("foghorn_partitions_paused") == 1.0).then_some(())
    });

    send(0, 201..=400);
    let held = wall();
    until("longer than the group would wait", 20, || {
        assert_eq!(home.metric("foghorn_records_total"), 21.0, "it is paused");
        (wall() - held > HELD_MS).then_some(())
    });

    send(1, 11..=400);
    until("all is read", 30, || {
        (home.metric("foghorn_records_total") >= 80.0).then_some(())
    });
    until("an incident", 30, || {
        home.incident_with("HighErrorRate", "firing")
    });
    assert_eq!(home.metric("foghorn_late_events_total"), 0.0);
    assert!(
        !home.has_said("revoked"),
        "it never left: {:?}",
        home.said()
    );
    home.stop();
}
