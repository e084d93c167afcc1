//! Brokers that go away, and topics that grow.

use std::time::Duration;

use foghorn_kafka::RdAdmin;
use foghorn_testkit::broker::{Broker, Kind};

use super::{Shop, is_long, report};
use crate::home::{Home, not_proven, until};

/// A broker that is killed, stays away, and comes back, while `homes` work on a load.
fn check(fault: &str, names: &[&str], away_s: u64, times: u32) {
    let broker = match Broker::dedicated() {
        Ok(broker) => broker,
        Err(why) => return not_proven(&format!("no broker of our own, so none was killed: {why}")),
    };
    let shop = Shop::open(broker);
    let mut homes: Vec<_> = names
        .iter()
        .map(|name| shop.instance(name, names.len() > 1))
        .collect();
    for home in &mut homes {
        home.spawn();
    }
    let some_ready = |homes: &[Home]| homes.iter().any(Home::is_ready).then_some(());
    until("one of them works", 60, || some_ready(&homes));
    let load = shop.load(5);
    let mut most = 0;
    for _ in 0..times {
        std::thread::sleep(Duration::from_secs(5));
        shop.broker.kill();
        std::thread::sleep(Duration::from_secs(away_s));
        most = homes
            .iter()
            .map(Home::resident)
            .max()
            .unwrap_or(0)
            .max(most);
        shop.broker.revive();
        until("one of them works again", 90, || some_ready(&homes));
    }
    let outcome = load.finish(&shop.broker, &shop.incidents);
    for home in &mut homes {
        assert!(home.ended().is_none(), "it ended");
        home.stop();
    }
    report(
        fault,
        &format!(
            "{times} times {away_s} s, {outcome}; {} MB at most",
            most >> 20
        ),
    );
}

#[test]
fn a_broker_that_is_away_for_a_while_costs_nothing() {
    let (away_s, times) = if is_long() { (60, 2) } else { (5, 1) };
    check("broker killed, one instance", &["a"], away_s, times);
}

#[test]
fn nor_does_it_where_others_stand_by() {
    let (away_s, times) = if is_long() { (60, 2) } else { (30, 1) };
    check("broker killed, two instances", &["a", "b"], away_s, times);
}

#[test]
fn a_topic_that_grows_under_way_costs_nothing() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return not_proven("mock brokers have topics that do not grow: none did");
    }
    let shop = Shop::open(broker);
    let mut home = shop.instance("a", true);
    home.start();
    let load = shop.load(8);
    std::thread::sleep(Duration::from_secs(3));
    let admin = RdAdmin::open(&shop.broker.properties()).unwrap();
    admin.grow(&shop.metrics, 4).unwrap();
    // The load writes to the new ones from when its client knows of them.
    load.spread(4);
    until("they are read, too", 90, || {
        let lines = home.said();
        let assigned = lines
            .iter()
            .filter(|line| line.contains("partitions assigned"));
        (assigned.count() >= 2).then_some(())
    });
    let outcome = load.finish(&shop.broker, &shop.incidents);
    home.stop();
    report("two partitions more under load", &format!("{outcome}"));
}
