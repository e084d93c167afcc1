//! Whether the cluster was out of reach not long ago: its producers were cut off, too, and what they
//! kept back is still to come.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::hub::lock;

/// An outage is remembered for so long: by then those who were cut off have come back.
const LATELY: Duration = Duration::from_mins(1);

/// When that was last noticed. Whoever talks to the cluster notes it here; it outlives a lease, and what
/// was started under it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct CutOff(Arc<Mutex<Option<Instant>>>);

impl CutOff {
    /// It is out of reach.
    pub fn note(&self) {
        *lock(&self.0) = Some(Instant::now());
    }

    /// Whether it was so not long ago.
    pub fn is_recent(&self) -> bool {
        lock(&self.0).is_some_and(|at| at.elapsed() < LATELY)
    }
}
