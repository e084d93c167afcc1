//! What a tick costs by the length of the range that its rule looks back over.
//!
//! A rule `sum by (verb, scope, le) (rate(x[W]))` over 594 histogram series that hold three days at
//! 30 s: 66 results, whatever W is. Timed are ticks alone. With a Prometheus at hand the same samples
//! are backfilled there, the same expression is asked of it at the same instants, and its process'
//! CPU time is told beside ours; results must be equal, but for the order in which series are added.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use foghorn_engine::RuleFile;
use foghorn_engine::core::Core;
use foghorn_eval::batch::{Batch, Birth, Cell, Holds, Segment};
use foghorn_eval::shard::Shard;
use foghorn_model::{Labels, Partition, SeriesKind, Timestamp, is_stale};

use crate::Failure;
use crate::dataset::mix;
use crate::measure::{median, say, spread};
use crate::prometheus::server::{Server, free_port};
use crate::rules;
use crate::sys::cpu_seconds;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Ticks that are timed.
    #[arg(long, default_value_t = 20)]
    ticks: usize,
    /// A `prometheus` binary, 3.5; `promtool` stands beside it.
    #[arg(long)]
    prometheus: Option<PathBuf>,
}

const EVERY_MS: i64 = 30_000;
const DAY_MS: i64 = 86_400_000;
/// When the samples begin.
const BEGIN_MS: i64 = 1_700_006_400_000;
const WINDOWS: [&str; 6] = ["5m", "30m", "1h", "6h", "1d", "3d"];
/// Groups of results, and series of each.
const GROUPS: u64 = 66;
const EACH: u64 = 9;

/// Results of one tick by labels.
type Results = std::collections::BTreeMap<String, f64>;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let rounds = 3 * DAY_MS / EVERY_MS + args.ticks as i64;
    say(&format!(
        "{} series, {rounds} samples each, {GROUPS} results",
        GROUPS * EACH
    ));
    let peer = args
        .prometheus
        .as_ref()
        .map(|binary| Backfilled::start(binary, rounds))
        .transpose()?;
    let mut shortest = None;
    for window in WINDOWS {
        let (costs, results, at) = ours(window, args.ticks, rounds)?;
        let ours = median(&costs);
        let first = *shortest.get_or_insert(ours);
        let mut line = format!(
            "[{window}]: {} CPU-us a tick, {:.2} of [5m]",
            spread(&costs, 0),
            ours / first
        );
        if let Some(peer) = &peer {
            let (cost, theirs) = peer.ask(window, at, args.ticks)?;
            compare(&results, &theirs)?;
            let _infallible = write!(
                line,
                "; Prometheus {cost:.0}, {:.0} times as much, results equal",
                cost / ours
            );
        }
        say(&line);
    }
    Ok(())
}

fn labels(series: u64) -> Vec<(&'static str, String)> {
    let (group, one) = (series / EACH, series % EACH);
    vec![
        ("__name__", "x".to_owned()),
        ("instance", format!("10.0.0.{one}:443")),
        ("le", format!("{}", 1 + group % 11)),
        (
            "scope",
            ["resource", "namespace", "cluster"][(group / 11 % 3) as usize].to_owned(),
        ),
        ("verb", ["GET", "LIST"][(group / 33) as usize].to_owned()),
    ]
}

/// A counter that is reset about once in a day.
fn value(series: u64, round: i64) -> f64 {
    let (pace, since) = (mix(series) % 40, mix(series ^ 7) % 2_880);
    ((round as u64 + since) % 2_880 * (pace + 1) + pace) as f64
}

fn expression(window: &str) -> String {
    format!("sum by (verb, scope, le) (rate(x[{window}]))")
}

