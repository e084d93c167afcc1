//! Every place in the program at which it may fail on purpose, crashed at once: the process ends there as
//! if it were killed, under load, and is started again.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use foghorn_runtime::clock::wall;
use foghorn_testkit::broker::{Broker, Kind};
use foghorn_testkit::rng::Rng;

use super::{Shop, report};
use crate::feed::gauge;
use crate::home::{Home, not_proven, until};

const SIGABRT: i32 = 6;
const PROTOBUF: &str = "Content-Type: application/x-protobuf";
/// What a process comes by once.
const ONCE: [&str; 4] = [
    "restored",
    "sink-looked-back",
    "takeover-read-back",
    "takeover-said",
];

/// What only those come by that share their state by topics.
const SHARED: [&str; 8] = [
    "acknowledged",
    "takeover-read-back",
    "takeover-said",
    "topic-log-forgotten",
    "topic-log-read-back",
    "topic-log-sent",
    "topic-snapshot-forgotten",
    "topic-snapshot-sent",
];

/// The places, by name, as the sources have them.
fn points() -> BTreeSet<String> {
    fn search(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                search(&path, found);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let after = text.split("fail_point!(\"").skip(1);
                found.extend(after.filter_map(|it| Some(it.split_once('"')?.0.to_owned())));
            }
        }
    }
    let mut found = BTreeSet::new();
    search(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")),
        &mut found,
    );
    found
}

/// Runs until it ends at the point, which it may pass a few times first; bodies come by HTTP meanwhile.
fn crash(home: &mut Home, point: &str, passed: usize) {
    home.spawn_with(&[("FAILPOINTS", &format!("{point}={passed}*off->return"))]);
    let long = "x".repeat(2_000);
    let ended = until(&format!("the end at {point}"), 60, || {
        let body = gauge("other", &long, wall(), 1.0);
        // Whoever is killed does not answer.
        let _ = home.try_ask("POST /v1/metrics", &[PROTOBUF], &body);
        home.ended()
    });
    assert_eq!(ended.signal(), Some(SIGABRT), "at {point}");
    home.forget_run();
}

fn check(fault: &str, is_one_of_several: bool, points: &[String]) {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return not_proven(&format!(
            "mock brokers: no crash at {} points",
            points.len()
        ));
    }
    let shop = Shop::open(broker);
    let mut home = shop.instance("a", is_one_of_several);
    home.start();
    let load = shop.load(11);
    let mut rng = Rng::new(17);
    home.kill();
    for point in points {
        let is_once = ONCE.contains(&point.as_str());
        let passed = if is_once { 0 } else { rng.below(3) };
        crash(&mut home, point, passed);
    }
    home.start();
    let outcome = load.finish(&shop.broker, &shop.incidents);
    home.stop();
    report(
        fault,
        &format!("{} crashes, one each, {outcome}", points.len()),
    );
}

#[test]
fn crashed_at_every_point_it_loses_nothing_and_says_nothing_twice() {
    let mut own = points();
    for shared in SHARED {
        assert!(own.remove(shared), "{shared}");
    }
    let own: Vec<_> = own.into_iter().collect();
    check("crashed at every point, one instance", false, &own);
}

#[test]
fn nor_does_it_where_state_is_in_topics() {
    let all = points().into_iter();
    let shared: Vec<_> = all
        .filter(|point| {
            // Those of files are the other test's; what is decided, said and kept is both's.
            let of_files = ["segment-", "file-", "journal-", "log-", "outbox-"];
            !of_files.iter().any(|of| point.starts_with(of))
        })
        .collect();
    check("crashed at every point, state in topics", true, &shared);
}
