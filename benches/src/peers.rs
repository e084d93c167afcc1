//! Other engines on the same topic: their jobs under `benches/peers`, their CPU time less that of a
//! tiny run, their results counted on their output topic.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::ValueEnum;
use foghorn_model::Timestamp;

use crate::Failure;
use crate::check::hopping;
use crate::dataset::Dataset;
use crate::loaded::{Loaded, OUTPUTS};
use crate::loads::Load;
use crate::measure::{median, say, spread};
use crate::rules::INTERVAL_MS;
use crate::table::Row;

/// An engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// Flink SQL, one `INSERT` a rule; with several rules also merged by hand into one aggregate.
    Flink,
    /// Kafka Streams, windows in memory.
    Kstreams,
    /// Esper, one runtime a partition.
    Esper,
}

/// Grace and watermark delay of the jobs, in milliseconds.
const LATENESS_MS: i64 = 2_000;
/// Width of their windows, in milliseconds.
const WINDOW_MS: i64 = 60_000;

/// See the module's text.
pub(crate) struct Peers<'a> {
    full: &'a Loaded<'a>,
    tiny: &'a Loaded<'a>,
    /// The first part of the full topic, for who takes long.
    small: Loaded<'a>,
    runs: usize,
}

/// One job's answer.
struct Told {
    cpu_s: f64,
    resident_mb: u64,
    results: u64,
}

impl<'a> Peers<'a> {
    /// Fills the smaller topic.
    pub(crate) fn new(
        full: &'a Loaded<'a>,
        tiny: &'a Loaded<'a>,
        small: u64,
        runs: usize,
    ) -> Result<Self, Failure> {
        let rounds = small.clamp(tiny.data.rounds + 1, full.data.rounds);
        let data = Dataset::paced(full.data.series(), rounds, full.data.every_ms);
        Ok(Self {
            full,
            tiny,
            small: Loaded::fill(full.cluster, Load::Json, "json-small", data)?,
            runs,
        })
    }

    /// Runs a peer's jobs with so many rules.
    pub(crate) fn measure(&self, peer: Peer, rules: usize) -> Result<Vec<Row>, Failure> {
        let modes: &[&str] = match peer {
            Peer::Flink if rules > 1 => &["diff", "shared"],
            _ => &["diff"],
        };
        modes
            .iter()
            .map(|mode| self.job(peer, rules, mode))
            .collect()
    }

    fn job(&self, peer: Peer, rules: usize, mode: &str) -> Result<Row, Failure> {
        let of = if peer == Peer::Kstreams && rules >= 10 {
            &self.small
        } else {
            self.full
        };
        let millions = (of.data.samples() - self.tiny.data.samples()) as f64 / 1e6;
        let (mut costs, mut last) = (Vec::new(), None);
        for _ in 0..self.runs {
            let fixed = start(peer, rules, mode, self.tiny)?;
            let whole = start(peer, rules, mode, of)?;
            costs.push((whole.cpu_s - fixed.cpu_s) / millions);
            last = Some(whole);
        }
        let last = last.ok_or("no runs of peers")?;
        let expected = hopping(&of.data, rules, |partition| last_end(peer, of, partition));
        let verdict = if last.results == expected {
            "equal".to_owned()
        } else {
            format!("{expected}_expected")
        };
        let (name, cost) = (peer.name(), median(&costs));
        say(&format!(
            "peer={} load=json rules={rules} mode={mode} samples={} cpu_s_per_million={} samples_per_cpu_s={:.0} resident_mb={} results={} checked={verdict}",
            peer.folder(),
            of.data.samples(),
            spread(&costs, 3),
            1e6 / cost,
            last.resident_mb,
            last.results,
        ));
        Ok(Row {
            load: "json",
            rules,
            who: match mode {
                "shared" => format!("{name}, rules merged by hand"),
                _ => name.to_owned(),
            },
            cost,
            of_bare: None,
            resident_mb: Some(last.resident_mb),
            results: format!("{}, {}", last.results, verdict.replace('_', " ")),
        })
    }
}

/// When the last window ends that a peer closes, in a partition of a topic.
fn last_end(peer: Peer, of: &Loaded<'_>, partition: u32) -> Timestamp {
    let Some(newest) = of.filled.newest[partition as usize] else {
        return Timestamp::MIN;
    };
    match peer {
        // A bounded source ends at +∞: every window that holds a sample closes.
        Peer::Flink => newest + WINDOW_MS + INTERVAL_MS,
        // By the partition's own time, after the grace.
        Peer::Kstreams => newest - LATENESS_MS,
        // By the partition's own clock.
        Peer::Esper => newest,
    }
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::Flink => "Flink SQL 2.2.0",
            Self::Kstreams => "Kafka Streams 4.3.1",
            Self::Esper => "Esper 9.0.0",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Flink => "flink",
            Self::Kstreams => "kstreams",
            Self::Esper => "esper",
        }
    }

    /// What its script is told: topic, rules, and what else it needs.
    fn arguments(self, of: &Loaded<'_>, rules: usize) -> Vec<String> {
        let (topic, rules) = (of.filled.topic.clone(), rules.to_string());
        match self {
            Self::Flink => vec![topic, rules, "1".to_owned()],
            Self::Kstreams => vec![topic, of.data.samples().to_string(), rules],
            Self::Esper => vec![topic, crate::dataset::PARTITIONS.to_string(), rules],
        }
    }
}

fn start(peer: Peer, rules: usize, mode: &str, of: &Loaded<'_>) -> Result<Told, Failure> {
    let output = of.cluster.topic("peer", OUTPUTS)?;
    let script = scripts().join(peer.folder()).join("run");
    let done = Command::new(&script)
        .args(peer.arguments(of, rules))
        .env("BOOTSTRAP", of.cluster.bootstrap())
        .env("OUT", &output)
        .env("MODE", mode)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&done.stdout);
    let line = text.lines().rev().find(|line| line.starts_with("RESULT"));
    let Some(line) = line.filter(|_| done.status.success()) else {
        return Err(format!("{} failed: {}: {text}", script.display(), done.status).into());
    };
    let mut results = 0;
    of.cluster
        .read(&output, |payload| results += rules_in(payload))?;
    Ok(Told {
        cpu_s: field(line, "cpu")?,
        resident_mb: field(line, "rss_mb")? as u64,
        results,
    })
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Results in a record: one, or as many as the list of rules is long.
fn rules_in(payload: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(payload);
    let list = text.split_once("\"rules\":\"");
    list.map_or(1, |(_, list)| {
        let numbers = list.split('"').next().unwrap_or_default();
        numbers.split(',').count() as u64
    })
}

/// The number after ` name=`.
fn field(line: &str, name: &str) -> Result<f64, Failure> {
    let mut words = line.split(' ');
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    Ok(value
        .ok_or_else(|| format!("no {name} in {line:?}"))?
        .parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_results_are_counted_one_by_one() {
        assert_eq!(rules_in(br#"{"rule":3,"service":"a,b"}"#), 1);
        assert_eq!(rules_in(br#"{"rules":"0,4,8","service":"a,b"}"#), 3);
    }

    #[test]
    fn fields_are_found_by_their_whole_names() {
        let line = "RESULT flink submit_cpu=1.00 cpu=22.50 rss_mb=1300";
        assert_eq!(field(line, "cpu").unwrap(), 22.5);
        assert_eq!(field(line, "rss_mb").unwrap(), 1300.0);
        assert!(field(line, "wall").is_err());
    }
}
