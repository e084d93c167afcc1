//! The catalog: every distinct read that the rules in force make, indexed for births of series.
//!
//! Built once from a [`RuleSet`], shared by intakes, shards and core. Immutable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use foghorn_model::labels::NAME;
use foghorn_model::matcher::all_match;
use foghorn_model::{Labels, Timestamp};
use foghorn_rules::logql::Pipeline;
use foghorn_rules::plan::{ALERT_SERIES, Expr, Group, LeafId, Read, RuleKind, RuleSet, Selector};
use xxhash_rust::xxh3::xxh3_128;

use crate::logs::LogMatcher;
use crate::read_index::ReadIndex;
use crate::scope::{Scoping, SourceScope};

/// Index of a distinct read in [`Catalog::reads`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u32);

/// Position of a group in the rule set: (file, position) order.
pub type GroupIndex = usize;

/// What a distinct read covers.
#[derive(Clone, Debug)]
pub enum Target {
    /// Series that a selector accepts.
    Series(Selector),
    /// Label sets that a log pipeline gives; the number counts [`Catalog::pipelines`].
    Log(usize),
}

impl Target {
    /// Whether it covers the same as another catalog's target.
    pub fn same(&self, other: &Self, own: &Catalog, others: &Catalog) -> bool {
        match (self, other) {
            (Self::Series(a), Self::Series(b)) => a == b,
            (Self::Log(a), Self::Log(b)) => own.pipelines[*a] == others.pipelines[*b],
            _ => false,
        }
    }
}

/// A distinct read and who makes it.
#[derive(Clone, Debug)]
pub struct ReadSpec {
    /// What it covers.
    pub target: Target,
    /// Per group that reads it: how far back from its tick it can reach, in milliseconds.
    pub reach_ms: BTreeMap<GroupIndex, i64>,
}

/// What a pipeline's hits are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HitUse {
    /// Counted in windows, under this read.
    Window(ReadId),
    /// An alert on arrival: (group, rule's position in it).
    Match(GroupIndex, usize),
}

/// See the module's text.
#[derive(Debug)]
pub struct Catalog {
    /// The rules.
    pub rules: RuleSet,
    /// Distinct reads.
    pub reads: Vec<ReadSpec>,
    /// Distinct pipelines, those of match rules among them.
    pub pipelines: Vec<Arc<Pipeline>>,
    /// What each pipeline's hits are for.
    pub uses: Vec<Vec<HitUse>>,
    /// Per pipeline: a hash of what it says, which a reload does not change.
    pipeline_keys: Vec<u128>,
    /// All pipelines, compiled.
    pub matcher: LogMatcher,
    /// Per group, per leaf: its read; `None` for subqueries.
    leaf_reads: Vec<Vec<Option<ReadId>>>,
    /// Per group: its distinct reads.
    group_reads: Vec<Vec<ReadId>>,
    index: ReadIndex,
    /// Per group: the groups whose recorded series it reads.
    recorders: Vec<BTreeSet<GroupIndex>>,
    /// Whether some rule reads the series in which alerts show.
    reads_alerts: bool,
    /// Metrics that several rules of one group record.
    shared_records: BTreeSet<String>,
    /// Names of the sources, by position in the config.
    sources: OnceLock<Vec<String>>,
    /// Which labels of the sources' series are scope and replica.
    scoping: OnceLock<Scoping>,
}

/// Stands for the source of recorded series: every group reads them.
pub const RECORDED: u16 = u16::MAX;

