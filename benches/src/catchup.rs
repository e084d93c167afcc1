//! A restart in the middle of a backlog: a process reads half of a topic and is killed (-9); the
//! runtime then starts again on what that left, and its rate over the rest is measured, what it reads
//! a second time included, beside a run that nobody interrupted.
//!
//! Checked: over both lives every tick is in the signal log once and in order, and alerts have as
//! many results, per rule, as computed from the data.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use foghorn_model::Timestamp;
use foghorn_runtime::StartFrom;
use foghorn_store::SignalLog;
use tokio::time::Instant;

use crate::Failure;
use crate::check::ticks;
use crate::cluster::Cluster;
use crate::dataset::{Dataset, T0_MS};
use crate::live::Setup;
use crate::loaded::{Kept, Loaded, once_and_in_order};
use crate::loads::Load;
use crate::measure::{median, say, spread};
use crate::rules::Kind;
use crate::sys::cpu_seconds;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What the topic holds.
    #[arg(long, value_enum, default_value = "json")]
    load: Load,
    /// Samples, rounded down to whole seconds of event time.
    #[arg(long, default_value_t = 6_000_000)]
    events: u64,
    /// Series: few, so that the backlog is long beside what a restart reads again (the rules' reach).
    #[arg(long, default_value_t = 2_000)]
    series: u64,
    /// Rules.
    #[arg(long, default_value_t = 1)]
    rules: usize,
    /// Worker threads of the runtime.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Runs.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// What the process is told that will be killed.
#[derive(clap::Args)]
pub(crate) struct VictimArgs {
    #[arg(long, value_enum)]
    load: Load,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    group: String,
    #[arg(long)]
    state: PathBuf,
    #[arg(long)]
    rules: usize,
    #[arg(long)]
    workers: usize,
    /// It says so when this tick is closed.
    #[arg(long)]
    until: i64,
}

/// No wait is longer.
const PATIENCE: Duration = Duration::from_mins(30);

/// Costs of one restart.
struct Restart {
    /// CPU-seconds, from start to the last tick.
    cpu_s: f64,
    wall_s: f64,
    /// The last tick that was closed before.
    killed_at: Timestamp,
    /// Samples that were read after it.
    read: f64,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let fill = |purpose: &str, seconds: u64| {
        let data = Dataset::new(args.series, seconds);
        Loaded::fill(&cluster, args.load, purpose, data)
    };
    let full = fill("backlog", args.events / args.series)?;
    let tiny = fill("tiny", 2)?;
    let (mut whole, mut rest, mut walls) = (Vec::new(), Vec::new(), Vec::new());
    let mut reading = Vec::new();
    for number in 0..args.runs {
        let fixed = tiny.run(Kind::Alert, args.rules, args.workers, Kept::Log)?;
        let uninterrupted = full.run(Kind::Alert, args.rules, args.workers, Kept::Log)?;
        full.check(args.rules, &uninterrupted)?;
        let extra = (full.data.samples() - tiny.data.samples()) as f64 / 1e6;
        whole.push((uninterrupted.cpu_s - fixed.cpu_s) / extra);

        let restart = restart(args, &full, number)?;
        let done = (restart.killed_at.ms() - T0_MS) as f64 / full.data.every_ms as f64;
        let left = full.data.samples() as f64 - done * full.data.series() as f64;
        rest.push((restart.cpu_s - fixed.cpu_s) / left * 1e6);
        reading.push((restart.cpu_s - fixed.cpu_s) / restart.read * 1e6);
        walls.push(restart.wall_s);
        say(&format!(
            "restart load={} killed_at_s={} left={left:.0} read={:.0} read_again={:.0} ticks=exact results=equal",
            args.load.name(),
            (restart.killed_at.ms() - T0_MS) / 1_000,
            restart.read,
            restart.read - left,
        ));
    }
    say(&format!(
        "catchup load={} rules={} workers={} cpu_s_per_million_left={} cpu_s_per_million_read={} uninterrupted={} rate_left={:.2} rate_read={:.2} wall_s={}",
        args.load.name(),
        args.rules,
        args.workers,
        spread(&rest, 3),
        spread(&reading, 3),
        spread(&whole, 3),
        median(&whole) / median(&rest),
        median(&whole) / median(&reading),
        spread(&walls, 2)
    ));
    Ok(())
}

