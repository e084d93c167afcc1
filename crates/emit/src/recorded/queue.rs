//! Samples that wait to be sent: bounded in their number, whole offers taken or refused.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::RecordedSample;

/// See the module's text.
pub(super) struct Queue {
    bound: usize,
    state: Mutex<State>,
    /// Something came, or was closed.
    filled: Condvar,
    /// Something was taken, or all is done.
    drained: Condvar,
}

#[derive(Default)]
struct State {
    offers: VecDeque<Vec<RecordedSample>>,
    /// Samples in them.
    samples: usize,
    /// Nothing had room: until something has, nobody waits for it again.
    overrun: bool,
    closed: bool,
    done: bool,
}

impl Queue {
    /// A queue of so many samples. One offer alone may be larger.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            bound,
            state: Mutex::default(),
            filled: Condvar::new(),
            drained: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self, state: &State, more: usize) -> bool {
        state.samples > 0 && state.samples + more > self.bound
    }

    /// Takes an offer, waiting so long at most for room, and not at all if the last had none.
    ///
    /// # Errors
    /// It was not taken; whether it is the first of a row.
    pub(super) fn offer(
        &self,
        samples: Vec<RecordedSample>,
        patience: Duration,
    ) -> Result<(), bool> {
        let mut state = self.lock();
        if !state.overrun {
            let full = |state: &mut State| self.is_full(state, samples.len());
            let waited = self.drained.wait_timeout_while(state, patience, full);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if self.is_full(&state, samples.len()) {
            let first = !std::mem::replace(&mut state.overrun, true);
            return Err(first);
        }
        state.overrun = false;
        state.samples += samples.len();
        state.offers.push_back(samples);
        self.filled.notify_one();
        Ok(())
    }

    /// The oldest offer, waiting so long at most for one.
    pub(super) fn take(&self, patience: Duration) -> Option<Vec<RecordedSample>> {
        let nothing = |state: &mut State| state.offers.is_empty() && !state.closed;
        let waited = self
            .filled
            .wait_timeout_while(self.lock(), patience, nothing);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let samples = state.offers.pop_front()?;
        state.samples -= samples.len();
        self.drained.notify_all();
        Some(samples)
    }

    /// Samples that wait.
    pub(super) fn len(&self) -> usize {
        self.lock().samples
    }

    /// Nothing will be offered any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Whether it is closed and empty.
    pub(super) fn is_over(&self) -> bool {
        let state = self.lock();
        state.closed && state.offers.is_empty()
    }

    /// Tells whoever waits that what was taken has been sent.
    pub(super) fn done(&self) {
        self.lock().done = true;
        self.drained.notify_all();
    }

    /// Waits for [`Self::done`]; whether it came in time.
    pub(super) fn wait_until_done(&self, at_most: Duration) -> bool {
        let undone = |state: &mut State| !state.done;
        let waited = self
            .drained
            .wait_timeout_while(self.lock(), at_most, undone);
        waited.unwrap_or_else(PoisonError::into_inner).0.done
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    /// Offers so many samples each; what became of them.
    fn check(queue: &Queue, offers: &[usize], expect: &[Result<(), bool>]) {
        let offer = |count: &usize| {
            queue.offer(
                (0..*count).map(|i| sample("r", i as i64, 1.0)).collect(),
                Duration::ZERO,
            )
        };
        assert_eq!(offers.iter().map(offer).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn an_offer_is_taken_whole_or_not_at_all() {
        let queue = Queue::new(10);
        check(&queue, &[6, 5, 4], &[Ok(()), Err(true), Ok(())]);
        assert_eq!(queue.len(), 10);
        assert_eq!(queue.take(Duration::ZERO).unwrap().len(), 6);
        check(&queue, &[7, 7, 6], &[Err(true), Err(false), Ok(())]);
    }

    #[test]
    fn one_offer_alone_may_be_larger_than_the_bound() {
        let queue = Queue::new(10);
        check(&queue, &[20, 1], &[Ok(()), Err(true)]);
    }

    #[test]
    fn a_closed_queue_is_over_when_it_is_empty() {
        let queue = Queue::new(10);
        check(&queue, &[1], &[Ok(())]);
        queue.close();
        assert!(!queue.is_over());
        assert!(queue.take(Duration::MAX).is_some());
        assert!(queue.take(Duration::MAX).is_none() && queue.is_over());
    }
}
