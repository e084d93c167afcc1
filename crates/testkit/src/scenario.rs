//! Scenarios: what a system went through, and what Foghorn must have said, in words that an SRE
//! reads.
//!
//! ```text
//! # A comment.
//! rules
//!   groups: …                       a rule file
//! graph
//!   services: …                     a service graph
//! scope cluster replica prometheus   labels that tell clusters and their replicas apart
//! series every 15s [partition 1]
//!   up{job="api"} 1x10 0x20 _x4 stale
//! logs [partition 1]
//!   2m {service_name="api"} level=error msg="boom"
//!   2m..4m every 10s {service_name="api"} level=error msg="boom"
//! changes
//!   4m deploy payments v2.3.1
//! end 20m
//! expect
//!   3m firing ApiDown{job="api"}
//!   3m none OtherAlert
//!   9m resolved ApiDown because no_data
//!   9m incidents 1
//!   9m incident P1 services api,web cause payments
//! ```
//!
//! Values are written as in Prometheus' own tests: `a+bxn` is n+1 values, `axn` n+1 times a, `_`
//! a gap, `stale` a staleness marker. Time begins at 2026-01-01T00:00:00Z. An expectation speaks
//! of the state after everything up to and including its time.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_correlate::{Config, Correlator, Topology, TopologyFile};
use foghorn_engine::Entry;
use foghorn_eval::catalog::Catalog;
use foghorn_ingest::{Raw, SourceConfig, Span};
use foghorn_model::incident::Status;
use foghorn_model::{
    Incident, Labels, LabelsBuilder, Offset, Partition, STALE_NAN, Signal, Timestamp,
    TransitionKind,
};
use foghorn_rules::{LoadOptions, Source, load};
use foghorn_runtime::{Layout, Pipeline};
use foghorn_wire::Format;
use foghorn_wire::encode::{LogLine, OtlpLogs, RemoteWrite};

/// When every scenario begins.
pub const BEGIN: Timestamp = Timestamp(1_767_225_600_000);

const METRICS: u16 = 0;
const LOGS: u16 = 1;
const CHANGES: u16 = 2;

/// A scenario, parsed.
#[derive(Debug, Default)]
pub struct Scenario {
    rules: String,
    graph: String,
    /// Records: (partition, event time, format's bytes), in no order.
    records: Vec<(Partition, Timestamp, Vec<u8>)>,
    end_ms: i64,
    expects: Vec<(usize, i64, String)>,
    scope: Vec<String>,
    replica: Option<String>,
}

/// What a scenario's text, or what became of it, is wrong with: one line each, `line: words`.
pub type Complaints = Vec<String>;

