//! One sink's deliveries, as a machine that is told the time: what to do next, and when again.

use std::sync::Arc;
use std::time::Duration;

use fail::fail_point;

use crate::backlog::{Backlog, Pending, coalesce};
use crate::backoff;
use crate::emitter::SinkStatus;
use crate::machine::{Machine, Next};
use crate::metrics::SinkMetrics;
use crate::pace::{Pace, WAIT};
use crate::sink::{DeliveryError, Sink};

/// Revisions that are looked at at once: the window within which a backlog is thinned out.
const WINDOW: usize = 1024;
/// Revisions that a sink is given at once.
const BATCH: usize = 128;
/// What is held back is asked for again after so long.
const HELD_BACK: Duration = Duration::from_millis(250);
/// Deliveries that a crash may forget (and repeat) are made durable this long after.
const SAVE_AFTER: Duration = Duration::from_secs(1);

/// Takes what waits in a backlog to one sink: in order, with retries, thinned out where the sink allows it.
pub struct Courier {
    sink: Box<dyn Sink>,
    name: String,
    backlog: Arc<dyn Backlog>,
    metrics: SinkMetrics,
    status: SinkStatus,
    /// Failures in a row.
    attempt: u32,
    /// No attempt before this.
    not_before: Duration,
    /// Since when a delivery is not durable.
    unsaved: Option<Duration>,
    /// When the sink wants to look after what it delivered.
    tend_at: Option<Duration>,
    pace: Pace,
    /// Since when pages about the past wait.
    waits_since: Option<Duration>,
}

impl Courier {
    /// Of a sink that has delivered nothing yet.
    pub fn new(
        sink: Box<dyn Sink>,
        backlog: Arc<dyn Backlog>,
        metrics: SinkMetrics,
        pace: Pace,
    ) -> Self {
        let name = sink.name().to_owned();
        metrics.up.with_label_values(&[&name]).set(1);
        let status = SinkStatus {
            name: name.clone(),
            ..SinkStatus::default()
        };
        Self {
            sink,
            name,
            backlog,
            metrics,
            status,
            attempt: 0,
            not_before: Duration::ZERO,
            unsaved: None,
            tend_at: Some(Duration::ZERO),
            pace,
            waits_since: None,
        }
    }

    /// Makes durable what was delivered.
    fn save(&mut self) {
        self.unsaved = None;
        fail_point!("sink-unsaved", |_| std::process::abort());
        if let Err(error) = self.backlog.save() {
            tracing::warn!(sink = %self.name, %error, "deliveries could not be written down; a crash repeats them");
        }
    }

    fn attempt(&mut self, clock: &dyn Fn() -> Duration) -> Next {
        let batch = self.batch(clock());
        if batch.is_empty() {
            // It is not handed out at the moment, or waits for the truth.
            return Next::At(clock() + HELD_BACK);
        }
        let incidents: Vec<_> = batch
            .iter()
            .map(|(item, _)| Arc::clone(&item.incident))
            .collect();
        fail_point!("sink-asked", |_| std::process::abort());
        let delivered = self.sink.deliver(&incidents);
        fail_point!("sink-delivered", |_| std::process::abort());
        let (done, rest) = batch.split_at(delivered.count.min(batch.len()));
        if let Some((item, _)) = done.last() {
            let left_out = done.iter().map(|(_, left_out)| left_out).sum();
            self.succeeded(done.len() as u64, left_out);
            self.move_to(item.seq, clock());
        }
        match (delivered.stopped, rest.first()) {
            (Some(error), Some((item, _))) if error.retryable => self.failed(&error, item, clock()),
            (Some(error), Some((item, left_out))) => {
                self.give_up(&error, item, *left_out);
                self.move_to(item.seq, clock());
                Next::Again
            }
            // A sink that neither delivers nor says why must not spin.
            (None, Some((item, _))) if done.is_empty() => self.failed(
                &DeliveryError::retryable("nothing was delivered"),
                item,
                clock(),
            ),
            _ => Next::Again,
        }
    }

    /// What to send now, each with the number of revisions before it that it makes needless.
    fn batch(&mut self, now: Duration) -> Vec<(Pending, u64)> {
        let mut pending = self.backlog.pending(&self.name, WINDOW);
        let mut seqs = pending
            .iter()
            .map(|item| item.seq)
            .collect::<Vec<_>>()
            .into_iter()
            .peekable();
        if self.sink.coalesces() {
            if self.waits(&pending, now) {
                return Vec::new();
            }
            pending = self.pace.sum_up(&pending.clone(), coalesce(pending));
        }
        pending.truncate(BATCH);
        let left_out = |item: Pending| {
            let mut passed = 0;
            while seqs.next_if(|seq| *seq <= item.seq).is_some() {
                passed += 1;
            }
            (item, passed - 1)
        };
        pending.into_iter().map(left_out).collect()
    }

