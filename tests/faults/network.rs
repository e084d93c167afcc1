//! Brokers of which one goes away, and a network that is slow, silent or cut.

use std::time::Duration;

use foghorn_testkit::broker::Broker;
use foghorn_testkit::proxy::{Proxy, Way};

use super::{Shop, is_long, report};
use crate::home::{Home, not_proven, until};

fn some_ready(homes: &[Home]) -> Option<()> {
    homes.iter().any(Home::is_ready).then_some(())
}

/// Trouble that comes and goes while `names` work on a load; how much memory they held at most.
fn check(fault: &str, shop: &Shop, names: &[&str], trouble: impl FnOnce(&Shop, &[Home]) -> String) {
    let several = names.len() > 1;
    let mut homes: Vec<_> = names.iter().map(|it| shop.instance(it, several)).collect();
    homes.iter_mut().for_each(Home::spawn);
    until("one of them works", 90, || some_ready(&homes));
    let load = shop.load(12);
    std::thread::sleep(Duration::from_secs(3));
    let what = trouble(shop, &homes);
    until("one of them works again", 120, || some_ready(&homes));
    let outcome = load.finish(&shop.broker, &shop.incidents);
    let most = homes.iter().map(Home::resident).max().unwrap_or(0);
    for home in &mut homes {
        assert!(home.ended().is_none(), "it ended");
        home.stop();
    }
    report(
        fault,
        &format!("{what}, {outcome}; {} MB at the end", most >> 20),
    );
}

#[test]
fn leaders_that_change_cost_nothing() {
    let broker = match Broker::several(3) {
        Ok(broker) => broker,
        Err(why) => {
            return not_proven(&format!(
                "no brokers of our own, so no leader changed: {why}"
            ));
        }
    };
    let (rounds, away_s) = if is_long() { (4, 20) } else { (1, 5) };
    let shop = Shop::open(broker);
    check("leaders change", &shop, &["a", "b"], |shop, _| {
        for _ in 0..rounds {
            for node in 0..3 {
                shop.broker.kill_one(node);
                std::thread::sleep(Duration::from_secs(away_s));
                shop.broker.revive_one(node);
                // It has to hold all replicas again before the next one may go.
                std::thread::sleep(Duration::from_secs(away_s));
            }
        }
        format!("each of three brokers killed {rounds} times for {away_s} s")
    });
}

fn check_network(fault: &str, names: &[&str]) {
    let proxy = Proxy::listen();
    let broker = match Broker::behind(proxy.address().port()) {
        Ok((broker, target)) => {
            proxy.pass_on_to(target);
            broker
        }
        Err(why) => return not_proven(&format!("no broker of our own, so nothing was cut: {why}")),
    };
    let (rounds, for_s) = if is_long() { (2, 60) } else { (1, 6) };
    let shop = Shop {
        brokers: proxy.address().to_string(),
        ..Shop::open(broker)
    };
    check(fault, &shop, names, |_, homes| {
        for _ in 0..rounds {
            for way in [Way::Slow(Duration::from_millis(200)), Way::Silent, Way::Cut] {
                proxy.becomes(way);
                std::thread::sleep(Duration::from_secs(for_s));
                proxy.becomes(Way::Open);
                until("one of them works again", 120, || some_ready(homes));
                std::thread::sleep(Duration::from_secs(3));
            }
        }
        format!("{rounds} times slow (200 ms more each way), silent and cut off, {for_s} s each")
    });
}

#[test]
fn a_network_that_is_slow_silent_or_cut_costs_nothing() {
    check_network("network, one instance", &["a"]);
}

#[test]
fn nor_does_it_where_another_stands_by() {
    check_network("network, two instances", &["a", "b"]);
}
