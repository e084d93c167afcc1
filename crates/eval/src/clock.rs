//! Event time of one source partition: its watermark, and what may move it.

use std::collections::VecDeque;

use foghorn_model::{Offset, Timestamp};
use serde::{Deserialize, Serialize};

/// A sample later than its record's stamp by more than this is refused (Prometheus' own bound).
pub const REFUSED_AHEAD_MS: i64 = 600_000;

/// How a source treats time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRules {
    /// The watermark trails the highest event time by so much, in milliseconds.
    pub allowed_lateness_ms: i64,
    /// A sample later than its record's stamp by more than this moves no watermark, in
    /// milliseconds.
    pub max_ahead_ms: i64,
    /// Records' stamps move event time too: what they hold has no time that goes on (alerts are
    /// said again and again with the time of their onset), and a busy partition must not hold ticks
    /// back.
    pub by_stamp: bool,
}

impl Default for TimeRules {
    fn default() -> Self {
        Self {
            allowed_lateness_ms: 10_000,
            max_ahead_ms: 10_000,
            by_stamp: false,
        }
    }
}

/// What a sample's time means for its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Above the watermark.
    OnTime,
    /// At or below the watermark: visible to ticks after it only.
    Late(Timestamp),
    /// Too far ahead of its record's stamp to be believed.
    Refused,
}

/// The clock of one partition. Moves after whole records, and by pins.
#[derive(Clone, Debug)]
pub struct PartitionClock {
    rules: TimeRules,
    high: Timestamp,
    /// Highest event time of samples that ran ahead of their stamps.
    ahead: Timestamp,
    pinned: Timestamp,
    /// Pins of a log that lie ahead: (offset from which it holds, tick), in offset order.
    pins_ahead: VecDeque<(Offset, Timestamp)>,
    /// Position: the next record's offset.
    pub next_offset: Offset,
    // The record that is being read.
    watermark: Timestamp,
    record_high: Timestamp,
    believed_until: Timestamp,
    refused_after: Timestamp,
}

/// What a clock has seen, at a record's border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockState {
    /// Position: the next record's offset.
    pub next_offset: Offset,
    high: Timestamp,
    ahead: Timestamp,
    pinned: Timestamp,
}

impl ClockState {
    /// The same, further on: what lies between is gone.
    #[must_use]
    pub fn from(self, next_offset: Offset) -> Self {
        Self {
            next_offset,
            ..self
        }
    }
}

impl PartitionClock {
    /// What it has seen so far.
    pub fn state(&self) -> ClockState {
        ClockState {
            next_offset: self.next_offset,
            high: self.high,
            ahead: self.ahead,
            pinned: self.pinned,
        }
    }

    /// A clock that goes on from a state, with the pins that the log holds for the partition.
    pub fn resume(rules: TimeRules, state: ClockState, pins: Vec<(Offset, Timestamp)>) -> Self {
        let mut clock = Self::new(rules, state.next_offset, pins);
        (clock.high, clock.ahead) = (state.high, state.ahead);
        clock.pin(state.pinned);
        clock
    }

    /// A clock at a position, with the pins that the log holds for the partition.
    pub fn new(rules: TimeRules, next_offset: Offset, mut pins: Vec<(Offset, Timestamp)>) -> Self {
        pins.sort_unstable();
        let mut clock = Self {
            rules,
            high: Timestamp::MIN,
            ahead: Timestamp::MIN,
            pinned: Timestamp::MIN,
            pins_ahead: pins.into(),
            next_offset,
            watermark: Timestamp::MIN,
            record_high: Timestamp::MIN,
            believed_until: Timestamp::MAX,
            refused_after: Timestamp::MAX,
        };
        clock.pass_pins();
        clock
    }

    fn pass_pins(&mut self) {
        while let Some((_, tick)) = self
            .pins_ahead
            .pop_front_if(|(offset, _)| *offset <= self.next_offset)
        {
            self.pinned = self.pinned.max(tick);
        }
    }

    /// Highest event time less the allowed lateness, or a pinned tick where that is later.
    pub fn watermark(&self) -> Timestamp {
        (self.high - self.rules.allowed_lateness_ms).max(self.pinned)
    }

