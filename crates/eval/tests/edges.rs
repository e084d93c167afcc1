//! What spans tell an intake: who calls whom, once, and how far event time has come.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the report"
)]

use std::sync::Arc;

use foghorn_eval::catalog::Catalog;
use foghorn_eval::clock::{PartitionClock, TimeRules};
use foghorn_eval::intake::Intake;
use foghorn_model::{Partition, RecordSink, SampleSink, Timestamp};
use foghorn_rules::{LoadOptions, load};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn intake(partitions: u32) -> Intake {
    let mut intake = Intake::new(
        0,
        1,
        Arc::new(Catalog::new(load(&[], &LoadOptions::default()).0)),
    );
    for index in 0..partitions {
        let clock = PartitionClock::new(TimeRules::default(), 0, Vec::new());
        intake.join(Partition::new(0, index), clock);
    }
    intake
}

/// Feeds a record of these edges; offsets count up.
fn record(intake: &mut Intake, partition: u32, offset: i64, edges: &[(&str, &str)]) {
    assert!(intake.begin(Partition::new(0, partition), offset, Some(NOW)));
    for (client, server) in edges {
        intake.edge(client, server);
    }
    intake.end();
}

#[test]
fn each_pair_is_reported_once() {
    let mut intake = intake(2);
    record(
        &mut intake,
        0,
        0,
        &[("web", "api"), ("web", "api"), ("api", "web")],
    );
    record(&mut intake, 1, 0, &[("web", "api"), ("we", "bapi")]);
    record(&mut intake, 0, 1, &[("", "api"), ("web", "")]);
    let said: Vec<_> = intake
        .take_said()
        .into_iter()
        .flat_map(|said| said.edges)
        .map(|(client, server)| format!("{client}->{server}"))
        .collect();
    assert_eq!(said, ["web->api", "api->web", "we->bapi"]);
}

/// The watermark, in milliseconds after `NOW`, behind a record that tells of these times.
fn check_time(times: &[i64], expect: Option<i64>, matters: bool) {
    let mut intake = intake(1);
    let partition = Partition::new(0, 0);
    intake.begin(partition, 0, Some(NOW));
    for ms in times {
        intake.witness(NOW + *ms);
    }
    intake.end();
    let watermark = intake.clock(partition).unwrap().watermark();
    let lateness_ms = TimeRules::default().allowed_lateness_ms;
    let shown = (watermark > Timestamp::MIN).then(|| watermark - NOW + lateness_ms);
    assert_eq!(shown, expect, "{times:?}");
    assert_eq!(intake.stamp_mattered(), matters, "{times:?}");
}

#[test]
fn a_witness_moves_event_time_as_a_sample_does() {
    check_time(&[], None, false);
    check_time(&[-500, -2_000], Some(-500), false);
    // Ahead of the record's stamp: it moves nothing, and the stamp must be remembered.
    check_time(&[-500, 10_001], Some(-500), true);
    check_time(&[-500, 600_001], Some(-500), true);
}
