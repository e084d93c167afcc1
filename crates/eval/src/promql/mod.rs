//! PromQL over vectors: range functions, operators, joins, aggregations, functions.
//!
//! Owns what Prometheus 3.5 says a query means. Knows series only as the vectors that
//! [`Leaves`](crate::vector::Leaves) gives, so it neither stores samples nor finds series.

pub mod error;
pub mod evaluator;
pub mod range;
pub mod value;

mod aggregate;
mod binary;
pub(crate) mod cache;
mod calendar;
mod functions;
mod histogram;
pub(crate) mod kahan;
mod matching;
pub(crate) mod order;
mod power;
mod rewrite;
mod subquery;
mod topk;

#[cfg(test)]
mod tests;

pub(crate) use binary::constant;
pub use error::EvalError;
pub use evaluator::{Condition, Evaluator};
pub use value::Value;
