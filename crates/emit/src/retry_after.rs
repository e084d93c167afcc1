//! `Retry-After` (RFC 9110 §10.2.3): seconds, or a date.

use std::time::Duration;

/// How long the receiver asks to wait. A date is taken against the receiver's own `Date`, so that
/// nobody's clock matters.
pub(crate) fn parse(retry_after: &str, date: Option<&str>) -> Option<Duration> {
    let retry_after = retry_after.trim();
    if let Ok(seconds) = retry_after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let wait = http_date(retry_after)? - http_date(date?)?;
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)))
}

/// Seconds since the epoch of an IMF-fixdate (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.trim().split(' ').skip(1);
    let day: i64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as i64 + 1;
    let year: i64 = words.next().filter(|year| year.len() == 4)?.parse().ok()?;
    let mut clock = words
        .next()?
        .splitn(3, ':')
        .map(|part| part.parse::<i64>().ok());
    let (hours, minutes, seconds) = (clock.next()??, clock.next()??, clock.next()??);
    (words.next() == Some("GMT")).then_some(())?;
    Some(((days(year, month, day) * 24 + hours) * 60 + minutes) * 60 + seconds)
}

/// Days from 1970-01-01: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `days_from_civil`.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(retry_after: &str, date: Option<&str>, expect: Option<u64>) {
        assert_eq!(
            parse(retry_after, date),
            expect.map(Duration::from_secs),
            "{retry_after} {date:?}"
        );
    }

    #[test]
    fn seconds_and_dates() {
        let date = Some("Tue, 24 Nov 2026 23:59:30 GMT");
        check("120", None, Some(120));
        check(" 0 ", date, Some(0));
        check("Wed, 25 Nov 2026 00:01:00 GMT", date, Some(90));
        check("Tue, 24 Nov 2026 23:00:00 GMT", date, Some(0));
        check("Wed, 25 Nov 2026 00:01:00 GMT", None, None);
        check("soon", date, None);
        check("-3", date, None);
        check("Wed, 25 Nix 2026 00:01:00 GMT", date, None);
    }

    #[test]
    fn the_rfcs_own_example() {
        assert_eq!(
            http_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
    }
}
