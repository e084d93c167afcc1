//! From a topic to results on another: CPU-seconds per million samples, beside the bare loop, and
//! where asked for beside other engines.
//!
//! The same topic is read by a bare batch loop and by the live runtime, again and again in turns.
//! What a start costs is measured with a tiny data set and taken off. Rules are filtered `record:`
//! rules whose every result goes to a topic, as other engines do it; `--kinds alert` runs the same
//! thresholds as alerts. Every run is checked: samples read, every tick closed once and in order,
//! and the number of results of each rule, counted on the output topic, against those computed from
//! the data.

use foghorn_model::Timestamp;
use tokio::time::Instant;

use crate::Failure;
use crate::cluster::Cluster;
use crate::dataset::Dataset;
use crate::loaded::{Kept, Loaded};
use crate::loads::Load;
use crate::measure::{median, say, spread};
use crate::peers::{Peer, Peers};
use crate::rules::Kind;
use crate::table::{Row, Table};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What the topic holds, each measured by itself.
    #[arg(
        long = "load",
        value_enum,
        value_delimiter = ',',
        default_value = "json"
    )]
    loads: Vec<Load>,
    /// Samples, rounded down to whole rounds of all series.
    #[arg(long, default_value_t = 3_000_000)]
    events: u64,
    /// Series; with logs, records a round.
    #[arg(long, default_value_t = 10_000)]
    series: u64,
    /// Seconds of event time between two samples of a series.
    #[arg(long, default_value_t = 1)]
    every: i64,
    /// Numbers of rules, each measured by itself.
    #[arg(long, value_delimiter = ',', default_value = "1,10")]
    rules: Vec<usize>,
    /// What becomes of results, each measured by itself.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "record")]
    kinds: Vec<Kind>,
    /// Worker threads of the runtime, each measured by itself.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    workers: Vec<usize>,
    /// What is kept against a crash, each measured by itself.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "log")]
    keep: Vec<Kept>,
    /// Runs of each kind.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Other engines to run on the same topic (with the load `json`); needs Java 17 and Maven.
    #[arg(long, value_enum, value_delimiter = ',')]
    peers: Vec<Peer>,
    /// Runs of each other engine.
    #[arg(long, default_value_t = 1)]
    peer_runs: usize,
    /// Samples for Kafka Streams with ten rules and more, which takes long.
    #[arg(long, default_value_t = 1_000_000)]
    kstreams_events: u64,
    /// Print a Markdown table at the end.
    #[arg(long)]
    table: bool,
}

/// Rounds of the tiny data set.
const TINY: u64 = 2;

/// One load: the same topics for all who read them.
struct Bench<'a> {
    args: &'a Args,
    load: Load,
    full: Loaded<'a>,
    tiny: Loaded<'a>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let mut table = Table::default();
    for load in &args.loads {
        Bench::fill(args, *load, &cluster)?.measure(&mut table)?;
    }
    if args.table {
        table.print();
    }
    Ok(())
}

impl<'a> Bench<'a> {
    fn fill(args: &'a Args, load: Load, cluster: &'a Cluster) -> Result<Self, Failure> {
        let begin = Instant::now();
        let fill = |purpose: &str, rounds: u64| {
            let data = Dataset::paced(args.series, rounds.max(1), args.every * 1_000);
            Loaded::fill(cluster, load, &format!("{}-{purpose}", load.name()), data)
        };
        let rounds = args.events / args.series;
        if rounds <= TINY {
            return Err(format!(
                "{} events are too few for {} series",
                args.events, args.series
            )
            .into());
        }
        let (full, tiny) = (fill("full", rounds)?, fill("tiny", TINY)?);
        let end = full.data.at(full.data.series() - 1, full.data.rounds - 1);
        say(&format!(
            "data load={} samples={} series={} event_time_s={} records={} bytes_per_record={:.0} partitions={} produced_s={:.1}",
            load.name(),
            full.data.samples(),
            full.data.series(),
            (end - Timestamp(crate::dataset::T0_MS)) / 1_000,
            full.filled.records,
            full.filled.bytes as f64 / full.filled.records as f64,
            crate::dataset::PARTITIONS,
            begin.elapsed().as_secs_f64()
        ));
        Ok(Self {
            args,
            load,
            full,
            tiny,
        })
    }

