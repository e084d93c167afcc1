//! What a reload changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use foghorn_model::RuleId;

use crate::plan::RuleSet;

/// A rule that came, went or stayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedRule {
    /// Its group.
    pub group: Arc<str>,
    /// Its identity.
    pub id: RuleId,
    /// Its name.
    pub name: Arc<str>,
}

/// What changed from one rule set to the next. A rule whose expression or labels changed is
/// another rule: it is removed and added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleChanges {
    /// Only in the old set, in its order.
    pub removed: Vec<ChangedRule>,
    /// Only in the new set, in its order.
    pub added: Vec<ChangedRule>,
    /// In both, in the new set's order.
    pub kept: Vec<ChangedRule>,
}

/// Compares two rule sets by their rules' identities.
pub fn diff(old: &RuleSet, new: &RuleSet) -> RuleChanges {
    let ids = |rules: &RuleSet| -> BTreeSet<RuleId> { all(rules).map(|rule| rule.id).collect() };
    let (before, after) = (ids(old), ids(new));
    let (kept, added) = all(new).partition(|rule| before.contains(&rule.id));
    RuleChanges {
        removed: all(old).filter(|rule| !after.contains(&rule.id)).collect(),
        added,
        kept,
    }
}

fn all(rules: &RuleSet) -> impl Iterator<Item = ChangedRule> {
    rules.groups.iter().flat_map(|group| {
        group.rules.iter().map(|rule| ChangedRule {
            group: Arc::clone(&group.name),
            id: rule.id,
            name: Arc::clone(&rule.name),
        })
    })
}
