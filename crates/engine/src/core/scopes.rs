//! What a group sees of scopes: which it knows, and of each which replica.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use foghorn_eval::catalog::{Catalog, GroupIndex};
use foghorn_eval::promql::Evaluator;
use foghorn_eval::scope::{World, elect};
use foghorn_eval::shard::{Shard, WorldShards};
use foghorn_model::{Labels, Timestamp};

use super::Core;
use super::state::{GroupState, Layout, ScopeState};
use crate::entry::ScopeNews;

/// What the groups share within a scope.
pub(super) struct Scope {
    /// Series that rules recorded.
    pub(super) recorded: Shard,
    pub(super) evaluator: Evaluator,
    /// External labels as its templates see them.
    pub(super) external: Vec<(String, String)>,
}

impl Scope {
    pub(super) fn new(
        catalog: &Arc<Catalog>,
        scope: &Labels,
        external: &[(String, String)],
    ) -> Self {
        let mut all: BTreeMap<String, String> = external.iter().cloned().collect();
        all.extend(
            scope
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        Self {
            recorded: Shard::new(Arc::clone(catalog)),
            evaluator: Evaluator::default(),
            external: all.into_iter().collect(),
        }
    }
}

/// When the replicas of each scope were heard last; the empty one stands for series without.
type Heard = BTreeMap<Labels, BTreeMap<Arc<str>, Timestamp>>;

impl Core {
    /// What a group's tick begins to see of scopes: what the log says, or what was heard.
    pub(super) fn scope_news(
        &mut self,
        group: GroupIndex,
        shards: &[&mut Shard],
        worlds: &[WorldShards],
    ) -> Vec<ScopeNews> {
        let catalog = Arc::clone(&self.catalog);
        let Some(scoping) = catalog.scoping() else {
            return Vec::new();
        };
        let state = &mut self.groups[group];
        let tick = state.next_tick;
        let at = tick - catalog.group(group).query_offset_ms;
        let heard = heard_by(&catalog, group, shards, worlds, at);
        state.listen(&heard);
        if tick <= state.replay_until {
            let later = state.told.split_off(&(tick + 1));
            let told = mem::replace(&mut state.told, later);
            return told.into_values().flatten().collect();
        }
        state.told.clear();
        let recent = at - scoping.scope_ttl_ms;
        let is_known = |heard: Option<Timestamp>| heard.is_some_and(|heard| heard > recent);
        let mut news = Vec::new();
        for (scope, replicas) in &heard {
            let known = state.scope(scope);
            if known.is_none() && !is_known(replicas.values().max().copied()) {
                continue;
            }
            let present = known.map(|known| &known.replica);
            let candidates = replicas.iter().filter(|(name, _)| !name.is_empty());
            let candidates = candidates.map(|(name, at)| (name, *at));
            let elected = elect(
                present.filter(|name| !name.is_empty()),
                candidates,
                at,
                scoping.replica_timeout_ms,
            );
            let elected = elected.unwrap_or_default();
            if present != Some(&elected) {
                news.push(ScopeNews {
                    scope: scope.clone(),
                    replica: Some(elected),
                });
            }
        }
        let silent = state.known().filter(|(_, heard)| !is_known(Some(*heard)));
        news.extend(silent.map(|(scope, _)| ScopeNews {
            scope,
            replica: None,
        }));
        news.sort_by(|a, b| a.scope.cmp(&b.scope));
        news
    }

    /// Takes scope news in. A scope that is no more is there until the tick has ended what it held.
    pub(super) fn take_news(&mut self, group: GroupIndex, news: &[ScopeNews]) {
        for ScopeNews { scope, replica } in news {
            let catalog = &self.catalog;
            if !self.scopes.contains_key(scope) {
                let new = Scope::new(catalog, scope, &self.external);
                self.scopes.insert(scope.clone(), new);
            }
            let state = &mut self.groups[group];
            let tick = state.next_tick;
            let known = state.scope_or_new(scope, catalog, group);
            if let Some(replica) = replica {
                known.replica = Arc::clone(replica);
                known.heard.get_or_insert(tick);
            } else {
                known.heard = None;
            }
        }
    }
}

impl GroupState {
    /// A scope that is known of scoped sources.
    fn scope(&self, scope: &Labels) -> Option<&ScopeState> {
        if scope.is_empty() {
            return Some(&self.plain).filter(|plain| plain.heard.is_some());
        }
        self.scoped.get(scope)
    }

