//! What the tests of time share: worlds, the rules they run under, and runs through them.

pub(crate) mod outside;
pub(crate) mod recovery;
pub(crate) mod rules;
pub(crate) mod run;
pub(crate) mod source;
pub(crate) mod told;
