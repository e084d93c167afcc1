//! Telemetry that comes by HTTP: one more source partition, fed from a bounded queue.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use foghorn_ingest::Raw;
use foghorn_model::{Offset, Partition, Timestamp};
use foghorn_wire::Format;

use crate::clock::wall;
use crate::hub::{Hub, State, lock};

/// A body on its way.
#[derive(Debug)]
struct Body {
    format: Format,
    bytes: Vec<u8>,
    received: Timestamp,
}

/// The queue between HTTP handlers and the worker that reads it. Bounded in bytes.
#[derive(Debug)]
pub struct HttpQueue {
    max_bytes: usize,
    inner: Mutex<(VecDeque<Body>, usize)>,
    filled: Condvar,
}

impl HttpQueue {
    /// A queue of at most so many bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            inner: Mutex::default(),
            filled: Condvar::new(),
        }
    }

    /// Offers a body; `false` where there is no room now.
    pub fn offer(&self, format: Format, bytes: Vec<u8>, received: Timestamp) -> bool {
        let mut inner = lock(&self.inner);
        if inner.1 + bytes.len() > self.max_bytes && !inner.0.is_empty() {
            return false;
        }
        inner.1 += bytes.len();
        inner.0.push_back(Body {
            format,
            bytes,
            received,
        });
        self.filled.notify_one();
        true
    }

    /// Share of the queue that is in use.
    pub fn fill(&self) -> f64 {
        lock(&self.inner).1 as f64 / self.max_bytes as f64
    }

    fn take(&self, at_most: Duration) -> Vec<Body> {
        let inner = lock(&self.inner);
        let (mut inner, _) = self
            .filled
            .wait_timeout_while(inner, at_most, |inner| inner.0.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        inner.1 = 0;
        inner.0.drain(..).collect()
    }

    fn is_empty(&self) -> bool {
        lock(&self.inner).0.is_empty()
    }
}

/// The worker that reads the queue.
pub(crate) struct HttpWorker {
    pub(crate) hub: Arc<Hub>,
    pub(crate) state: Arc<State>,
    pub(crate) queue: Arc<HttpQueue>,
    pub(crate) partition: Partition,
    pub(crate) next_offset: Offset,
}

impl HttpWorker {
    /// Reads until the end is asked for and the queue is empty.
    pub(crate) fn run(mut self) {
        while !(self.hub.stopping() && self.queue.is_empty()) {
            let bodies = self.queue.take(Duration::from_millis(20));
            let now = wall();
            let mut state = self.state.lock();
            for body in &bodies {
                let raw = Raw {
                    partition: self.partition,
                    offset: self.next_offset,
                    timestamp: Some(body.received),
                    format: Some(body.format),
                    payload: &body.bytes,
                    ..Raw::default()
                };
                if let Err(refusal) = state.feed(&raw, now) {
                    tracing::warn!(format = %body.format, reason = refusal.code, detail = refusal.detail, "a body could not be decoded");
                }
                self.next_offset += 1;
            }
            if let Some(facts) = state.facts.get_mut(&self.partition) {
                facts.at_end = self.queue.is_empty();
            }
            if !bodies.is_empty() {
                state.hand_over();
                drop(state);
                self.hub.ring();
            }
        }
    }
}
