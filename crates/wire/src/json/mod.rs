//! JSON: a borrowed scanner, and the formats that are read with it.
//!
//! Owns grammar and text; each format owns what its keys mean.

pub(crate) mod adapter;
pub(crate) mod framed;
pub(crate) mod logs;
pub(crate) mod metrics;
mod number;
pub(crate) mod scan;
pub(crate) mod shape;
pub(crate) mod tree;
