//! What a rule's alerts ask of the tick that they advance at.

use foghorn_model::Labels;
use foghorn_rules::template::{NoQueries, Queries, Sample};

/// Answers what a rule's alerts ask.
pub trait World: Queries {
    /// An element's value in the result without its outermost comparison (see
    /// [`Condition`](crate::promql::Condition), [`BaseValues`](super::BaseValues)): it tells a
    /// condition that became false from data that is gone, and is asked for alerts that end only.
    fn base(&mut self, element: &Labels) -> Option<f64>;
}

/// A world of a base alone, which answers no query.
pub struct BaseOnly<F>(pub F);

impl<F: FnMut(&Labels) -> Option<f64>> World for BaseOnly<F> {
    fn base(&mut self, element: &Labels) -> Option<f64> {
        (self.0)(element)
    }
}

impl<F> Queries for BaseOnly<F> {
    fn query(&mut self, text: &str) -> Result<Vec<Sample>, String> {
        NoQueries.query(text)
    }
}