    fn measure(&self, table: &mut Table) -> Result<(), Failure> {
        let bare = self.bare()?;
        table.add(Row {
            who: "bare librdkafka batch loop".to_owned(),
            cost: bare,
            ..self.row(0)
        });
        for rules in &self.args.rules {
            for kind in &self.args.kinds {
                for workers in &self.args.workers {
                    for row in self.foghorn(*kind, *rules, *workers, bare)? {
                        table.add(row);
                    }
                }
            }
        }
        if self.load == Load::Json && !self.args.peers.is_empty() {
            self.peers(table)?;
        }
        Ok(())
    }

    fn row(&self, rules: usize) -> Row {
        Row {
            load: self.load.name(),
            rules,
            ..Row::default()
        }
    }

    /// Samples that the full topic has more than the tiny one, in millions.
    fn millions(&self) -> f64 {
        (self.full.data.samples() - self.tiny.data.samples()) as f64 / 1e6
    }

    /// The bare loop's CPU-seconds per million samples.
    fn bare(&self) -> Result<f64, Failure> {
        let (mut costs, mut walls) = (Vec::new(), Vec::new());
        let read = |of: &Loaded<'_>| of.cluster.bare(&of.filled.topic, of.filled.records);
        for _ in 0..self.args.runs {
            let (fixed, whole) = (read(&self.tiny)?, read(&self.full)?);
            costs.push((whole.cpu_s - fixed.cpu_s) / self.millions());
            walls.push(whole.wall_s);
        }
        say(&format!(
            "bare load={} cpu_s_per_million={} samples_per_cpu_s={:.0} wall_s={}",
            self.load.name(),
            spread(&costs, 3),
            1e6 / median(&costs),
            spread(&walls, 2)
        ));
        Ok(median(&costs))
    }

    /// In turns, so that all that is kept meets the same machine.
    fn foghorn(
        &self,
        kind: Kind,
        rules: usize,
        workers: usize,
        bare: f64,
    ) -> Result<Vec<Row>, Failure> {
        let keep = &self.args.keep;
        let (mut costs, mut walls) = (vec![Vec::new(); keep.len()], vec![Vec::new(); keep.len()]);
        let mut last = Vec::new();
        for _ in 0..self.args.runs {
            last.clear();
            for (n, kept) in keep.iter().enumerate() {
                let fixed = self.tiny.run(kind, rules, workers, *kept)?;
                let whole = self.full.run(kind, rules, workers, *kept)?;
                self.full.check(rules, &whole)?;
                costs[n].push((whole.cpu_s - fixed.cpu_s) / self.millions());
                walls[n].push(whole.wall_s);
                last.push(whole);
            }
        }
        let mut rows = Vec::new();
        for (n, last) in last.iter().enumerate() {
            let (cost, resident_mb) = (median(&costs[n]), last.resident >> 20);
            say(&format!(
                "foghorn load={} rules={rules} kind={} workers={workers} keep={:?} cpu_s_per_million={} samples_per_cpu_s={:.0} of_bare={:.2} wall_s={} resident_mb={resident_mb} ticks={} results={} checked=equal",
                self.load.name(),
                kind.name(),
                keep[n],
                spread(&costs[n], 3),
                1e6 / cost,
                bare / cost,
                spread(&walls[n], 2),
                last.ticks,
                last.results,
            ));
            rows.push(Row {
                who: format!(
                    "Foghorn, {workers} worker{}, {} rules, keeps {}",
                    if workers == 1 { "" } else { "s" },
                    kind.name(),
                    format!("{:?}", keep[n]).to_lowercase()
                ),
                cost,
                of_bare: Some(bare / cost),
                resident_mb: Some(resident_mb),
                results: format!("{}, equal", last.results),
                ..self.row(rules)
            });
        }
        Ok(rows)
    }

    fn peers(&self, table: &mut Table) -> Result<(), Failure> {
        let args = self.args;
        let small = args.kstreams_events / args.series;
        let peers = Peers::new(&self.full, &self.tiny, small, args.peer_runs)?;
        for rules in &args.rules {
            for peer in &args.peers {
                for row in peers.measure(*peer, *rules)? {
                    table.add(row);
                }
            }
        }
        Ok(())
    }
}
