//! What people may type.

use std::path::PathBuf;

use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use foghorn_ingest::FileSpec;
use foghorn_wire::{Compression, Format};

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
  foghorn test tests/*.yaml                      unit tests of rules, as promtool runs them
  foghorn replay --rules rules/ metrics.csv logs.ndjson
  foghorn source sample otlp_metrics --brokers localhost:9092
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
    /// Run unit tests of rules: promtool's files, unchanged.
    Test(TestArgs),
    /// Help to set a source up.
    Source(SourceArgs),
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
    /// Labels that tell clusters apart, as a source's `scope`: `--scope cluster,zone`.
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    pub(crate) scope: Vec<String>,
    /// The label that tells replicas of one Prometheus apart, as a source's `replica`.
    #[arg(long, value_name = "LABEL")]
    pub(crate) replica: Option<String>,
    /// Recorded files: `PATH` or `FORMAT:PATH` (`otlp_metrics_proto:metrics.pb`).
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<FileSpec>,
    /// The closing table, and progress on a terminal: for people or for programs. Incidents are
    /// NDJSON in any case.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// `foghorn test`
#[derive(Debug, ClapArgs)]
pub(crate) struct TestArgs {
    /// Files of unit tests, as `promtool test rules` takes them.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Only tests whose names match; may be given several times.
    #[arg(long, value_name = "REGEX")]
    pub(crate) run: Vec<String>,
    /// Write the results as XML, as `JUnit` has it.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Show differences of alerts as a coloured diff.
    #[arg(long)]
    pub(crate) diff: bool,
    /// Show what all series held.
    #[arg(long)]
    pub(crate) debug: bool,
}

/// `foghorn source`
#[derive(Debug, ClapArgs)]
pub(crate) struct SourceArgs {
    #[command(subcommand)]
    pub(crate) what: Source,
}

/// What to do with a source.
#[derive(Debug, Subcommand)]
pub(crate) enum Source {
    /// Show what a handful of records decode to, which labels they get, and what is refused and
    /// why. Nothing is committed.
    #[command(after_help = SAMPLE_EXAMPLES)]
    Sample(SampleArgs),
}

const SAMPLE_EXAMPLES: &str = "\
Examples:
  foghorn source sample metrics.ndjson
  foghorn source sample body.pb --format remote_write_1 --compression snappy
  foghorn source sample logs --brokers localhost:9092 --format json_logs --preset ecs
  foghorn source sample metrics --brokers localhost:9092 --partition 3 --from -5
  foghorn source sample -c foghorn.yaml metrics

Where no format is given, the records' headers and JSON keys suggest one; protobuf is tried as
everything that it may be, and never guessed.";

/// `foghorn source sample`
#[derive(Debug, ClapArgs)]
pub(crate) struct SampleArgs {
    /// A file (`PATH` or `FORMAT:PATH`); with `--brokers` a topic; with `-c` a configured source.
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// Cluster of the topic.
    #[arg(short, long, value_name = "HOST:PORT,...", conflicts_with = "config")]
    pub(crate) brokers: Option<String>,
    /// Configuration file that names the source, its cluster and its format.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Any librdkafka property: `-X security.protocol=ssl`.
    #[arg(short = 'X', value_name = "NAME=VALUE", requires = "brokers")]
    pub(crate) properties: Vec<String>,
    /// One partition of the topic; left out, all of them.
    #[arg(short, long, value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// Where to begin: earliest, latest (wait for new records), an offset, or -N for N before the
    /// end. By default a topic shows its last records, and a file its first.
    #[arg(long, value_name = "WHERE", allow_hyphen_values = true)]
    pub(crate) from: Option<From>,
    /// How many records.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) count: u32,
    /// What the records hold.
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// How their sender packed them, beside Kafka's own compression.
    #[arg(long, value_name = "COMPRESSION")]
    pub(crate) compression: Option<Compression>,
    /// Layout of JSON logs.
    #[arg(long, value_name = "PRESET")]
    pub(crate) preset: Option<String>,
    /// Most lines for one record.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) lines: usize,
    /// Text for people, or one JSON object a record with the summary on stderr.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// Where to begin, as kcat's `-o` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Earliest,
    Latest,
    Last(u64),
    At(i64),
}

impl std::str::FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" | "beginning" => Ok(Self::Earliest),
            "latest" | "end" => Ok(Self::Latest),
            _ => {
                let last = text
                    .strip_prefix('-')
                    .and_then(|number| number.parse().ok());
                let at = || text.parse().ok().map(Self::At);
                last.map(Self::Last).or_else(at).ok_or_else(|| {
                    "one of earliest, latest, an offset, or -N for N before the end".to_owned()
                })
            }
        }
    }
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
