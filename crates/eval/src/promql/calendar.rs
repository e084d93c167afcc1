//! Functions of a time in seconds since the epoch, in UTC.

use foghorn_rules::plan::Func;

/// A calendar function; `None` for functions that are none.
pub(super) fn of_time(func: Func) -> Option<fn(i64) -> i64> {
    Some(match func {
        Func::Minute => |seconds| seconds.div_euclid(60).rem_euclid(60),
        Func::Hour => |seconds| seconds.div_euclid(3_600).rem_euclid(24),
        Func::DayOfWeek => |seconds| (days(seconds) + 4).rem_euclid(7),
        Func::DayOfMonth => |seconds| Date::of(seconds).day,
        Func::DayOfYear => |seconds| {
            let date = Date::of(seconds);
            days(seconds) - day_number(date.year, 1, 1) + 1
        },
        Func::DaysInMonth => |seconds| {
            let Date { year, month, .. } = Date::of(seconds);
            let (next_year, next_month) = if month == 12 {
                (year + 1, 1)
            } else {
                (year, month + 1)
            };
            day_number(next_year, next_month, 1) - day_number(year, month, 1)
        },
        Func::Month => |seconds| Date::of(seconds).month,
        Func::Year => |seconds| Date::of(seconds).year,
        _ => return None,
    })
}

/// A value as whole seconds, towards zero. What is no time (NaN, infinity, beyond 64 bits) is the last
/// second that there is, as it comes out of Go's conversion and calendar on x86-64.
pub(super) fn seconds(value: f64) -> i64 {
    let first = i64::MIN as f64;
    if value >= first && value < -first {
        value as i64
    } else {
        i64::MAX
    }
}

fn days(seconds: i64) -> i64 {
    seconds.div_euclid(86_400)
}

struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    /// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
    fn of(seconds: i64) -> Self {
        let shifted = days(seconds) + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * from_march + 2) / 5 + 1,
        }
    }
}

/// Days since the epoch: Hinnant's `days_from_civil`.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(func: Func, seconds: i64, expect: i64) {
        assert_eq!(
            of_time(func).unwrap()(seconds),
            expect,
            "{func:?} of {seconds}"
        );
    }

    #[test]
    fn epoch_and_around() {
        check(Func::Year, 0, 1970);
        check(Func::DayOfWeek, 0, 4);
        check(Func::Year, -1, 1969);
        check(Func::DayOfYear, -1, 365);
        check(Func::Hour, -1, 23);
        check(Func::Minute, -1, 59);
    }

    #[test]
    fn a_day_in_november() {
        // 2026-11-24T23:19:10Z, a Tuesday.
        let at = 1_795_562_350;
        check(Func::Year, at, 2026);
        check(Func::Month, at, 11);
        check(Func::DayOfMonth, at, 24);
        check(Func::DayOfWeek, at, 2);
        check(Func::DayOfYear, at, 328);
        check(Func::Hour, at, 23);
        check(Func::Minute, at, 19);
        check(Func::DaysInMonth, at, 30);
    }

    #[test]
    fn what_is_no_time_is_the_end_of_time() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e30] {
            let at = seconds(value);
            check(Func::Year, at, 292_277_026_596);
            check(Func::DayOfWeek, at, 0);
            check(Func::DayOfYear, at, 339);
            check(Func::Hour, at, 15);
        }
        check(Func::Year, seconds(-1e17), -3_168_871_881);
        check(Func::Year, seconds(-0.9), 1970);
    }

    #[test]
    fn leap_days() {
        check(Func::DaysInMonth, 951_782_400, 29);
        check(Func::DayOfYear, 978_220_800, 366);
        check(Func::DaysInMonth, 4_107_110_400, 28);
    }
}
