//! What a sink's thread runs: something that is told the time, and says when it wants to be called
//! again.

use std::time::Duration;

use crate::emitter::SinkStatus;

/// What a machine wants next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Call again at once: there may be more.
    Again,
    /// Call again at this time, or when something new is there.
    At(Duration),
    /// Call again when something new is there.
    Idle,
}

/// See the module's text.
pub trait Machine: Send {
    /// One round at the time that `clock` says (since any fixed instant; monotone).
    fn round(&mut self, clock: &dyn Fn() -> Duration) -> Next;

    /// How it does.
    fn status(&self) -> &SinkStatus;

    /// Whether it waits before another attempt at something that failed.
    fn waits_to_retry(&self) -> bool;

    /// The last call: makes durable what must be.
    fn finish(&mut self);
}
