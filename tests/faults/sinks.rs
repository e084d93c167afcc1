//! Receivers that answer with errors, or not at all.

use std::collections::BTreeMap;
use std::time::Duration;

use foghorn_testkit::broker::{Broker, Kind};
use serde_json::Value;

use super::{Shop, is_long, report};
use crate::client::{Hook, Mood};
use crate::home::{not_proven, until};

/// The latest revision of each incident.
fn latest<'a>(said: &'a [Value], of: impl Fn(&'a Value) -> &'a Value) -> BTreeMap<String, u64> {
    let mut latest = BTreeMap::new();
    for incident in said.iter().map(of) {
        let revision = incident["revision"].as_u64().unwrap();
        latest.insert(incident["id"].as_str().unwrap().to_owned(), revision);
    }
    latest
}

#[test]
fn receivers_that_fail_and_hang_hold_nobody_up_and_get_everything_in_the_end() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return not_proven("mock brokers cannot be asked for what was said: no receivers failed");
    }
    let ill_s = if is_long() { 60 } else { 6 };
    let shop = Shop::open(broker);
    let (pager, chat) = (Hook::listen(), Hook::listen());
    pager.is(Mood::Silent);
    chat.is(Mood::Ill);
    let hook = |name: &str, hook: &Hook| {
        let address = hook.address;
        format!(
            "  - {{type: webhook, name: {name}, url: 'http://{address}/', timeout: 2s, allow_networks: [127.0.0.0/8]}}"
        )
    };
    let sinks = [hook("pager", &pager), hook("chat", &chat)].join("\n");
    let mut home = shop.instance_with("a", false, &sinks);
    home.start();
    let load = shop.load(9);
    std::thread::sleep(Duration::from_secs(ill_s));
    pager.is(Mood::Ill);
    chat.is(Mood::Silent);
    std::thread::sleep(Duration::from_secs(ill_s));
    // The topic has all of it though nobody else could be told anything.
    let outcome = load.finish(&shop.broker, &shop.incidents);
    assert_eq!(pager.taken().len() + chat.taken().len(), 0);
    pager.is(Mood::Well);
    chat.is(Mood::Well);
    for hook in [&pager, &chat] {
        until("everybody knows the latest of everything", 120, || {
            let (taken, said) = (hook.taken(), shop.said());
            let expect = latest(&said, |event| event);
            (latest(&taken, |body| &body["incident"]) == expect).then_some(())
        });
    }
    home.stop();
    report(
        "receivers that hang and fail",
        &format!(
            "{} s, {outcome} on the topic; both had the latest of everything afterwards",
            2 * ill_s
        ),
    );
}
