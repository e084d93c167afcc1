//! `foghorn-bench`: how much the whole path costs, measured against a real broker.
//!
//! Each subcommand answers one question and prints every figure with its unit; what is timed is
//! timed several times, and medians are printed. CPU-seconds are of this process alone (`getrusage`,
//! user and system): a broker is another process, so that a busy machine disturbs little. The data
//! set is that of `dataset`: 235-byte JSON samples, one series a key, eight partitions.
//!
//! Nothing is asserted about speed. What is asserted is that the work was done: every path run is
//! compared with results that are computed from the data set alone.

mod allocs;
mod appended;
mod catchup;
mod check;
mod churn;
mod cluster;
mod dataset;
mod decoders;
mod latency;
mod live;
mod loaded;
mod loads;
mod log_rules;
mod logs;
mod measure;
mod memory;
mod path;
mod peers;
mod probes;
mod prometheus;
mod ranges;
mod rig;
mod rules;
mod snapshots;
mod storm;
mod sys;
mod table;
mod ticks;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What went wrong, in words.
type Failure = Box<dyn std::error::Error>;

#[derive(Parser)]
#[command(
    name = "foghorn-bench",
    about = "Measures Foghorn's whole path",
    version
)]
struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Kafka to results on Kafka, in CPU-seconds, beside a bare librdkafka loop and other engines.
    Path(path::Args),
    /// Decoders alone, in CPU time per item, beside generated structs.
    Decoders(decoders::Args),
    /// Heap allocations for samples of known series, which must be none.
    Allocs(allocs::Args),
    /// Bytes of an active series: labels, window, indexes.
    Memory(memory::Args),
    /// Series that are born and die, a thousand a second: what is left of them.
    Churn(churn::Args),
    /// Thousands of alerts that fire in one tick.
    Storm(storm::Args),
    /// What closing ticks alone costs, without bytes and broker.
    Ticks(ticks::Args),
    /// From a produced record to the incident on the output topic.
    Latency(latency::Args),
    /// Rules over the same samples beside a real Prometheus.
    Prometheus(prometheus::Args),
    /// Ticks by the length of their rules' ranges, beside a real Prometheus where there is one.
    Ranges(ranges::Args),
    /// JSON logs under rules with line filters, in memory.
    LogRules(log_rules::Args),
    /// A restart in the middle of a backlog.
    Catchup(catchup::Args),
    /// What a snapshot costs while everything goes on, and what a restart saves by it.
    Snapshots(snapshots::Args),
    /// The process that `catchup` kills.
    #[command(hide = true)]
    CatchupVictim(catchup::VictimArgs),
}

fn main() -> ExitCode {
    let done = match Args::parse().bench {
        Bench::Path(args) => path::run(&args),
        Bench::Decoders(args) => decoders::run(&args),
        Bench::Allocs(args) => allocs::run(&args),
        Bench::Memory(args) => memory::run(&args),
        Bench::Churn(args) => churn::run(&args),
        Bench::Storm(args) => storm::run(&args),
        Bench::Ticks(args) => ticks::run(&args),
        Bench::Latency(args) => latency::run(&args),
        Bench::Prometheus(args) => prometheus::run(&args),
        Bench::Ranges(args) => ranges::run(&args),
        Bench::LogRules(args) => log_rules::run(&args),
        Bench::Catchup(args) => catchup::run(&args),
        Bench::Snapshots(args) => snapshots::run(&args),
        Bench::CatchupVictim(args) => catchup::victim(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            measure::say(&format!("FAIL: {failure}"));
            ExitCode::FAILURE
        }
    }
}