/// CPU-microseconds of the last ticks, the last one's results and its time.
fn ours(
    window: &str,
    ticks: usize,
    rounds: i64,
) -> Result<(Vec<f64>, Results, Timestamp), Failure> {
    let text = format!(
        "groups:\n  - name: g\n    interval: 30s\n    rules:\n      - record: r\n        expr: {}\n",
        expression(window)
    );
    let path = "ranges.yaml".to_owned();
    let catalog = rules::catalog(&RuleFile { path, text })?;
    let mut shard = Shard::new(Arc::clone(&catalog));
    let mut core = Core::new(catalog, Vec::new());
    core.export();
    core.start(Timestamp(BEGIN_MS - 1), Timestamp::MIN);
    let mut batch = Batch::default();
    batch.births.extend((0..GROUPS * EACH).map(|series| Birth {
        series: series as u32,
        labels: Labels::from_pairs(labels(series)),
        holds: Holds::Samples(SeriesKind::Absolute),
        source: 0,
    }));
    let (mut costs, mut last) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let at = Timestamp(BEGIN_MS + round * EVERY_MS);
        batch.cells.extend((0..GROUPS * EACH).map(|series| Cell {
            series: series as u32,
            t: at.ms(),
            v: value(series, round),
        }));
        batch.segments.push(Segment {
            partition: Partition::new(0, 0),
            cells_end: batch.cells.len() as u32,
            next_offset: round + 1,
            watermark: at,
            furthest: at,
        });
        shard.apply(&mut batch);
        batch.clear();
        while core.next_tick(0) <= at {
            let before = cpu_seconds();
            core.close(0, &mut [&mut shard], false);
            let cost = (cpu_seconds() - before) * 1e6;
            last = core.take_recorded();
            if round >= rounds - ticks as i64 {
                costs.push(cost);
            }
        }
    }
    let at = last.first().map_or(Timestamp::MIN, |recorded| recorded.at);
    let results = last.iter().filter(|recorded| !is_stale(recorded.value));
    let named = |labels: &Labels| {
        ["le", "scope", "verb"]
            .map(|name| labels.value(name).to_owned())
            .join(" ")
    };
    Ok((
        costs,
        results.map(|r| (named(&r.labels), r.value)).collect(),
        at,
    ))
}

/// Equal but for the order in which series are added.
fn compare(ours: &Results, theirs: &Results) -> Result<(), Failure> {
    let near = |a: f64, b: f64| a == b || a.to_bits().abs_diff(b.to_bits()) <= EACH;
    let same = ours.len() == theirs.len()
        && ours
            .iter()
            .zip(theirs)
            .all(|((a, v), (b, w))| a == b && near(*v, *w));
    if same {
        Ok(())
    } else {
        Err(format!("results differ: {ours:?}, and {theirs:?}").into())
    }
}

/// A Prometheus that holds the samples.
struct Backfilled {
    server: Server,
    _home: tempfile::TempDir,
}

impl Backfilled {
    fn start(binary: &std::path::Path, rounds: i64) -> Result<Self, Failure> {
        let home = tempfile::tempdir()?;
        let (data, text) = (home.path().join("data"), home.path().join("samples.om"));
        let mut out = BufWriter::new(std::fs::File::create(&text)?);
        writeln!(out, "# TYPE x gauge")?;
        for series in 0..GROUPS * EACH {
            let pairs: Vec<_> = labels(series)
                .into_iter()
                .skip(1)
                .map(|(name, value)| format!("{name}=\"{value}\""))
                .collect();
            for round in 0..rounds {
                let (v, t) = (value(series, round), (BEGIN_MS + round * EVERY_MS) / 1_000);
                writeln!(out, "x{{{}}} {v} {t}", pairs.join(","))?;
            }
        }
        writeln!(out, "# EOF")?;
        out.into_inner()?.sync_all()?;
        let made = Command::new(binary.with_file_name("promtool"))
            .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
            .args([&text, &data])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !made.success() {
            return Err("promtool could not backfill the samples".into());
        }
        let config = home.path().join("prometheus.yml");
        std::fs::write(&config, "global: {}\n")?;
        let port = free_port()?;
        let mut command = Command::new(binary);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg("--storage.tsdb.retention.time=100y")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let log = home.path().join("log");
        let server = Server::start("prometheus", &mut command, port, &log)?;
        Ok(Self {
            server,
            _home: home,
        })
    }

    /// CPU-microseconds of an evaluation, and the results of the last.
    fn ask(&self, window: &str, at: Timestamp, times: usize) -> Result<(f64, Results), Failure> {
        let query = expression(window).replace(' ', "%20");
        let before = self.server.cpu_seconds()?;
        let mut body = String::new();
        for back in (0..times as i64).rev() {
            let time = (at.ms() - back * EVERY_MS) / 1_000;
            let path = format!("/api/v1/query?query={query}&time={time}");
            (_, body) = self.server.get(&path)?;
        }
        let cost = (self.server.cpu_seconds()? - before) / times as f64 * 1e6;
        let json: serde_json::Value = serde_json::from_str(&body)?;
        let results = json["data"]["result"].as_array().into_iter().flatten();
        let one = |result: &serde_json::Value| {
            let text = |name: &str| {
                result["metric"][name]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            let value = result["value"][1].as_str().unwrap_or_default();
            let value = value.parse().unwrap_or(f64::NAN);
            (["le", "scope", "verb"].map(text).join(" "), value)
        };
        Ok((cost, results.map(one).collect()))
    }
}
