//! Durations as Prometheus writes them: `1h30m`, `5m`, `1d`, `500ms`, `0`.

use std::fmt::Write;

use thiserror::Error;

/// Units from long to short, with their length in milliseconds (a year is 365 days).
const UNITS: [(&str, i64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DurationError {
    /// Nothing there.
    #[error("empty duration")]
    Empty,
    /// A number without its unit.
    #[error("`{0}` has no unit")]
    NoUnit(String),
    /// Not one of `y w d h m s ms`.
    #[error("`{0}` is not a unit of time (known are y, w, d, h, m, s and ms)")]
    UnknownUnit(String),
    /// Units must go from long to short, each once.
    #[error("`{0}` stands in the wrong place (units go from long to short, each once)")]
    Order(String),
    /// Longer than Prometheus takes (about 292 years).
    #[error("the duration is too long")]
    TooLong,
    /// Something else where a number should stand.
    #[error("expected a duration such as 5m or 1h30m")]
    NotANumber,
}

/// Parses a duration into milliseconds.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    let mut rest = text;
    let mut total = 0_i64;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(DurationError::NotANumber);
        }
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .bytes()
            .take_while(|byte| !byte.is_ascii_digit())
            .count();
        let (unit, tail) = tail.split_at(letters);
        if unit.is_empty() {
            return Err(DurationError::NoUnit(number.to_owned()));
        }
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(DurationError::UnknownUnit(unit.to_owned()));
        }
        let Some((_, length)) = units.find(|(name, _)| *name == unit) else {
            return Err(DurationError::Order(unit.to_owned()));
        };
        let number: i64 = number.parse().map_err(|_| DurationError::TooLong)?;
        let part = number.checked_mul(*length).ok_or(DurationError::TooLong)?;
        total = total.checked_add(part).ok_or(DurationError::TooLong)?;
        rest = tail;
    }
    // Go counts nanoseconds in 64 bits.
    if total > i64::MAX / 1_000_000 {
        Err(DurationError::TooLong)
    } else {
        Ok(total)
    }
}

/// Writes milliseconds as Prometheus does: exact, and without years and weeks unless they are whole.
pub fn format(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut rest = ms.unsigned_abs();
    let mut text = if ms < 0 {
        "-".to_owned()
    } else {
        String::new()
    };
    for (i, (unit, length)) in UNITS.iter().enumerate() {
        let length = length.unsigned_abs();
        // Years and weeks only where nothing is left over.
        if i < 2 && !rest.is_multiple_of(length) {
            continue;
        }
        if rest >= length {
            let _ = write!(text, "{}{unit}", rest / length);
            rest %= length;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_durations() {
        let check = |text, expect: i64| {
            assert_eq!(parse(text), Ok(expect), "{text}");
        };
        check("0", 0);
        check("0s", 0);
        check("5m", 300_000);
        check("1h30m", 5_400_000);
        check("500ms", 500);
        check("1d", 86_400_000);
        check("2w1d", 1_296_000_000);
    }

    #[test]
    fn refusals() {
        let check = |text, expect| assert_eq!(parse(text), Err(expect), "{text}");
        check("", DurationError::Empty);
        check("5", DurationError::NoUnit("5".to_owned()));
        check("5min", DurationError::UnknownUnit("min".to_owned()));
        check("5m1h", DurationError::Order("h".to_owned()));
        check("5m5m", DurationError::Order("m".to_owned()));
        check("-5m", DurationError::NotANumber);
        check("99999999999y", DurationError::TooLong);
        check("400y", DurationError::TooLong);
    }

    #[test]
    fn written_as_prometheus_does() {
        let check = |ms, expect| assert_eq!(format(ms), expect);
        check(0, "0s");
        check(5_400_000, "1h30m");
        check(604_800_000, "1w");
        check(694_861_001, "8d1h1m1s1ms");
        check(-60_000, "-1m");
    }
}
