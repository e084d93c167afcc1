//! Grouping: from scored edges to sets of alerts, in one canonical order.
//!
//! Takes alerts in (onset, id) order; each joins, and thereby unites, the groups of the earlier
//! alerts that it has edges to, as far as it lies within the span of their onsets. The result is
//! a function of the set of alerts and edges, never of the order in which they became known.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_model::{AlertId, Timestamp};

/// An alert with its edges to earlier alerts.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Timestamp,
    pub(crate) id: AlertId,
    pub(crate) earlier: Vec<AlertId>,
}

/// Groups of a component, by their first alert; `nodes` must be in (onset, id) order.
pub(crate) fn regroup(nodes: &[Node], max_span_ms: i64) -> Vec<Vec<AlertId>> {
    let place: BTreeMap<AlertId, usize> = nodes
        .iter()
        .enumerate()
        .map(|(i, node)| (node.id, i))
        .collect();
    // Roots are the first members, so a root's onset is its group's onset.
    let mut parent: Vec<usize> = (0..nodes.len()).collect();
    for (i, node) in nodes.iter().enumerate() {
        let earlier = node.earlier.iter().filter_map(|id| place.get(id));
        let roots: BTreeSet<usize> = earlier
            .filter(|j| **j < i)
            .map(|j| root(&mut parent, *j))
            .collect();
        let near: Vec<usize> = roots
            .into_iter()
            .filter(|r| node.at - nodes[*r].at <= max_span_ms)
            .collect();
        if let Some((first, others)) = near.split_first() {
            parent[i] = *first;
            for other in others {
                parent[*other] = *first;
            }
        }
    }
    let mut groups: BTreeMap<usize, Vec<AlertId>> = BTreeMap::new();
    for (i, node) in nodes.iter().enumerate() {
        groups
            .entry(root(&mut parent, i))
            .or_default()
            .push(node.id);
    }
    groups.into_values().collect()
}

/// Root of a set, halving the path on the way.
fn root(parent: &mut [usize], mut i: usize) -> usize {
    while parent[i] != i {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `nodes` as (onset, edges to positions); expects groups of positions.
    fn check(nodes: &[(i64, &[u128])], expect: &[&[u128]]) {
        let node = |(i, (at, earlier)): (usize, &(i64, &[u128]))| Node {
            at: Timestamp(*at),
            id: AlertId(i as u128),
            earlier: earlier.iter().map(|id| AlertId(*id)).collect(),
        };
        let nodes: Vec<_> = nodes.iter().enumerate().map(node).collect();
        let groups = regroup(&nodes, 100);
        let got: Vec<Vec<u128>> = groups
            .iter()
            .map(|group| group.iter().map(|id| id.0).collect())
            .collect();
        assert_eq!(
            got,
            expect
                .iter()
                .map(|group| group.to_vec())
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn edges_unite() {
        check(
            &[(0, &[]), (1, &[]), (2, &[1]), (3, &[0])],
            &[&[0, 3], &[1, 2]],
        );
        check(&[(0, &[]), (1, &[]), (2, &[0, 1])], &[&[0, 1, 2]]);
    }

    #[test]
    fn a_chain_does_not_roll_on_for_ever() {
        check(
            &[(0, &[]), (90, &[0]), (180, &[1]), (270, &[2])],
            &[&[0, 1], &[2, 3]],
        );
    }
}
