//! One Alertmanager's alerts, as a machine that is told the time: what is due, and when again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foghorn_model::{AlertId, Timestamp};

use super::door::Door;
use super::feed::{AlertFeed, AlertKey, RuleAlert};
use super::metrics::{Dropped, Meter, NotificationMetrics};
use super::posted::Terms;
use super::queue::Queue;
use crate::backoff;
use crate::emitter::SinkStatus;
use crate::machine::{Machine, Next};
use crate::sink::DeliveryError;

/// Alerts in one post at most, as in Prometheus.
const BATCH: usize = 256;
/// An end is said for so long after it became known, in milliseconds: Prometheus'
/// `resolvedRetention`.
const RESOLVED_RETENTION_MS: i64 = 900_000;
/// Alerts that have to be said again within so short a time are said together.
const TOGETHER: Duration = Duration::from_secs(1);

/// See the module's text.
pub(crate) struct Sender {
    door: Box<dyn Door>,
    terms: Arc<Terms>,
    feed: Arc<dyn AlertFeed>,
    wall: Box<dyn Fn() -> Timestamp + Send>,
    meter: Meter,
    status: SinkStatus,
    /// What was said last of each alert, or waits to be.
    told: HashMap<AlertKey, Told>,
    queue: Queue,
    /// Failures in a row.
    attempt: u32,
    /// No attempt before this.
    not_before: Duration,
}

struct Told {
    id: AlertId,
    has_ended: bool,
    at: Duration,
}

impl Sender {
    pub(super) fn new(
        door: Box<dyn Door>,
        terms: Arc<Terms>,
        feed: Arc<dyn AlertFeed>,
        wall: Box<dyn Fn() -> Timestamp + Send>,
        metrics: &NotificationMetrics,
    ) -> Self {
        let meter = metrics.of(door.url());
        let status = SinkStatus {
            name: format!("{} {}", terms.name, door.url()),
            ..SinkStatus::default()
        };
        Self {
            door,
            terms,
            feed,
            wall,
            meter,
            status,
            told: HashMap::new(),
            queue: Queue::default(),
            attempt: 0,
            not_before: Duration::ZERO,
        }
    }

    /// Queues what is due, and lets go of what nobody needs any more. When the next is due.
    fn look(&mut self, now: Duration) -> Option<Duration> {
        let wall = (self.wall)();
        let matters = |alert: &RuleAlert| {
            alert
                .ended
                .is_none_or(|ended| wall - ended.known_at <= RESOLVED_RETENTION_MS)
        };
        let alerts = self.feed.alerts().into_iter().filter(matters);
        let alerts: HashMap<AlertKey, RuleAlert> =
            alerts.map(|alert| (alert.key(), alert)).collect();
        self.told.retain(|key, _| alerts.contains_key(key));
        let over = self.queue.retain(|key| alerts.contains_key(key));
        self.meter.dropped(Dropped::Over, over);

        let (mut due, mut next): (Vec<_>, Option<Duration>) = (Vec::new(), None);
        for (key, alert) in alerts {
            let again = self.again(&key, &alert);
            if again.is_none_or(|at| at <= now) {
                due.push((key, alert));
            } else {
                next = again.into_iter().chain(next).min();
            }
        }
        if !due.is_empty() {
            let again = now + self.terms.resend_delay;
            next = Some(next.map_or(again, |at| at.min(again)));
        }
        due.sort_unstable_by(|(_, a), (_, b)| {
            (a.fired_at, &a.labels, a.rule).cmp(&(b.fired_at, &b.labels, b.rule))
        });
        for (key, alert) in due {
            let told = Told {
                id: alert.id,
                has_ended: alert.ended.is_some(),
                at: now,
            };
            self.told.insert(key, told);
            let lost = self.queue.push(alert);
            self.meter.dropped(Dropped::Full, usize::from(lost));
        }
        next
    }

    /// When an alert has to be said again; `None` where its present state was never said.
    fn again(&self, key: &AlertKey, alert: &RuleAlert) -> Option<Duration> {
        let told = self.told.get(key)?;
        let same = told.id == alert.id && told.has_ended == alert.ended.is_some();
        same.then_some(told.at + self.terms.resend_delay)
    }

    fn post(&mut self, clock: &dyn Fn() -> Duration) -> Next {
        let count = self.queue.len().min(BATCH);
        let body = self.terms.body(self.queue.front(count), (self.wall)());
        let begun = clock();
        let posted = self.door.post(body);
        let now = clock();
        let took = now.saturating_sub(begun);
        self.meter.posted(count, took, posted.is_ok());
        let next = match posted {
            Ok(()) => self.succeeded(count, now),
            Err(error) if error.retryable => self.failed(&error, now),
            Err(error) => self.give_up(&error, count),
        };
        self.count_queue();
        next
    }

    fn succeeded(&mut self, count: usize, now: Duration) -> Next {
        if self.attempt > 0 {
            tracing::info!(sink = %self.status.name, after = self.attempt, "takes alerts again");
        }
        for alert in self.queue.front(count) {
            if let Some(told) = self.told.get_mut(&alert.key()) {
                told.at = now;
            }
        }
        self.queue.pop(count);
        self.attempt = 0;
        self.not_before = Duration::ZERO;
        self.status.delivered += count as u64;
        self.status.up = true;
        Next::Again
    }

    fn failed(&mut self, error: &DeliveryError, now: Duration) -> Next {
        self.attempt = self.attempt.saturating_add(1);
        // Waiting longer than what fires is said again would let it end by itself over there.
        let wait = backoff::wait(self.attempt, error.retry_after, &self.status.name, 0)
            .min(self.terms.resend_delay);
        self.not_before = now + wait;
        self.status.retries += 1;
        self.status.up = false;
        self.status.last_error = Some(error.text.clone());
        tracing::warn!(
            sink = %self.status.name,
            waiting = self.queue.len(),
            attempt = self.attempt,
            wait_s = wait.as_secs_f64(),
            error = %error.text,
            "alerts not sent; will try again"
        );
        Next::At(self.not_before)
    }

    fn give_up(&mut self, error: &DeliveryError, count: usize) -> Next {
        self.queue.pop(count);
        self.meter.dropped(Dropped::Refused, count);
        self.attempt = 0;
        self.not_before = Duration::ZERO;
        self.status.given_up += count as u64;
        self.status.up = false;
        self.status.last_error = Some(error.text.clone());
        tracing::error!(
            sink = %self.status.name,
            alerts = count,
            error = %error.text,
            "refused; said again when it is time"
        );
        Next::Again
    }

    fn count_queue(&mut self) {
        self.status.pending = self.queue.len() as u64;
        self.meter.waits(self.queue.len());
    }
}

impl Machine for Sender {
    fn round(&mut self, clock: &dyn Fn() -> Duration) -> Next {
        let now = clock();
        let next = self.look(now);
        self.count_queue();
        if self.queue.is_empty() {
            return next.map_or(Next::Idle, |at| Next::At(at.max(now + TOGETHER)));
        }
        if now < self.not_before {
            return Next::At(self.not_before);
        }
        self.post(clock)
    }

    fn status(&self) -> &SinkStatus {
        &self.status
    }

    fn waits_to_retry(&self) -> bool {
        self.attempt > 0
    }

    /// Nothing: what fires is said again after the next start.
    fn finish(&mut self) {}
}

#[cfg(test)]
mod tests;
