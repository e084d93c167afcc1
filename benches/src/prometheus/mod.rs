//! The same rules over the same samples beside a real Prometheus: what evaluating them costs.
//!
//! Four processes live side by side and get the same remote write requests: Prometheus and Foghorn
//! with the rules, and each without evaluating any (Foghorn keeps the same series then, since its
//! groups tick once in thirty years). The difference is what rules cost, by the kernel's count of
//! each process' CPU time. After that ten thousand alerts begin to fire, and it is measured again.
//!
//! Whether both did the same is looked at as well: alerts by name and state.

mod series;
pub(crate) mod server;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use foghorn_engine::RuleFile;
use foghorn_model::{Labels, Timestamp};
use foghorn_wire::encode::RemoteWrite;

use crate::measure::{say, sleep_until, wall};
use crate::{Failure, rules};
use series::{Sent, series};
use server::{Server, free_port};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A `prometheus` binary, 3.5.
    #[arg(long)]
    prometheus: PathBuf,
    /// The `foghorn` binary; the one beside this program where it is not said.
    #[arg(long)]
    foghorn: Option<PathBuf>,
    /// A rule file.
    #[arg(long)]
    rules: PathBuf,
    /// Series, made from the rules' own selectors.
    #[arg(long, default_value_t = 85_000)]
    series: u64,
    /// Minutes that each phase is measured for.
    #[arg(long, default_value_t = 4)]
    minutes: i64,
    /// Minutes before each phase.
    #[arg(long, default_value_t = 2)]
    warm: i64,
    /// Alerts that begin to fire in the second phase; 0 for no second phase.
    #[arg(long, default_value_t = 10_000)]
    storm: u64,
}

/// Seconds between two samples of a series, and between two ticks.
const EVERY_S: i64 = 30;
/// Series of one request.
const TOGETHER: usize = 500;
/// The storm's metric, and its rule.
const STORM: &str = "foghorn_bench_storm";

/// Four processes.
struct Bench {
    servers: Vec<Server>,
    calm: Vec<Sent>,
    storm: u64,
    round: u64,
}

/// What a phase took of each process: CPU-seconds.
struct Phase {
    seconds: f64,
    cpu: BTreeMap<&'static str, f64>,
    samples: f64,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let path = args.rules.display().to_string();
    let text = std::fs::read_to_string(&args.rules)?;
    let text = format!("{}\n{}", text.trim_end(), storm_rule());
    let catalog = rules::catalog(&RuleFile {
        path,
        text: text.clone(),
    })?;
    let count: usize = catalog.rules.groups.iter().map(|g| g.rules.len()).sum();
    let mut calm = series(&catalog, args.series);
    calm.retain(|sent| sent.labels.metric() != STORM);
    say(&format!(
        "{} rules, {} series, a sample and a tick every {EVERY_S} s",
        count - 1,
        calm.len()
    ));
    let dir = tempfile::tempdir()?;
    let mut bench = Bench {
        servers: servers(args, dir.path(), &text)?,
        calm,
        storm: 0,
        round: 0,
    };
    let quiet = bench.phase(args)?;
    bench.report("quiet", &quiet)?;
    if args.storm > 0 {
        bench.storm = args.storm;
        let stormy = bench.phase(args)?;
        bench.report("storm", &stormy)?;
        for who in ["prometheus", "foghorn"] {
            let rise = stormy.rule_cpu(who) / quiet.rule_cpu(who);
            say(&format!("storm: rule CPU of {who} rises {rise:.2} times"));
        }
    }
    Ok(())
}

fn storm_rule() -> String {
    format!(
        "- name: storm\n  rules:\n  - alert: Storm\n    expr: {STORM} > 0\n    labels:\n      severity: warning\n    annotations:\n      summary: '{{{{ $labels.pod }}}} is at {{{{ $value }}}}'\n"
    )
}

impl Phase {
    /// CPU-seconds of evaluation: with rules, less without.
    fn rule_cpu(&self, who: &str) -> f64 {
        self.cpu.get(who).unwrap_or(&0.0) - self.idle_cpu(who)
    }

    fn idle_cpu(&self, who: &str) -> f64 {
        let idle = self.cpu.iter().find(|(name, _)| {
            let without = name.strip_suffix(" without rules");
            without == Some(who)
        });
        idle.map_or(0.0, |(_, cpu)| *cpu)
    }
}