    fn scope_or_new(
        &mut self,
        scope: &Labels,
        catalog: &Catalog,
        group: GroupIndex,
    ) -> &mut ScopeState {
        if scope.is_empty() {
            return &mut self.plain;
        }
        let plain = &self.plain;
        self.scoped.entry(scope.clone()).or_insert_with(|| {
            let mut new = ScopeState::new(catalog, group);
            for (new, plain) in new.rules.iter_mut().zip(&plain.rules) {
                new.silent_until = plain.silent_until;
            }
            new
        })
    }

    /// Known scopes, with when they were heard last.
    fn known(&self) -> impl Iterator<Item = (Labels, Timestamp)> {
        let plain = self.plain.heard.map(|heard| (Labels::empty(), heard));
        let scoped = self.scoped.iter();
        let scoped = scoped.filter_map(|(scope, state)| Some((scope.clone(), state.heard?)));
        plain.into_iter().chain(scoped)
    }

    fn listen(&mut self, heard: &Heard) {
        for (scope, replicas) in heard {
            let state = if scope.is_empty() {
                Some(&mut self.plain).filter(|plain| plain.heard.is_some())
            } else {
                self.scoped.get_mut(scope)
            };
            if let Some(state) = state {
                state.heard = state.heard.max(replicas.values().max().copied());
            }
        }
    }
}

fn heard_by(
    catalog: &Catalog,
    group: GroupIndex,
    shards: &[&mut Shard],
    worlds: &[WorldShards],
    at: Timestamp,
) -> Heard {
    let mut heard = Heard::new();
    let mut hear = |scope: &Labels, replica: &Arc<str>, shard: &Shard| {
        let last = shard.last_heard(at, |source| catalog.reads_source(group, source));
        let Some(last) = last else { return };
        let replicas = heard.entry(scope.clone()).or_default();
        let known = replicas.entry(Arc::clone(replica)).or_insert(last);
        *known = last.max(*known);
    };
    let (none, nobody) = (Labels::empty(), "".into());
    shards.iter().for_each(|shard| hear(&none, &nobody, shard));
    let worlds = worlds.iter().flatten();
    worlds.for_each(|(world, shard)| hear(&world.scope, &world.replica, shard));
    heard
}

/// The shards that a scope is read from: those of its series without a replica and of one replica.
pub(super) fn shards_of<'a>(
    shards: &'a mut [&mut Shard],
    worlds: &'a mut [WorldShards],
    scope: &Labels,
    replica: &Arc<str>,
) -> (Vec<&'a mut Shard>, Layout) {
    let (mut seen, mut layout) = (Vec::new(), Vec::new());
    let first = World {
        scope: scope.clone(),
        replica: "".into(),
    };
    for (at, (shard, worlds)) in shards.iter_mut().zip(worlds).enumerate() {
        if scope.is_empty() {
            seen.push(&mut **shard);
        }
        for (world, shard) in worlds.range_mut(&first..) {
            if world.scope != *scope {
                break;
            }
            if world.replica.is_empty() || world.replica == *replica {
                layout.push((at, !world.replica.is_empty()));
                seen.push(shard);
            }
        }
    }
    (seen, (layout, Arc::clone(replica)))
}

/// A series' labels as others see them.
pub(super) fn with_scope(labels: Labels, scope: &Labels) -> Labels {
    if scope.is_empty() {
        return labels;
    }
    let mut builder = labels.to_builder();
    for (name, value) in scope.iter() {
        builder.set(name, value);
    }
    builder.build()
}