impl Catalog {
    /// Indexes a rule set.
    pub fn new(rules: RuleSet) -> Self {
        let mut catalog = Self {
            reads: Vec::new(),
            pipelines: Vec::new(),
            uses: Vec::new(),
            pipeline_keys: Vec::new(),
            matcher: LogMatcher::new(&[]),
            leaf_reads: Vec::new(),
            group_reads: Vec::new(),
            index: ReadIndex::default(),
            recorders: Vec::new(),
            reads_alerts: false,
            shared_records: BTreeSet::new(),
            sources: OnceLock::new(),
            scoping: OnceLock::new(),
            rules,
        };
        let groups = catalog.rules.groups.clone();
        for (g, group) in groups.iter().enumerate() {
            let reach = leaf_reach(group);
            let reads = group.leaves.iter().zip(&reach).map(|(leaf, &reach)| {
                let target = match &leaf.read {
                    Read::Instant { selector, .. } | Read::Range { selector, .. } => {
                        Target::Series(selector.clone())
                    }
                    Read::Log { pipeline, .. } => Target::Log(catalog.pipeline(pipeline)),
                    Read::Subquery { .. } => return None,
                };
                let read = catalog.read(target);
                let known = catalog.reads[read.0 as usize]
                    .reach_ms
                    .entry(g)
                    .or_default();
                *known = reach.max(*known);
                Some(read)
            });
            let reads: Vec<_> = reads.collect();
            let distinct: BTreeSet<_> = reads.iter().flatten().copied().collect();
            catalog.group_reads.push(distinct.into_iter().collect());
            catalog.leaf_reads.push(reads);
            for (r, rule) in group.rules.iter().enumerate() {
                if let RuleKind::Match { pipeline, .. } = &rule.kind {
                    let pipeline = catalog.pipeline(pipeline);
                    catalog.uses[pipeline].push(HitUse::Match(g, r));
                }
            }
        }
        catalog.index();
        catalog
    }

    fn pipeline(&mut self, pipeline: &Arc<Pipeline>) -> usize {
        self.pipelines
            .iter()
            .position(|known| known == pipeline)
            .unwrap_or_else(|| {
                self.pipelines.push(Arc::clone(pipeline));
                self.uses.push(Vec::new());
                let said = format!("{}\u{0}{:?}", pipeline.text, pipeline.keep);
                self.pipeline_keys.push(xxh3_128(said.as_bytes()));
                self.pipelines.len() - 1
            })
    }

    fn read(&mut self, target: Target) -> ReadId {
        let known = self
            .reads
            .iter()
            .position(|read| match (&read.target, &target) {
                (Target::Series(a), Target::Series(b)) => a == b,
                (Target::Log(a), Target::Log(b)) => a == b,
                _ => false,
            });
        ReadId(known.unwrap_or_else(|| {
            self.reads.push(ReadSpec {
                target,
                reach_ms: BTreeMap::new(),
            });
            self.reads.len() - 1
        }) as u32)
    }

    fn index(&mut self) {
        self.reads_alerts = self.reads.iter().any(|read| match &read.target {
            Target::Series(selector) => ALERT_SERIES.iter().any(|name| may_select(selector, name)),
            Target::Log(_) => false,
        });
        for (i, read) in self.reads.iter().enumerate() {
            let id = ReadId(i as u32);
            match &read.target {
                Target::Series(selector) => self.index.insert(id, selector),
                Target::Log(pipeline) => self.uses[*pipeline].push(HitUse::Window(id)),
            }
        }
        self.matcher = LogMatcher::new(&self.pipelines);
        for group in &self.rules.groups {
            let mut known = BTreeSet::new();
            let records = group.rules.iter().filter_map(|rule| match &rule.kind {
                RuleKind::Record { metric } => Some(&**metric),
                RuleKind::Alert { .. } | RuleKind::Match { .. } => None,
            });
            let again = records.filter(|metric| !known.insert(*metric));
            self.shared_records.extend(again.map(str::to_owned));
        }
        let records: Vec<Vec<Labels>> = self
            .rules
            .groups
            .iter()
            .map(|group| {
                group
                    .records()
                    .map(|metric| Labels::from_pairs([(NAME, metric)]))
                    .collect()
            })
            .collect();
        for g in 0..self.rules.groups.len() {
            let reads = |read: &ReadId, labels: &Labels| match &self.reads[read.0 as usize].target {
                Target::Series(selector) => all_match(
                    selector
                        .matchers
                        .iter()
                        .filter(|m| &*m.name == NAME)
                        .cloned()
                        .collect::<Vec<_>>()
                        .as_slice(),
                    labels,
                ),
                Target::Log(_) => false,
            };
            let from = records.iter().enumerate().filter(|(_, recorded)| {
                recorded.iter().any(|labels| {
                    self.leaf_reads[g]
                        .iter()
                        .flatten()
                        .any(|read| reads(read, labels))
                })
            });
            self.recorders
                .push(from.map(|(recorder, _)| recorder).collect());
        }
    }

