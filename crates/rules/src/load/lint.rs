//! What works and is still worth a look.

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

fn matchers(leaf: &Leaf) -> Option<&[Matcher]> {
    match &leaf.read {
        Read::Instant { selector, .. } | Read::Range { selector, .. } => Some(&selector.matchers),
        Read::Log { pipeline, .. } => Some(&pipeline.matchers),
        Read::Subquery { .. } => None,
    }
}
