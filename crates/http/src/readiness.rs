//! Whether this instance is ready, and if not, why.

use std::sync::{Arc, Mutex, PoisonError};

/// Shared between who knows and who is asked. Not ready at first.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Mutex<Option<String>>>);

impl Readiness {
    /// Everything is restored and running.
    pub fn set_ready(&self) {
        self.set(None);
    }

    /// Not (or no longer) ready.
    pub fn set_not_ready(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    /// Why it is not ready; `None` where it is.
    pub fn reason(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, reason: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some("starting".to_owned()))))
    }
}
