//! A thread for each sink, and what they share.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foghorn_model::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use crate::alertmanager::{AlertFeed, AlertmanagerSink};
use crate::backlog::Backlog;
use crate::courier::Courier;
use crate::machine::{Machine, Next};
use crate::metrics::SinkMetrics;
use crate::pace::Pace;
use crate::sink::Sink;

/// How a sink does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SinkStatus {
    /// Its name; with the URL where it has several.
    pub name: String,
    /// Whether the last attempt went well (or there was none).
    pub up: bool,
    /// Revisions (or alerts) delivered since the start.
    pub delivered: u64,
    /// Revisions left out because a later one waited too.
    pub coalesced: u64,
    /// Attempts that failed and were (or are) tried again.
    pub retries: u64,
    /// Revisions (or alerts) that the receiver refused for good.
    pub given_up: u64,
    /// Revisions (or alerts) that wait.
    pub pending: u64,
    /// What the last failed attempt said; stays after it went well again.
    pub last_error: Option<String>,
}

/// Runs the sinks, each on a thread of its own, until it is drained.
pub struct Emitter {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Rises when something new is there.
    news: u64,
    phase: Phase,
    /// When draining ends.
    deadline: Option<Instant>,
    /// Threads that still run.
    running: usize,
    sinks: Vec<SinkStatus>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Running,
    /// Deliver what is there, then end.
    Draining,
    /// End after the attempt that is under way.
    Stopped,
}

impl Emitter {
    /// Starts a thread for each sink.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        sinks: Vec<Box<dyn Sink>>,
        backlog: &Arc<dyn Backlog>,
        metrics: &SinkMetrics,
        pace: &Pace,
    ) -> io::Result<Self> {
        let mut emitter = Self {
            shared: Arc::default(),
        };
        for sink in sinks {
            let courier = Courier::new(sink, Arc::clone(backlog), metrics.clone(), pace.clone());
            emitter.run(Box::new(courier))?;
        }
        Ok(emitter)
    }

    /// Starts a thread for each of an Alertmanager sink's Alertmanagers. `wall` says wall time.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn send_alerts(
        &mut self,
        sink: AlertmanagerSink,
        feed: &Arc<dyn AlertFeed>,
        wall: fn() -> Timestamp,
        metrics: &SinkMetrics,
    ) -> io::Result<()> {
        for sender in sink.senders(feed, wall, metrics) {
            self.run(Box::new(sender))?;
        }
        Ok(())
    }

    fn run(&mut self, machine: Box<dyn Machine>) -> io::Result<()> {
        let name = format!("sink-{}", machine.status().name);
        let index = {
            let mut state = self.shared.lock();
            state.sinks.push(SinkStatus {
                up: true,
                ..machine.status().clone()
            });
            state.running += 1;
            state.sinks.len() - 1
        };
        let shared = Arc::clone(&self.shared);
        let spawned = std::thread::Builder::new()
            .name(name)
            .spawn(move || shared.run(index, machine));
        match spawned {
            Ok(_) => Ok(()),
            Err(error) => {
                self.shared.set_phase(Phase::Stopped);
                Err(error)
            }
        }
    }

    /// Something new is in the outbox, or alerts have changed. Cheap; never blocks on a sink.
    pub fn wake(&self) {
        self.shared.lock().news += 1;
        self.shared.changed.notify_all();
    }

    /// How the sinks do, in the config's order.
    pub fn status(&self) -> Vec<SinkStatus> {
        self.shared.lock().sinks.clone()
    }

    /// Delivers what is there, for at most `within`, and ends the threads. What is not delivered
    /// stays in the outbox; alerts are told of again after the next start. A sink in the midst of an attempt then is left to itself: its revision
    /// may arrive and yet be sent again after the next start.
    pub fn drain(&self, within: Duration) -> Vec<SinkStatus> {
        let deadline = Instant::now() + within;
        self.shared.lock().deadline = Some(deadline);
        self.shared.set_phase(Phase::Draining);
        let mut state = self.shared.lock();
        while state.running > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.shared.wait(state, Some(left));
        }
        state.phase = Phase::Stopped;
        self.shared.changed.notify_all();
        state.sinks.clone()
    }
}

