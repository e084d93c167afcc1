//! Groups and rules as people see them.

use std::sync::Arc;

use foghorn_model::Labels;
use foghorn_rules::plan::{Group, Rule, RuleKind};
use foghorn_rules::template::Template;

use super::state::{GroupState, RuleState};
use crate::view::{GroupView, Health, RuleView};

pub(super) fn group_view(group: &Group, state: &GroupState) -> GroupView {
    let rules = group.rules.iter().enumerate();
    GroupView {
        name: Arc::clone(&group.name),
        file: Arc::clone(&group.file),
        interval_ms: group.interval_ms,
        limit: group.limit,
        last_tick: state.closed,
        rules: rules.map(|(r, rule)| rule_view(rule, r, state)).collect(),
    }
}

fn texts(templates: &[(String, Template)]) -> Vec<(String, String)> {
    let texts = templates.iter();
    texts
        .map(|(name, template)| (name.clone(), template.source().to_owned()))
        .collect()
}

/// Of several scopes the worst counts; an error says in which it was.
fn rule_view(rule: &Rule, r: usize, state: &GroupState) -> RuleView {
    let (kind, for_ms, keep_firing_ms) = match &rule.kind {
        RuleKind::Record { .. } => ("recording", 0, 0),
        RuleKind::Alert {
            for_ms,
            keep_firing_ms,
            ..
        } => ("alerting", *for_ms, *keep_firing_ms),
        RuleKind::Match { .. } => ("alerting", 0, 0),
    };
    let none = Labels::empty();
    let plain = std::iter::once((&none, &state.plain));
    let scopes = plain.chain(&state.scoped);
    let scopes: Vec<_> = scopes
        .map(|(scope, state)| (scope, &state.rules[r]))
        .collect();
    let failed = scopes.iter().find(|(_, state)| !state.error.is_empty());
    let last = scopes.iter().filter_map(|(_, state)| state.last_tick);
    let warming = |state: &RuleState| {
        let last = state.last_tick;
        last.is_some_and(|last| last <= state.silent_until)
    };
    let last_tick = last.max();
    let health = match last_tick {
        _ if failed.is_some() => Health::Err,
        None => Health::Unknown,
        Some(_) if scopes.iter().any(|(_, state)| warming(state)) => Health::Warming,
        Some(_) => Health::Ok,
    };
    RuleView {
        id: rule.id,
        name: Arc::clone(&rule.name),
        kind,
        query: Arc::clone(&rule.text),
        labels: texts(&rule.labels),
        annotations: texts(&rule.annotations),
        for_ms,
        keep_firing_ms,
        health,
        last_error: failed.map_or_else(String::new, |(scope, state)| {
            if scope.is_empty() {
                state.error.clone()
            } else {
                format!("{scope}: {}", state.error)
            }
        }),
        last_tick,
    }
}
