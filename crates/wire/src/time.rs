//! Times as people and programs write them.

use foghorn_model::Timestamp;

/// Latest instant that is believed: the end of year 9999, in milliseconds.
const LATEST_MS: i64 = 253_402_300_799_999;

/// A number by its size: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds,
/// else nanoseconds since the epoch. (1e11 s is the year 5138, 1e11 ms is March 1973.)
pub(crate) fn from_number(number: f64) -> Option<Timestamp> {
    let ms = match number.abs() {
        size if size < 1e11 => number * 1e3,
        size if size < 1e14 => number,
        size if size < 1e17 => number / 1e3,
        size if size < 1e20 => number / 1e6,
        _ => return None,
    };
    bounded(ms.round() as i64)
}

/// A number as text, or RFC 3339 (without an offset it is taken as UTC).
pub(crate) fn from_text(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(ms) = text
        .parse::<i64>()
        .ok()
        .filter(|n| (100_000_000_000..100_000_000_000_000).contains(n))
    {
        return bounded(ms);
    }
    if let Ok(number) = text.parse::<f64>() {
        return from_number(number);
    }
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return bounded(instant.as_millisecond());
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let instant = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    bounded(instant.as_millisecond())
}

/// OTLP's nanoseconds; 0 means unknown.
pub(crate) fn from_nanos(nanos: u64, unknown: Timestamp) -> Timestamp {
    if nanos == 0 {
        unknown
    } else {
        Timestamp::from_nanos(nanos)
    }
}

fn bounded(ms: i64) -> Option<Timestamp> {
    (-LATEST_MS..=LATEST_MS)
        .contains(&ms)
        .then_some(Timestamp(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<i64>) {
        assert_eq!(from_text(text).map(Timestamp::ms), expect, "{text}");
    }

    #[test]
    fn the_usual_spellings() {
        check("1700000000123", Some(1_700_000_000_123));
        check("1700000000", Some(1_700_000_000_000));
        check("1700000000.123456", Some(1_700_000_000_123));
        check("1700000000123456789", Some(1_700_000_000_123));
        check("1700000000123456", Some(1_700_000_000_123));
        check("2023-11-14T22:13:20.123Z", Some(1_700_000_000_123));
        check(
            "2023-11-14T23:13:20.123456789+01:00",
            Some(1_700_000_000_123),
        );
        check("2023-11-14 22:13:20", Some(1_700_000_000_000));
        check("yesterday", None);
        check("NaN", None);
        check("1e300", None);
    }
}
