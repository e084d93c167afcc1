//! Samples as bytes: one a record in JSON, many a record elsewhere.

use foghorn_model::labels::NAME;
use foghorn_model::{Timestamp, is_stale};
use foghorn_wire::encode::{MetricKind, OtlpMetrics, Point, RemoteWrite, json_metric};

use super::{RecordedFormat, RecordedSample};

/// Samples of one record, where a record holds many.
pub(super) const TOGETHER: usize = 500;

/// A record to be.
#[derive(Debug, PartialEq)]
pub(super) struct Body {
    pub(super) key: Option<String>,
    pub(super) bytes: Vec<u8>,
    pub(super) at: Timestamp,
    /// Samples in it.
    pub(super) samples: usize,
}

/// The records of some samples, in their order.
pub(super) fn bodies(
    format: RecordedFormat,
    samples: &[RecordedSample],
) -> Box<dyn Iterator<Item = Body> + '_> {
    let living = || samples.iter().filter(|sample| !is_stale(sample.value));
    match format {
        RecordedFormat::JsonMetrics => Box::new(living().map(json)),
        RecordedFormat::RemoteWrite1 => Box::new(samples.chunks(TOGETHER).map(remote_write)),
        RecordedFormat::OtlpMetricsProto => {
            let living: Vec<_> = living().collect();
            let chunks = living.len().div_ceil(TOGETHER);
            Box::new((0..chunks).map(move |i| {
                let until = ((i + 1) * TOGETHER).min(living.len());
                otlp(&living[i * TOGETHER..until])
            }))
        }
    }
}

fn json(sample: &RecordedSample) -> Body {
    Body {
        key: Some(sample.labels.fingerprint().to_string()),
        bytes: json_metric(&sample.labels, sample.at, sample.value).into_bytes(),
        at: sample.at,
        samples: 1,
    }
}

fn remote_write(samples: &[RecordedSample]) -> Body {
    let body = samples.iter().fold(RemoteWrite::new(), |body, sample| {
        body.series(&sample.labels, &[(sample.at, sample.value)])
    });
    Body {
        key: None,
        bytes: body.into_snappy(),
        at: newest(samples.iter()),
        samples: samples.len(),
    }
}

fn otlp(samples: &[&RecordedSample]) -> Body {
    let body = OtlpMetrics::new().resource(&[], |resource| {
        for of_one in samples.chunk_by(|a, b| a.labels.metric() == b.labels.metric()) {
            let attributes: Vec<Vec<_>> = of_one
                .iter()
                .map(|sample| {
                    let pairs = sample.labels.iter();
                    pairs.filter(|(name, _)| *name != NAME).collect()
                })
                .collect();
            let points: Vec<_> = of_one
                .iter()
                .zip(&attributes)
                .map(|(sample, attributes)| Point {
                    attributes,
                    at: sample.at,
                    value: sample.value,
                })
                .collect();
            resource.numbers(of_one[0].labels.metric(), "", MetricKind::Gauge, &points);
        }
    });
    Body {
        key: None,
        bytes: body.into_bytes(),
        at: newest(samples.iter().copied()),
        samples: samples.len(),
    }
}

fn newest<'a>(samples: impl Iterator<Item = &'a RecordedSample>) -> Timestamp {
    samples.map(|sample| sample.at).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use foghorn_model::{Labels, STALE_NAN};

    use super::super::tests::sample;
    use super::*;

    /// How many samples each record of 1,001 holds, one of them a staleness marker.
    fn check(format: RecordedFormat, expect: &[usize]) -> Vec<Body> {
        let mut samples: Vec<_> = (0..1_001)
            .map(|i| sample("r", 1_000 + i, i as f64))
            .collect();
        samples[7].value = STALE_NAN;
        let bodies: Vec<_> = bodies(format, &samples).collect();
        let sizes: Vec<_> = bodies.iter().map(|body| body.samples).collect();
        assert_eq!(sizes, expect);
        bodies
    }

    #[test]
    fn json_is_one_record_a_sample_and_says_no_ends() {
        let bodies = check(RecordedFormat::JsonMetrics, &[1; 1_000]);
        assert_eq!(
            String::from_utf8(bodies[0].bytes.clone()).unwrap(),
            r#"{"ts":1000,"name":"r","labels":{"service":"a\"b"},"value":0}"#
        );
        let fingerprint = Labels::from_pairs([("__name__", "r"), ("service", "a\"b")])
            .fingerprint()
            .to_string();
        assert_eq!(bodies[0].key.as_deref(), Some(&*fingerprint));
        assert_eq!(bodies[7].at, Timestamp(1_008));
    }

    #[test]
    fn other_formats_hold_many_samples_a_record() {
        let bodies = check(RecordedFormat::RemoteWrite1, &[500, 500, 1]);
        assert_eq!(bodies[0].at, Timestamp(1_499));
        let bodies = check(RecordedFormat::OtlpMetricsProto, &[500, 500]);
        assert_eq!(bodies[1].at, Timestamp(2_000));
    }
}