impl Scenario {
    /// Parses a text.
    ///
    /// # Errors
    /// Every line that is not understood.
    pub fn parse(text: &str) -> Result<Self, Complaints> {
        let mut scenario = Self::default();
        let mut complaints = Vec::new();
        let mut section: Vec<String> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            let Some(first) = words.first() else { continue };
            if first.starts_with('#')
                && section
                    .first()
                    .is_none_or(|name| name != "rules" && name != "graph")
            {
                continue;
            }
            let result = if line.starts_with(' ') {
                scenario.line(&section, number, line)
            } else {
                section = words;
                match section[0].as_str() {
                    "rules" | "graph" | "series" | "logs" | "changes" | "expect" => Ok(()),
                    "scope" => scenario.scope(&section[1..]),
                    "end" => section
                        .get(1)
                        .map_or(Err("end when?".to_owned()), |at| span(at))
                        .map(|at| scenario.end_ms = at),
                    other => Err(format!("no section is called {other:?}")),
                }
            };
            if let Err(why) = result {
                complaints.push(format!("{number}: {why}"));
            }
        }
        if complaints.is_empty() {
            Ok(scenario)
        } else {
            Err(complaints)
        }
    }

    fn line(&mut self, section: &[String], number: usize, line: &str) -> Result<(), String> {
        let partition = match section.iter().position(|word| word == "partition") {
            Some(at) => section
                .get(at + 1)
                .and_then(|n| n.parse().ok())
                .ok_or("partition which?")?,
            None => 0,
        };
        match section.first().map_or("", String::as_str) {
            "rules" => add_line(&mut self.rules, line),
            "graph" => add_line(&mut self.graph, line),
            "series" => {
                let every = section
                    .get(2)
                    .ok_or("series every how long?")
                    .map_err(str::to_owned)
                    .and_then(|s| span(s))?;
                self.series(Partition::new(METRICS, partition), every, line.trim())?;
            }
            "logs" => self.logs(Partition::new(LOGS, partition), line.trim())?,
            "changes" => self.change(line.trim())?,
            "expect" => {
                let (at, what) = line.trim().split_once(' ').ok_or("expect what?")?;
                self.expects
                    .push((number, span(at)?, what.trim().to_owned()));
            }
            _ => return Err("it stands in no section".to_owned()),
        }
        Ok(())
    }

    fn scope(&mut self, words: &[String]) -> Result<(), String> {
        let mut words = words.iter().cloned();
        self.scope = words
            .by_ref()
            .take_while(|word| word != "replica")
            .collect();
        self.replica = words.next();
        match words.next() {
            None => Ok(()),
            Some(word) => Err(format!(
                "a scope is: LABEL… [replica LABEL], without {word:?}"
            )),
        }
    }

    fn put(&mut self, partition: Partition, at_ms: i64, bytes: Vec<u8>) {
        self.end_ms = self.end_ms.max(at_ms);
        self.records.push((partition, BEGIN + at_ms, bytes));
    }

    fn series(&mut self, partition: Partition, every_ms: i64, line: &str) -> Result<(), String> {
        let (labels, rest) = selector(line)?;
        let mut at_ms = 0;
        for word in rest.split_whitespace() {
            for value in values(word)? {
                if let Some(value) = value {
                    let body = RemoteWrite::new()
                        .series(&labels, &[(BEGIN + at_ms, value)])
                        .into_bytes();
                    self.put(partition, at_ms, body);
                }
                at_ms += every_ms;
            }
        }
        Ok(())
    }

    fn logs(&mut self, partition: Partition, line: &str) -> Result<(), String> {
        let (when, rest) = line
            .split_once(' ')
            .ok_or("a log line is: WHEN {labels} text")?;
        let (first, last, every, rest) = match when.split_once("..") {
            None => (span(when)?, span(when)?, 1, rest),
            Some((first, last)) => {
                let rest = rest
                    .trim()
                    .strip_prefix("every ")
                    .ok_or("every how long?")?;
                let (every, rest) = rest
                    .split_once(' ')
                    .ok_or("a log line is: WHEN {labels} text")?;
                (span(first)?, span(last)?, span(every)?, rest)
            }
        };
        let (labels, text) = selector(rest.trim())?;
        let attributes: Vec<_> = labels
            .iter()
            .map(|(n, v)| (n.replacen("service_name", "service.name", 1), v.to_owned()))
            .collect();
        let attributes: Vec<_> = attributes
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        for at_ms in (first..=last).step_by(every.max(1) as usize) {
            let record = LogLine {
                at: BEGIN + at_ms,
                severity: 0,
                line: text.trim(),
                attributes: &[],
            };
            let body = OtlpLogs::new().resource(&attributes, |logs| {
                logs.line(&record);
            });
            let body = body.into_bytes();
            self.put(partition, at_ms, body);
        }
        Ok(())
    }

    fn change(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<_> = line.split_whitespace().collect();
        let [when, kind, service, rest @ ..] = words.as_slice() else {
            return Err("a change is: WHEN KIND SERVICE [VERSION]".to_owned());
        };
        let at_ms = span(when)?;
        let body = serde_json::json!({
            "id": line, "kind": kind, "service": service, "version": rest.first().copied().unwrap_or(""),
            "timestamp": (BEGIN + at_ms).to_string(),
        });
        self.put(
            Partition::new(CHANGES, 0),
            at_ms,
            body.to_string().into_bytes(),
        );
        Ok(())
    }

    /// Runs it on so many shards, and compares.
    ///
    /// # Errors
    /// Every expectation that does not hold, and what holds in its place.
    pub fn run(&self, layout: &Layout) -> Result<(), Complaints> {
        let (timeline, refused) = self.play(layout)?;
        let mut complaints = refused;
        for (line, at_ms, what) in &self.expects {
            if let Err(why) = timeline.check(BEGIN + *at_ms, what) {
                complaints.push(format!(
                    "{line}: at {}: expected {what}: {why}",
                    foghorn_model::time::span_text(*at_ms)
                ));
            }
        }
        if complaints.is_empty() {
            Ok(())
        } else {
            Err(complaints)
        }
    }

    fn play(&self, layout: &Layout) -> Result<(Timeline, Complaints), Complaints> {
        let files = [Source::new("scenario", dedent(&self.rules))];
        let (rules, diagnostics) = load(&files, &LoadOptions::default());
        if !diagnostics.is_empty() {
            return Err(diagnostics
                .iter()
                .map(|d| d.render(&files[0].text, false))
                .collect());
        }
        let graph: TopologyFile = if self.graph.is_empty() {
            TopologyFile::default()
        } else {
            serde_saphyr::from_str(&dedent(&self.graph)).map_err(|error| vec![error.to_string()])?
        };
        let sources = [
            SourceConfig {
                allowed_lateness: Some(Span(2_000)),
                scope: self.scope.clone(),
                replica: self.replica.clone(),
                ..SourceConfig::of("metrics", Format::RemoteWrite1)
            },
            SourceConfig {
                allowed_lateness: Some(Span(2_000)),
                ..SourceConfig::of("logs", Format::OtlpLogsProto)
            },
            SourceConfig::of("changes", Format::Changes),
        ];
        let correlator = Correlator::new(Config::default(), Topology::new(&graph));
        let mut pipeline = Pipeline::new(
            Arc::new(Catalog::new(rules)),
            &sources,
            correlator,
            Vec::new(),
            layout,
        );
        pipeline.brain().follow_event_time();
        pipeline.brain().start(BEGIN - 1, Timestamp::MIN);
        pipeline.brain().stop_at(BEGIN + self.end_ms);

        let mut records = self.records.clone();
        records.sort_by_key(|(partition, at, _)| (*at, *partition));
        let mut offsets: BTreeMap<Partition, Offset> = BTreeMap::new();
        for (partition, ..) in &records {
            offsets.insert(*partition, 0);
        }
        for partition in offsets.keys() {
            pipeline.join(*partition, 0, &[], 0, BEGIN);
        }
        let mut left: BTreeMap<Partition, usize> = BTreeMap::new();
        records
            .iter()
            .for_each(|(partition, ..)| *left.entry(*partition).or_default() += 1);
        let mut timeline = Timeline::default();
        let mut refused = Vec::new();
        for (partition, at, payload) in &records {
            let offset = offsets.entry(*partition).or_default();
            let raw = Raw {
                partition: *partition,
                offset: *offset,
                timestamp: Some(*at),
                payload,
                ..Raw::default()
            };
            *offset += 1;
            if let Err(refusal) = pipeline.feed(&raw, Some(*at)) {
                refused.push(format!(
                    "a record was refused: {}: {}",
                    refusal.code, refusal.detail
                ));
            }
            let left = left.entry(*partition).or_default();
            *left -= 1;
            if *left == 0 {
                pipeline.finish(*partition);
            }
            timeline.take(pipeline.step(*at));
        }
        timeline.take(pipeline.step(BEGIN + self.end_ms));
        Ok((timeline, refused))
    }

    /// Everything that was said, as text: for comparing runs.
    ///
    /// # Errors
    /// The scenario's rules or graph do not load.
    pub fn signals(&self, layout: &Layout) -> Result<String, Complaints> {
        let (timeline, _) = self.play(layout)?;
        let told: Vec<_> = timeline
            .signals
            .iter()
            .map(|signal| format!("{signal:?}"))
            .collect();
        Ok(told.join("\n"))
    }
}

