//! Durations as configs write them.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// Reads `500ms`, `10s`, `5m`, `1m30s`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "{text:?} is not a duration such as 500ms, 10s or 1m30s"
        ))
    })
}

fn parse(text: &str) -> Option<Duration> {
    let (mut rest, mut sum) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u32 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return None,
        };
        sum = sum.checked_add(unit.checked_mul(number)?)?;
        rest = &rest[end..];
    }
    (!sum.is_zero()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect_ms: Option<u64>) {
        assert_eq!(parse(text), expect_ms.map(Duration::from_millis), "{text}");
    }

    #[test]
    fn reads_what_people_write() {
        check("500ms", Some(500));
        check("10s", Some(10_000));
        check("1m30s", Some(90_000));
        check("2h", Some(7_200_000));
        for bad in ["", "10", "s", "10 s", "-1s", "1d", "0s", "99999999999s"] {
            check(bad, None);
        }
    }
}
