//! What rules record goes on to a topic, once its tick is in the log, and all of it by the end.

use foghorn_model::Labels;
use foghorn_runtime::clock::wall;
use foghorn_testkit::broker::Broker;
use foghorn_wire::encode::RemoteWrite;
use serde_json::Value;

use crate::feed::Feed;
use crate::home::{Home, until};

const RULES: &str = "
groups:
  - name: queues
    interval: 1s
    rules:
      - record: queue:deep
        expr: queue_depth > 100
";

#[test]
fn recorded_series_reach_their_topic() {
    let broker = Broker::start();
    let (queues, recorded) = (broker.topic("queues", 1), broker.topic("recorded", 2));
    let brokers = broker.bootstrap();
    let config = format!(
        "
kafka: {{brokers: '{brokers}', group: '{queues}'}}
sources:
  - {{name: queues, topics: ['{queues}'], format: remote_write_1, compression: snappy, allowed_lateness: 500ms}}
recorded:
  kafka: {{brokers: '{brokers}', topic: '{recorded}', format: json_metrics}}
time: {{idle_timeout: 1s}}
"
    );
    let feed = Feed::to(&broker);
    let mut home = Home::new(&config, RULES);
    home.start();
    let labels = |service| Labels::from_pairs([("__name__", "queue_depth"), ("service", service)]);
    until("recorded samples are acknowledged", 60, || {
        let at = wall();
        let body = RemoteWrite::new()
            .series(&labels("payments"), &[(at, 500.0)])
            .series(&labels("web"), &[(at, 3.0)]);
        feed.send(&queues, 0, &body.into_snappy(), None);
        (home.metric("foghorn_recorded_sent_total") >= 3.0).then_some(())
    });
    home.stop();

    let records = feed.read(&recorded);
    assert!(records.len() >= 3, "{} records", records.len());
    for record in &records {
        let sample: Value = serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap();
        assert_eq!(sample["name"], "queue:deep");
        assert_eq!(sample["labels"]["service"], "payments");
        assert_eq!(sample["value"], 500.0);
        assert_eq!(sample["ts"].as_i64().unwrap() % 1_000, 0);
        assert_eq!(sample["ts"].as_i64(), record.timestamp_ms);
    }
    // One series: one key, and so one partition, in the order of its ticks.
    let keys: std::collections::BTreeSet<_> = records.iter().map(|record| &record.key).collect();
    assert_eq!(keys.len(), 1);
    assert!(records.is_sorted_by_key(|record| (record.partition, record.timestamp_ms)));
}
