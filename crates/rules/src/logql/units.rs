//! Numbers with units: durations as Go and Prometheus write them, sizes as people do.

/// Nanoseconds of each duration unit, longest spelling first where one begins another.
const DURATIONS: [(&str, f64); 10] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 6e10),
    ("h", 3.6e12),
    ("d", 8.64e13),
    ("w", 6.048e14),
];

/// A year, in nanoseconds, as Prometheus counts it (365 days).
const YEAR: f64 = 3.1536e16;

/// Bytes of each size unit, in lower case: SI for `kb`, binary for `kib`.
const SIZES: [(&str, f64); 18] = [
    ("b", 1.0),
    ("k", 1e3),
    ("kb", 1e3),
    ("kib", 1024.0),
    ("ki", 1024.0),
    ("m", 1e6),
    ("mb", 1e6),
    ("mib", 1_048_576.0),
    ("mi", 1_048_576.0),
    ("g", 1e9),
    ("gb", 1e9),
    ("gib", 1_073_741_824.0),
    ("gi", 1_073_741_824.0),
    ("tb", 1e12),
    ("tib", 1_099_511_627_776.0),
    ("pb", 1e15),
    ("pib", 1_125_899_906_842_624.0),
    ("", 1.0),
];

/// A duration such as `1h30m`, `1.5s` or `250ms`, in nanoseconds; a sign may stand before it.
pub fn parse_duration_ns(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let unit = &after[..unit_end];
        let size = match unit {
            "y" => YEAR,
            _ => DURATIONS.iter().find(|(name, _)| *name == unit)?.1,
        };
        total += number * size;
        rest = &after[unit_end..];
    }
    (!text.is_empty()).then_some(sign * total)
}

/// A size such as `42B`, `1.5KiB` or `20 MB`, in bytes.
pub fn parse_bytes(text: &str) -> Option<f64> {
    let (number, unit) = leading_number(text.trim())?;
    let unit = unit.trim().to_ascii_lowercase();
    SIZES
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, size)| number * size)
}

/// Digits with at most one point, and what follows them.
fn leading_number(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text[..end]
        .parse()
        .ok()
        .map(|number| (number, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration_ns("1h30m"), Some(5.4e12));
        assert_eq!(parse_duration_ns("-1.5s"), Some(-1.5e9));
        assert_eq!(parse_duration_ns("250ms"), Some(2.5e8));
        assert_eq!(parse_duration_ns("10µs"), Some(1e4));
        assert_eq!(parse_duration_ns("5"), None);
        assert_eq!(parse_duration_ns("m"), None);
        assert_eq!(parse_duration_ns(""), None);
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_bytes("1.5KiB"), Some(1536.0));
        assert_eq!(parse_bytes("20 MB"), Some(2e7));
        assert_eq!(parse_bytes("7"), Some(7.0));
        assert_eq!(parse_bytes("7x"), None);
        assert_eq!(parse_bytes(""), None);
    }
}
