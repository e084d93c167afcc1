//! The cluster goes away and comes back.

use foghorn_kafka::{Outgoing, Producer, RdProducer};
use foghorn_runtime::clock::wall;
use foghorn_testkit::broker::Broker;

use crate::feed::{Feed, gauge};
use crate::home::{Home, assert_consistent, not_proven, until};

const RULES: &str = r"
groups:
  - name: requests
    interval: 1s
    rules:
      - alert: HighErrorRate
        expr: max by (service_name) (error_ratio) > 0.05
        labels: {severity: critical}
";

#[test]
fn a_broker_that_dies_is_waited_for() {
    let broker = match Broker::dedicated() {
        Ok(broker) => broker,
        Err(why) => {
            return not_proven(&format!("no broker of our own, so none was killed: {why}"));
        }
    };
    let (metrics, incidents) = (broker.topic("metrics", 2), broker.topic("incidents", 1));
    let brokers = broker.bootstrap();
    let config = format!(
        "
kafka: {{brokers: '{brokers}', group: '{metrics}'}}
sources:
  - {{name: metrics, topics: ['{metrics}'], format: otlp_metrics_proto, allowed_lateness: 500ms}}
sinks:
  - {{type: ndjson, name: lines, path: incidents.ndjson}}
  - {{type: kafka, name: bus, brokers: '{brokers}', topic: '{incidents}'}}
time: {{idle_timeout: 1s}}
"
    );
    let mut home = Home::new(&config, RULES);
    let mut feed = Feed::to(&broker);
    home.start();
    let before = until("an incident", 40, || {
        feed.gauge((&metrics, 2), "error_ratio", "payments", 0.2);
        home.incident_with("HighErrorRate", "firing")
    });

    broker.kill();
    until("the outage is seen", 30, || {
        home.has_said("WARN").then_some(())
    });
    let away = wall();
    until("a while without a broker", 10, || {
        assert_eq!(
            home.get("/-/healthy").status,
            200,
            "a restart would not help"
        );
        (wall() - away > 3_000).then_some(())
    });
    broker.revive();

    // A producer of after the outage: the old one may have given up on its records.
    let producer = RdProducer::open(&broker.properties()).unwrap();
    let mut round = 0;
    let resolved = until("resolved after the outage", 60, || {
        round += 1;
        let payload = gauge("error_ratio", "payments", wall(), 0.01);
        let record = Outgoing {
            topic: &metrics,
            partition: Some(round % 2),
            payload: Some(&payload),
            ..Outgoing::default()
        };
        producer.send(&record, 0).unwrap();
        producer.poll_acks(std::time::Duration::ZERO);
        home.incident_with("HighErrorRate", "resolved")
    });
    assert_eq!(resolved["id"], before["id"]);
    until("the topic has the end too", 30, || {
        let last = Feed::to(&broker).read(&incidents).pop()?;
        let event: serde_json::Value = serde_json::from_slice(&last.payload?).ok()?;
        (event["data"]["status"] == "resolved").then_some(())
    });

    // Nobody answers any more, and still it ends.
    broker.kill();
    home.signal("TERM");
    assert_eq!(home.await_end(25).code(), Some(0));
    assert_eq!(assert_consistent(&home.revisions()).len(), 1);
}
