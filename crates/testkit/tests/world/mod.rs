//! What the tests of time share: worlds, the rules they run under, and runs through them.

pub mod rng;
pub mod rules;
pub mod run;
pub mod source;
pub mod told;
