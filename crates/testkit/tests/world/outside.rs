//! What is outside of Foghorn: a pager, and a process' way out when it is stopped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use foghorn_emit::{Delivered, DeliveryError, Sink};
use foghorn_kafka::{Ack, KafkaError, ModelCluster, ModelProducer, Outgoing, Producer, SendError};
use foghorn_model::Incident;

/// The topic of incidents.
pub(crate) const INCIDENTS: &str = "incidents";
/// The pager's name.
pub(crate) const PAGER: &str = "pager";

pub(crate) fn hold<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().expect("nobody panicked with it")
}

/// A pager that people sit behind: it says what it likes, and remembers what it took.
#[derive(Clone, Default)]
pub(crate) struct Pager {
    pub(crate) taken: Arc<Mutex<Vec<Incident>>>,
    pub(crate) moods: Arc<Mutex<Vec<Mood>>>,
    /// It takes nothing, whatever its mood.
    pub(crate) dead: Arc<AtomicBool>,
}

#[derive(Clone, Copy)]
pub(crate) enum Mood {
    Refuses,
    /// Takes so many, and then answers with an error.
    Breaks(usize),
    /// Takes it, and the answer is lost.
    Forgets,
}

impl Sink for Pager {
    fn name(&self) -> &str {
        PAGER
    }

    fn deliver(&mut self, incidents: &[Arc<Incident>]) -> Delivered {
        let take = |count: usize| {
            let all = incidents.iter().take(count);
            hold(&self.taken).extend(all.map(|it| Incident::clone(it)));
        };
        let busy = DeliveryError::retryable("503");
        if self.dead.load(Ordering::Relaxed) {
            return Delivered::stopped(0, busy);
        }
        match hold(&self.moods).pop() {
            None => {
                take(incidents.len());
                Delivered::all(incidents)
            }
            Some(Mood::Refuses) => Delivered::stopped(0, busy),
            Some(Mood::Breaks(count)) => {
                let count = count.min(incidents.len());
                take(count);
                Delivered {
                    count,
                    stopped: (count < incidents.len()).then_some(busy),
                }
            }
            Some(Mood::Forgets) => {
                take(1);
                Delivered::stopped(0, busy)
            }
        }
    }

    fn coalesces(&self) -> bool {
        true
    }
}

/// A producer of a process that may be stopped in the midst of a write: what it sends then stays where
/// it is, and goes out when it wakes up.
pub(crate) struct Stopping {
    pub(crate) inner: ModelProducer,
    pub(crate) stopped: Arc<Mutex<Stopped>>,
}

#[derive(Default)]
pub(crate) struct Stopped {
    pub(crate) now: bool,
    kept: Vec<Kept>,
}

/// A record that is on its way.
struct Kept {
    key: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    payload: Vec<u8>,
}

impl Producer for Stopping {
    fn send(&self, record: &Outgoing<'_>, token: u64) -> Result<(), SendError> {
        let mut stopped = hold(&self.stopped);
        if !stopped.now {
            return self.inner.send(record, token);
        }
        let headers = record.headers.iter();
        let headers = headers.map(|(name, value)| ((*name).to_owned(), value.to_vec()));
        let owned = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
        stopped.kept.push(Kept {
            key: owned(record.key),
            headers: headers.collect(),
            payload: owned(record.payload),
        });
        Ok(())
    }

    fn poll_acks(&self, timeout: Duration) -> Vec<Ack> {
        self.inner.poll_acks(timeout)
    }

    fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.inner.flush(timeout)
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }
}

impl Stopped {
    /// What was on its way goes out.
    pub(crate) fn wake(&mut self, cluster: &ModelCluster) {
        self.now = false;
        let producer = cluster.producer();
        for kept in self.kept.drain(..) {
            let headers = kept.headers.iter();
            let headers: Vec<_> = headers.map(|(n, v)| (n.as_str(), v.as_slice())).collect();
            let record = Outgoing {
                topic: INCIDENTS,
                key: Some(&kept.key),
                payload: Some(&kept.payload),
                headers: &headers,
                ..Outgoing::default()
            };
            // Nobody waits for its ack any more.
            let _ = producer.send(&record, 0);
        }
    }
}
