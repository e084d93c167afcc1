//! New rules: what stays goes on, what is gone ends.

use std::sync::Arc;

use foghorn_eval::catalog::{Catalog, GroupIndex};
use foghorn_eval::promql::Evaluator;
use foghorn_model::{RuleRef, Signal, Timestamp};
use foghorn_rules::plan::{Group, Rule};

use super::Core;
use super::state::{GroupState, Memory, RuleState};
use crate::entry::GroupKey;

impl Core {
    /// Takes new rules. Alerts of rules that are gone end with the reason `rule removed`; groups
    /// that stay go on from their first tick not closed, new ones begin after the latest closed
    /// tick of any group. Returns the ending signals and, per new group, the old one it goes on
    /// from.
    pub fn reload(&mut self, catalog: Arc<Catalog>) -> (Vec<Signal>, Vec<Option<GroupIndex>>) {
        let latest = self
            .groups
            .iter()
            .filter_map(|state| state.closed)
            .max()
            .unwrap_or(Timestamp::MIN);
        let next = self.groups.iter().map(|state| state.next_tick).min();
        let mut old: Vec<_> = std::mem::take(&mut self.groups)
            .into_iter()
            .map(Some)
            .collect();
        let old_catalog = std::mem::replace(&mut self.catalog, Arc::clone(&catalog));
        let mut map = Vec::new();
        // What it keeps is by group and rule.
        self.evaluator = Evaluator::default();
        for (g, group) in catalog.rules.groups.iter().enumerate() {
            let key = GroupKey {
                file: Arc::clone(&group.file),
                name: Arc::clone(&group.name),
            };
            let from = old
                .iter()
                .position(|state| state.as_ref().is_some_and(|state| state.key == key));
            let mut state = GroupState::new(&catalog, g);
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
                state.logged = std::mem::take(&mut before.logged);
                state.doubted = std::mem::take(&mut before.doubted);
                let from = from.unwrap_or_default();
                inherit(
                    &mut state,
                    group,
                    &mut before,
                    &old_catalog.rules.groups[from],
                    &catalog,
                );
                old[from] = Some(before);
            }
            warm(&mut state, group, &old_catalog, &catalog);
            map.push(from);
            self.groups.push(state);
        }
        let mut signals = Vec::new();
        for (state, group) in old.into_iter().zip(&old_catalog.rules.groups) {
            let Some(state) = state else { continue };
            for (rule, mut kept) in group.rules.iter().zip(state.rules) {
                if let Memory::Alert { alerts, .. } = &mut kept.memory {
                    let name = RuleRef {
                        id: rule.id,
                        group: Arc::clone(&group.name),
                        name: Arc::clone(&rule.name),
                    };
                    alerts.remove_all(&name, latest, &mut signals);
                }
            }
        }
        self.recorded.reload(catalog, &map);
        (signals, map)
    }
}

/// Rules that stay keep their memories.
fn inherit(
    state: &mut GroupState,
    group: &Group,
    before: &mut GroupState,
    old: &Group,
    catalog: &Catalog,
) {
    for (rule, new) in group.rules.iter().zip(&mut state.rules) {
        let same = |kept: &Rule| {
            kept.id == rule.id
                && std::mem::discriminant(&kept.kind) == std::mem::discriminant(&rule.kind)
        };
        if let Some(i) = old.rules.iter().position(same) {
            let mut kept =
                std::mem::replace(&mut before.rules[i], RuleState::new(&old.rules[i], old));
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
    for (rule, memory) in group.rules.iter().zip(&mut state.rules) {
        if memory.last_tick.is_some() {
            continue;
        }
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
            memory.silent_until = state.next_tick + reach;
        }
    }
}
