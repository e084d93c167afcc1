//! Event time: milliseconds since the Unix epoch.

use std::fmt::{self, Write as _};
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// An instant of event time (or of wall time that was handed in), in milliseconds since the epoch.
///
/// Spans between instants are plain `i64` milliseconds, named `…_ms`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Before every real instant; far enough from the edge that spans can be subtracted.
    pub const MIN: Self = Self(i64::MIN / 4);
    /// After every real instant: where a finished file ends.
    pub const MAX: Self = Self(i64::MAX / 4);

    /// Milliseconds since the epoch.
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch, as PromQL sees time.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e3
    }

    /// From nanoseconds since the epoch (OTLP), cut to milliseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self((nanos / 1_000_000) as i64)
    }

    /// The earliest `k * interval + slot` (k whole) that is strictly after `self`.
    #[must_use]
    pub fn next_slot(self, interval_ms: i64, slot_ms: i64) -> Self {
        Self(((self.0 - slot_ms).div_euclid(interval_ms) + 1) * interval_ms + slot_ms)
    }
}

impl Add<i64> for Timestamp {
    type Output = Self;
    fn add(self, span_ms: i64) -> Self {
        Self(self.0.saturating_add(span_ms))
    }
}

impl AddAssign<i64> for Timestamp {
    fn add_assign(&mut self, span_ms: i64) {
        *self = *self + span_ms;
    }
}

impl Sub<i64> for Timestamp {
    type Output = Self;
    fn sub(self, span_ms: i64) -> Self {
        Self(self.0.saturating_sub(span_ms))
    }
}

impl Sub for Timestamp {
    type Output = i64;
    fn sub(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2026-11-24T23:19:10.123Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil(days);
        let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z",
            ms % 1_000
        )
    }
}

/// Days since 1970-01-01 to (year, month, day): Howard Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms", `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (
        yoe + era * 400 + i64::from(month <= 2),
        month,
        doy - (153 * mp + 2) / 5 + 1,
    )
}

/// Prometheus' staleness marker: a NaN with these bits ends a series at its timestamp.
pub const STALE_NAN: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether `value` is the staleness marker (and not an ordinary NaN).
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN.to_bits()
}

/// A span for people, as Prometheus writes durations: `1h30m`, `15s`, `250ms`.
pub fn span_text(span_ms: i64) -> String {
    if span_ms == 0 {
        return "0s".to_owned();
    }
    let mut left = span_ms.abs();
    let mut text = String::from(if span_ms < 0 { "-" } else { "" });
    for (unit, ms) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ] {
        if left >= ms {
            let _infallible = write!(text, "{}{unit}", left / ms);
            left %= ms;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc3339() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            Timestamp(1_795_562_350_123).to_string(),
            "2026-11-24T23:19:10.123Z"
        );
        assert_eq!(
            Timestamp(951_782_400_000).to_string(),
            "2000-02-29T00:00:00.000Z"
        );
    }

    #[test]
    fn next_slot_is_strictly_after() {
        assert_eq!(Timestamp(60_000).next_slot(60_000, 0), Timestamp(120_000));
        assert_eq!(Timestamp(59_999).next_slot(60_000, 0), Timestamp(60_000));
        assert_eq!(Timestamp(-1).next_slot(60_000, 7), Timestamp(7));
    }

    #[test]
    fn spans_read_as_prometheus_writes_them() {
        assert_eq!(span_text(5_400_000), "1h30m");
        assert_eq!(span_text(250), "250ms");
        assert_eq!(span_text(0), "0s");
    }
}
