//! One instance does the work: a second one is sent away, and does no harm.

use foghorn_testkit::broker::{Broker, Kind};

use crate::feed::Feed;
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

fn instance(broker: &Broker, metrics: &str, name: &str) -> Home {
    let brokers = broker.bootstrap();
    let config = format!(
        "
kafka:
  brokers: '{brokers}'
  group: '{metrics}'
  instance: {name}
  properties: {{session.timeout.ms: '6000'}}
sources:
  - {{name: metrics, topics: ['{metrics}'], format: otlp_metrics_proto, allowed_lateness: 500ms}}
sinks: [{{type: ndjson, name: lines, path: incidents.ndjson}}]
time: {{idle_timeout: 1s, settle: 5s}}
"
    );
    Home::new(&config, RULES)
}

#[test]
fn a_second_instance_refuses_and_the_first_goes_on() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return not_proven("mock brokers: a second instance in one group was not tried");
    }
    let metrics = broker.topic("metrics", 2);
    let mut feed = Feed::to(&broker);
    let mut first = instance(&broker, &metrics, "one");
    let mut second = instance(&broker, &metrics, "two");
    let metrics = (&*metrics, 2);
    first.start();
    let before = until("an incident", 30, || {
        feed.gauge(metrics, "error_ratio", "payments", 0.2);
        first.incident_with("HighErrorRate", "firing")
    });

    second.spawn();
    let ended = until("the second gives up", 40, || {
        feed.gauge(metrics, "error_ratio", "payments", 0.2);
        second.ended()
    });
    assert_eq!(ended.code(), Some(1));
    let why = "another instance of group";
    assert!(second.has_said(why), "it says why: {:?}", second.said());
    assert_eq!(second.revisions(), [] as [serde_json::Value; 0]);

    until("the first has everything again", 40, || {
        feed.gauge(metrics, "error_ratio", "payments", 0.2);
        (first.get("/-/ready").status == 200 && first.has_said("not ready")).then_some(())
    });
    let resolved = until("resolved", 30, || {
        feed.gauge(metrics, "error_ratio", "payments", 0.01);
        first.incident_with("HighErrorRate", "resolved")
    });
    assert_eq!(resolved["id"], before["id"]);
    first.stop();
    assert_eq!(assert_consistent(&first.revisions()).len(), 1);
}