/// What was said when.
#[derive(Debug, Default)]
struct Timeline {
    signals: Vec<Signal>,
    incidents: Vec<Incident>,
}

impl Timeline {
    fn take(&mut self, step: foghorn_runtime::Step) {
        for entry in step.entries {
            if let Entry::Tick { signals, .. } | Entry::Arrival { signals, .. } = entry {
                self.signals.extend(signals);
            }
        }
        self.incidents.extend(step.incidents);
    }

    fn check(&self, at: Timestamp, what: &str) -> Result<(), String> {
        let (word, rest) = what.split_once(' ').unwrap_or((what, ""));
        match word {
            "firing" | "pending" | "resolved" | "dropped" => self.alert(at, word, rest),
            "none" => {
                let alive: Vec<_> = self
                    .states(at)
                    .into_iter()
                    .filter(|(key, state)| {
                        is_named(key, rest) && (state.0 == "firing" || state.0 == "pending")
                    })
                    .collect();
                if alive.is_empty() {
                    Ok(())
                } else {
                    Err(format!("there is {alive:?}"))
                }
            }
            "incidents" => {
                let open = self.open(at);
                let titles: Vec<_> = open
                    .iter()
                    .map(|incident| incident.title.as_str())
                    .collect();
                if rest.trim().parse() == Ok(open.len()) {
                    Ok(())
                } else {
                    Err(format!("{} are open: {titles:?}", open.len()))
                }
            }
            "incident" => self.incident(at, rest),
            other => Err(format!("nothing can be expected by the word {other:?}")),
        }
    }