    /// Begins a record. `stamp` is the lesser of its Kafka timestamp and wall time at first read;
    /// `None` where the source has none.
    pub fn begin(&mut self, offset: Offset, stamp: Option<Timestamp>) {
        self.next_offset = offset;
        self.pass_pins();
        self.watermark = self.watermark();
        self.record_high = stamp
            .filter(|_| self.rules.by_stamp)
            .unwrap_or(Timestamp::MIN);
        (self.believed_until, self.refused_after) = match stamp {
            Some(stamp) => (stamp + self.rules.max_ahead_ms, stamp + REFUSED_AHEAD_MS),
            None => (Timestamp::MAX, Timestamp::MAX),
        };
    }

    /// Whether a record's stamp moves event time by itself.
    pub fn goes_by_stamp(&self) -> bool {
        self.rules.by_stamp
    }

    /// Takes one sample's time into account.
    #[inline]
    pub fn see(&mut self, at: Timestamp) -> Arrival {
        if at > self.refused_after {
            return Arrival::Refused;
        }
        if at > self.believed_until {
            self.ahead = self.ahead.max(at);
        } else if at > self.record_high {
            self.record_high = at;
        }
        if at <= self.watermark {
            Arrival::Late(self.watermark)
        } else {
            Arrival::OnTime
        }
    }

    /// Whether a sample of the record ran ahead of its stamp without moving the watermark.
    pub fn is_ahead(&self, at: Timestamp) -> bool {
        at > self.believed_until
    }

    /// Ends the record.
    pub fn end(&mut self) {
        self.high = self.high.max(self.record_high);
        self.next_offset += 1;
        self.pass_pins();
    }

    /// From here on the watermark is at least `tick`: a tick closes without this partition.
    pub fn pin(&mut self, tick: Timestamp) {
        self.pinned = self.pinned.max(tick);
    }

    /// The watermark that its own records have made; `None` where none had a time that counted.
    pub fn own(&self) -> Option<Timestamp> {
        let shown = self.high > Timestamp::MIN;
        shown.then(|| self.high - self.rules.allowed_lateness_ms)
    }

    /// Highest event time that counted.
    pub fn high(&self) -> Timestamp {
        self.high
    }

    /// Highest event time of any sample that was taken, those that ran ahead of their stamps among
    /// them: none of what was read lies after it.
    pub fn furthest(&self) -> Timestamp {
        self.high.max(self.ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(pins: Vec<(Offset, Timestamp)>) -> PartitionClock {
        PartitionClock::new(
            TimeRules {
                allowed_lateness_ms: 4,
                max_ahead_ms: 10,
                by_stamp: false,
            },
            0,
            pins,
        )
    }

    fn read(clock: &mut PartitionClock, offset: Offset, stamp: i64, times: &[i64]) -> Vec<Arrival> {
        clock.begin(offset, Some(Timestamp(stamp)));
        let seen = times.iter().map(|t| clock.see(Timestamp(*t))).collect();
        clock.end();
        seen
    }

    #[test]
    fn stamps_move_the_clock_of_alerts() {
        let rules = TimeRules {
            allowed_lateness_ms: 4,
            max_ahead_ms: 10,
            by_stamp: true,
        };
        let mut clock = PartitionClock::new(rules, 0, Vec::new());
        read(&mut clock, 0, 100, &[]);
        assert_eq!(clock.watermark(), Timestamp(96));
    }

    #[test]
    fn a_record_does_not_make_itself_late() {
        let mut clock = clock(Vec::new());
        assert_eq!(
            read(&mut clock, 0, 100, &[100, 3]),
            [Arrival::OnTime, Arrival::OnTime]
        );
        assert_eq!(clock.watermark(), Timestamp(96));
        assert_eq!(
            read(&mut clock, 1, 100, &[96, 97]),
            [Arrival::Late(Timestamp(96)), Arrival::OnTime]
        );
    }

    #[test]
    fn a_clock_ahead_moves_nothing_and_far_ahead_is_refused() {
        let mut clock = clock(Vec::new());
        let seen = read(&mut clock, 0, 100, &[111, 100 + REFUSED_AHEAD_MS + 1]);
        assert_eq!(seen, [Arrival::OnTime, Arrival::Refused]);
        assert_eq!(clock.watermark(), Timestamp::MIN);
    }

    #[test]
    fn pins_hold_from_their_offset_on() {
        let mut clock = clock(vec![(1, Timestamp(50))]);
        assert_eq!(read(&mut clock, 0, 100, &[10]), [Arrival::OnTime]);
        assert_eq!(clock.watermark(), Timestamp(50));
        assert_eq!(
            read(&mut clock, 1, 100, &[40]),
            [Arrival::Late(Timestamp(50))]
        );
    }
}
