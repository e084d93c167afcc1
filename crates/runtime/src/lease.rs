//! The lease: who of several instances does the work.
//!
//! It is the only partition of a topic that nobody writes to: whoever Kafka assigns it to holds it.
//! Membership and election are Kafka's; what is added is when the holder may still believe in it. Each
//! answer of the group's coordinator makes it sure for one session from the question on: so long
//! nobody else is given it. An instance that was stopped and wakes up is not sure, and asks first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use foghorn_kafka::{Consumer, Event, KafkaError, Position};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::cut_off::CutOff;
use crate::hub::lock;

/// One wait for what the group says.
const POLL: Duration = Duration::from_millis(100);
/// The coordinator is asked so many times a session.
const ASKED: u32 = 6;
/// Where it did not answer, it is asked again after so long.
const AGAIN: Duration = Duration::from_millis(500);

/// An answer that takes longer comes from a cluster that was out of reach meanwhile.
const SLOW: Duration = Duration::from_secs(2);

/// What is known of the lease.
#[derive(Debug, Default)]
struct Standing {
    held: bool,
    /// Until then nobody else has it.
    sure_until: Option<Instant>,
    /// Why it is over: it does not come back.
    over: Option<String>,
    /// Whoever waits for the cluster gives up then.
    end_by: Option<Instant>,
}

#[derive(Debug, Default)]
struct Shared {
    standing: Mutex<Standing>,
    changed: Condvar,
    stop: AtomicBool,
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut lock(&self.standing));
        self.changed.notify_all();
    }
}

/// What others ask about the lease. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hold(Arc<Shared>);

impl Hold {
    /// Why it is no use going on; `None` as long as it may be.
    pub fn over(&self) -> Option<String> {
        let standing = lock(&self.0.standing);
        let late = standing.end_by.is_some_and(|by| Instant::now() >= by);
        let why = || "the end was asked for, and the cluster does not answer".to_owned();
        standing.over.clone().or_else(|| late.then(why))
    }

    /// Whether certainly nobody else has it.
    pub fn is_sure(&self) -> bool {
        let standing = lock(&self.0.standing);
        let sure = standing.sure_until.is_some_and(|at| Instant::now() < at);
        standing.over.is_none() && sure
    }

    /// The end was asked for: nobody waits for the cluster longer than this.
    pub fn end_within(&self, within: Duration) {
        self.0
            .change(|standing| standing.end_by = Some(Instant::now() + within));
    }
}

/// Asks for the lease, and keeps it. Given back when dropped.
pub struct Lease {
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
}

impl Lease {
    /// Asks for it through a member of the group that reads the lease's topic. `at` is the start of its
    /// partition, `session` the time after which the group gives a silent member up; that the cluster
    /// is out of reach is noted in `cut_off`.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn ask(
        consumer: Box<dyn Consumer + Send>,
        at: Position,
        session: Duration,
        cut_off: CutOff,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let keeper = Keeper {
            shared: Arc::clone(&shared),
            at,
            session,
            cut_off,
            claimed: false,
            ask_at: None,
        };
        let keeper = std::thread::Builder::new()
            .name("lease".to_owned())
            .spawn(move || keeper.keep(consumer))?;
        Ok(Self {
            shared,
            keeper: Some(keeper),
        })
    }

    /// Waits for it, for a while; whether it is held.
    ///
    /// # Errors
    /// Why there is no use waiting.
    pub fn wait(&self, at_most: Duration) -> Result<bool, String> {
        let standing = lock(&self.shared.standing);
        let waits = |it: &mut Standing| !it.held && it.over.is_none();
        let (standing, _) = self
            .shared
            .changed
            .wait_timeout_while(standing, at_most, waits)
            .unwrap_or_else(PoisonError::into_inner);
        match &standing.over {
            Some(why) => Err(why.clone()),
            None => Ok(standing.held),
        }
    }

    /// What others ask about it.
    pub fn hold(&self) -> Hold {
        Hold(Arc::clone(&self.shared))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if self
            .keeper
            .take()
            .is_some_and(|keeper| keeper.join().is_err())
        {
            warn!("the lease's thread panicked");
        }
    }
}

/// The thread that is a member of the group.
struct Keeper {
    shared: Arc<Shared>,
    at: Position,
    session: Duration,
    cut_off: CutOff,
    /// Whether the group says that it is ours.
    claimed: bool,
    /// When the coordinator is asked next.
    ask_at: Option<Instant>,
}

impl Keeper {
    fn keep(mut self, mut consumer: Box<dyn Consumer + Send>) {
        while !self.shared.stop.load(Ordering::Acquire) {
            if let Err(why) = self.round(&mut *consumer) {
                info!(why, "the lease is over");
                self.shared.change(|standing| standing.over = Some(why));
                break;
            }
        }
        if let Err(error) = consumer.close() {
            debug!(%error, "the lease was not given back in time");
        }
    }

