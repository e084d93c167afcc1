//! Disks that take nothing more, and processes that may open nothing more.

use std::time::Duration;

use foghorn_testkit::broker::{Broker, Kind};

use super::{Shop, is_long, report};
use crate::home::{not_proven, until};

#[test]
fn a_disk_that_takes_nothing_is_waited_for() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return not_proven(
            "mock brokers cannot be asked for what was said: no full disk was counted",
        );
    }
    let (times, full_s) = if is_long() { (5, 30) } else { (1, 5) };
    let shop = Shop::open(broker);
    let mut home = shop.instance("a", false);
    home.start();
    let load = shop.load(6);
    for _ in 0..times {
        std::thread::sleep(Duration::from_secs(4));
        // No file may grow beyond this: to whoever writes it is like a full disk.
        home.limit("--fsize=256:unlimited");
        until("it says so", 30, || {
            let answer = home.try_get("/-/ready")?;
            (answer.status == 503 && answer.body.contains("cannot write")).then_some(())
        });
        std::thread::sleep(Duration::from_secs(full_s));
        assert!(home.ended().is_none(), "it waits");
        home.limit("--fsize=unlimited:unlimited");
        until("it goes on by itself", 30, || home.is_ready().then_some(()));
        until("it tells of it", 10, || {
            home.alert("FoghornStateUnwritable")
        });
    }
    let outcome = load.finish_but_own(&shop.broker, &shop.incidents);
    home.stop();
    report("disk full", &format!("{times} times {full_s} s, {outcome}"));
}

#[test]
fn one_that_may_open_no_more_files_goes_on() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return not_proven(
            "mock brokers cannot be asked for what was said: no descriptors were counted",
        );
    }
    let shop = Shop::open(broker);
    let mut home = shop.instance("a", false);
    home.start();
    let load = shop.load(7);
    std::thread::sleep(Duration::from_secs(4));
    // Those that are open stay so; no snapshot can be begun, and nobody new comes in.
    home.limit("--nofile=16:4096");
    std::thread::sleep(Duration::from_secs(if is_long() { 60 } else { 8 }));
    assert!(home.ended().is_none(), "it goes on");
    home.limit("--nofile=4096:4096");
    until("it answers again", 30, || home.is_ready().then_some(()));
    assert!(home.has_said("no snapshot could be written"));
    until("it tells of it", 10, || {
        home.alert("FoghornSnapshotFailing")
    });
    let outcome = load.finish_but_own(&shop.broker, &shop.incidents);
    home.stop();
    report("no descriptors", &format!("{outcome}"));
}
