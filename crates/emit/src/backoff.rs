//! How long to wait before the next attempt.

use std::time::Duration;

/// Ceiling of the first wait.
const FIRST: Duration = Duration::from_secs(1);
/// Ceiling of every wait of our own.
const MOST: Duration = Duration::from_mins(5);
/// No wait is shorter, whatever the jitter says.
const LEAST: Duration = Duration::from_millis(100);
/// A receiver that asks for more than this is asked again anyhow.
const MOST_ASKED: Duration = Duration::from_hours(1);

/// The wait after `attempt` failures in a row (1 after the first): exponential with full jitter
/// ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015), where the jitter is derived
/// and not drawn, so that the same failure always waits equally long. Never shorter than what the
/// receiver asked for.
pub(crate) fn wait(attempt: u32, asked: Option<Duration>, sink: &str, seq: u64) -> Duration {
    let ceiling = FIRST
        .saturating_mul(1 << attempt.saturating_sub(1).min(16))
        .min(MOST);
    let jittered = ceiling.mul_f64(jitter(sink, seq, attempt)).max(LEAST);
    jittered.max(asked.unwrap_or_default().min(MOST_ASKED))
}

/// From 0 (inclusive) to 1: FNV-1a over the name, then the finalizer of `SplitMix64` (Steele, Lea,
/// Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
fn jitter(sink: &str, seq: u64, attempt: u32) -> f64 {
    let name = sink.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut z = name ^ seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (u64::from(attempt) << 56);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All waits after so many failures lie within these seconds, and spread over them.
    fn check(attempt: u32, asked: Option<u64>, least: f64, most: f64) {
        let waits = (0..1000)
            .map(|seq| wait(attempt, asked.map(Duration::from_secs), "pager", seq).as_secs_f64());
        let (mut low, mut high) = (f64::MAX, f64::MIN);
        for wait in waits {
            (low, high) = (low.min(wait), high.max(wait));
        }
        assert!(low >= least && high <= most, "{low}…{high}");
        assert!(
            asked.is_some() || low < least + most / 20.0 && high > most * 0.95,
            "{low}…{high} spreads"
        );
    }

    #[test]
    fn doubles_up_to_five_minutes() {
        check(1, None, 0.1, 1.0);
        check(2, None, 0.1, 2.0);
        check(5, None, 0.1, 16.0);
        check(9, None, 0.1, 256.0);
        check(10, None, 0.1, 300.0);
        check(u32::MAX, None, 0.1, 300.0);
    }

    #[test]
    fn the_receiver_may_ask_for_longer_but_not_for_ever() {
        check(1, Some(30), 30.0, 30.0);
        check(1, Some(1_000_000), 3600.0, 3600.0);
    }

    #[test]
    fn the_same_failure_waits_equally_long() {
        assert_eq!(wait(3, None, "pager", 7), wait(3, None, "pager", 7));
        assert_ne!(wait(3, None, "pager", 7), wait(3, None, "chat", 7));
        assert_ne!(wait(10, None, "pager", 7), wait(11, None, "pager", 7));
    }
}