    /// Whether what is next may be over before anybody has read it; for a while at most.
    fn waits(&mut self, pending: &[Pending], now: Duration) -> bool {
        let next = pending.first();
        if !next.is_some_and(|next| self.pace.may_be_over_soon(&next.incident)) {
            self.waits_since = None;
            return false;
        }
        let since = *self.waits_since.get_or_insert(now);
        now < since + WAIT
    }

    fn count_pending(&mut self) {
        self.status.pending = self.backlog.len(&self.name) as u64;
        self.metrics
            .pending
            .with_label_values(&[&self.name])
            .set(self.status.pending as i64);
    }

    fn move_to(&mut self, seq: u64, now: Duration) {
        self.unsaved.get_or_insert(now);
        self.backlog.delivered(&self.name, seq);
        self.count_pending();
    }

    fn succeeded(&mut self, count: u64, left_out: u64) {
        if self.attempt > 0 {
            tracing::info!(sink = %self.name, after = self.attempt, "delivers again");
        }
        self.attempt = 0;
        self.not_before = Duration::ZERO;
        self.status.delivered += count;
        self.status.coalesced += left_out;
        self.status.up = true;
        self.metrics
            .delivered
            .with_label_values(&[&self.name])
            .inc_by(count);
        self.metrics
            .coalesced
            .with_label_values(&[&self.name])
            .inc_by(left_out);
        self.metrics.up.with_label_values(&[&self.name]).set(1);
    }

    fn failed(&mut self, error: &DeliveryError, item: &Pending, now: Duration) -> Next {
        self.attempt = self.attempt.saturating_add(1);
        let wait = backoff::wait(self.attempt, error.retry_after, &self.name, item.seq);
        self.not_before = now + wait;
        self.status.retries += 1;
        self.status.up = false;
        self.status.last_error = Some(error.text.clone());
        self.metrics.retries.with_label_values(&[&self.name]).inc();
        self.metrics.up.with_label_values(&[&self.name]).set(0);
        tracing::warn!(
            sink = %self.name,
            incident = %item.incident.id,
            revision = item.incident.revision,
            attempt = self.attempt,
            wait_s = wait.as_secs_f64(),
            error = %error.text,
            "not delivered; will try again"
        );
        Next::At(self.not_before)
    }

    fn give_up(&mut self, error: &DeliveryError, item: &Pending, left_out: u64) {
        self.attempt = 0;
        self.not_before = Duration::ZERO;
        self.status.given_up += 1;
        self.status.coalesced += left_out;
        self.status.up = false;
        self.status.last_error = Some(error.text.clone());
        self.metrics.given_up.with_label_values(&[&self.name]).inc();
        self.metrics
            .coalesced
            .with_label_values(&[&self.name])
            .inc_by(left_out);
        self.metrics.up.with_label_values(&[&self.name]).set(0);
        tracing::error!(
            sink = %self.name,
            incident = %item.incident.id,
            revision = item.incident.revision,
            error = %error.text,
            "refused for good: this revision is given up"
        );
    }
}

impl Machine for Courier {
    fn status(&self) -> &SinkStatus {
        &self.status
    }

    fn waits_to_retry(&self) -> bool {
        self.attempt > 0
    }

    fn round(&mut self, clock: &dyn Fn() -> Duration) -> Next {
        let now = clock();
        if self.unsaved.is_some_and(|since| now >= since + SAVE_AFTER) {
            self.save();
        }
        if self.tend_at.is_some_and(|at| now >= at) {
            self.tend_at = self.sink.tend().map(|after| now + after);
        }
        self.count_pending();
        if self.status.pending == 0 {
            self.waits_since = None;
            let save_at = self.unsaved.map(|since| since + SAVE_AFTER);
            let next = save_at.into_iter().chain(self.tend_at).min();
            return next.map_or(Next::Idle, Next::At);
        }
        if now < self.not_before {
            return Next::At(self.unsaved.map_or(self.not_before, |since| {
                self.not_before.min(since + SAVE_AFTER)
            }));
        }
        self.attempt(clock)
    }

    fn finish(&mut self) {
        self.save();
    }
}

#[cfg(test)]
mod tests;