fn restart(args: &Args, full: &Loaded<'_>, number: usize) -> Result<Restart, Failure> {
    let dir = tempfile::tempdir()?;
    let group = format!("catchup-{}-{number}", full.filled.topic);
    let last_tick = full.last_tick();
    let half = Timestamp(T0_MS + (last_tick - Timestamp(T0_MS)) / 2);
    kill_halfway(args, full, &group, dir.path(), half)?;
    let (_, log) = SignalLog::open(&dir.path().join("signals"))?;
    let killed_at = ticks(&log).last().copied().unwrap_or_default();
    if killed_at < half || killed_at >= last_tick {
        return Err(format!("killed at {killed_at}, which is not halfway").into());
    }
    drop(log);

    let (cpu, wall) = (cpu_seconds(), Instant::now());
    let running = setup(full, &group, dir.path(), args.rules, args.workers).start()?;
    running.wait("the last tick", PATIENCE, |running| {
        running.last_tick() >= Some(last_tick)
    })?;
    let (cpu_s, wall_s) = (cpu_seconds() - cpu, wall.elapsed().as_secs_f64());
    // Samples after the last tick's watermark are read by now or soon; the gauge comes once a second.
    std::thread::sleep(Duration::from_millis(1_100));
    let read = running.gauge(full.load.counter());
    running.finish()?;

    let (_, log) = SignalLog::open(&dir.path().join("signals"))?;
    let closed = ticks(&log);
    once_and_in_order(&closed)?;
    full.check_alerts(args.rules, &log, &closed)?;
    Ok(Restart {
        cpu_s,
        wall_s,
        killed_at,
        read,
    })
}

fn setup<'a>(
    of: &'a Loaded<'_>,
    group: &'a str,
    state_dir: &'a Path,
    rules: usize,
    workers: usize,
) -> Setup<'a> {
    Setup {
        cluster: of.cluster,
        group: Some(group),
        source: of.load.source(&of.filled.topic),
        rules: of.load.rules(Kind::Alert, rules),
        workers,
        start: StartFrom::Earliest,
        idle_timeout_ms: 3_600_000,
        state_dir,
        snapshot_interval_ms: None,
        output: None,
        recorded: None,
    }
}

/// Starts a process of our own that reads, and kills it when a tick is closed.
fn kill_halfway(
    args: &Args,
    full: &Loaded<'_>,
    group: &str,
    state: &Path,
    half: Timestamp,
) -> Result<(), Failure> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("catchup-victim")
        .args(["--load", full.load.name(), "--topic", &full.filled.topic])
        .args(["--group", group, "--rules", &args.rules.to_string()])
        .args(["--workers", &args.workers.to_string()])
        .args(["--until", &half.ms().to_string()])
        .arg("--state")
        .arg(state)
        .env("FOGHORN_KAFKA", full.cluster.bootstrap())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let said = child.stdout.take().map(BufReader::new);
    let mut lines = said.into_iter().flat_map(BufRead::lines);
    let halfway = lines.find_map(|line| line.ok().filter(|line| line == HALFWAY));
    // Whatever it said, it must not go on.
    child.kill()?;
    child.wait()?;
    halfway
        .map(drop)
        .ok_or_else(|| "the process ended before it was halfway".into())
}

/// What the process says.
const HALFWAY: &str = "halfway";

/// The process that will be killed.
pub(crate) fn victim(args: &VictimArgs) -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let setup = Setup {
        cluster: &cluster,
        group: Some(&args.group),
        source: args.load.source(&args.topic),
        rules: args.load.rules(Kind::Alert, args.rules),
        workers: args.workers,
        start: StartFrom::Earliest,
        idle_timeout_ms: 3_600_000,
        state_dir: &args.state,
        snapshot_interval_ms: None,
        output: None,
        recorded: None,
    };
    let running = setup.start()?;
    running.wait("half of the ticks", PATIENCE, |running| {
        running.last_tick() >= Some(Timestamp(args.until))
    })?;
    say(HALFWAY);
    running.wait("the end of this process", PATIENCE, |_| false)
}
