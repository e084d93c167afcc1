//! The data set: one sample a series a second of event time, 235 bytes of JSON on average, keyed by
//! series. The same bytes as in the comparison with other engines, so that figures can be set side
//! by side.

use std::fmt::Write;

use foghorn_kafka::partition_of;
use foghorn_model::Timestamp;

/// When the data set begins: a multiple of 10 s, not of 60 s.
pub(crate) const T0_MS: i64 = 1_700_000_000_000;
/// Partitions of its topic.
pub(crate) const PARTITIONS: u32 = 8;
/// The metric that it holds.
pub(crate) const METRIC: &str = "http_request_duration_seconds";

/// A data set of so many series over so many seconds.
#[derive(Clone, Debug)]
pub(crate) struct Dataset {
    /// Seconds of event time.
    pub(crate) seconds: u64,
    series: Vec<Identity>,
}

/// What never changes of a series.
#[derive(Clone, Debug)]
struct Identity {
    key: String,
    /// Name and labels, as they stand in the JSON.
    text: String,
    partition: u32,
}

/// Sebastiano Vigna's splitmix64: one step from `z`.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Noise in [0, 0.5); one series in a hundred has an episode of 90 s with 0.5 to 1.5 on top.
fn exact(series: u64, second: u64) -> f64 {
    let noise = (mix(series << 20 ^ second) >> 11) as f64 / (1_u64 << 53) as f64 * 0.5;
    let fate = mix(series ^ 0xab_cdef);
    let start = (fate >> 8) % 200;
    if fate.is_multiple_of(100) && (start..start + 90).contains(&second) {
        return noise + 0.5 + ((fate >> 32) % 1000) as f64 / 1000.0;
    }
    noise
}

impl Dataset {
    /// A data set.
    pub(crate) fn new(series: u64, seconds: u64) -> Self {
        Self {
            seconds,
            series: (0..series).map(Identity::new).collect(),
        }
    }

    /// Series.
    pub(crate) fn series(&self) -> u64 {
        self.series.len() as u64
    }

    /// Samples, which are also records.
    pub(crate) fn samples(&self) -> u64 {
        self.series() * self.seconds
    }

    /// A sample's time: within its second, series after series.
    pub(crate) fn at(&self, series: u64, second: u64) -> Timestamp {
        Timestamp(T0_MS + second as i64 * 1_000 + (series * 1_000 / self.series()) as i64)
    }

    /// A sample's value as its text says it, with six digits after the point.
    pub(crate) fn value(series: u64, second: u64) -> f64 {
        // Both directions are exact to the last digit, so the text stands for this very number.
        format!("{:.6}", exact(series, second))
            .parse()
            .unwrap_or(f64::NAN)
    }

    /// A series' key.
    pub(crate) fn key(&self, series: u64) -> &str {
        &self.series[series as usize].key
    }

    /// The partition that a series' key leads to.
    pub(crate) fn partition(&self, series: u64) -> u32 {
        self.series[series as usize].partition
    }

    /// Writes a sample's JSON.
    pub(crate) fn write(&self, series: u64, second: u64, into: &mut String) {
        self.write_as(series, self.at(series, second), exact(series, second), into);
    }

    /// Writes the JSON of any sample of a series.
    pub(crate) fn write_as(&self, series: u64, at: Timestamp, value: f64, into: &mut String) {
        into.clear();
        let text = &self.series[series as usize].text;
        // Writing to a string does not fail.
        let _infallible = write!(into, "{{\"ts\":{},{text},\"value\":{value:.6}}}", at.ms());
    }

    /// Writes a series' sample of an instant without keeping anything of it.
    pub(crate) fn write_anew(series: u64, at: Timestamp, into: &mut String) {
        let text = Identity::new(series).text;
        let value = exact(series, ((at.ms() - T0_MS) / 1_000).unsigned_abs());
        into.clear();
        // Writing to a string does not fail.
        let _infallible = write!(into, "{{\"ts\":{},{text},\"value\":{value:.6}}}", at.ms());
    }

    /// The watermark when all is read: the least, over the partitions, of the highest time less
    /// the allowed lateness.
    pub(crate) fn final_watermark(&self, allowed_lateness_ms: i64) -> Timestamp {
        let last = self.seconds.saturating_sub(1);
        let highest = |partition| {
            let of = (0..self.series())
                .rev()
                .find(|series| self.partition(*series) == partition);
            of.map(|series| self.at(series, last))
        };
        // A partition without a record has no watermark: it is idle.
        let least = (0..PARTITIONS).filter_map(highest).min();
        least.unwrap_or(Timestamp::MIN) - allowed_lateness_ms
    }
}

impl Identity {
    fn new(s: u64) -> Self {
        let zone = ["eu-west-1a", "eu-west-1b", "us-east-1c"][(s % 3) as usize];
        let method = ["GET", "PUT", "POST"][(s / 3 % 3) as usize];
        let text = format!(
            "\"name\":\"{METRIC}\",\"labels\":{{\"service\":\"svc-checkout-payments-{:03}\",\
             \"instance\":\"10.{}.{}.{}:8080\",\"zone\":\"{zone}\",\"method\":\"{method}\",\
             \"path\":\"/api/v1/tenants/items/{s:05}/details\"}}",
            s % 200,
            s % 7,
            s / 250 % 250,
            s % 250,
        );
        let key = format!("series-{s:06}");
        Self {
            partition: partition_of(key.as_bytes(), PARTITIONS),
            key,
            text,
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
    fn the_watermark_trails_the_slowest_partition() {
        let data = Dataset::new(10_000, 300);
        let watermark = data.final_watermark(2_000).ms();
        assert!(
            (T0_MS + 297_900..T0_MS + 298_000).contains(&watermark),
            "{watermark}"
        );
    }
}
