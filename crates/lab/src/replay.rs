//! `foghorn replay`: the same engine over recorded files, as fast as the machine goes.
//!
//! Deterministic: the partition with the lowest watermark is read next, correlation's now is the
//! low watermark of all files, and nothing depends on wall time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foghorn_correlate::Correlator;
use foghorn_engine::Entry;
use foghorn_eval::catalog::Catalog;
use foghorn_ingest::{Raw, Recording, SourceConfig};
use foghorn_model::{Incident, Offset, Partition, RuleId, Signal, Timestamp, TransitionKind};
use foghorn_runtime::{Layout, Pipeline, Step};
use serde::Serialize;

use crate::span_of::span_of;

/// What one rule did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RuleRow {
    /// Group.
    pub group: String,
    /// Name.
    pub rule: String,
    /// Alerts that fired.
    pub firings: u64,
    /// Time that its alerts fired, summed over alerts, in milliseconds (until the last tick for
    /// those that still fire).
    pub firing_ms: i64,
    /// Incidents that its alerts were members of.
    pub incidents: u64,
}

/// What a replay came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Records read.
    pub records: u64,
    /// Samples and log records in them.
    pub events: u64,
    /// Records, or parts of records, that could not be used, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Samples at or below their file's watermark.
    pub late: u64,
    /// First and last event time, in milliseconds since the epoch.
    pub span: Option<(i64, i64)>,
    /// Alerts that fired.
    pub alerts: u64,
    /// Incidents.
    pub incidents: u64,
    /// Per alerting rule, in (file, position) order.
    pub rules: Vec<RuleRow>,
}

/// Keeps the books of a run: what fired how long, in which incidents.
#[derive(Debug, Default)]
pub struct Books {
    rows: BTreeMap<RuleId, RuleRow>,
    firing: BTreeMap<(RuleId, String), Timestamp>,
    incidents: BTreeMap<String, BTreeSet<foghorn_model::IncidentId>>,
    all: BTreeSet<foghorn_model::IncidentId>,
    last: Timestamp,
}

impl Books {
    /// Takes a step's entries and incidents down.
    pub fn take(&mut self, step: &Step) {
        for entry in &step.entries {
            match entry {
                Entry::Tick { tick, signals, .. } => {
                    self.last = self.last.max(*tick);
                    signals.iter().for_each(|signal| self.signal(signal));
                }
                Entry::Arrival { signals, .. } => {
                    signals.iter().for_each(|signal| self.signal(signal));
                }
                _ => {}
            }
        }
        for incident in &step.incidents {
            self.all.insert(incident.id);
            for member in &incident.alerts {
                self.incidents
                    .entry(member.name.clone())
                    .or_default()
                    .insert(incident.id);
            }
        }
    }

    fn signal(&mut self, signal: &Signal) {
        let (rule, key, at, begins) = match signal {
            Signal::Transition(t) => match t.kind {
                TransitionKind::Firing => (&t.rule, t.labels.to_string(), t.at, true),
                TransitionKind::Resolved => (&t.rule, t.labels.to_string(), t.at, false),
                TransitionKind::Pending | TransitionKind::Dropped => return,
            },
            Signal::Match(m) => {
                // A match fires until `resolve_after` has passed without another.
                let key = (m.rule.id, m.labels.to_string());
                let row = self.rows.entry(m.rule.id).or_default();
                let until = self.firing.entry(key).or_insert(Timestamp::MIN);
                if m.at > *until {
                    row.firings += 1;
                    row.firing_ms += m.resolve_after_ms;
                } else {
                    row.firing_ms += (m.at + m.resolve_after_ms - *until).max(0);
                }
                *until = (*until).max(m.at + m.resolve_after_ms);
                return;
            }
            Signal::Evidence(_) => return,
        };
        let key = (rule.id, key);
        let row = self.rows.entry(rule.id).or_default();
        if begins {
            row.firings += u64::from(self.firing.insert(key, at).is_none());
        } else if let Some(since) = self.firing.remove(&key) {
            row.firing_ms += at - since;
        }
    }

    /// Alerts that fired so far.
    pub fn alerts(&self) -> u64 {
        self.rows.values().map(|row| row.firings).sum()
    }

    /// Incidents so far.
    pub fn incidents(&self) -> u64 {
        self.all.len() as u64
    }

