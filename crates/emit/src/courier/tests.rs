use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Mutex;

use foghorn_model::incident::Status::{self, Open, Resolved};
use foghorn_model::{Incident, Timestamp};
use prometheus::Registry;

use super::*;
use crate::fixtures::{MemoryBacklog, incident};
use crate::sink::Delivered;

/// A receiver that answers by a script, and notes what it was sent.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Delivered>>>,
    sent: Arc<Mutex<Vec<(u128, u32)>>>,
    coalesces: bool,
}

impl Sink for Script {
    fn name(&self) -> &'static str {
        "pager"
    }

    fn deliver(&mut self, incidents: &[Arc<Incident>]) -> Delivered {
        let answer = self
            .answers
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or_else(|| Delivered::all(incidents));
        let reached = answer.count + usize::from(answer.stopped.is_some());
        let sent = incidents
            .iter()
            .take(reached)
            .map(|incident| (incident.id.0, incident.revision));
        self.sent.lock().unwrap().extend(sent);
        answer
    }

    fn coalesces(&self) -> bool {
        self.coalesces
    }
}

struct Desk {
    courier: Courier,
    backlog: Arc<MemoryBacklog>,
    script: Script,
    now: Cell<Duration>,
}

impl Desk {
    fn new(coalesces: bool, answers: impl IntoIterator<Item = Delivered>) -> Self {
        let script = Script {
            coalesces,
            ..Script::default()
        };
        script.answers.lock().unwrap().extend(answers);
        let backlog = Arc::new(MemoryBacklog::default());
        let metrics = SinkMetrics::register(&Registry::new()).unwrap();
        let held: Arc<dyn Backlog> = Arc::<MemoryBacklog>::clone(&backlog);
        let pace = Pace::at_once(|| Timestamp(0));
        let courier = Courier::new(Box::new(script.clone()), held, metrics, pace);
        Self {
            courier,
            backlog,
            script,
            now: Cell::new(Duration::ZERO),
        }
    }

    fn say(&self, id: u128, revision: u32, status: Status) {
        self.backlog.push(incident(id, revision, status));
    }

    fn round(&mut self) -> Next {
        self.courier.round(&|| self.now.get())
    }

    /// Lets time pass as the courier asks, until it has nothing left to do.
    fn settle(&mut self) {
        for _ in 0..100 {
            match self.round() {
                Next::Again => {}
                Next::At(at) => self.now.set(at),
                Next::Idle => return,
            }
        }
        panic!("never idle");
    }

    fn check(&self, sent: &[(u128, u32)], delivered: u64, retries: u64, given_up: u64) {
        assert_eq!(*self.script.sent.lock().unwrap(), sent);
        let status = self.courier.status();
        assert_eq!(
            (status.delivered, status.retries, status.given_up),
            (delivered, retries, given_up)
        );
    }
}

#[test]
fn delivers_in_order_and_rests() {
    let mut desk = Desk::new(false, []);
    assert_eq!(desk.round(), Next::Idle);
    desk.say(1, 1, Open);
    desk.say(2, 1, Open);
    desk.settle();
    desk.say(1, 2, Resolved);
    desk.settle();
    desk.check(&[(1, 1), (2, 1), (1, 2)], 3, 0, 0);
    assert_eq!(desk.backlog.saved(), 3);
}

#[test]
fn a_failure_is_tried_again_from_where_it_stopped() {
    let down = Delivered::stopped(1, DeliveryError::retryable("503"));
    let mut desk = Desk::new(false, [down.clone(), Delivered { count: 0, ..down }]);
    for id in 1..=3 {
        desk.say(id, 1, Open);
    }
    let Next::At(first) = desk.round() else {
        panic!()
    };
    assert!(!desk.courier.status().up);
    assert_eq!(desk.courier.status().last_error.as_deref(), Some("503"));
    desk.now.set(first.saturating_sub(Duration::from_millis(1)));
    assert!(
        matches!(desk.round(), Next::At(at) if at <= first),
        "too early"
    );
    desk.check(&[(1, 1), (2, 1)], 1, 1, 0);
    desk.settle();
    desk.check(&[(1, 1), (2, 1), (2, 1), (2, 1), (3, 1)], 3, 2, 0);
    assert!(desk.courier.status().up);
}

#[test]
fn waits_as_long_as_the_receiver_asks() {
    let busy = DeliveryError {
        retry_after: Some(Duration::from_secs(77)),
        ..DeliveryError::retryable("429")
    };
    let mut desk = Desk::new(false, [Delivered::stopped(0, busy)]);
    desk.say(1, 1, Open);
    assert_eq!(desk.round(), Next::At(Duration::from_secs(77)));
}

#[test]
fn what_is_refused_for_good_stands_in_nobodys_way() {
    let mut desk = Desk::new(
        false,
        [Delivered::stopped(0, DeliveryError::hopeless("400"))],
    );
    desk.say(1, 1, Open);
    desk.say(2, 1, Open);
    desk.settle();
    desk.check(&[(1, 1), (2, 1)], 1, 0, 1);
    assert_eq!(desk.courier.status().last_error.as_deref(), Some("400"));
}

#[test]
fn a_backlog_is_thinned_out_to_what_matters_now() {
    let mut desk = Desk::new(
        true,
        [Delivered::stopped(0, DeliveryError::retryable("down"))],
    );
    desk.say(1, 1, Open);
    desk.round();
    desk.say(2, 1, Open);
    desk.say(1, 2, Open);
    desk.say(2, 2, Resolved);
    desk.settle();
    desk.check(&[(1, 1), (2, 1), (1, 2), (2, 2)], 3, 1, 0);
    assert_eq!(desk.courier.status().coalesced, 1);
    assert_eq!(desk.courier.status().pending, 0);
}

#[test]
fn a_sink_that_says_nothing_does_not_spin() {
    let mut desk = Desk::new(false, [Delivered::default()]);
    desk.say(1, 1, Open);
    assert!(matches!(desk.round(), Next::At(_)));
}

#[test]
fn a_page_about_the_past_waits_for_the_truth_and_not_for_ever() {
    let mut desk = Desk::new(true, []);
    // Onsets stand at the first minute.
    desk.courier.pace = Pace {
        wall: || Timestamp(10_000_000),
        behind_ms: Arc::new(|| 200_000),
        max_age_ms: i64::MAX,
    };
    desk.say(1, 1, Open);
    assert!(matches!(desk.round(), Next::At(_)));
    assert!(desk.script.sent.lock().unwrap().is_empty());
    desk.now.set(Duration::from_secs(299));
    desk.round();
    assert!(desk.script.sent.lock().unwrap().is_empty());
    desk.now.set(Duration::from_secs(301));
    desk.round();
    assert_eq!(*desk.script.sent.lock().unwrap(), [(1, 1)]);
    // Whoever was told of it hears the rest at once.
    desk.say(1, 2, Resolved);
    desk.round();
    assert_eq!(*desk.script.sent.lock().unwrap(), [(1, 1), (1, 2)]);
    // With the next absence it begins anew.
    desk.round();
    desk.say(2, 1, Open);
    desk.round();
    assert_eq!(desk.script.sent.lock().unwrap().len(), 2);
}