    /// Per (alert name, labels): the last word on it, and its reason.
    fn states(&self, at: Timestamp) -> BTreeMap<(String, Labels), (&'static str, String)> {
        let mut states = BTreeMap::new();
        for signal in &self.signals {
            match signal {
                Signal::Transition(t) if t.at <= at => {
                    let word = match t.kind {
                        TransitionKind::Pending => "pending",
                        TransitionKind::Firing => "firing",
                        TransitionKind::Dropped => "dropped",
                        TransitionKind::Resolved => "resolved",
                    };
                    states.insert(
                        (t.rule.name.to_string(), t.labels.clone()),
                        (word, t.reason.code().to_owned()),
                    );
                }
                Signal::Match(m) if m.at <= at => {
                    let quiet = at - m.at >= m.resolve_after_ms;
                    let state = if quiet {
                        ("resolved", "quiet")
                    } else {
                        ("firing", "matched")
                    };
                    states.insert(
                        (m.rule.name.to_string(), m.labels.clone()),
                        (state.0, state.1.to_owned()),
                    );
                }
                _ => {}
            }
        }
        states
    }

    fn alert(&self, at: Timestamp, word: &str, rest: &str) -> Result<(), String> {
        let (who, reason) = rest
            .split_once(" because ")
            .map_or((rest, None), |(who, reason)| (who, Some(reason.trim())));
        let states = self.states(at);
        let named: Vec<_> = states
            .iter()
            .filter(|(key, _)| is_named(key, who))
            .collect();
        let holds = named
            .iter()
            .any(|(_, (state, why))| *state == word && reason.is_none_or(|reason| reason == why));
        if holds {
            Ok(())
        } else {
            Err(format!("of that name there is {named:?}"))
        }
    }

    fn open(&self, at: Timestamp) -> Vec<&Incident> {
        let mut latest = BTreeMap::new();
        for incident in self
            .incidents
            .iter()
            .filter(|incident| incident.updated_at <= at)
        {
            latest.insert(incident.id, incident);
        }
        latest
            .into_values()
            .filter(|incident| matches!(incident.status, Status::Open | Status::Acknowledged))
            .collect()
    }

    fn incident(&self, at: Timestamp, rest: &str) -> Result<(), String> {
        let words: Vec<_> = rest.split_whitespace().collect();
        let open = self.open(at);
        let fits = |incident: &&Incident| {
            let mut words = words.iter();
            while let Some(word) = words.next() {
                let argument = || words.clone().next().copied().unwrap_or("");
                let fits = match *word {
                    "services" => {
                        let has = |name: &str| {
                            incident.services.iter().any(|service| service.name == name)
                        };
                        argument().split(',').all(has)
                            && argument().split(',').count() == incident.services.len()
                    }
                    "cause" => incident
                        .suspects
                        .first()
                        .is_some_and(|s| s.service == argument()),
                    "change" => incident
                        .suspects
                        .first()
                        .and_then(|s| s.change.as_ref())
                        .is_some_and(|c| c.version == argument()),
                    "alerts" => incident.alerts_total.to_string() == argument(),
                    level => {
                        if incident.priority.level.to_string() != level {
                            return false;
                        }
                        continue;
                    }
                };
                if !fits {
                    return false;
                }
                words.next();
            }
            true
        };
        if open.iter().any(fits) {
            return Ok(());
        }
        let told: Vec<_> = open
            .iter()
            .map(|incident| {
                let services: Vec<_> = incident.services.iter().map(|s| s.name.as_str()).collect();
                format!(
                    "{} {:?}, services {}, {} alerts, suspects {:?}",
                    incident.priority.level,
                    incident.title,
                    services.join(","),
                    incident.alerts_total,
                    incident
                        .suspects
                        .iter()
                        .map(|s| (&s.service, s.change.as_ref().map(|c| &c.version), s.score))
                        .collect::<Vec<_>>()
                )
            })
            .collect();
        Err(format!("open are: {told:#?}"))
    }
}