impl Bench {
    /// Sends rounds for a while, and measures all but the first of them.
    fn phase(&mut self, args: &Args) -> Result<Phase, Failure> {
        let rounds = |minutes: i64| (minutes * 60 / EVERY_S) as usize;
        for _ in 0..rounds(args.warm) {
            self.send()?;
        }
        let (begin, before) = (wall(), self.cpu()?);
        let mut samples = 0;
        for _ in 0..rounds(args.minutes) {
            samples += self.send()?;
        }
        let seconds = (wall() - begin) as f64 / 1e3;
        let after = self.cpu()?;
        let cpu = after
            .into_iter()
            .map(|(name, cpu)| (name, cpu - before.get(name).unwrap_or(&0.0)))
            .collect();
        Ok(Phase {
            seconds,
            cpu,
            samples: samples as f64,
        })
    }

    fn cpu(&self) -> Result<BTreeMap<&'static str, f64>, Failure> {
        self.servers
            .iter()
            .map(|server| Ok((server.name, server.cpu_seconds()?)))
            .collect()
    }

    /// One sample of each series, evenly over a round's time; how many.
    fn send(&mut self) -> Result<usize, Failure> {
        let begin = wall();
        self.round += 1;
        let storm: Vec<_> = (0..self.storm).map(storm_labels).collect();
        let calm = self.calm.iter();
        let all: Vec<_> = calm
            .map(|sent| (&sent.labels, sent.value(self.round)))
            .chain(storm.iter().map(|labels| (labels, 1.0)))
            .collect();
        let requests = all.chunks(TOGETHER);
        let every_ms = EVERY_S * 1_000 / requests.len().max(1) as i64;
        for (i, request) in requests.enumerate() {
            let at = begin + i as i64 * every_ms;
            sleep_until(at);
            let body = body(request, at);
            for server in &mut self.servers {
                server.write(&body)?;
            }
        }
        sleep_until(begin + EVERY_S * 1_000);
        Ok(all.len())
    }

    fn report(&self, what: &str, phase: &Phase) -> Result<(), Failure> {
        let ticks = phase.seconds / EVERY_S as f64;
        let ms_a_tick = |who| phase.rule_cpu(who) / ticks * 1e3;
        for who in ["prometheus", "foghorn"] {
            let all = phase.cpu.get(who).unwrap_or(&0.0);
            say(&format!(
                "{what}: {who}: rules {:.0} CPU-ms a tick; ingest alone {:.2} and all together {:.2} CPU-s a million samples",
                ms_a_tick(who),
                phase.idle_cpu(who) / phase.samples * 1e6,
                all / phase.samples * 1e6,
            ));
        }
        say(&format!(
            "{what}: rules cost {:.1} times less than Prometheus', all together {:.1} times less",
            ms_a_tick("prometheus") / ms_a_tick("foghorn"),
            phase.cpu.get("prometheus").unwrap_or(&0.0) / phase.cpu.get("foghorn").unwrap_or(&1.0)
        ));
        for server in &self.servers {
            say(&format!(
                "{what}: {}: {} MB",
                server.name,
                server.resident_mb()?
            ));
        }
        let alerts: Vec<_> = self
            .servers
            .iter()
            .filter(|server| !server.name.contains(' '))
            .map(|server| Ok((server.name, alerts(server)?)))
            .collect::<Result<_, Failure>>()?;
        let names: std::collections::BTreeSet<_> =
            alerts.iter().flat_map(|(_, of)| of.keys()).collect();
        let mut same = 0;
        for name in names {
            let counts: Vec<_> = alerts
                .iter()
                .map(|(_, of)| of.get(name).copied().unwrap_or(0))
                .collect();
            if counts.iter().all(|count| *count == counts[0]) {
                same += counts[0];
            } else {
                say(&format!("{what}: differing: {name:?}: {counts:?}"));
            }
        }
        say(&format!("{what}: {same} alerts alike, by name and state"));
        Ok(())
    }
}

fn body(request: &[(&Labels, f64)], at: Timestamp) -> Vec<u8> {
    let filled = request
        .iter()
        .fold(RemoteWrite::new(), |body, (labels, value)| {
            body.series(labels, &[(at, *value)])
        });
    filled.into_snappy()
}