    /// Tells the sources' names, by position in the config: a group that names sources sees what
    /// these have sent, and nothing else. Until then it sees everything. Only the first call counts.
    pub fn name_sources(&self, names: impl IntoIterator<Item = String>) {
        self.sources.get_or_init(|| names.into_iter().collect());
    }

    /// Tells which labels of the sources' series are scope and replica. Until then none are. Only
    /// the first call counts.
    pub fn scope_sources(&self, scoping: &Scoping) {
        self.scoping.get_or_init(|| scoping.clone());
    }

    /// Which labels of the sources' series are scope and replica; `None` where no source has such.
    pub fn scoping(&self) -> Option<&Scoping> {
        self.scoping.get().filter(|scoping| scoping.is_any())
    }

    /// Whether a group reads no series but such as live in no scope. One that reads others too reads
    /// the plain ones once there are some.
    pub fn is_plain(&self, group: GroupIndex) -> bool {
        self.scoping().is_none_or(|scoping| {
            let sources = (0_u16..).zip(&scoping.sources);
            let mut read = sources.filter(|(source, _)| self.reads_source(group, *source));
            read.all(|(_, scope)| !matches!(scope, SourceScope::Scoped(_)))
        })
    }

    /// Whether a group sees what a source sends.
    pub fn reads_source(&self, group: GroupIndex, source: u16) -> bool {
        let wanted = &self.rules.groups[group].sources;
        if wanted.is_empty() || source == RECORDED {
            return true;
        }
        self.sources.get().is_none_or(|names| {
            names
                .get(source as usize)
                .is_some_and(|name| wanted.contains(name))
        })
    }

    /// Whether some group makes a read of what a source sends.
    pub fn read_reads_source(&self, read: ReadId, source: u16) -> bool {
        self.reads[read.0 as usize]
            .reach_ms
            .keys()
            .any(|group| self.reads_source(*group, source))
    }

    /// Whether what a rule records of a metric must be kept: some rule reads it, or another one of its
    /// group may record the same series.
    pub fn keeps_recorded(&self, labels: &Labels) -> bool {
        self.reads_of(labels, RECORDED).next().is_some()
            || self.shared_records.contains(labels.metric())
    }

    /// Whether some rule reads the series in which alerts show.
    pub fn reads_alerts(&self) -> bool {
        self.reads_alerts
    }

    /// The group at a position.
    pub fn group(&self, group: GroupIndex) -> &Arc<Group> {
        &self.rules.groups[group]
    }

    /// The read that a leaf makes; `None` for a subquery.
    pub fn leaf_read(&self, group: GroupIndex, leaf: LeafId) -> Option<ReadId> {
        self.leaf_reads[group][leaf.0 as usize]
    }

    /// A pipeline's share in the keys of its hits.
    pub fn pipeline_key(&self, pipeline: u32) -> u128 {
        self.pipeline_keys[pipeline as usize]
    }

    /// A read of a group whose members are among those of a selector that the group does not have:
    /// the one that reaches farthest back.
    pub fn covering(&self, group: GroupIndex, selector: &Selector) -> Option<ReadId> {
        let covers = |read: &&ReadId| match &self.reads[read.0 as usize].target {
            Target::Series(known) => known
                .matchers
                .iter()
                .all(|matcher| selector.matchers.contains(matcher)),
            Target::Log(_) => false,
        };
        let reach = |read: &&ReadId| self.reads[read.0 as usize].reach_ms.get(&group).copied();
        let reads = self.group_reads[group].iter().filter(covers);
        reads.max_by_key(reach).copied()
    }

    /// The distinct reads that a group makes.
    pub fn reads_of_group(&self, group: GroupIndex) -> &[ReadId] {
        &self.group_reads[group]
    }

