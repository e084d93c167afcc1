//! Processes that are killed and stopped.

use foghorn_runtime::clock::wall;
use foghorn_testkit::broker::{Broker, Kind};
use foghorn_testkit::rng::Rng;

use super::{Shop, is_long, median_and_most, report, rest};
use crate::home::{Home, not_proven, until};

/// When an instance that is ready last evaluated its group, in event time; nothing where it has not, or
/// does not answer.
fn evaluated(home: &Home) -> Option<String> {
    let answer = home.is_ready().then(|| home.try_get("/api/v1/rules"))??;
    let groups = answer.json()["data"]["groups"].clone();
    Some(groups[0]["lastEvaluation"].as_str()?.to_owned())
}

/// Waits until an instance has evaluated more than was evaluated before.
fn goes_on(home: &Home, before: &str) -> String {
    until("it evaluates again", 60, || {
        evaluated(home).filter(|at| at.as_str() > before)
    })
}

/// Two instances, of which the first one works.
fn pair(shop: &Shop) -> [Home; 2] {
    let mut homes = [shop.instance("a", true), shop.instance("b", true)];
    homes[0].start();
    homes[1].spawn();
    homes
}

fn await_standby(home: &Home) {
    until("the other one stands by", 60, || {
        home.has_said("standing by: another").then_some(())
    });
}

#[test]
fn one_that_is_killed_again_and_again_loses_nothing_and_says_nothing_twice() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return not_proven("mock brokers cannot be asked for what was said: no kills were counted");
    }
    let (kills, seed) = if is_long() { (150, 1) } else { (10, 2) };
    let mut rng = Rng::new(seed);
    let shop = Shop::open(broker);
    let mut home = shop.instance("a", false);
    home.start();
    let load = shop.load(seed);
    let mut took = Vec::new();
    let mut before = goes_on(&home, "");
    for _ in 0..kills {
        rest(&mut rng, 100, 2_500);
        home.kill();
        let at = wall();
        home.spawn();
        // Now and then before it has come back to itself.
        if rng.below(4) == 0 {
            rest(&mut rng, 10, 400);
            home.kill();
            home.spawn();
            before = goes_on(&home, &before);
        } else {
            until("it is ready again", 60, || home.is_ready().then_some(()));
            took.push(wall() - at);
            before = goes_on(&home, &before);
        }
    }
    let outcome = load.finish(&shop.broker, &shop.incidents);
    home.stop();
    let (median, most) = median_and_most(took);
    report(
        "kill -9, one instance",
        &format!(
            "{kills} kills, {outcome}; ready again after {median} ms (median), {most} ms (most)"
        ),
    );
}

#[test]
fn several_that_are_killed_and_stopped_in_turn_lose_nothing_and_say_nothing_twice() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return not_proven("mock brokers have no topics to share: no takeovers were counted");
    }
    let (faults, seed) = if is_long() { (60, 3) } else { (4, 4) };
    let mut rng = Rng::new(seed);
    let shop = Shop::open(broker);
    let mut homes = pair(&shop);
    let load = shop.load(seed);
    let (mut active, mut took, mut stopped) = (0, Vec::new(), 0);
    let mut before = goes_on(&homes[0], "");
    for fault in 0..faults {
        let other = 1 - active;
        await_standby(&homes[other]);
        rest(&mut rng, 500, 4_000);
        let stops = fault % 2 == 1;
        if stops {
            homes[active].signal("STOP");
            stopped += 1;
        } else {
            homes[active].kill();
        }
        let at = wall();
        until("the other one is ready", 60, || {
            homes[other].is_ready().then_some(())
        });
        took.push(wall() - at);
        before = goes_on(&homes[other], &before);
        if stops {
            rest(&mut rng, 10, 3_000);
            homes[active].signal("CONT");
            until("it stands by", 60, || {
                homes[active].has_said("standing by again").then_some(())
            });
            // So that what it says from now on is of another life.
            homes[active].kill();
        }
        homes[active].spawn();
        active = other;
    }
    let outcome = load.finish(&shop.broker, &shop.incidents);
    homes.iter_mut().for_each(Home::stop);
    let (median, most) = median_and_most(took);
    report(
        "kill -9 and SIGSTOP of the active one of two",
        &format!(
            "{} kills, {stopped} stops, {outcome}; another is ready after {median} ms (median), {most} ms \
             (most), of a session of {} ms",
            faults - stopped,
            super::SESSION_MS
        ),
    );
}

#[test]
fn a_lease_that_changes_hands_every_few_seconds_costs_nothing() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return not_proven("mock brokers have no topics to share: no lease changed hands");
    }
    let (changes, seed) = if is_long() { (60, 5) } else { (6, 6) };
    let mut rng = Rng::new(seed);
    let shop = Shop {
        session_ms: 2_000,
        ..Shop::open(broker)
    };
    let mut homes = pair(&shop);
    let load = shop.load(seed);
    let (mut active, mut took) = (0, Vec::new());
    let mut before = goes_on(&homes[0], "");
    for _ in 0..changes {
        let other = 1 - active;
        await_standby(&homes[other]);
        rest(&mut rng, 500, 3_000);
        let at = wall();
        homes[active].stop();
        before = goes_on(&homes[other], &before);
        took.push(wall() - at);
        homes[active].spawn();
        active = other;
    }
    let outcome = load.finish(&shop.broker, &shop.incidents);
    homes.iter_mut().for_each(Home::stop);
    let (median, most) = median_and_most(took);
    report(
        "the lease changes hands every few seconds",
        &format!(
            "{changes} times by SIGTERM, {outcome}; the other one evaluates after {median} ms (median), {most} \
             ms (most), of a session of {} ms",
            shop.session_ms
        ),
    );
}
