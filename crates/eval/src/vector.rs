//! Instant vectors: what leaves give and expressions make.

use foghorn_model::{Labels, Timestamp};
use foghorn_rules::plan::LeafId;

pub use crate::columns::Rows;

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// Its labels; `__name__` is there only where PromQL keeps it.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
}

/// An instant vector. In label order where nothing else is said, so that sums add in a fixed order.
pub type Vector = Vec<Element>;

/// One sample of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Event time, in milliseconds.
    pub t: i64,
    /// Value.
    pub v: f64,
}

/// Where an expression gets its leaves' vectors from: the per-series half.
pub trait Leaves {
    /// The vector of a leaf of the group under evaluation, evaluated as of `at` (the leaf's own
    /// `offset` and `@` are applied by the callee), in label order. Never called for a
    /// `Read::Subquery` leaf.
    fn leaf(&mut self, leaf: LeafId, at: Timestamp) -> Vector;

    /// The same where it was computed for several rules at once; of a `Read::Subquery` leaf, too.
    /// `None` where it was not.
    fn shared(&mut self, _leaf: LeafId, _at: Timestamp) -> Option<Vector> {
        None
    }

    /// The elements of a shared leaf (as [`Leaves::shared`] gives them) whose values pass.
    fn filtered(
        &mut self,
        _leaf: LeafId,
        _at: Timestamp,
        _passes: &dyn Fn(f64) -> bool,
    ) -> Option<Vector> {
        None
    }

    /// The same as numbers over a list of rows that seldom changes. `None` where there is no such
    /// list.
    fn rows(&mut self, _leaf: LeafId, _at: Timestamp) -> Option<Rows<'_>> {
        None
    }
}
