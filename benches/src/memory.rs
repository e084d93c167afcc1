//! Bytes of an active series in steady state: labels, a 5-minute window at 15 s, and the indexes
//! that lead to it.
//!
//! Two figures: what the shard accounts for (series, labels, windows), and by how much the process
//! grew (which holds the intake's and the shard's tables and the allocator's slack too).

use foghorn_engine::RuleFile;
use foghorn_ingest::SourceConfig;
use foghorn_model::Timestamp;
use foghorn_wire::Format;

use crate::Failure;
use crate::dataset::{Dataset, METRIC, T0_MS};
use crate::measure::{resident_bytes, say};
use crate::rig::Rig;
use crate::rules::catalog;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Series.
    #[arg(long, default_value_t = 100_000)]
    series: u64,
}

/// Rounds of samples: twice as many as the window holds.
const ROUNDS: i64 = 40;
const EVERY_MS: i64 = 15_000;
/// Records between two hand-overs, as the runtime does it.
const BATCH: u64 = 1_000;
/// What we aim at, in bytes a series.
const AIM: f64 = 1_024.0;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let text = format!(
        "groups:\n  - name: g\n    interval: 15s\n    rules:\n      - alert: A\n        expr: max_over_time({METRIC}[5m]) > 1e9\n"
    );
    let catalog = catalog(&RuleFile {
        path: "memory.yaml".to_owned(),
        text,
    })?;
    let data = Dataset::new(args.series, 1);
    let mut rig = Rig::new(&catalog, &SourceConfig::of("m", Format::JsonMetrics));
    let mut text = String::new();
    let before = resident_bytes();
    for round in 0..ROUNDS {
        let at = Timestamp(T0_MS + round * EVERY_MS);
        for series in 0..args.series {
            data.write_as(series, at, 0.25, &mut text);
            rig.feed(text.as_bytes(), at)?;
            if series % BATCH == BATCH - 1 {
                rig.settle();
            }
        }
        rig.settle();
        rig.shard.closed(0, at);
    }
    let grown = resident_bytes().saturating_sub(before);
    let stats = rig.shard.stats();
    if stats.series as u64 != args.series {
        return Err(format!("{} series in place of {}", stats.series, args.series).into());
    }
    let per = |bytes: u64| bytes as f64 / args.series as f64;
    let resident = per(grown);
    say(&format!(
        "{} series, 5 m windows at 15 s (20 samples), 5 labels beside the name",
        args.series
    ));
    say(&format!(
        "accounted: {:.0} bytes a series",
        per(stats.bytes as u64)
    ));
    say(&format!(
        "resident: {resident:.0} bytes a series ({} MB in all): {}",
        grown >> 20,
        if resident <= AIM {
            "PASS (at most 1 KiB)"
        } else {
            "over 1 KiB"
        }
    ));
    Ok(())
}