    /// The reads that cover a series of a source.
    pub fn reads_of<'a>(
        &'a self,
        labels: &'a Labels,
        source: u16,
    ) -> impl Iterator<Item = ReadId> + 'a {
        let covers = |read: &ReadId| match &self.reads[read.0 as usize].target {
            Target::Series(selector) => all_match(&selector.matchers, labels),
            Target::Log(_) => false,
        };
        let all = self.index.candidates(labels);
        all.filter(move |read| covers(read) && self.read_reads_source(*read, source))
    }

    /// The groups whose recorded series a group reads, itself among them where it does.
    pub fn recorders(&self, group: GroupIndex) -> &BTreeSet<GroupIndex> {
        &self.recorders[group]
    }

    /// How far back of its first tick a restart must read, in milliseconds: the longest read of any
    /// rule, through the series that rules record; the time that an alert's `for` and
    /// `keep_firing_for` may go back; and an interval, since ticks lie that far apart.
    pub fn longest_reach_ms(&self) -> i64 {
        let groups = &self.rules.groups;
        let rules = groups
            .iter()
            .enumerate()
            .flat_map(|(g, group)| (0..group.rules.len()).map(move |r| (g, r)));
        let mut known = BTreeMap::new();
        let reaches = rules.map(|(g, r)| {
            self.rule_reach_ms((g, r), &mut known)
                .saturating_add(state_ms(&groups[g].rules[r].kind))
        });
        let replicas = self.scoping().map(|scoping| scoping.replica_timeout_ms);
        let longest = reaches.chain(replicas).max().unwrap_or(0);
        longest.saturating_add(
            groups
                .iter()
                .map(|group| group.interval_ms)
                .max()
                .unwrap_or(0),
        )
    }

    /// How far back a rule's value depends on samples. A rule that depends on itself is cut there.
    fn rule_reach_ms(
        &self,
        at: (GroupIndex, usize),
        known: &mut BTreeMap<(GroupIndex, usize), i64>,
    ) -> i64 {
        if let Some(reach) = known.get(&at) {
            return *reach;
        }
        known.insert(at, 0);
        let group = &self.rules.groups[at.0];
        let mut longest = 0;
        for leaf in group.rules[at.1].leaves(group) {
            let Some(read) = self.leaf_read(at.0, leaf) else {
                continue;
            };
            let spec = &self.reads[read.0 as usize];
            let own = spec.reach_ms.get(&at.0).copied().unwrap_or(0);
            let Target::Series(selector) = &spec.target else {
                longest = own.max(longest);
                continue;
            };
            let recorded = self
                .recorders(at.0)
                .iter()
                .flat_map(|g| (0..self.rules.groups[*g].rules.len()).map(|r| (*g, r)));
            let further = recorded.filter(|(g, r)| match &self.rules.groups[*g].rules[*r].kind {
                RuleKind::Record { metric } => may_select(selector, metric),
                RuleKind::Alert { .. } => {
                    ALERT_SERIES.iter().any(|name| may_select(selector, name))
                }
                RuleKind::Match { .. } => false,
            });
            let further: Vec<_> = further.collect();
            let further = further.into_iter().map(|(g, r)| {
                let recorder = &self.rules.groups[g];
                self.rule_reach_ms((g, r), known)
                    .saturating_add(state_ms(&recorder.rules[r].kind))
                    .saturating_add(recorder.interval_ms)
            });
            longest = own.saturating_add(further.max().unwrap_or(0)).max(longest);
        }
        known.insert(at, longest);
        longest
    }

    /// The group that makes the read which keeps the samples of a selector longest, and up to which
    /// instant they are gone, given each group's last closed tick; `None` where no rule names them.
    pub fn keeping(
        &self,
        selector: &Selector,
        closed: impl Fn(GroupIndex) -> Timestamp,
    ) -> Option<(GroupIndex, Timestamp)> {
        let groups = 0..self.rules.groups.len();
        let kept = groups.filter_map(|group| {
            let read = self.covering(group, selector)?;
            Some((group, self.horizon(read, &closed)))
        });
        kept.min_by_key(|(group, horizon)| (*horizon, *group))
    }

    /// Up to which instant no group can reach a read's samples any more, given each group's next
    /// tick.
    pub fn horizon(&self, read: ReadId, next_tick: impl Fn(GroupIndex) -> Timestamp) -> Timestamp {
        let spec = &self.reads[read.0 as usize];
        spec.reach_ms
            .iter()
            .map(|(group, reach)| next_tick(*group) - *reach)
            .min()
            .unwrap_or(Timestamp::MAX)
    }
}

