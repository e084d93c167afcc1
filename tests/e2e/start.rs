//! Where a first start begins: what it says of the time before it.

use foghorn_model::Timestamp;
use foghorn_runtime::clock::wall;
use foghorn_testkit::broker::{Broker, Kind};
use serde_json::Value;

use crate::feed::{Feed, gauge};
use crate::home::{Home, assert_consistent, member, not_proven, until};

const RULES: &str = r"
groups:
  - name: requests
    interval: 1s
    rules:
      - alert: HighErrorRate
        expr: max by (service_name) (error_ratio) > 0.05
        for: 5s
        labels: {severity: critical}
      - alert: Fresh
        expr: max by (service_name) (fresh) > 0
";

/// Two minutes of the past, in a topic: a sample each 2 s. `payments` is bad for 20 s long ago, and
/// again from the returned instant on.
fn past(feed: &Feed, topic: &str) -> Timestamp {
    let now = Timestamp(wall().ms() / 1_000 * 1_000);
    let since = now - 60_000;
    for (round, back_ms) in (0..=120_000).rev().step_by(2_000).enumerate() {
        let at = now - back_ms;
        let bad = at >= since || (now - 110_000 <= at && at < now - 90_000);
        let value = if bad { 0.2 } else { 0.01 };
        let payload = gauge("error_ratio", "payments", at, value);
        feed.send(topic, round as u32 % 2, &payload, Some(at));
    }
    since
}

/// Each alert of this name that was ever said: when it began, in order.
fn onsets(revisions: &[Value], alert: &str) -> Vec<i64> {
    let mut onsets: Vec<_> = revisions
        .iter()
        .flat_map(|incident| incident["alerts"].as_array().unwrap())
        .filter(|member| member["name"] == alert)
        .map(|member| member["active_at"].as_i64().unwrap())
        .collect();
    onsets.sort_unstable();
    onsets.dedup();
    onsets
}

#[test]
fn a_first_start_says_as_much_of_the_past_as_it_was_told_to() {
    let broker = Broker::start();
    let metrics = broker.topic("metrics", 2);
    let mut feed = Feed::to(&broker);
    let since = past(&feed, &metrics);
    let brokers = broker.bootstrap();
    let mut homes = ["window", "latest", "earliest"].map(|start| {
        let config = format!(
            "
kafka: {{brokers: '{brokers}', group: '{metrics}-{start}'}}
sources:
  - {{name: metrics, topics: ['{metrics}'], format: otlp_metrics_proto, allowed_lateness: 500ms}}
sinks: [{{type: ndjson, name: lines, path: incidents.ndjson}}]
time: {{idle_timeout: 1s}}
start: {start}
"
        );
        let mut home = Home::new(&config, RULES);
        home.start();
        home
    });
    // Every one of them has come to the present when it says this.
    until("something new is said by all", 60, || {
        feed.gauge((&metrics, 2), "fresh", "web", 1.0);
        let all = homes
            .iter()
            .all(|home| home.incident_with("Fresh", "firing").is_some());
        all.then_some(())
    });
    homes.iter_mut().for_each(Home::stop);
    let [window, latest, earliest] = homes.each_ref().map(Home::revisions);
    for said in [&window, &latest, &earliest] {
        assert_consistent(said);
        assert_eq!(onsets(said, "Fresh").len(), 1);
    }

    assert_eq!(
        onsets(&latest, "HighErrorRate"),
        [] as [i64; 0],
        "latest: nothing of the past"
    );
    let both = [(since - 50_000).ms(), since.ms()];
    assert_eq!(
        onsets(&earliest, "HighErrorRate"),
        both,
        "earliest: all of it"
    );
    if broker.kind() == Kind::Mock {
        return not_proven("mock brokers know no times: `start: window` was as `latest`");
    }
    assert_eq!(
        onsets(&window, "HighErrorRate"),
        [since.ms()],
        "window: what still holds"
    );
    let last = window
        .iter()
        .rfind(|incident| member(incident, "HighErrorRate").is_some());
    let alert = member(last.unwrap(), "HighErrorRate").unwrap();
    assert_eq!(alert["state"], "firing");
    assert_eq!(alert["fired_at"].as_i64(), Some((since + 5_000).ms()));
}