fn storm_labels(i: u64) -> Labels {
    Labels::from_pairs([
        ("__name__", STORM),
        ("namespace", &format!("team-{}", i % 40)),
        ("pod", &format!("storm-{i}")),
    ])
}

/// How many alerts there are, by name and state.
fn alerts(server: &Server) -> Result<BTreeMap<(String, String), usize>, Failure> {
    let (_, body) = server.get("/api/v1/alerts")?;
    let json: serde_json::Value = serde_json::from_str(&body)?;
    let mut counts = BTreeMap::new();
    for alert in json["data"]["alerts"].as_array().into_iter().flatten() {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&alert["labels"]["alertname"]), text(&alert["state"]));
        *counts.entry(key).or_default() += 1;
    }
    Ok(counts)
}

fn servers(args: &Args, dir: &Path, text: &str) -> Result<Vec<Server>, Failure> {
    std::fs::write(dir.join("rules.yaml"), text)?;
    std::fs::write(dir.join("resting.yaml"), resting(text))?;
    let foghorn = match &args.foghorn {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("foghorn"),
    };
    Ok(vec![
        prometheus("prometheus", &args.prometheus, dir, "rules.yaml")?,
        prometheus("prometheus without rules", &args.prometheus, dir, "")?,
        foghorn_with("foghorn", &foghorn, dir, "rules.yaml")?,
        foghorn_with("foghorn without rules", &foghorn, dir, "resting.yaml")?,
    ])
}

/// The same rules in groups that tick once in thirty years: their series are kept all the same.
fn resting(text: &str) -> String {
    let lines = text.lines().filter(|line| {
        let trimmed = line.trim_start();
        !trimmed.starts_with("interval:")
    });
    let lines: Vec<_> = lines
        .map(|line| match line.strip_prefix("- name:") {
            Some(name) => format!("- name:{name}\n  interval: 10000d"),
            None => line.to_owned(),
        })
        .collect();
    lines.join("\n")
}

fn prometheus(
    name: &'static str,
    binary: &Path,
    dir: &Path,
    rules: &str,
) -> Result<Server, Failure> {
    let home = dir.join(name.replace(' ', "-"));
    std::fs::create_dir_all(&home)?;
    let config = home.join("prometheus.yml");
    let files = if rules.is_empty() {
        String::new()
    } else {
        format!("rule_files: ['{}']\n", dir.join(rules).display())
    };
    std::fs::write(
        &config,
        format!("global: {{evaluation_interval: {EVERY_S}s}}\n{files}"),
    )?;
    let port = free_port()?;
    let mut command = Command::new(binary);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            home.join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--web.enable-remote-write-receiver");
    Server::start(name, &mut command, port, &home.join("log"))
}

fn foghorn_with(
    name: &'static str,
    binary: &Path,
    dir: &Path,
    rules: &str,
) -> Result<Server, Failure> {
    let home = dir.join(name.replace(' ', "-"));
    std::fs::create_dir_all(&home)?;
    let port = free_port()?;
    let config = home.join("foghorn.yaml");
    std::fs::write(
        &config,
        format!(
            "http: {{listen: '127.0.0.1:{port}'}}\nreceivers: {{enabled: true, allowed_lateness: 5s}}\nrules: {{files: ['{}'], interval: {EVERY_S}s}}\nsinks: [{{type: ndjson, name: file, path: '{}'}}]\nstart: latest\nstate_dir: '{}'\n",
            dir.join(rules).display(),
            home.join("incidents.ndjson").display(),
            home.join("state").display(),
        ),
    )?;
    let mut command = Command::new(binary);
    command.arg("run").arg("-c").arg(&config);
    Server::start(name, &mut command, port, &home.join("log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resting_rules_are_the_same_rules() {
        let text = format!(
            "groups:\n- name: g\n  interval: 3m\n  rules:\n  - alert: A\n    expr: m > 1\n{}",
            storm_rule()
        );
        let load = |text: String| {
            let path = "t.yaml".to_owned();
            rules::catalog(&RuleFile { path, text }).unwrap()
        };
        let (busy, idle) = (load(text.clone()), load(resting(&text)));
        assert_eq!(busy.rules.groups[0].interval_ms, 180_000);
        for (a, b) in busy.rules.groups.iter().zip(&idle.rules.groups) {
            assert_eq!(a.rules.len(), b.rules.len());
            assert_eq!(b.interval_ms, 864_000_000_000);
        }
    }
}
