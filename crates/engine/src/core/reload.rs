//! New rules: what stays goes on, what is gone ends.

use std::mem;
use std::sync::Arc;

use foghorn_eval::alerts::rule_ref;
use foghorn_eval::catalog::{Catalog, GroupIndex};
use foghorn_eval::promql::Evaluator;
use foghorn_model::{Reason, Signal, Timestamp};
use foghorn_rules::plan::{Group, Rule};

use super::Core;
use super::state::{GroupState, Memory, RuleState, ScopeState};
use crate::entry::GroupKey;

impl Core {
    /// Takes new rules. Alerts of rules that are gone end with the reason `rule removed`; groups
    /// that stay go on from their first tick not closed, new ones begin after the latest closed
    /// tick of any group. Returns the ending signals and, per new group, the old one it goes on
    /// from.
    pub fn reload(&mut self, catalog: &Arc<Catalog>) -> (Vec<Signal>, Vec<Option<GroupIndex>>) {
        let latest = self
            .groups
            .iter()
            .filter_map(|state| state.closed)
            .max()
            .unwrap_or(Timestamp::MIN);
        let next = self.groups.iter().map(|state| state.next_tick).min();
        let mut old: Vec<_> = mem::take(&mut self.groups).into_iter().map(Some).collect();
        let old_catalog = mem::replace(&mut self.catalog, Arc::clone(catalog));
        let mut map = Vec::new();
        // What it keeps is by group and rule.
        for scope in self.scopes.values_mut() {
            scope.evaluator = Evaluator::default();
        }
        for (g, group) in catalog.rules.groups.iter().enumerate() {
            let key = GroupKey {
                file: Arc::clone(&group.file),
                name: Arc::clone(&group.name),
            };
            let from = old
                .iter()
                .position(|state| state.as_ref().is_some_and(|state| state.key == key));
            let mut state = GroupState::new(catalog, g);
            let begin = if latest > Timestamp::MIN {
                latest
            } else {
                next.map_or(latest, |next| next - 1)
            };
            state.next_tick = begin.next_slot(group.interval_ms, group.slot_ms);
            if let Some(mut before) = from.and_then(|from| old[from].take()) {
                let resumed = before.closed.unwrap_or(before.next_tick - 1);
                state.next_tick = resumed.next_slot(group.interval_ms, group.slot_ms);
                (state.closed, state.replay_until) = (before.closed, before.replay_until);
                state.logged = mem::take(&mut before.logged);
                state.doubted = mem::take(&mut before.doubted);
                (state.told, state.plain.heard) = (mem::take(&mut before.told), before.plain.heard);
                state.plain.replica = Arc::clone(&before.plain.replica);
                let from = from.unwrap_or_default();
                let old_group = &old_catalog.rules.groups[from];
                let between = (&**old_group, &**group, &**catalog);
                inherit(&mut state.plain, &mut before.plain, between);
                for (scope, before) in &mut before.scoped {
                    let mut new = ScopeState::new(catalog, g);
                    new.replica = Arc::clone(&before.replica);
                    new.heard = before.heard;
                    inherit(&mut new, before, between);
                    state.scoped.insert(scope.clone(), new);
                }
                old[from] = Some(before);
            }
            warm(&mut state, group, &old_catalog, catalog);
            map.push(from);
            self.groups.push(state);
        }
        let mut signals = Vec::new();
        for (state, group) in old.into_iter().zip(&old_catalog.rules.groups) {
            let Some(state) = state else { continue };
            for mut scope in std::iter::once(state.plain).chain(state.scoped.into_values()) {
                for (rule, kept) in group.rules.iter().zip(&mut scope.rules) {
                    if let Memory::Alert { alerts, .. } = &mut kept.memory {
                        let name = rule_ref(rule, group);
                        alerts.remove_all(&name, latest, &Reason::RuleRemoved, &mut signals);
                    }
                }
            }
        }
        for scope in self.scopes.values_mut() {
            scope.recorded.reload(catalog, &map);
        }
        (signals, map)
    }
}

/// Rules that stay keep their memories. `between` are the old group, the new one, and what reads
/// from now on.
fn inherit(state: &mut ScopeState, before: &mut ScopeState, between: (&Group, &Group, &Catalog)) {
    let (old, group, catalog) = between;
    for (rule, new) in group.rules.iter().zip(&mut state.rules) {
        let same = |kept: &Rule| {
            kept.id == rule.id && mem::discriminant(&kept.kind) == mem::discriminant(&rule.kind)
        };
        if let Some(i) = old.rules.iter().position(same) {
            let mut kept = mem::replace(&mut before.rules[i], RuleState::new(&old.rules[i], old));
            match &mut kept.memory {
                // Annotations are no part of a rule's identity.
                Memory::Alert { alerts, .. } => alerts.forget_rendered(),
                Memory::Record(recording) => recording.read_anew(catalog),
                Memory::Match(_) => {}
            }
            *new = kept;
        }
    }
}

/// A rule that names a metric not kept until now is silent until its longest range has passed.
fn warm(state: &mut GroupState, group: &Group, old: &Catalog, new: &Catalog) {
    let g = new
        .rules
        .groups
        .iter()
        .position(|known| known.name == group.name && known.file == group.file);
    for (r, rule) in group.rules.iter().enumerate() {
        let mut reach = 0;
        for leaf in rule.leaves(group) {
            let Some(read) = g.and_then(|g| new.leaf_read(g, leaf)) else {
                continue;
            };
            let spec = &new.reads[read.0 as usize];
            let kept = old
                .reads
                .iter()
                .any(|known| known.target.same(&spec.target, old, new));
            if !kept {
                reach = reach.max(g.and_then(|g| spec.reach_ms.get(&g)).copied().unwrap_or(0));
            }
        }
        if reach > 0 {
            let scopes = state.scoped.values_mut();
            for scope in scopes.chain(std::iter::once(&mut state.plain)) {
                let memory = &mut scope.rules[r];
                if memory.last_tick.is_none() {
                    memory.silent_until = state.next_tick + reach;
                }
            }
        }
    }
}
