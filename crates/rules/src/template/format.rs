//! Numbers as Go writes them (`strconv.FormatFloat`, `fmt`'s `%v`).

/// A number as `%v` writes it: the shortest digits that read back the same, with an exponent where
/// the exponent is below -4 or at least 6 (`strconv` takes 6 in place of a precision where the
/// digits are the shortest): 100000 is `100000`, 1000000 is `1e+06`.
pub fn format_float(value: f64) -> String {
    general(value, None)
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        None
    }
}

/// `%.<precision>f`.
pub(super) fn fixed(value: f64, precision: usize) -> String {
    special(value).map_or_else(|| format!("{value:.precision$}"), str::to_owned)
}

/// `%.<precision>e`: an exponent of at least two digits, with its sign.
pub(super) fn scientific(value: f64, precision: usize) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let text = format!("{value:.precision$e}");
    let (mantissa, exponent) = split(&text);
    with_exponent(mantissa, exponent)
}

/// `%g` (shortest digits) or `%.<precision>g`.
pub(super) fn general(value: f64, precision: Option<usize>) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let precision = precision.map(|digits| digits.max(1));
    let text = match precision {
        None => format!("{value:e}"),
        Some(digits) => format!("{value:.*e}", digits - 1),
    };
    let (mantissa, exponent) = split(&text);
    let mantissa = if mantissa.contains('.') {
        mantissa.trim_end_matches('0').trim_end_matches('.')
    } else {
        mantissa
    };
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count() as i64;
    let threshold = match precision {
        None => SHORTEST_THRESHOLD,
        Some(precision) if precision as i64 > digits && digits > exponent => digits,
        Some(precision) => precision as i64,
    };
    if exponent < -4 || exponent >= threshold {
        return with_exponent(mantissa, exponent);
    }
    plain(mantissa, exponent)
}

/// The exponent from which on the shortest digits are written with one (Go's `strconv`).
const SHORTEST_THRESHOLD: i64 = 6;

/// Mantissa and exponent of what Rust's `{:e}` writes.
fn split(text: &str) -> (&str, i64) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    (mantissa, exponent.parse().unwrap_or(0))
}

fn with_exponent(mantissa: &str, exponent: i64) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Digits and exponent without an exponent: `1.25`, 1 → `12.5`.
fn plain(mantissa: &str, exponent: i64) -> String {
    let negative = mantissa.starts_with('-');
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let sign = if negative { "-" } else { "" };
    if exponent < 0 {
        let zeros = "0".repeat((-exponent - 1) as usize);
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        format!("{sign}{digits}{}", "0".repeat(whole - digits.len()))
    } else {
        format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortest() {
        let check = |value: f64, expect: &str| assert_eq!(format_float(value), expect);
        check(0.0, "0");
        check(-0.0, "-0");
        check(1.0, "1");
        check(0.1, "0.1");
        check(100_000.0, "100000");
        check(1e6, "1e+06");
        check(1e8, "1e+08");
        check(123_456_789.0, "1.23456789e+08");
        check(999_999.5, "999999.5");
        check(1e21, "1e+21");
        check(0.0001, "0.0001");
        check(0.00001, "1e-05");
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "+Inf");
        check(-1.5, "-1.5");
    }

    #[test]
    fn with_precision() {
        let check =
            |value: f64, digits, expect: &str| assert_eq!(general(value, Some(digits)), expect);
        check(0.0, 4, "0");
        check(1.0, 4, "1");
        check(1234.5, 4, "1234");
        check(12345.0, 4, "1.234e+04");
        check(100.0, 4, "100");
        check(0.000_012_345, 4, "1.234e-05");
        check(0.012_345, 3, "0.0123");
        check(-12.5, 3, "-12.5");
        check(99.999, 4, "100");
        check(7.0, 1, "7");
        check(70.0, 1, "7e+01");
        assert_eq!(scientific(1234.5, 2), "1.23e+03");
        assert_eq!(fixed(2.5, 0), "2");
        assert_eq!(fixed(f64::NEG_INFINITY, 2), "-Inf");
    }
}
