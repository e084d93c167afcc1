//! New rules without a restart: all of them, or none.

use foghorn_testkit::broker::Broker;

use crate::feed::Feed;
use crate::home::{Home, assert_consistent, member, until};

const BOTH: &str = r"
groups:
  - name: requests
    interval: 1s
    rules:
      - alert: Gone
        expr: max by (service_name) (error_ratio) > 0.01
      - alert: Kept
        expr: max by (service_name) (error_ratio) > 0.05
        labels: {severity: critical}
";

/// `Kept` stands elsewhere now, and is the same rule.
const ONE: &str = r"
groups:
  - name: requests
    interval: 1s
    rules:
      - record: service:error_ratio:max
        expr: max by (service_name) (error_ratio)
      - alert: Kept
        expr: max by (service_name) (error_ratio) > 0.05
        labels: {severity: critical}
";

const BROKEN: &str = r"
groups:
  - name: requests
    interval: 1s
    rules:
      - alert: Other
        expr: max by (service_name) (error_ratio) > 0.5
      - alert: Kept
        expr: max by (service_name (error_ratio) > 0.05
";

fn rules_in_force(home: &Home) -> Vec<String> {
    let rules = home.data("/api/v1/rules");
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    rules
        .iter()
        .map(|rule| rule["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_reload_ends_alerts_of_removed_rules_and_is_all_or_nothing() {
    let broker = Broker::start();
    let metrics = broker.topic("metrics", 2);
    let config = format!(
        "
kafka: {{brokers: '{}', group: '{metrics}'}}
sources:
  - {{name: metrics, topics: ['{metrics}'], format: otlp_metrics_proto, allowed_lateness: 500ms}}
sinks: [{{type: ndjson, name: lines, path: incidents.ndjson}}]
time: {{idle_timeout: 1s}}
workers: 2
",
        broker.bootstrap()
    );
    let metrics = (&*metrics, 2);
    let mut feed = Feed::to(&broker);
    let mut home = Home::new(&config, BOTH);
    home.start();
    let before = until("both fire", 30, || {
        feed.gauge(metrics, "error_ratio", "payments", 0.2);
        home.incident_with("Kept", "firing")
            .filter(|_| home.incident_with("Gone", "firing").is_some())
    });

    home.write("rules.yaml", ONE);
    home.signal("HUP");
    let ended = until("Gone is over", 20, || {
        feed.gauge(metrics, "error_ratio", "payments", 0.2);
        home.incident_with("Gone", "resolved")
    });
    let gone = member(&ended, "Gone").unwrap();
    assert_eq!(gone["reason"]["code"], "rule_removed");
    assert_eq!(member(&ended, "Kept").unwrap()["state"], "firing");
    assert_eq!(home.alert("Gone"), None);
    assert_eq!(rules_in_force(&home), ["service:error_ratio:max", "Kept"]);

    home.write("rules.yaml", BROKEN);
    let answer = home.ask("POST /-/reload", &[], b"");
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert!(
        answer.body.contains("rules.yaml:9:"),
        "the place: {}",
        answer.body
    );
    home.signal("HUP");
    until("the refusal in the log", 10, || {
        home.has_said("not reloaded").then_some(())
    });
    assert_eq!(rules_in_force(&home), ["service:error_ratio:max", "Kept"]);

    home.write("rules.yaml", ONE);
    assert_eq!(home.ask("POST /-/reload", &[], b"").status, 200);
    let resolved = until("Kept is over", 30, || {
        feed.gauge(metrics, "error_ratio", "payments", 0.001);
        home.incident_with("Kept", "resolved")
    });
    let (earlier, later) = (
        member(&before, "Kept").unwrap(),
        member(&resolved, "Kept").unwrap(),
    );
    assert_eq!(
        later["alert"], earlier["alert"],
        "one alert over three reloads"
    );
    assert_eq!(later["reason"]["code"], "condition_false");
    home.stop();
    assert_consistent(&home.revisions());
}
