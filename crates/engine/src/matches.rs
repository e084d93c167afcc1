//! Match rules: per (rule, labels, partition, bucket of event time) a `first` on arrival and a
//! `total` at the first tick past the bucket.

use std::collections::BTreeMap;

use foghorn_eval::alerts::rule_ref;
use foghorn_eval::intake::MatchHit;
use foghorn_model::{
    Labels, LabelsBuilder, MatchKind, MatchSignal, Partition, RuleId, Signal, SignalId, Timestamp,
};
use foghorn_rules::plan::{Group, Rule};
use foghorn_rules::template::TemplateContext;
use serde::{Deserialize, Serialize};

use crate::history::MatchKey;

/// A late match may still open its bucket so long after the bucket's end, in milliseconds.
pub(crate) const MEMORY_MS: i64 = 3_600_000;

/// Its records that the coming tick may see, and late ones that it may not see yet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Bucket {
    count: u64,
    last_at: Timestamp,
    line: String,
    told: bool,
    late: Vec<(Timestamp, MatchHit)>,
}

impl Bucket {
    fn add(&mut self, at: Timestamp, line: &str) {
        self.count += 1;
        if self.count == 1 || at >= self.last_at {
            self.last_at = at;
            line.clone_into(&mut self.line);
        }
    }

    /// Takes in a record: a late one counts at ticks after its partition's watermark only.
    fn take(&mut self, hit: &MatchHit) {
        match hit.hidden {
            None => self.add(hit.at, &hit.line),
            Some(_) if self.told => {}
            Some(hidden) => self.late.push((hidden, hit.clone())),
        }
    }

    fn see(&mut self, tick: Timestamp) {
        for (_, hit) in self
            .late
            .extract_if(.., |(hidden, _)| *hidden < tick)
            .collect::<Vec<_>>()
        {
            self.add(hit.at, &hit.line);
        }
    }
}

/// State of one match rule.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RuleMatches {
    buckets: BTreeMap<(Timestamp, Labels, Partition), Bucket>,
}

impl RuleMatches {
    /// A record matched: the first of its bucket speaks.
    pub(crate) fn arrive(
        &mut self,
        group: &Group,
        rule: &Rule,
        from: Partition,
        hit: &MatchHit,
        resolve_after_ms: i64,
    ) -> Option<Signal> {
        let bucket = hit.at.next_slot(group.interval_ms, group.slot_ms) - group.interval_ms;
        // Its bucket may be forgotten already or not: that is chance, so nothing is said.
        if hit
            .hidden
            .is_some_and(|hidden| bucket + group.interval_ms + MEMORY_MS <= hidden)
        {
            return None;
        }
        let labels = alert_labels(rule, &hit.labels);
        if let Some(known) = self.buckets.get_mut(&(bucket, labels.clone(), from)) {
            known.take(hit);
            return None;
        }
        let first = Bucket {
            count: 1,
            last_at: hit.at,
            line: hit.line.clone(),
            ..Bucket::default()
        };
        let signal = signal(
            group,
            rule,
            MatchKind::First,
            bucket,
            &labels,
            from,
            &first,
            resolve_after_ms,
        );
        self.buckets
            .entry((bucket, labels, from))
            .or_default()
            .take(hit);
        Some(signal)
    }

    /// Buckets whose firsts the log holds: they are not said again, nor are totals. The records of
    /// those whose totals are still to be said are read again.
    pub(crate) fn recall(&mut self, rule: RuleId, matched: &BTreeMap<MatchKey, bool>) {
        for ((id, labels, from, bucket), told) in matched {
            if *id == rule {
                self.buckets
                    .entry((*bucket, labels.clone(), *from))
                    .or_default()
                    .told = *told;
            }
        }
    }

    /// A tick closed: buckets that lie before it say their totals.
    pub(crate) fn tick(
        &mut self,
        group: &Group,
        rule: &Rule,
        tick: Timestamp,
        resolve_after_ms: i64,
    ) -> Vec<Signal> {
        let past = |bucket: Timestamp| bucket + group.interval_ms <= tick;
        let mut signals = Vec::new();
        for ((bucket, labels, from), state) in &mut self.buckets {
            if !past(*bucket) {
                break;
            }
            state.see(tick);
            if state.count > 0 && !std::mem::replace(&mut state.told, true) {
                signals.push(signal(
                    group,
                    rule,
                    MatchKind::Total,
                    *bucket,
                    labels,
                    *from,
                    state,
                    resolve_after_ms,
                ));
            }
        }
        while let Some(entry) = self.buckets.first_entry() {
            if entry.key().0 + group.interval_ms + MEMORY_MS > tick {
                break;
            }
            entry.remove();
        }
        signals
    }
}

fn alert_labels(rule: &Rule, labels: &Labels) -> Labels {
    let context = TemplateContext::new(labels, 1.0);
    let mut builder = LabelsBuilder::default();
    for (name, value) in labels.iter() {
        builder.set(name, value);
    }
    for (name, template) in &rule.labels {
        builder.set(name, &template.render(&context));
    }
    builder.set("alertname", &rule.name);
    builder.build()
}

#[expect(
    clippy::too_many_arguments,
    reason = "one place builds the signal from all that it consists of"
)]
fn signal(
    group: &Group,
    rule: &Rule,
    kind: MatchKind,
    bucket: Timestamp,
    labels: &Labels,
    from: Partition,
    state: &Bucket,
    resolve_after_ms: i64,
) -> Signal {
    let code = match kind {
        MatchKind::First => "first",
        MatchKind::Total => "total",
    };
    let context = TemplateContext::new(labels, state.count as f64);
    let annotations = Labels::from_pairs(
        rule.annotations
            .iter()
            .map(|(name, template)| (name.as_str(), template.render(&context))),
    );
    Signal::Match(MatchSignal {
        id: SignalId::matched(rule.id, labels, from, bucket, code),
        rule: rule_ref(rule, group),
        kind,
        partition: from,
        bucket,
        at: state.last_at,
        labels: labels.clone(),
        annotations,
        count: state.count,
        line: state.line.clone(),
        resolve_after_ms,
    })
}
