//! Series that stop.

use super::*;

const AFTER_MS: i64 = 3 * STEP_MS;

/// Ticks at which each series has an element, and the ticks at which it is picked.
fn check(present: impl Fn(usize) -> Vec<Element>, ticks: usize, expect: &[(usize, &str, usize)]) {
    let detector = Detector::Absence { after_ms: AFTER_MS };
    let mut bank = DetectorBank::new(&detector);
    let mut said = Vec::new();
    for i in 0..ticks {
        for pick in bank.observe(&detector, at(i), STEP_MS, &present(i)) {
            let Reason::Absent {
                last_seen: Some(last_seen),
            } = pick.reason
            else {
                panic!()
            };
            said.push((
                i,
                pick.labels.value("series").to_owned(),
                (last_seen.ms() / STEP_MS) as usize,
            ));
        }
    }
    let expect: Vec<_> = expect
        .iter()
        .map(|(i, name, last)| (*i, (*name).to_owned(), *last))
        .collect();
    assert_eq!(said, expect);
}

#[test]
fn a_rule_that_never_saw_a_series_is_silent() {
    check(|_| Vec::new(), 600, &[]);
}

#[test]
fn a_series_that_stops_is_picked_until_it_is_back() {
    let gone = |i: usize| {
        if (10..15).contains(&i) {
            vec![]
        } else {
            vec![element("a", 1.0)]
        }
    };
    check(gone, 20, &[(12, "a", 9), (13, "a", 9), (14, "a", 9)]);
}

#[test]
fn a_short_gap_is_none() {
    check(
        |i| {
            if i % 3 == 0 {
                vec![element("a", 1.0)]
            } else {
                vec![]
            }
        },
        60,
        &[],
    );
}

#[test]
fn each_series_counts_for_itself_in_label_order() {
    let present = |i: usize| {
        let mut vector = vec![element("m", 0.0)];
        if i == 0 {
            vector = vec![element("a", 0.0), element("m", 0.0), element("z", 0.0)];
        }
        vector
    };
    check(
        present,
        5,
        &[(3, "a", 0), (3, "z", 0), (4, "a", 0), (4, "z", 0)],
    );
}

#[test]
fn the_absent_are_forgotten_in_the_end() {
    let detector = Detector::Absence { after_ms: AFTER_MS };
    let mut bank = DetectorBank::new(&detector);
    bank.observe(&detector, at(0), STEP_MS, &[element("a", 7.0)]);
    let picks = bank.observe(&detector, at(DAY - 1), STEP_MS, &[]);
    assert_eq!(picks[0].value, 7.0);
    assert_eq!(bank.observe(&detector, at(DAY), STEP_MS, &[]), []);
    assert!(bank.is_empty());
}