/// How long what a rule remembers may go back beyond what it reads, in milliseconds.
fn state_ms(kind: &RuleKind) -> i64 {
    match kind {
        RuleKind::Record { .. } => 0,
        RuleKind::Alert {
            for_ms,
            keep_firing_ms,
            ..
        } => for_ms + keep_firing_ms,
        RuleKind::Match {
            resolve_after_ms, ..
        } => *resolve_after_ms,
    }
}

/// Whether a selector's condition on the name lets a metric through.
fn may_select(selector: &Selector, metric: &str) -> bool {
    let named = Labels::from_pairs([(NAME, metric)]);
    let on_name: Vec<_> = selector
        .matchers
        .iter()
        .filter(|m| &*m.name == NAME)
        .cloned()
        .collect();
    all_match(&on_name, &named)
}

/// How far back each leaf of an expression can reach from where it is evaluated, subqueries around
/// it included, in milliseconds.
pub fn reach_of(expr: &Expr, group: &Group) -> Vec<i64> {
    let mut reach = vec![0; group.leaves.len()];
    visit(group, expr, 0, &mut reach);
    reach
}

/// Per leaf: how far back from its group's tick it can reach, subqueries around it included.
fn leaf_reach(group: &Group) -> Vec<i64> {
    let mut reach = vec![0; group.leaves.len()];
    for rule in &group.rules {
        for expr in rule.exprs() {
            visit(group, expr, group.query_offset_ms, &mut reach);
        }
    }
    reach
}

fn visit(group: &Group, expr: &Expr, outer_ms: i64, reach: &mut [i64]) {
    match expr {
        Expr::Number(_) | Expr::Text(_) => {}
        Expr::Neg(inner) => visit(group, inner, outer_ms, reach),
        Expr::Binary(binary) => {
            visit(group, &binary.lhs, outer_ms, reach);
            visit(group, &binary.rhs, outer_ms, reach);
        }
        Expr::Aggregate(aggregate) => {
            visit(group, &aggregate.expr, outer_ms, reach);
            if let Some(param) = &aggregate.param {
                visit(group, param, outer_ms, reach);
            }
        }
        Expr::Call(call) => call
            .args
            .iter()
            .for_each(|arg| visit(group, arg, outer_ms, reach)),
        Expr::Leaf(id) => {
            let leaf = &group.leaves[id.0 as usize];
            // A fixed `@` pins the samples for ever.
            let own = if leaf.at_ms.is_some() {
                i64::MAX / 8
            } else {
                leaf.offset_ms + leaf.read.lookback_ms()
            };
            let total = outer_ms.saturating_add(own);
            let known = &mut reach[id.0 as usize];
            *known = total.max(*known);
            if let Read::Subquery { inner, .. } = &leaf.read {
                visit(group, inner, total, reach);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use foghorn_rules::{LoadOptions, Source, load};

    use super::*;

    /// How far back a restart reads under some rules, in minutes.
    fn check(rules: &str, minutes: i64) {
        let text = format!("groups:\n  - name: g\n    interval: 1m\n    rules:\n{rules}");
        let (rules, problems) = load(&[Source::new("t.yaml", &text)], &LoadOptions::default());
        assert_eq!(problems, []);
        let reach = Catalog::new(rules).longest_reach_ms();
        assert_eq!(reach, minutes * 60_000, "{text}");
    }

    #[test]
    fn a_restart_reads_back_what_rules_remember() {
        let down =
            "      - alert: Down\n        expr: max_over_time(up[10m]) == 0\n        for: 30m\n";
        // An interval, since ticks lie that far apart.
        check(down, 10 + 30 + 1);
        // Who reads an hour of its alerts needs each of them in its state.
        let read = "      - record: r\n        expr: count_over_time(ALERTS{alertstate=\"firing\"}[60m])\n";
        check(&format!("{down}{read}"), 60 + (10 + 30 + 1) + 1);
    }
}
