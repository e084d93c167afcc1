//! Whoever waits for the heartbeat hears that all is well.

use crate::client::Hook;
use crate::home::{Home, until};

const RULES: &str = "
groups:
  - name: none
    rules: [{alert: Never, expr: vector(0) > 1}]
";

#[test]
fn it_comes_again_and_again_while_all_is_well() {
    let hook = Hook::listen();
    let config = format!(
        "
sources: []
sinks: [{{type: ndjson, name: lines, path: incidents.ndjson}}]
heartbeat: {{url: 'http://{}/ping', interval: 1s, allow_networks: [127.0.0.0/8]}}
",
        hook.address
    );
    let mut home = Home::new(&config, RULES);
    home.start();
    until("three of them", 20, || {
        (hook.taken().len() >= 3).then_some(())
    });
    let alive = |beat: &serde_json::Value| beat["status"] == "alive" && beat["behind_seconds"] == 0;
    assert!(hook.taken().iter().all(alive), "{:?}", hook.taken());
    assert!(home.metric("foghorn_heartbeats_total") >= 3.0);
    home.stop();
}
