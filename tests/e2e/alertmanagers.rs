//! Alerts go to every Alertmanager, again after a crash, and so do their ends.

use foghorn_runtime::clock::wall;
use foghorn_wire::encode::{LogLine, OtlpLogs};
use serde_json::Value;

use crate::client::Hook;
use crate::feed::remote_write;
use crate::home::{Home, until};

const RULES: &str = "
groups:
  - name: queues
    interval: 1s
    rules:
      - alert: QueueDeep
        expr: queue_depth > 100
        labels: {severity: page}
        annotations: {summary: '{{ $labels.service }} has a deep queue'}
      - alert: QueueDeepForLong
        expr: queue_depth > 100
        for: 1h
";

fn write(home: &Home, depth: f64) {
    let body = remote_write("queue_depth", "payments", wall(), depth);
    let headers = [
        "Content-Type: application/x-protobuf",
        "Content-Encoding: snappy",
    ];
    let answer = home.ask("POST /api/v1/write", &headers, &body);
    assert!(matches!(answer.status, 200 | 204), "{answer:?}");
}

/// The latest alert of a post after the first `skip`.
fn latest(hook: &Hook, skip: usize) -> Option<Value> {
    let posts = hook.taken();
    let alerts = posts.get(skip..)?.iter().filter_map(Value::as_array);
    alerts.flatten().last().cloned()
}

#[test]
fn alerts_reach_every_alertmanager_and_so_do_their_ends() {
    let hooks = [Hook::listen(), Hook::listen()];
    let [one, two] = [&hooks[0], &hooks[1]].map(|hook| hook.address);
    let config = format!(
        "
sources: []
sinks:
  - type: alertmanager
    name: am
    urls: ['http://{one}', 'http://{two}']
    external_url: http://prometheus:9090
    resend_delay: 2s
time: {{idle_timeout: 1s}}
external_labels: {{cluster: eu1}}
"
    );
    let mut home = Home::new(&config, RULES);
    home.start();
    let now = || wall().to_string();
    let fires = |home: &Home, hook: &Hook, skip| {
        until("it fires", 30, || {
            write(home, 500.0);
            let alert = latest(hook, skip)?;
            (alert["endsAt"].as_str()? > now().as_str()).then_some(alert)
        })
    };
    for hook in &hooks {
        let alert = fires(&home, hook, 0);
        let labels = serde_json::json!({
            "alertname": "QueueDeep", "service": "payments", "severity": "page", "cluster": "eu1",
        });
        assert_eq!(alert["labels"], labels);
        assert_eq!(alert["annotations"]["summary"], "payments has a deep queue");
        assert_eq!(
            alert["generatorURL"],
            "http://prometheus:9090/graph?g0.expr=queue_depth+%3E+100&g0.tab=1"
        );
    }
    until("it is said again", 30, || {
        write(&home, 500.0);
        (hooks[0].taken().len() >= 3).then_some(())
    });

    home.kill();
    let said: Vec<_> = hooks.iter().map(|hook| hook.taken().len()).collect();
    home.start();
    for (hook, said) in hooks.iter().zip(&said) {
        fires(&home, hook, *said);
    }
    for hook in &hooks {
        until("its end", 30, || {
            write(&home, 3.0);
            let alert = latest(hook, 0)?;
            (alert["endsAt"].as_str()? <= now().as_str()).then_some(())
        });
    }
    assert!(home.metric("foghorn_notifications_sent_total") >= 4.0);
    assert_eq!(home.metric("foghorn_notifications_dropped_total"), 0.0);
    home.stop();
    let names: Vec<_> = hooks
        .iter()
        .flat_map(Hook::taken)
        .flat_map(|post| post.as_array().cloned().unwrap())
        .map(|alert| alert["labels"]["alertname"].clone())
        .collect();
    assert!(
        names.iter().all(|name| name == "QueueDeep"),
        "what is pending is not said: {names:?}"
    );
}

#[test]
fn an_alert_of_a_log_match_goes_and_ends_there_and_here() {
    let rules = "
groups:
  - name: logs
    interval: 1s
    rules:
      - alert: PoolExhausted
        expr: '{service_name=\"payments\"} |= \"pool exhausted\"'
        resolve_after: 3s
";
    let hook = Hook::listen();
    let config = format!(
        "
sources: []
sinks: [{{type: alertmanager, name: am, urls: ['http://{}']}}]
time: {{idle_timeout: 1s}}
",
        hook.address
    );
    let mut home = Home::new(&config, rules);
    home.start();
    let line = LogLine {
        at: wall(),
        severity: 17,
        line: "pool exhausted",
        attributes: &[],
    };
    let logs = OtlpLogs::new().resource(&[("service.name", "payments")], |logs| {
        logs.line(&line);
    });
    let headers = ["Content-Type: application/x-protobuf"];
    let answer = home.ask("POST /v1/logs", &headers, &logs.into_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    let fires = until("it fires", 30, || latest(&hook, 0));
    assert_eq!(fires["startsAt"], line.at.to_string());
    assert!(home.alert("PoolExhausted").is_some());
    let ended = until("its end", 30, || {
        latest(&hook, 1).filter(|alert| alert["endsAt"].as_str() <= Some(&wall().to_string()))
    });
    assert_eq!(ended["endsAt"], (line.at + 3_000).to_string());
    assert_eq!(home.alert("PoolExhausted"), None);
    home.stop();
}
