//! What ticks alone cost: samples go into a shard as columns, without bytes, broker or clock, and
//! only the closing of ticks is timed.
//!
//! The figure is CPU time per sample: at one sample a second and a tick every ten, each (series,
//! tick) is paid by ten samples. What is recorded is counted against the data set.

use std::sync::Arc;

use foghorn_engine::core::Core;
use foghorn_eval::batch::{Batch, Birth, Cell, Holds, Segment};
use foghorn_eval::catalog::Catalog;
use foghorn_eval::shard::Shard;
use foghorn_model::labels::NAME;
use foghorn_model::{Labels, Partition, SeriesKind, Timestamp, is_stale};

use crate::Failure;
use crate::check::expected;
use crate::dataset::{Dataset, T0_MS};
use crate::measure::{median, resident_bytes, say, spread};
use crate::rules::{INTERVAL_MS, Kind, catalog, file};
use crate::sys::cpu_seconds;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Series.
    #[arg(long, default_value_t = 10_000)]
    series: u64,
    /// Seconds of event time.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// Numbers of rules, each measured by itself.
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,10000")]
    rules: Vec<usize>,
    /// Runs of each.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Alert rules in place of recording rules.
    #[arg(long)]
    alerts: bool,
    /// A rule file of one's own, in place of the comparison's rules.
    #[arg(long)]
    file: Option<std::path::PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let data = Dataset::new(args.series, args.seconds);
    let labels = labels(&data)?;
    let kind = if args.alerts {
        Kind::Alert
    } else {
        Kind::Record
    };
    if let Some(path) = &args.file {
        let text = std::fs::read_to_string(path)?;
        let path = path.display().to_string();
        let rules = catalog(&foghorn_engine::RuleFile { path, text })?;
        return measure(args, &data, &labels, &rules, None);
    }
    for rules in &args.rules {
        let catalog = catalog(&file(kind, *rules))?;
        let counted = (!args.alerts).then_some(*rules);
        measure(args, &data, &labels, &catalog, counted)?;
    }
    Ok(())
}

/// Most rules whose results are worked out from the data as well.
const CHECKED: usize = 100;

/// Runs a rule set, and prints what it took. `counted` rules' results are compared with the data.
fn measure(
    args: &Args,
    data: &Dataset,
    labels: &[Labels],
    catalog: &Arc<Catalog>,
    counted: Option<usize>,
) -> Result<(), Failure> {
    let (mut costs, mut recorded, mut ticks) = (Vec::new(), 0, 0);
    for round in 0..args.runs {
        let run = one(data, labels, catalog);
        costs.push(run.cpu_s * 1e9 / data.samples() as f64);
        (recorded, ticks) = (run.recorded, run.ticks);
        if let Some(rules) = counted.filter(|rules| round == 0 && *rules <= CHECKED) {
            let first = Timestamp(T0_MS);
            let last = first + (run.ticks as i64 - 1) * INTERVAL_MS;
            let due: u64 = expected(data, rules, first, last).results.iter().sum();
            if due != recorded {
                return Err(format!("{recorded} samples recorded, not {due}").into());
            }
        }
    }
    let rules: usize = catalog.rules.groups.iter().map(|g| g.rules.len()).sum();
    say(&format!(
        "{rules} rules, {} series: {} CPU-ns a sample at ticks ({ticks} ticks, {:.0} µs each, {recorded} recorded, {} MB resident)",
        data.series(),
        spread(&costs, 1),
        median(&costs) * data.samples() as f64 / ticks.max(1) as f64 / 1e3,
        resident_bytes() >> 20,
    ));
    Ok(())
}

/// What one run took and gave.
struct Run {
    cpu_s: f64,
    ticks: u64,
    /// Samples recorded, staleness markers apart.
    recorded: u64,
}

fn one(data: &Dataset, labels: &[Labels], catalog: &Arc<Catalog>) -> Run {
    let mut shard = Shard::new(Arc::clone(catalog));
    let mut core = Core::new(Arc::clone(catalog), Vec::new());
    core.export();
    core.start(Timestamp(T0_MS - 1), Timestamp::MIN);
    let mut batch = Batch::default();
    let births = labels.iter().zip(0..).map(|(labels, series)| Birth {
        series,
        labels: labels.clone(),
        holds: Holds::Samples(SeriesKind::Absolute),
        source: 0,
    });
    batch.births.extend(births);
    let mut run = Run {
        cpu_s: 0.0,
        ticks: 0,
        recorded: 0,
    };
    for second in 0..data.rounds {
        fill(&mut batch, data, second);
        shard.apply(&mut batch);
        batch.clear();
        // The next second's first sample stands at its very beginning.
        let whole = data.at(0, second) + 999;
        for group in 0..catalog.rules.groups.len() {
            while core.next_tick(group) <= whole {
                let before = cpu_seconds();
                core.close(group, &mut [&mut shard], false);
                run.cpu_s += cpu_seconds() - before;
                run.ticks += 1;
            }
        }
        let recorded = core.take_recorded();
        run.recorded += recorded.iter().filter(|r| !is_stale(r.value)).count() as u64;
    }
    run
}

/// One second's samples.
fn fill(batch: &mut Batch, data: &Dataset, second: u64) {
    let cell = |series: u64| Cell {
        series: series as u32,
        t: data.at(series, second).ms(),
        v: Dataset::value(series, second),
    };
    batch.cells.extend((0..data.series()).map(cell));
    let last = data.at(data.series() - 1, second);
    batch.segments.push(Segment {
        partition: Partition::new(0, 0),
        cells_end: batch.cells.len() as u32,
        next_offset: (second + 1) as i64,
        watermark: last,
        furthest: last,
    });
}

/// The label sets that the data set's bytes stand for.
fn labels(data: &Dataset) -> Result<Vec<Labels>, Failure> {
    let mut text = String::new();
    let one = |series: u64| -> Result<Labels, Failure> {
        data.write(series, 0, &mut text);
        let json: serde_json::Value = serde_json::from_str(&text)?;
        let own = json["labels"].as_object().into_iter().flatten();
        let own = own.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()));
        let name = (NAME, json["name"].as_str().unwrap_or_default());
        Ok(Labels::from_pairs(own.chain([name])))
    };
    (0..data.series()).map(one).collect()
}
