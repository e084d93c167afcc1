//! Groups and rules as people see them.

use std::sync::Arc;

use foghorn_rules::plan::{Group, Rule, RuleKind};

use super::state::{GroupState, RuleState};
use crate::view::{GroupView, Health, RuleView};

pub(super) fn group_view(group: &Group, state: &GroupState) -> GroupView {
    let rules = group.rules.iter().zip(&state.rules);
    GroupView {
        name: Arc::clone(&group.name),
        file: Arc::clone(&group.file),
        interval_ms: group.interval_ms,
        last_tick: state.closed,
        rules: rules.map(|(rule, state)| rule_view(rule, state)).collect(),
    }
}

fn rule_view(rule: &Rule, state: &RuleState) -> RuleView {
    let (kind, for_ms, keep_firing_ms) = match &rule.kind {
        RuleKind::Record { .. } => ("recording", 0, 0),
        RuleKind::Alert {
            for_ms,
            keep_firing_ms,
            ..
        } => ("alerting", *for_ms, *keep_firing_ms),
        RuleKind::Match { .. } => ("alerting", 0, 0),
    };
    let health = match state.last_tick {
        _ if !state.error.is_empty() => Health::Err,
        None => Health::Unknown,
        Some(last) if last <= state.silent_until => Health::Warming,
        Some(_) => Health::Ok,
    };
    RuleView {
        id: rule.id,
        name: Arc::clone(&rule.name),
        kind,
        query: Arc::clone(&rule.text),
        for_ms,
        keep_firing_ms,
        health,
        last_error: state.error.clone(),
        last_tick: state.last_tick,
    }
}