    /// # Errors
    /// Why it is over.
    fn round(&mut self, consumer: &mut dyn Consumer) -> Result<(), String> {
        let polled = consumer.poll_batch(1, POLL, &mut |_| {});
        polled.map_err(|error| error.to_string())?;
        for event in consumer.events() {
            match event {
                Event::Assigned(partitions) => {
                    let ours = partitions.iter().any(|it| it.topic == self.at.topic);
                    self.claimed |= ours;
                    self.ask_at = Some(Instant::now());
                }
                Event::Revoked { partitions, .. } if self.claimed => {
                    if partitions.iter().any(|it| it.topic == self.at.topic) {
                        return Err("the group has given the lease to another member".to_owned());
                    }
                }
                Event::Error {
                    fatal: true, text, ..
                } => return Err(text),
                event if event.is_cut_off() => self.cut_off.note(),
                other => debug!(?other, "lease"),
            }
        }
        let due = self.ask_at.is_some_and(|at| Instant::now() >= at);
        if self.claimed && due {
            self.confirm(consumer)?;
        }
        Ok(())
    }

    fn confirm(&mut self, consumer: &mut dyn Consumer) -> Result<(), String> {
        let asked = Instant::now();
        let answer = consumer.confirm(&self.at);
        if asked.elapsed() >= SLOW {
            self.cut_off.note();
        }
        match answer {
            Ok(()) => {
                let until = asked + self.session;
                self.shared.change(|standing| {
                    standing.held = true;
                    standing.sure_until = Some(until);
                });
                self.ask_at = Some(asked + self.session / ASKED);
                Ok(())
            }
            Err(error @ KafkaError::NotMember { .. }) => Err(error.to_string()),
            Err(error) => {
                // Nobody knows, for as long as it was sure.
                debug!(%error, "the lease could not be confirmed");
                self.ask_at = Some(Instant::now() + AGAIN);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use foghorn_kafka::{Admin, ModelCluster, Start, TopicSpec};

    use super::*;

    const SESSION: Duration = Duration::from_secs(10);

    fn cluster() -> ModelCluster {
        let cluster = ModelCluster::new();
        cluster.create_topic(&TopicSpec::new("lease", 1)).unwrap();
        cluster
    }

    fn keeper(cluster: &ModelCluster, name: &str) -> (Keeper, Box<dyn Consumer + Send>, Hold) {
        let start = |_: &str, _: u32| Start::Earliest;
        let consumer = cluster.join("group", name, &["lease"], Box::new(start));
        let shared = Arc::<Shared>::default();
        let hold = Hold(Arc::clone(&shared));
        let keeper = Keeper {
            shared,
            at: Position {
                topic: "lease".to_owned(),
                partition: 0,
                offset: 0,
            },
            session: SESSION,
            cut_off: CutOff::default(),
            claimed: false,
            ask_at: None,
        };
        (keeper, Box::new(consumer), hold)
    }

    fn rounds(keeper: &mut Keeper, consumer: &mut dyn Consumer) -> Result<(), String> {
        (0..3).try_for_each(|_| keeper.round(consumer))
    }

    #[test]
    fn whoever_the_group_chose_is_sure_once_the_coordinator_has_said_so() {
        let cluster = cluster();
        let (mut keeper, mut consumer, hold) = keeper(&cluster, "a");
        assert!(!hold.is_sure());
        rounds(&mut keeper, &mut *consumer).unwrap();
        assert!(hold.is_sure() && hold.over().is_none());
    }

    #[test]
    fn a_member_that_was_thrown_out_learns_so() {
        let cluster = cluster();
        let (mut keeper, mut consumer, hold) = keeper(&cluster, "a");
        rounds(&mut keeper, &mut *consumer).unwrap();
        cluster.expire("group", "a");
        assert!(rounds(&mut keeper, &mut *consumer).is_err());
        drop(hold);
    }

    #[test]
    fn after_a_session_without_an_answer_nobody_is_sure() {
        let cluster = cluster();
        let (mut keeper, mut consumer, hold) = keeper(&cluster, "a");
        rounds(&mut keeper, &mut *consumer).unwrap();
        keeper
            .shared
            .change(|it| it.sure_until = Some(Instant::now()));
        assert!(!hold.is_sure() && hold.over().is_none());
    }

    #[test]
    fn where_the_end_was_asked_for_nobody_waits_for_long() {
        let cluster = cluster();
        let (_, _, hold) = keeper(&cluster, "a");
        hold.end_within(Duration::from_mins(1));
        assert_eq!(hold.over(), None);
        hold.end_within(Duration::ZERO);
        assert!(hold.over().is_some());
    }
}