impl Drop for Emitter {
    fn drop(&mut self) {
        self.shared.set_phase(Phase::Stopped);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_phase(&self, phase: Phase) {
        self.lock().phase = phase;
        self.changed.notify_all();
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        within: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        match within {
            Some(within) => {
                self.changed
                    .wait_timeout(state, within)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
            None => self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// A sink's thread.
    fn run(&self, index: usize, mut machine: Box<dyn Machine>) {
        let _ended = Ended(self);
        let begin = Instant::now();
        let clock = || begin.elapsed();
        loop {
            let seen = self.lock().news;
            let next = machine.round(&clock);
            let mut state = self.lock();
            state.sinks[index].clone_from(machine.status());
            match (state.phase, &next) {
                (Phase::Stopped, _) | (Phase::Draining, Next::Idle) => break,
                // Nothing is left, or nothing more can be done in time.
                (Phase::Draining, Next::At(at))
                    if !machine.waits_to_retry()
                        || state.deadline.is_some_and(|end| begin + *at >= end) =>
                {
                    break;
                }
                _ => {}
            }
            let wait = match next {
                Next::Again => continue,
                Next::At(at) => Some(at.saturating_sub(clock())),
                Next::Idle => None,
            };
            if state.news == seen {
                drop(self.wait(state, wait));
            }
        }
        machine.finish();
    }
}

/// Says that a thread has ended, even where it panicked.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use foghorn_model::Incident;
    use foghorn_model::incident::Status::Open;
    use prometheus::Registry;

    use super::*;
    use crate::fixtures::{MemoryBacklog, incident};
    use crate::sink::{Delivered, DeliveryError};

    fn pace() -> Pace {
        Pace::at_once(|| Timestamp(0))
    }

    struct Told(&'static str, mpsc::Sender<u128>);
    struct Dead;

    impl Sink for Told {
        fn name(&self) -> &str {
            self.0
        }

        fn deliver(&mut self, incidents: &[Arc<Incident>]) -> Delivered {
            for incident in incidents {
                self.1.send(incident.id.0).unwrap();
            }
            Delivered::all(incidents)
        }

        fn coalesces(&self) -> bool {
            false
        }
    }

    impl Sink for Dead {
        fn name(&self) -> &'static str {
            "dead"
        }

        fn deliver(&mut self, _: &[Arc<Incident>]) -> Delivered {
            let error = DeliveryError {
                retry_after: Some(Duration::from_mins(10)),
                ..DeliveryError::retryable("down")
            };
            Delivered::stopped(0, error)
        }

        fn coalesces(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_dead_sink_stalls_nobody_and_loses_nothing() {
        let backlog = Arc::new(MemoryBacklog::default());
        let held: Arc<dyn Backlog> = Arc::<MemoryBacklog>::clone(&backlog);
        let (sender, told) = mpsc::channel();
        let metrics = SinkMetrics::register(&Registry::new()).unwrap();
        let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Dead), Box::new(Told("alive", sender))];
        let emitter = Emitter::start(sinks, &held, &metrics, &pace()).unwrap();
        for id in 1..=3 {
            backlog.push(incident(id, 1, Open));
            emitter.wake();
            assert_eq!(told.recv().unwrap(), id);
        }
        let status = emitter.drain(Duration::from_mins(1));
        assert_eq!((status[0].delivered, status[0].up), (0, false));
        assert_eq!((status[1].delivered, status[1].pending), (3, 0));
        assert_eq!((backlog.len("dead"), backlog.len("alive")), (3, 0));
    }

    #[test]
    fn draining_delivers_what_is_there() {
        let backlog = Arc::new(MemoryBacklog::default());
        let held: Arc<dyn Backlog> = Arc::<MemoryBacklog>::clone(&backlog);
        let (sender, told) = mpsc::channel();
        let metrics = SinkMetrics::register(&Registry::new()).unwrap();
        let emitter = Emitter::start(
            vec![Box::new(Told("alive", sender))],
            &held,
            &metrics,
            &pace(),
        )
        .unwrap();
        backlog.push(incident(1, 1, Open));
        emitter.wake();
        backlog.push(incident(2, 1, Open));
        let status = emitter.drain(Duration::from_mins(1));
        assert_eq!(status[0].pending, 0);
        assert_eq!(told.iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(backlog.saved(), 2);
    }
}
