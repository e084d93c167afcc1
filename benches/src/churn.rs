//! Series that are born and gone: memory must be that of the living.
//!
//! Each second of event time bears so many series, which send one sample a round for as many rounds
//! as they live, under a rule that reads a minute. What is printed over time is the living, what the
//! shard accounts for, and the process' resident bytes; at the end all are gone.

use foghorn_engine::RuleFile;
use foghorn_ingest::SourceConfig;
use foghorn_model::Timestamp;
use foghorn_wire::Format;

use crate::Failure;
use crate::dataset::{Dataset, METRIC, T0_MS};
use crate::measure::{resident_bytes, say};
use crate::rig::Rig;
use crate::rules::catalog;
use crate::sys::cpu_seconds;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Series in all.
    #[arg(long, default_value_t = 10_000_000)]
    series: u64,
    /// Series born in each second of event time.
    #[arg(long, default_value_t = 1_000)]
    per_second: u64,
    /// Rounds of 15 s in which a series sends.
    #[arg(long, default_value_t = 2)]
    rounds: u64,
    /// Most series that may be known; further ones are refused. No bound by default.
    #[arg(long)]
    max_series: Option<usize>,
}

const EVERY_MS: i64 = 15_000;
/// Lines of the report.
const LINES: u64 = 10;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let catalog = catalog(&RuleFile {
        path: "churn.yaml".to_owned(),
        text: format!(
            "groups:\n  - name: g\n    interval: 15s\n    rules:\n      - alert: A\n        expr: max_over_time({METRIC}[1m]) > 1e9\n"
        ),
    })?;
    let mut rig = Rig::new(&catalog, &SourceConfig::of("m", Format::JsonMetrics));
    if let Some(most) = args.max_series {
        rig.intake.bound_series(most);
    }
    let cohort = args.per_second * EVERY_MS.unsigned_abs() / 1_000;
    let cohorts = args.series.div_ceil(cohort);
    let mut text = String::new();
    let (begin, before) = (cpu_seconds(), resident_bytes());
    let mut levels = Vec::new();
    for round in 0..cohorts {
        let at = Timestamp(T0_MS + round as i64 * EVERY_MS);
        let oldest = (round + 1).saturating_sub(args.rounds);
        for series in oldest * cohort..((round + 1) * cohort).min(args.series) {
            Dataset::write_at(series, at, &mut text);
            rig.feed(text.as_bytes(), at)?;
            if series % 1_000 == 999 {
                rig.settle();
            }
        }
        rig.settle();
        rig.shard.closed(0, at);
        if (round + 1) % cohorts.div_ceil(LINES) == 0 {
            levels.push(report(&rig, ((round + 1) * cohort).min(args.series)));
        }
    }
    say(&format!(
        "CPU: {:.0} ns a series, the writing of its texts among it",
        (cpu_seconds() - begin) * 1e9 / args.series as f64
    ));
    let stats = rig.intake.stats();
    say(&format!("refused: {} new series", stats.refused_series));
    finish(&mut rig, args, cohorts, &levels, before)
}

/// Lets the last ones die, and compares.
fn finish(
    rig: &mut Rig,
    args: &Args,
    cohorts: u64,
    levels: &[u64],
    before: u64,
) -> Result<(), Failure> {
    for round in cohorts..cohorts + 20 {
        rig.shard
            .closed(0, Timestamp(T0_MS + round as i64 * EVERY_MS));
        rig.settle();
    }
    let end = report(rig, args.series);
    let (first, last) = (
        levels.get(1).copied().unwrap_or(end),
        levels.last().copied().unwrap_or(end),
    );
    say(&format!(
        "resident above the start: {} MB at the second line, {} MB at the last, {} MB when all are gone",
        first.saturating_sub(before) >> 20,
        last.saturating_sub(before) >> 20,
        end.saturating_sub(before) >> 20
    ));
    let (left, known) = (rig.shard.counts().series, rig.intake.live_series());
    if left != 0 || known != 0 {
        return Err(format!("{left} series and {known} numbers are left").into());
    }
    Ok(())
}

fn report(rig: &Rig, born: u64) -> u64 {
    let (stats, resident) = (rig.shard.stats(), resident_bytes());
    say(&format!(
        "{born} born: {} live, {} MB accounted, {} MB resident",
        stats.series,
        stats.bytes >> 20,
        resident >> 20
    ));
    resident
}