/// Whether an alert has the name and the labels that `who` names: `Name{label="value"}`.
fn is_named((name, labels): &(String, Labels), who: &str) -> bool {
    let (wanted, some) = match who.split_once('{') {
        None => (who.trim(), Labels::empty()),
        Some((name, _)) => (
            name.trim(),
            selector(who.trim())
                .map(|(labels, _)| labels.without_name())
                .unwrap_or_default(),
        ),
    };
    name == wanted && some.iter().all(|(n, v)| labels.get(n) == Some(v))
}

/// `name{a="b"} rest` or `{a="b"} rest` → labels and the rest.
fn selector(text: &str) -> Result<(Labels, &str), String> {
    let mut builder = LabelsBuilder::default();
    let (name, rest) = match text.find(['{', ' ']) {
        Some(at) if text[at..].starts_with('{') => (&text[..at], &text[at + 1..]),
        Some(at) => {
            builder.set("__name__", &text[..at]);
            return Ok((builder.build(), &text[at..]));
        }
        None => {
            builder.set("__name__", text);
            return Ok((builder.build(), ""));
        }
    };
    builder.set("__name__", name);
    let close = rest.find('}').ok_or("a } is missing")?;
    for pair in rest[..close]
        .split(',')
        .filter(|pair| !pair.trim().is_empty())
    {
        let (label, value) = pair.split_once('=').ok_or("a label is name=\"value\"")?;
        builder.set(label.trim(), value.trim().trim_matches('"'));
    }
    Ok((builder.build(), &rest[close + 1..]))
}

fn span(text: &str) -> Result<i64, String> {
    text.parse::<Span>().map(|span| span.0)
}

/// Prometheus' series notation; a gap is `None`.
fn values(word: &str) -> Result<Vec<Option<f64>>, String> {
    let bad = || format!("{word:?} is no series of values");
    let (body, times) = match word.rsplit_once('x') {
        Some((body, times)) => (body, Some(times.parse::<usize>().map_err(|_| bad())?)),
        None => (word, None),
    };
    match body {
        "_" => return Ok(vec![None; times.unwrap_or(1)]),
        "stale" => return Ok(vec![Some(STALE_NAN); 1 + times.unwrap_or(0)]),
        _ => {}
    }
    let split = body
        .char_indices()
        .skip(1)
        .find(|(at, c)| matches!(c, '+' | '-') && !body[..*at].ends_with(['e', 'E']));
    let (start, step) = match split {
        Some((at, _)) => (&body[..at], body[at..].parse::<f64>().map_err(|_| bad())?),
        None => (body, 0.0),
    };
    let start: f64 = start.parse().map_err(|_| bad())?;
    Ok((0..=times.unwrap_or(0))
        .map(|i| Some(start + step * i as f64))
        .collect())
}

fn add_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn dedent(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let indent = lines
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    let mut dedented = String::new();
    text.lines()
        .for_each(|line| add_line(&mut dedented, line.get(indent..).unwrap_or("")));
    dedented
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_prometheus_notation() {
        let check = |word: &str, expect: &[f64]| {
            let got: Vec<_> = values(word)
                .unwrap()
                .into_iter()
                .map(|v| v.unwrap_or(-99.0))
                .collect();
            assert_eq!(got, expect, "{word}");
        };
        check("1+2x3", &[1.0, 3.0, 5.0, 7.0]);
        check("5x2", &[5.0, 5.0, 5.0]);
        check("10-1x1", &[10.0, 9.0]);
        check("_x2", &[-99.0, -99.0]);
        check("1e-3", &[1e-3]);
    }

    #[test]
    fn what_is_not_understood_is_said_with_its_line() {
        assert_eq!(
            Scenario::parse("serie\n").unwrap_err(),
            ["1: no section is called \"serie\""]
        );
        assert_eq!(
            Scenario::parse("expect\n  soon firing X\n")
                .unwrap_err()
                .len(),
            1
        );
    }
}
