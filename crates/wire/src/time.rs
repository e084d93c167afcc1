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
    if let Some(ms) = written_in_utc(text.as_bytes()) {
        return Some(Timestamp(ms));
    }
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

/// The spelling that nearly all programs use, `2023-11-14T22:13:20.123456789Z` with any number of
/// decimals or none, from 1970 on: a short way to what the library says, in milliseconds.
fn written_in_utc(text: &[u8]) -> Option<i64> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let [b'-', b'-', b'T', b':', b':'] = [head[4], head[7], head[10], head[13], head[16]] else {
        return None;
    };
    let two = |at: usize| {
        let (tens, ones) = (head[at].wrapping_sub(b'0'), head[at + 1].wrapping_sub(b'0'));
        (tens < 10 && ones < 10).then_some(i64::from(tens) * 10 + i64::from(ones))
    };
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let valid =
        year >= 1970 && (1..=days).contains(&day) && hour < 24 && minute < 60 && second < 60;
    let ms = milliseconds(rest)?;
    valid.then_some(
        (((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1_000
            + ms,
    )
}

/// `Z`, or up to nine decimals of a second and `Z`: whole milliseconds.
fn milliseconds(text: &[u8]) -> Option<i64> {
    let digits = match text {
        [b'Z'] => return Some(0),
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => digits,
        _ => return None,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| digits.get(at).map_or(0, |byte| i64::from(byte - b'0'));
    Some(digit(0) * 100 + digit(1) * 10 + digit(2))
}

/// Days from 1970-01-01 in the Gregorian calendar, counted in years that begin in March, so that a
/// leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days_of_years = year * 365 + year / 4 - year / 100 + year / 400;
    days_of_years + (month * 153 + 2) / 5 + day - 719_469
}

/// OTLP's nanoseconds; 0 means unknown.
#[inline]
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
    use proptest::prelude::*;

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
        check("2000-02-29T23:59:59.9999Z", Some(951_868_799_999));
        check("1970-01-01T00:00:00Z", Some(0));
        check("1969-12-31T23:59:59.5Z", Some(-500));
        check("2023-02-29T00:00:00Z", None);
        check("2023-11-14T24:00:00Z", None);
        check("2023-11-14T22:13:20.Z", None);
        check("yesterday", None);
        check("NaN", None);
        check("1e300", None);
    }

    proptest! {
        #[test]
        fn the_short_way_says_what_the_library_says(
            text in "(19[67][0-9]|20[0-9]{2}|2[14]00)-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,10})?Z"
        ) {
            if let Some(ms) = written_in_utc(text.as_bytes()) {
                prop_assert_eq!(Some(ms), text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond));
            }
        }
    }
}
