//! Series beyond their bounds: refused with a reason, while the rest of the record counts.

use foghorn_model::{Labels, Timestamp};
use foghorn_wire::encode::{MetricKind, OtlpMetrics, Point, RemoteWrite};
use foghorn_wire::recording::RecordingSink;
use foghorn_wire::{DecodeOptions, Decoder, Format, Translation};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// A record of two series: `name` with labels, and `up` without.
fn record(format: Format, name: &str, labels: Pairs<'_>) -> Vec<u8> {
    match format {
        Format::RemoteWrite1 => {
            let all = labels.iter().copied().chain([("__name__", name)]);
            RemoteWrite::new()
                .series(&Labels::from_pairs(all), &[(NOW, 1.0)])
                .series(&Labels::from_pairs([("__name__", "up")]), &[(NOW, 2.0)])
                .into_bytes()
        }
        Format::OtlpMetricsProto => {
            let point = |attributes, value| Point {
                attributes,
                at: NOW,
                value,
            };
            OtlpMetrics::new()
                .resource(&[], |metrics| {
                    metrics
                        .numbers(name, "", MetricKind::Gauge, &[point(labels, 1.0)])
                        .numbers("up", "", MetricKind::Gauge, &[point(&[], 2.0)]);
                })
                .into_bytes()
        }
        _ => {
            let labels: Vec<_> = labels.iter().map(|(n, v)| format!("{n:?}:{v:?}")).collect();
            format!(
                "{{\"name\":{name:?},\"labels\":{{{}}},\"value\":1}}\n{{\"name\":\"up\",\"value\":2}}",
                labels.join(",")
            )
            .into_bytes()
        }
    }
}

fn check(name: &str, labels: Pairs<'_>, expect: Option<&str>) {
    for format in [
        Format::RemoteWrite1,
        Format::OtlpMetricsProto,
        Format::JsonMetrics,
    ] {
        let mut decoder = Decoder::new(DecodeOptions {
            translation: Translation::None,
            max_labels: 3,
            max_name_bytes: 8,
            max_value_bytes: 10,
            ..DecodeOptions::default()
        });
        // What was said once is said again, from memory.
        for time in 1..3 {
            let mut sink = RecordingSink::new();
            let bytes = record(format, name, labels);
            decoder
                .decode(format, &bytes, NOW, &mut sink)
                .unwrap_or_else(|refusal| panic!("{format}: {refusal:?}"));
            let expect: Vec<_> = expect.into_iter().collect();
            assert_eq!(sink.codes(), expect, "{format}, time {time}");
            assert_eq!(sink.samples.len(), 2 - expect.len(), "{format}");
            let longest = sink.refusals.iter().map(|refusal| refusal.detail.len());
            assert!(longest.max().unwrap_or(0) < 200, "{format}");
        }
    }
}

#[test]
fn labels_names_and_values() {
    check("m2345678", &[("a", "1"), ("b", "0123456789")], None);
    let four: Pairs<'_> = &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")];
    check("m", four, Some("too_many_labels"));
    check("m", &four[..3], Some("too_many_labels"));
    check("m23456789", &[], Some("name_too_long"));
    check("m", &[("l23456789", "1")], Some("name_too_long"));
    check("m", &[("a", "0123456789x")], Some("value_too_long"));
}

#[test]
fn a_million_bytes_and_ten_thousand_labels() {
    let long = "n".repeat(1 << 20);
    check(&long, &[], Some("name_too_long"));
    check("m", &[("a", &long)], Some("value_too_long"));
    let names: Vec<String> = (0..10_000).map(|n| format!("l{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (&**name, "x")).collect();
    check("m", &many, Some("too_many_labels"));
}