    /// The table, every alerting rule in it.
    pub fn rows(mut self, catalog: &Catalog) -> Vec<RuleRow> {
        use foghorn_rules::plan::RuleKind;
        for ((rule, _), since) in std::mem::take(&mut self.firing) {
            let matched = catalog
                .rules
                .groups
                .iter()
                .flat_map(|g| &g.rules)
                .any(|r| r.id == rule && matches!(r.kind, RuleKind::Match { .. }));
            if !matched {
                self.rows.entry(rule).or_default().firing_ms += (self.last - since).max(0);
            }
        }
        let groups = catalog
            .rules
            .groups
            .iter()
            .flat_map(|group| group.rules.iter().map(move |rule| (group, rule)));
        groups
            .filter(|(_, rule)| !matches!(rule.kind, RuleKind::Record { .. }))
            .map(|(group, rule)| RuleRow {
                group: group.name.to_string(),
                rule: rule.name.to_string(),
                incidents: self
                    .incidents
                    .get(&*rule.name)
                    .map_or(0, |ids| ids.len() as u64),
                ..self.rows.get(&rule.id).cloned().unwrap_or_default()
            })
            .collect()
    }
}

/// Replays files. `on_step` hears of every step, with the share of records read so far.
///
/// The table's incidents count by alert name, as incident revisions list their members.
pub fn replay(
    catalog: &Arc<Catalog>,
    correlator: Correlator,
    external: Vec<(String, String)>,
    files: &[(Recording, SourceConfig)],
    layout: &Layout,
    mut on_step: impl FnMut(&Step, f64),
) -> Summary {
    let mut summary = Summary::default();
    let mut books = Books::default();
    let sources: Vec<_> = files.iter().map(|(_, source)| source.clone()).collect();
    let mut pipeline = Pipeline::new(Arc::clone(catalog), &sources, correlator, external, layout);
    let Some((first, last)) = span_of(files) else {
        summary.rules = books.rows(catalog);
        return summary;
    };
    summary.span = Some((first.ms(), last.ms()));
    pipeline.brain().follow_event_time();
    pipeline.brain().start(first - 1, Timestamp::MIN);
    pipeline.brain().stop_at(last);

    let total: usize = files.iter().map(|(recording, _)| recording.len()).sum();
    let mut next = vec![0_usize; files.len()];
    let partition = |file: usize| Partition::new(file as u16, 0);
    for (file, (recording, _)) in files.iter().enumerate() {
        pipeline.join(partition(file), 0, &[], 0, Timestamp::MIN);
        if recording.is_empty() {
            pipeline.finish(partition(file));
        }
    }
    let mut read = 0_usize;
    loop {
        // Lowest watermark first, then file order: nothing waits long, and nothing depends on chance.
        let open = (0..files.len()).filter(|file| next[*file] < files[*file].0.len());
        let Some(file) = open.min_by_key(|file| (pipeline.watermark(partition(*file)), *file))
        else {
            break;
        };
        let recording = &files[file].0;
        let raw = Raw {
            partition: partition(file),
            offset: next[file] as Offset,
            timestamp: None,
            format: Some(recording.format),
            payload: recording.record(next[file]),
            ..Raw::default()
        };
        if let Err(refusal) = pipeline.feed(&raw, None) {
            *summary.refused.entry(refusal.code.to_owned()).or_default() += 1;
        }
        next[file] += 1;
        read += 1;
        if next[file] == recording.len() {
            pipeline.finish(partition(file));
        }
        let step = pipeline.step(Timestamp::MIN);
        if !step.entries.is_empty() || read.is_multiple_of(4_096) {
            books.take(&step);
            on_step(&step, read as f64 / total as f64);
        }
    }
    let step = pipeline.step(Timestamp::MIN);
    books.take(&step);
    on_step(&step, 1.0);
    for (_, _, refusal) in pipeline.take_refused() {
        *summary.refused.entry(refusal.code.to_owned()).or_default() += 1;
    }
    let stats = pipeline.intake_stats();
    (summary.records, summary.events, summary.late) =
        (stats.records, stats.samples + stats.log_records, stats.late);
    (summary.alerts, summary.incidents) = (books.alerts(), books.incidents());
    summary.rules = books.rows(catalog);
    summary
}

/// One line of NDJSON for an incident revision.
pub fn line(incident: &Incident) -> String {
    foghorn_wire::out::ndjson(incident)
}
