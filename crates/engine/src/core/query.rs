//! Answers to questions, over what the windows hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_eval::catalog::{GroupIndex, reach_of};
use foghorn_eval::columns::QueryReader;
use foghorn_eval::promql::Evaluator;
use foghorn_eval::shard::Shard;
use foghorn_model::{Labels, Timestamp};
use foghorn_rules::plan::{Group, Leaf, Read, Selector};

use super::Core;
use super::scopes::{shards_of, with_scope};
use crate::query::{Answer, Query, QueryError};

/// A question's leaf and the group through which it is read.
type Through = (Leaf, Option<GroupIndex>);

impl Core {
    /// Evaluates a question as of `at`: over what has been read until then, be it of ticks that have
    /// not closed yet. Where sources have scopes, it is asked in each that its matchers let through,
    /// and the scope's labels are put back. Nothing that rules do depends on it.
    ///
    /// # Errors
    /// A series is not kept, or not that far back; or there is no result.
    pub fn query(
        &mut self,
        query: &Query,
        at: Timestamp,
        shards: &mut [&mut Shard],
    ) -> Result<Answer, QueryError> {
        let group = asking(query);
        let leaves = self.through(query, &group, at)?;
        let mut answers = Vec::new();
        let mut worlds: Vec<_> = shards.iter_mut().map(|shard| shard.lend_worlds()).collect();
        for (scope, replica) in self.seen_scopes(&leaves) {
            let Some(shared) = self.scopes.get_mut(&scope) else {
                continue;
            };
            let leaves: Vec<_> = leaves
                .iter()
                .map(|through| within(through, &scope))
                .collect();
            let (mut seen, _) = shards_of(shards, &mut worlds, &scope, &replica);
            let mut reader = QueryReader::new(&mut shared.recorded, &mut seen, &leaves, at + 1);
            let value = Evaluator::default().evaluate(&group, &query.expr, at, &mut reader);
            answers.push((scope, value));
        }
        for (shard, worlds) in shards.iter_mut().zip(worlds) {
            shard.take_back(worlds);
        }
        let mut all = Vec::new();
        for (scope, value) in answers {
            let value = value.map_err(|error| QueryError::Failed(error.to_string()))?;
            match Answer::of(value)? {
                Answer::Scalar(value) => return Ok(Answer::Scalar(value)),
                Answer::Vector(elements) => {
                    let elements = elements.into_iter();
                    all.extend(elements.map(|(labels, value)| (with_scope(labels, &scope), value)));
                }
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Answer::Vector(all))
    }

    /// Each leaf with the group that keeps what it reads longest.
    fn through(
        &self,
        query: &Query,
        group: &Group,
        at: Timestamp,
    ) -> Result<Vec<Through>, QueryError> {
        let catalog = Arc::clone(&self.catalog);
        let reach = reach_of(&query.expr, group);
        let scope_names = self.scope_names();
        let mut all = Vec::new();
        for (leaf, reach_ms) in query.leaves.iter().zip(reach) {
            let (Read::Instant { selector, .. } | Read::Range { selector, .. }) = &leaf.read else {
                all.push((leaf.clone(), None));
                continue;
            };
            let seen = without(selector, &scope_names);
            let closed = |g: GroupIndex| self.groups[g].closed.unwrap_or(Timestamp::MIN);
            let metric = || match &selector.metric {
                Some(metric) => metric.to_string(),
                None => format!("{:?}", selector.matchers),
            };
            let Some((group, gone)) = catalog.keeping(&seen, closed) else {
                return Err(QueryError::NotNamed { metric: metric() });
            };
            let needed = leaf.at_ms.map_or(at - reach_ms, |at_ms| {
                Timestamp(at_ms) - leaf.offset_ms - leaf.read.lookback_ms()
            });
            if needed < gone {
                return Err(QueryError::NotKept {
                    metric: metric(),
                    since: gone,
                    needed,
                });
            }
            all.push((leaf.clone(), Some(group)));
        }
        Ok(all)
    }

    /// Names of all labels that are some source's scope.
    fn scope_names(&self) -> Vec<String> {
        let scopes = self.scopes.keys().flat_map(Labels::iter);
        let mut names: Vec<_> = scopes.map(|(name, _)| name.to_owned()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The scopes that a question is asked in, each with the replica that is seen: those that the
    /// groups know through which it is read. A question that reads nothing is asked once.
    fn seen_scopes(&self, leaves: &[Through]) -> BTreeMap<Labels, Arc<str>> {
        let mut seen = BTreeMap::new();
        for group in leaves.iter().filter_map(|(_, group)| *group) {
            let state = &self.groups[group];
            if state.plain.heard.is_some() || self.catalog.is_plain(group) {
                let replica = Arc::clone(&state.plain.replica);
                seen.entry(Labels::empty()).or_insert(replica);
            }
            for (scope, state) in &state.scoped {
                let replica = Arc::clone(&state.replica);
                seen.entry(scope.clone()).or_insert(replica);
            }
        }
        if leaves.iter().all(|(_, group)| group.is_none()) {
            seen.insert(Labels::empty(), "".into());
        }
        seen
    }
}

/// A group without rules, for what reads a group's leaves.
fn asking(query: &Query) -> Group {
    Group {
        name: "query".into(),
        file: "".into(),
        interval_ms: Query::step_ms(),
        slot_ms: 0,
        query_offset_ms: 0,
        subquery_step_ms: Query::step_ms(),
        limit: 0,
        sources: Vec::new(),
        rules: Vec::new(),
        leaves: query.leaves.clone(),
    }
}

/// A selector without matchers of some labels.
fn without(selector: &Selector, names: &[String]) -> Selector {
    let matchers = selector.matchers.iter();
    let others = matchers.filter(|matcher| names.iter().all(|name| **name != *matcher.name));
    Selector {
        metric: selector.metric.clone(),
        matchers: others.cloned().collect(),
    }
}

/// A leaf as it is read in a scope: its matchers of the scope's labels have been heeded. One that
/// does not let the scope through reads nothing.
fn within((leaf, group): &Through, scope: &Labels) -> Through {
    let mut leaf = leaf.clone();
    let (Read::Instant { selector, .. } | Read::Range { selector, .. }) = &mut leaf.read else {
        return (leaf, *group);
    };
    let names: Vec<_> = scope.iter().map(|(name, _)| name.to_owned()).collect();
    let of_scope = |name: &str| scope.get(name).is_some();
    let mut matchers = selector.matchers.iter();
    let passes = matchers.all(|matcher| !of_scope(&matcher.name) || matcher.matches(scope));
    *selector = without(selector, &names);
    (leaf, group.filter(|_| passes))
}
