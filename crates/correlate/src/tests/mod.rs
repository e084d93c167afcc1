//! Scenarios: what goes in, second by second, and what a person is told.

mod cause;
mod dsl;
mod grouping;
mod life;
mod properties;
