//! Where within its interval a group ticks.

use xxhash_rust::xxh64::xxh64;

/// How groups are spread over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slots {
    /// Every group ticks at whole multiples of its interval.
    #[default]
    Zero,
    /// As Prometheus spreads them, by a hash of group and file: for results that are to be
    /// identical to a Prometheus server's with the same file path.
    Prometheus,
}

impl Slots {
    /// The offset of a group's ticks within its interval, in milliseconds.
    ///
    /// Prometheus (`Group.EvalTimestamp`): xxhash64 of the label set `{file, name}`, modulo the
    /// interval in nanoseconds; its times are then cut to whole milliseconds. The hash is that of
    /// the released 3.x servers (measured on 3.5.3), whose label sets lie in memory as length and
    /// text, name before value, in name order; a server built with `slicelabels` hashes otherwise.
    pub fn offset_ms(self, file: &str, group: &str, interval_ms: i64) -> i64 {
        match self {
            Self::Zero => 0,
            Self::Prometheus => {
                let interval_ns = interval_ms.unsigned_abs().saturating_mul(1_000_000).max(1);
                (group_hash(file, group) % interval_ns / 1_000_000) as i64
            }
        }
    }
}

fn group_hash(file: &str, group: &str) -> u64 {
    let mut bytes = Vec::with_capacity(file.len() + group.len() + 16);
    for part in ["file", file, "name", group] {
        // One byte, or 255 and three bytes, low ones first.
        match u8::try_from(part.len()) {
            Ok(length) if length < 255 => bytes.push(length),
            _ => {
                bytes.push(255);
                bytes.extend_from_slice(&(part.len() as u32).to_le_bytes()[..3]);
            }
        }
        bytes.extend_from_slice(part.as_bytes());
    }
    xxh64(&bytes, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `lastEvaluation` of a Prometheus 3.5.3's groups, modulo the interval, in milliseconds: the
    /// slot, and the moment that it took to begin.
    #[test]
    fn slots_of_a_real_server() {
        let check = |group, interval_ms, began: f64| {
            let slot = Slots::Prometheus.offset_ms("/srv/rules/a.yml", group, interval_ms);
            let delay = began - slot as f64;
            assert!((0.0..3.0).contains(&delay), "{group}: {slot}");
        };
        check("alpha", 2_000, 1_118.993);
        check("beta", 3_000, 2_951.169);
        check("gamma_group", 5_000, 4_557.661);
        assert_eq!(Slots::Zero.offset_ms("a.yml", "x", 60_000), 0);
    }

    #[test]
    fn long_names_have_long_lengths() {
        let long = "x".repeat(300);
        let mut bytes = b"\x04file\x01f\x04name\xff\x2c\x01\x00".to_vec();
        bytes.extend_from_slice(long.as_bytes());
        assert_eq!(group_hash("f", &long), xxh64(&bytes, 0));
    }
}
