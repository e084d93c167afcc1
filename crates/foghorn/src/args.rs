//! What people may type.

use std::path::PathBuf;

use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use foghorn_ingest::FileSpec;

use crate::out::Failure;

/// Streaming detection and alert correlation: telemetry in, a few explained incidents out.
#[derive(Debug, Parser)]
#[command(name = "foghorn", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  foghorn demo                                   a scripted outage, end to end, without a broker
  foghorn check rules rules/*.yaml               every problem of rule files, with its place
  foghorn replay --rules rules/ metrics.csv logs.ndjson
  foghorn run -c foghorn.yaml                    against a real Kafka

Exit codes: 0 ok, 1 problems found or failed, 2 called wrongly.";

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Read telemetry, evaluate rules, emit incidents, until SIGTERM.
    Run(RunArgs),
    /// Watch a scripted shop go through a cascading failure, with time compressed.
    Demo(DemoArgs),
    /// Find every problem in configs and rule files before they are used.
    Check(CheckArgs),
    /// Run rules over recorded files; incidents go to stdout.
    Replay(ReplayArgs),
    /// Measure quality on data sets.
    Evaluate(EvaluateArgs),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs: JSON, one object a line.
    Json,
}

/// `foghorn run`
#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    /// Configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "foghorn.yaml")]
    pub(crate) config: PathBuf,
    /// Set one key over file and environment: `--set http.listen=127.0.0.1:9500`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// How logs are written to stderr.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Output>,
}

/// `foghorn demo`
#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// Text tells the story; JSON gives one object a line for each incident revision.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// Keep running afterwards, with the HTTP API up.
    #[arg(long)]
    pub(crate) serve: bool,
    /// Where the API listens with `--serve`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9490")]
    pub(crate) listen: String,
    /// Wall seconds that the story of 58 minutes takes; 0 for as fast as it goes.
    #[arg(long, value_name = "SECONDS", default_value_t = 18.0)]
    pub(crate) takes: f64,
}

/// `foghorn check`
#[derive(Debug, ClapArgs)]
pub(crate) struct CheckArgs {
    /// What the paths are: `config` or `rules`; left out, each file is told by its keys.
    #[arg(value_name = "config|rules", required = true)]
    pub(crate) what: String,
    /// Files, or folders of `.yaml` and `.yml` files.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// How problems are printed.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// `foghorn replay`
#[derive(Debug, ClapArgs)]
pub(crate) struct ReplayArgs {
    /// Rule files, or folders of them.
    #[arg(short, long, value_name = "PATH", required = true)]
    pub(crate) rules: Vec<PathBuf>,
    /// Service graph.
    #[arg(long, value_name = "FILE")]
    pub(crate) topology: Option<PathBuf>,
    /// Recorded files: `PATH` or `FORMAT:PATH` (`otlp_metrics_proto:metrics.pb`).
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<FileSpec>,
    /// The closing table, and progress on a terminal: for people or for programs. Incidents are
    /// NDJSON in any case.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// `foghorn evaluate`
#[derive(Debug, ClapArgs)]
pub(crate) struct EvaluateArgs {
    #[command(subcommand)]
    pub(crate) what: Evaluate,
}

/// What to evaluate.
#[derive(Debug, Subcommand)]
pub(crate) enum Evaluate {
    /// Score every `timestamp,value` CSV below a folder with the anomaly detector's default
    /// configuration; writes `anomaly_score` in [0, 1] at the same paths.
    Anomalies {
        /// Folder of CSV files.
        data: PathBuf,
        /// Folder for the results.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// How the summary is printed.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
}

/// `foghorn completions`
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "foghorn", &mut script);
    crate::out::say(String::from_utf8(script)?.trim_end());
    Ok(())
}
