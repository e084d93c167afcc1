//! Records that no bound lets through: each is refused by name, and nothing else is lost.

use foghorn_kafka::{Admin, Outgoing, Producer, Properties, RdAdmin, RdProducer, TopicSpec};
use foghorn_runtime::clock::wall;
use foghorn_testkit::broker::{Broker, Kind};

use crate::feed::Feed;
use crate::home::{Home, assert_consistent, not_proven, until};

const RULES: &str = r"
groups:
  - name: queues
    interval: 1s
    rules:
      - alert: QueueDeep
        expr: max by (service) (queue_depth) > 100
        labels: {severity: critical}
";

/// More than any bound: 100 MB.
const HUGE: usize = 100_000_000;

/// A sample in JSON with further labels, and a metric name.
fn sample(name: &str, labels: &str) -> Vec<u8> {
    format!(
        r#"{{"ts": {}, "name": "{name}", "labels": {{"service": "pay"{labels}}}, "value": 500}}"#,
        wall().ms()
    )
    .into_bytes()
}

fn label_set(labels: usize) -> String {
    let labels: Vec<_> = (0..labels).map(|i| format!(r#", "l{i}": "v""#)).collect();
    labels.concat()
}

#[test]
fn what_is_over_a_bound_is_refused_by_name_and_costs_nothing_else() {
    let broker = Broker::start();
    let (metrics, dead) = (
        format!("pressure-{}", std::process::id()),
        broker.topic("dead", 1),
    );
    let mut properties = broker.properties();
    let real = broker.kind() == Kind::Real;
    if real {
        let admin = RdAdmin::open(&broker.properties()).unwrap();
        let spec = TopicSpec::new(&metrics, 1).with("max.message.bytes", "104000000");
        admin.create_topic(&spec).unwrap();
        properties = Properties::new(
            [
                ("bootstrap.servers", broker.bootstrap()),
                ("message.max.bytes", "104000000"),
                ("queue.buffering.max.kbytes", "204800"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        )
        .unwrap();
    } else {
        not_proven("mock brokers take no record of 100 MB");
        broker.create_topic(&metrics, 1);
    }
    let config = format!(
        "
kafka: {{brokers: '{}', group: '{metrics}', dead_letter_topic: '{dead}'}}
sources:
  - {{name: metrics, topics: ['{metrics}'], format: json_metrics, allowed_lateness: 500ms}}
sinks:
  - {{type: ndjson, name: lines, path: incidents.ndjson}}
time: {{idle_timeout: 1s}}
",
        broker.bootstrap()
    );
    let mut home = Home::new(&config, RULES);
    home.start();
    let producer = RdProducer::open(&properties).unwrap();
    let send = |payload: &[u8]| {
        let record = Outgoing {
            topic: &metrics,
            partition: Some(0),
            payload: Some(payload),
            ..Outgoing::default()
        };
        producer.send(&record, 0).unwrap();
        producer.flush(std::time::Duration::from_mins(1)).unwrap();
        for ack in producer.poll_acks(std::time::Duration::ZERO) {
            ack.result.unwrap();
        }
    };

    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    send(&sample(&"m".repeat(1 << 20), ""));
    send(&sample("queue_depth", &label_set(10_000)));
    send(&sample("queue_depth", &format!(r#", "x": {deep}"#)));
    if real {
        send(&sample(
            "queue_depth",
            &format!(r#", "x": "{}""#, "x".repeat(HUGE)),
        ));
    }
    send(&sample("queue_depth", ""));

    until("the record after them", 60, || {
        home.incident_with("QueueDeep", "firing")
    });
    until("Foghorn says that it refuses", 30, || {
        home.incident_with("FoghornRefusing", "firing")
    });
    let shown = home.get("/metrics").body;
    for (reason, wanted) in [
        ("name_too_long", true),
        ("too_many_labels", true),
        ("too_deep", true),
        ("too_large", real),
    ] {
        let counted = shown.lines().any(|line| {
            line.starts_with("foghorn_decode_errors_total{")
                && line.contains(&format!("reason=\"{reason}\""))
                && line.ends_with(" 1")
        });
        assert_eq!(counted, wanted, "{reason}:\n{shown}");
    }
    let letters = Feed::to(&broker).read(&dead);
    let longest = letters.iter().filter_map(|letter| letter.payload.as_ref());
    assert_eq!(longest.map(Vec::len).max() > Some(900_000), real);
    home.stop();
    assert_consistent(&home.revisions());
}
