//! What must hold for every burst: order does not matter, the same inputs give the same bytes, a
//! snapshot changes nothing.

use super::dsl::{A, Story, alert, deploy, shop};
use crate::{Config, Correlator, State};
use foghorn_model::Change;
use proptest::prelude::*;

const SERVICES: [&str; 8] = [
    "web", "checkout", "payments", "cart", "search", "ledger", "batch", "",
];

fn alerts() -> impl Strategy<Value = Vec<A>> {
    let one = (0..5_usize, 0..SERVICES.len(), 0..1_500_i64, 0..4_u8).prop_map(
        |(rule, service, at, node)| {
            let alert = alert(
                ["Errors", "Latency", "Cpu", "Disk", "Queue"][rule],
                SERVICES[service],
                at,
            );
            let alert = alert.says(&format!("requests of rule{rule} are failing slowly"));
            if node == 0 {
                alert.label("node", "n1")
            } else {
                alert
            }
        },
    );
    prop::collection::vec(one, 1..25)
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let one = (0..7_usize, 0..900_i64)
        .prop_map(|(service, at)| deploy(SERVICES[service], &format!("v{at}"), at));
    prop::collection::vec(one, 0..3)
}

fn shuffled() -> impl Strategy<Value = (Vec<A>, Vec<A>, Vec<Change>)> {
    (alerts(), changes()).prop_flat_map(|(alerts, changes)| {
        (
            Just(alerts.clone()),
            Just(alerts).prop_shuffle(),
            Just(changes),
        )
    })
}

fn burst(alerts: &[A], changes: &[Change]) -> Story {
    let mut story = Story::new();
    story.change_all(changes);
    story.fire_all(alerts);
    story.tick(1_600);
    story
}

/// Everything that was said, as bytes.
fn bytes(story: &Story) -> String {
    serde_json::to_string(&story.said).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_within_a_tick_does_not_matter((alerts, shuffled, changes) in shuffled()) {
        let (a, b) = (burst(&alerts, &changes), burst(&shuffled, &changes));
        prop_assert_eq!(a.groups(), b.groups());
    }

    #[test]
    fn cut_into_ticks_the_final_grouping_is_the_same((alerts, shuffled, changes) in shuffled()) {
        let whole = burst(&alerts, &changes);
        let mut story = Story::new();
        for (i, alert) in shuffled.iter().enumerate() {
            story.fires(alert).tick(1_600 + 2 * i as i64);
        }
        story.change_all(&changes);
        story.tick(1_700);
        prop_assert_eq!(whole.groups(), story.groups());
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes(alerts in alerts(), changes in changes()) {
        prop_assert_eq!(bytes(&burst(&alerts, &changes)), bytes(&burst(&alerts, &changes)));
    }

    #[test]
    fn a_snapshot_changes_nothing(alerts in alerts(), changes in changes(), at in 0..25_usize) {
        let play = |snapshot: bool| {
            let mut story = Story::new();
            story.edge("batch", "search");
            story.change_all(&changes);
            for (i, alert) in alerts.iter().enumerate() {
                if snapshot && i == at.min(alerts.len() - 1) {
                    let saved = serde_json::to_string(story.correlator.state()).unwrap();
                    let state: State = serde_json::from_str(&saved).unwrap();
                    story.correlator = Correlator::restore(Config::default(), shop(), state);
                }
                story.fires(alert);
                if i % 3 == 0 {
                    story.tick(1_600 + i as i64);
                }
            }
            for alert in &alerts {
                story.ends(alert, 1_700);
            }
            story.tick(1_701).tick(9_000);
            bytes(&story)
        };
        prop_assert_eq!(play(false), play(true));
    }
}
