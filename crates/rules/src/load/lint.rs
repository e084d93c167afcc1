//! What works and is still worth a look.

use foghorn_model::labels::NAME;
use foghorn_model::{MatchOp, Matcher};

use super::fields::Desk;
use crate::plan::{Leaf, Read};
use crate::yaml::{Kind, Node};

/// Matchers `x=~".*"`, which every series passes; `leaves` are those that the rule brought.
pub(super) fn regexes(rule: &Node, leaves: &[Leaf], desk: &mut Desk<'_>) {
    let Kind::Mapping(mapping) = &rule.kind else {
        return;
    };
    let Some(expr) = mapping.get("expr") else {
        return;
    };
    let mut told: Vec<&str> = Vec::new();
    for matcher in leaves.iter().filter_map(matchers).flatten() {
        if matcher.op != MatchOp::Regex || !matches!(&*matcher.value, ".*" | "^.*$" | "(.*)") {
            continue;
        }
        if told.contains(&&*matcher.name) {
            continue;
        }
        told.push(&matcher.name);
        let text = expr.text().unwrap_or("");
        let at = text.find(&*matcher.value).unwrap_or(0);
        let span = expr.locate(desk.text, at..at + matcher.value.len());
        let message = format!(
            "every series passes `{}=~\"{}\"`",
            matcher.name, matcher.value
        );
        desk.warning(
            "needless-regex",
            span,
            message,
            Some("leave the matcher out"),
        );
    }
}

/// Selectors of metrics without a metric's name: legal, and more often a log query that nothing
/// shows to be one. Only where no `language` is given.
pub(super) fn nameless(rule: &Node, leaves: &[Leaf], desk: &mut Desk<'_>) {
    let Kind::Mapping(mapping) = &rule.kind else {
        return;
    };
    let Some(expr) = mapping
        .get("expr")
        .filter(|_| mapping.get("language").is_none())
    else {
        return;
    };
    let metric = leaves
        .iter()
        .filter(|leaf| !matches!(leaf.read, Read::Log { .. }));
    let named = |matchers: &[Matcher]| matchers.iter().any(|matcher| &*matcher.name == NAME);
    if metric.filter_map(matchers).all(named) {
        return;
    }
    let at = expr.text().and_then(|text| text.find('{')).unwrap_or(0);
    let message = "this selector names no metric; it is read as PromQL, over every metric";
    let hint = "for logs say `language: logql` in the rule or group, else name the metric or say `language: promql`";
    desk.warning(
        "nameless-selector",
        expr.locate(desk.text, at..at + 1),
        message,
        Some(hint),
    );
}

fn matchers(leaf: &Leaf) -> Option<&[Matcher]> {
    match &leaf.read {
        Read::Instant { selector, .. } | Read::Range { selector, .. } => Some(&selector.matchers),
        Read::Log { pipeline, .. } => Some(&pipeline.matchers),
        Read::Subquery { .. } => None,
    }
}
