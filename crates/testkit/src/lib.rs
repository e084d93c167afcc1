//! What tests of several rooms share: a dev-dependency, never part of the program.

pub mod broker;
pub mod passing;
pub mod proxy;
pub mod rng;
pub mod scenario;
