//! Printing, medians, memory and wall time.

use std::io::Write;
use std::time::Duration;

use foghorn_model::Timestamp;
use tokio::time::Instant;

/// Prints one line.
pub(crate) fn say(line: &str) {
    // If standard output is closed, there is nobody to tell.
    let _closed = writeln!(std::io::stdout().lock(), "{line}");
}

/// The middle of some figures (of an even number the upper one of the two); 0 where there are none.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// `median (least–most)` with digits after the point.
pub(crate) fn spread(figures: &[f64], digits: usize) -> String {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!(
        "{:.digits$} ({least:.digits$}–{most:.digits$})",
        median(figures)
    )
}

/// Bytes of this process in memory.
pub(crate) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0) * 1024
}

/// Runs something; its result and how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let result = work();
    (result, begin.elapsed())
}

/// Wall time, in milliseconds since the epoch.
pub(crate) fn wall() -> Timestamp {
    foghorn_runtime::clock::wall()
}

/// Milliseconds of a span.
pub(crate) fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// Sleeps until an instant of wall time.
pub(crate) fn sleep_until(at: Timestamp) {
    let left_ms = (at - wall()).max(0);
    if left_ms > 0 {
        std::thread::sleep(Duration::from_millis(left_ms as u64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_do_not_care_for_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[]), 0.0);
        assert_eq!(spread(&[3.0, 1.0, 2.0], 1), "2.0 (1.0–3.0)");
    }
}
