//! Points and durations as promqltest writes them; series and values are [`foghorn_rules::notation`]'s.

use foghorn_eval::vector::Point;

/// Points from values.
pub(crate) fn points(values: &[Option<f64>], step_ms: i64) -> impl Iterator<Item = Point> {
    values.iter().enumerate().filter_map(move |(i, v)| {
        Some(Point {
            t: i as i64 * step_ms,
            v: (*v)?,
        })
    })
}

/// `1h30m`, `15s`, `10`: milliseconds.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let (sign, mut text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    if let Ok(seconds) = text.parse::<f64>() {
        return Some(sign * (seconds * 1e3).round() as i64);
    }
    let mut total = 0;
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let rest = &text[digits..];
        let unit_len = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = match &rest[..unit_len] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "y" => 31_536_000_000,
            _ => return None,
        };
        total += text[..digits].parse::<i64>().ok()? * unit;
        text = &rest[unit_len..];
    }
    Some(sign * total)
}
