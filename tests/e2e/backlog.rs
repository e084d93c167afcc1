//! What people are told after a long absence.

use foghorn_runtime::clock::wall;
use foghorn_testkit::broker::{Broker, Kind};

use crate::client::Hook;
use crate::feed::{Feed, gauge};
use crate::home::{Home, not_proven, until};

const RULES: &str = r"
groups:
  - name: requests
    interval: 10s
    rules:
      - alert: HighErrorRate
        expr: max by (service_name) (error_ratio) > 0.05
        labels: {severity: critical}
";

const MINUTE_MS: i64 = 60_000;

#[test]
fn what_began_and_ended_while_nobody_was_there_is_one_summary() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return not_proven(
            "mock brokers do not say how far behind a reader is: no backlog was told of",
        );
    }
    let (metrics, hook) = (broker.topic("metrics", 1), Hook::listen());
    let feed = Feed::to(&broker);
    let (brokers, address) = (broker.bootstrap(), hook.address);
    let config = format!(
        "
kafka: {{brokers: '{brokers}', group: '{metrics}'}}
sources:
  - {{name: metrics, topics: ['{metrics}'], format: otlp_metrics_proto, allowed_lateness: 500ms}}
sinks:
  - {{type: webhook, name: pager, url: 'http://{address}/page', allow_networks: [127.0.0.0/8]}}
  - {{type: ndjson, name: lines, path: incidents.ndjson}}
start: earliest
time: {{idle_timeout: 1s}}
"
    );
    // Three hours ago two services that have nothing to do with each other failed, one after the
    // other, for five minutes; one fails now.
    let now = wall();
    for minute in -180..=0 {
        let at = now + minute * MINUTE_MS;
        for (service, fails) in [
            ("payments", -170..-165),
            ("search", -140..-135),
            ("checkout", 0..1),
        ] {
            let value = if fails.contains(&minute) { 0.2 } else { 0.01 };
            feed.send(
                &metrics,
                0,
                &gauge("error_ratio", service, at, value),
                Some(at),
            );
        }
    }
    let mut home = Home::new(&config, RULES);
    home.start();
    let page = until("what goes on now", 60, || {
        let at = wall();
        let payload = gauge("error_ratio", "checkout", at, 0.2);
        feed.send(&metrics, 0, &payload, Some(at));
        let taken = hook.taken();
        let now = |body: &&serde_json::Value| body["incident"]["services"][0] == "checkout";
        taken.iter().find(now).cloned()
    });
    assert_eq!(page["incident"]["delayed"], serde_json::Value::Null);
    let told: Vec<_> = hook
        .taken()
        .iter()
        .map(|body| body["incident"]["title"].as_str().unwrap().to_owned())
        .filter(|title| !title.contains("checkout"))
        .collect();
    assert_eq!(
        told,
        ["2 incidents began and ended while nobody could be told"]
    );
    // Whoever keeps a history has all of it, marked as late.
    let said = home.revisions();
    let opened = said
        .iter()
        .filter(|it| it["event"] == "opened" && it["services"][0]["name"] != "checkout");
    assert_eq!(opened.count(), 2, "{said:?}");
    home.stop();
}
