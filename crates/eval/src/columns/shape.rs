//! Expressions that are recognised.

use foghorn_rules::plan::{Binary, Expr, Group, Leaf, LeafId, Read};

use super::ladder::Comparison;
use crate::promql::constant;

/// `leaf CMP number` (either way round): the leaf, and what its values are compared with.
pub(crate) fn threshold(binary: &Binary) -> Option<(LeafId, Comparison, f64)> {
    let Binary {
        op,
        return_bool: false,
        lhs,
        rhs,
        ..
    } = binary
    else {
        return None;
    };
    match (lhs, rhs) {
        (Expr::Leaf(leaf), number) => Some((*leaf, Comparison::of(*op, false)?, constant(number)?)),
        (number, Expr::Leaf(leaf)) => Some((*leaf, Comparison::of(*op, true)?, constant(number)?)),
        _ => None,
    }
}

/// A subquery over an instant read, filtered or not.
pub(crate) struct Resampled<'a> {
    pub(crate) inner: LeafId,
    pub(crate) leaf: &'a Leaf,
    pub(crate) filter: Option<(Comparison, f64)>,
}

/// Recognises what a subquery evaluates at its steps.
pub(crate) fn resampled<'a>(group: &'a Group, inner: &Expr) -> Option<Resampled<'a>> {
    let (inner, filter) = match inner {
        Expr::Leaf(leaf) => (*leaf, None),
        Expr::Binary(binary) => {
            let (leaf, comparison, number) = threshold(binary)?;
            (leaf, Some((comparison, number)))
        }
        _ => return None,
    };
    let leaf = group.leaves.get(inner.0 as usize)?;
    let plain = matches!(
        &leaf.read,
        Read::Instant {
            timestamp: false,
            ..
        }
    );
    plain.then_some(Resampled {
        inner,
        leaf,
        filter,
    })
}

/// Calls for each leaf that is read at the evaluation time itself (not at a subquery's steps).
pub(crate) fn direct_leaves(expr: &Expr, visit: &mut impl FnMut(LeafId)) {
    match expr {
        Expr::Number(_) | Expr::Text(_) => {}
        Expr::Leaf(leaf) => visit(*leaf),
        Expr::Neg(inner) => direct_leaves(inner, visit),
        Expr::Binary(binary) => {
            direct_leaves(&binary.lhs, visit);
            direct_leaves(&binary.rhs, visit);
        }
        Expr::Aggregate(plan) => {
            direct_leaves(&plan.expr, visit);
            if let Some(param) = &plan.param {
                direct_leaves(param, visit);
            }
        }
        Expr::Call(call) => call.args.iter().for_each(|arg| direct_leaves(arg, visit)),
    }
}
