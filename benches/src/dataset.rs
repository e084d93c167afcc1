//! The data set: samples of so many series, evenly over event time, 235 bytes of JSON on average,
//! keyed by series. With one sample a second these are the same bytes as in the comparison with
//! other engines, so that figures can be set side by side.
//!
//! Nothing is kept: what a series is called and what it says is computed, so that a million of them
//! weigh nothing beside what is measured.

use std::fmt::Write;

use foghorn_kafka::partition_of;
use foghorn_model::Timestamp;

/// When the data set begins: a multiple of 10 s, not of 60 s.
pub(crate) const T0_MS: i64 = 1_700_000_000_000;
/// Partitions of its topic.
pub(crate) const PARTITIONS: u32 = 8;
/// The metric that it holds.
pub(crate) const METRIC: &str = "http_request_duration_seconds";

/// Series, each with so many samples.
#[derive(Clone, Debug)]
pub(crate) struct Dataset {
    /// Samples of each series.
    pub(crate) rounds: u64,
    /// Event time between two samples of a series, in milliseconds.
    pub(crate) every_ms: i64,
    series: u64,
}

/// What never changes of a series.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) service: String,
    pub(crate) instance: String,
    pub(crate) zone: &'static str,
    pub(crate) method: &'static str,
    pub(crate) path: String,
}

/// Sebastiano Vigna's splitmix64: one step from `z`.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Noise in [0, 0.5); one series in a hundred has an episode of 90 samples with 0.5 to 1.5 on top.
fn exact(series: u64, round: u64) -> f64 {
    let noise = (mix(series << 20 ^ round) >> 11) as f64 / (1_u64 << 53) as f64 * 0.5;
    let fate = mix(series ^ 0xab_cdef);
    let start = (fate >> 8) % 200;
    if fate.is_multiple_of(100) && (start..start + 90).contains(&round) {
        return noise + 0.5 + ((fate >> 32) % 1000) as f64 / 1000.0;
    }
    noise
}

impl Dataset {
    /// A data set with one sample a series a second.
    pub(crate) fn new(series: u64, seconds: u64) -> Self {
        Self::paced(series, seconds, 1_000)
    }

    /// A data set with one sample a series every so often.
    pub(crate) fn paced(series: u64, rounds: u64, every_ms: i64) -> Self {
        Self {
            rounds,
            every_ms,
            series,
        }
    }

    /// Series.
    pub(crate) fn series(&self) -> u64 {
        self.series
    }

    /// Samples.
    pub(crate) fn samples(&self) -> u64 {
        self.series * self.rounds
    }

    /// How long after the beginning of each round a series' sample stands, in milliseconds.
    pub(crate) fn offset_ms(&self, series: u64) -> i64 {
        (series * self.every_ms as u64 / self.series) as i64
    }

    /// A sample's time: within its round, series after series.
    pub(crate) fn at(&self, series: u64, round: u64) -> Timestamp {
        Timestamp(T0_MS + round as i64 * self.every_ms + self.offset_ms(series))
    }

    /// A sample's value as its text says it, with six digits after the point.
    pub(crate) fn value(series: u64, round: u64) -> f64 {
        // Both directions are exact to the last digit, so the text stands for this very number.
        format!("{:.6}", exact(series, round))
            .parse()
            .unwrap_or(f64::NAN)
    }

    /// A series' key.
    pub(crate) fn key(series: u64) -> String {
        format!("series-{series:06}")
    }

    /// The partition that a series' key leads to.
    pub(crate) fn partition(series: u64) -> u32 {
        partition_of(Self::key(series).as_bytes(), PARTITIONS)
    }

    /// Writes a sample's JSON.
    pub(crate) fn write(&self, series: u64, round: u64, into: &mut String) {
        self.write_as(series, self.at(series, round), exact(series, round), into);
    }

    /// Writes the JSON of any sample of a series.
    #[expect(
        clippy::unused_self,
        reason = "a series belongs to a data set, even where nothing about it depends on that"
    )]
    pub(crate) fn write_as(&self, series: u64, at: Timestamp, value: f64, into: &mut String) {
        into.clear();
        let Identity {
            service,
            instance,
            zone,
            method,
            path,
        } = Identity::new(series);
        // Writing to a string does not fail.
        let _infallible = write!(
            into,
            "{{\"ts\":{},\"name\":\"{METRIC}\",\"labels\":{{\"service\":\"{service}\",\
             \"instance\":\"{instance}\",\"zone\":\"{zone}\",\"method\":\"{method}\",\
             \"path\":\"{path}\"}},\"value\":{value:.6}}}",
            at.ms(),
        );
    }
}

impl Identity {
    /// What series `s` is.
    pub(crate) fn new(s: u64) -> Self {
        Self {
            service: format!("svc-checkout-payments-{:03}", s % 200),
            instance: format!("10.{}.{}.{}:8080", s % 7, s / 250 % 250, s % 250),
            zone: ["eu-west-1a", "eu-west-1b", "us-east-1c"][(s % 3) as usize],
            method: ["GET", "PUT", "POST"][(s / 3 % 3) as usize],
            path: format!("/api/v1/tenants/items/{s:05}/details"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_what_its_text_says() {
        let data = Dataset::new(10_000, 300);
        let mut text = String::new();
        data.write(42, 7, &mut text);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["ts"], T0_MS + 7_004);
        assert_eq!(json["value"].as_f64(), Some(Dataset::value(42, 7)));
        assert_eq!(
            json["labels"]["path"],
            "/api/v1/tenants/items/00042/details"
        );
    }

    #[test]
    fn samples_are_about_235_bytes() {
        let data = Dataset::new(10_000, 1);
        let mut text = String::new();
        let bytes = (0..10_000).map(|s| {
            data.write(s, 0, &mut text);
            text.len()
        });
        let mean = bytes.sum::<usize>() as f64 / 1e4;
        assert!((234.0..236.0).contains(&mean), "{mean}");
    }

    #[test]
    fn rounds_are_spread_over_their_time() {
        let data = Dataset::paced(1_000, 4, 15_000);
        assert_eq!(data.at(500, 2).ms(), T0_MS + 37_500);
        assert_eq!(data.samples(), 4_000);
    }
}
