//! OTLP metrics against `prost` and `opentelemetry-proto` as oracle, and in fixed cases.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the report"
)]

use foghorn_model::{Refusal, Timestamp};
use foghorn_wire::encode::{HistogramPoint, MetricKind, OtlpMetrics, Point};
use foghorn_wire::recording::RecordingSink;
use foghorn_wire::{DecodeOptions, Decoder, Format, Translation};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn options(translation: Translation) -> DecodeOptions {
    DecodeOptions {
        translation,
        ..DecodeOptions::default()
    }
}

fn decode(
    options: DecodeOptions,
    format: Format,
    bytes: &[u8],
) -> (Result<(), Refusal>, RecordingSink) {
    let mut sink = RecordingSink::new();
    let done = Decoder::new(options).decode(format, bytes, NOW, &mut sink);
    (done, sink)
}

// What the structs mean, said in the plainest way.

#[derive(Debug, Default)]
struct Naive {
    lines: Vec<String>,
    codes: Vec<&'static str>,
}

fn underscored(name: &str) -> String {
    name.replace(['.', '-'], "_")
}

fn plain(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::ArrayValue(list)) => {
            let items: Vec<_> = list.values.iter().map(|item| json(Some(item))).collect();
            format!("[{}]", items.join(","))
        }
        other => panic!("no strategy makes {other:?}"),
    }
}

fn json(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None => "null".to_owned(),
        Some(Value::StringValue(text)) => serde_json::to_string(text).unwrap(),
        _ => plain(value),
    }
}

impl Naive {
    fn request(request: &ExportMetricsServiceRequest) -> Self {
        let mut naive = Self::default();
        for resource in &request.resource_metrics {
            for scope in &resource.scope_metrics {
                for metric in &scope.metrics {
                    naive.metric(resource.resource.as_ref(), metric);
                }
            }
        }
        naive
    }

    fn metric(&mut self, resource: Option<&Resource>, metric: &Metric) {
        if metric.name.is_empty() {
            self.codes.push("no_name");
            return;
        }
        match &metric.data {
            None => self.codes.push("no_value"),
            Some(Data::ExponentialHistogram(_)) => self.codes.push("unsupported_type"),
            Some(Data::Gauge(gauge)) => self.numbers(resource, metric, &gauge.data_points, ""),
            Some(Data::Sum(sum)) => match sum.aggregation_temporality {
                1 => self.numbers(resource, metric, &sum.data_points, " delta"),
                2 => self.numbers(resource, metric, &sum.data_points, ""),
                _ => self.codes.push("bad_temporality"),
            },
            Some(Data::Histogram(histogram)) => match histogram.aggregation_temporality {
                1 => self.histograms(resource, metric, &histogram.data_points, " delta"),
                2 => self.histograms(resource, metric, &histogram.data_points, ""),
                _ => self.codes.push("bad_temporality"),
            },
            Some(Data::Summary(summary)) => {
                for point in &summary.data_points {
                    let stale = point.flags & 1 == 1;
                    let mut line = |suffix: &str, extra: Option<(&str, String)>, value: f64| {
                        let labels =
                            labels(resource, &metric.name, suffix, &point.attributes, extra);
                        self.line(&labels, value, stale, point.time_unix_nano, "");
                    };
                    for pair in &point.quantile_values {
                        line(
                            "",
                            Some(("quantile", pair.quantile.to_string())),
                            pair.value,
                        );
                    }
                    line("_sum", None, point.sum);
                    line("_count", None, point.count as f64);
                }
            }
        }
    }

    fn numbers(
        &mut self,
        resource: Option<&Resource>,
        metric: &Metric,
        points: &[NumberDataPoint],
        kind: &str,
    ) {
        for point in points {
            let stale = point.flags & 1 == 1;
            let value = match point.value {
                Some(Number::AsDouble(value)) => value,
                Some(Number::AsInt(value)) => value as f64,
                None if stale => 0.0,
                None => {
                    self.codes.push("no_value");
                    continue;
                }
            };
            let labels = labels(resource, &metric.name, "", &point.attributes, None);
            self.line(&labels, value, stale, point.time_unix_nano, kind);
        }
    }

    fn histograms(
        &mut self,
        resource: Option<&Resource>,
        metric: &Metric,
        points: &[HistogramDataPoint],
        kind: &str,
    ) {
        for point in points {
            let stale = point.flags & 1 == 1;
            let (bounds, counts) = (&point.explicit_bounds, &point.bucket_counts);
            let empty = counts.is_empty() && (bounds.is_empty() || stale);
            if counts.len() != bounds.len() + 1 && !empty {
                self.codes.push("bad_histogram");
                continue;
            }
            let mut line = |suffix: &str, extra: Option<(&str, String)>, value: f64| {
                let labels = labels(resource, &metric.name, suffix, &point.attributes, extra);
                self.line(&labels, value, stale, point.time_unix_nano, kind);
            };
            for (i, bound) in bounds.iter().enumerate() {
                let below: u64 = counts.iter().take(i + 1).sum();
                line("_bucket", Some(("le", bound.to_string())), below as f64);
            }
            line(
                "_bucket",
                Some(("le", "+Inf".to_owned())),
                point.count as f64,
            );
            if let Some(sum) = point.sum.or(stale.then_some(0.0)) {
                line("_sum", None, sum);
            }
            line("_count", None, point.count as f64);
        }
    }

    fn line(
        &mut self,
        labels: &foghorn_model::Labels,
        value: f64,
        stale: bool,
        nanos: u64,
        kind: &str,
    ) {
        let value = if stale {
            "stale".to_owned()
        } else {
            value.to_string()
        };
        let ms = if nanos == 0 {
            NOW.ms()
        } else {
            (nanos / 1_000_000) as i64
        };
        self.lines.push(format!("{labels} {value} @{ms}{kind}"));
    }
}

fn labels(
    resource: Option<&Resource>,
    name: &str,
    suffix: &str,
    attributes: &[KeyValue],
    extra: Option<(&str, String)>,
) -> foghorn_model::Labels {
    let mut builder = foghorn_model::LabelsBuilder::default();
    let mut sorted: Vec<_> = attributes
        .iter()
        .map(|pair| (pair.key.clone(), plain(pair.value.as_ref())))
        .collect();
    sorted.sort();
    for (key, value) in sorted {
        let name = underscored(&key);
        let joined = builder
            .get(&name)
            .map(|earlier| format!("{earlier};{value}"));
        builder.set(&name, &joined.unwrap_or(value));
    }
    let of = |key: &str| {
        let pairs = resource.map_or(&[][..], |resource| &resource.attributes);
        pairs
            .iter()
            .find(|pair| pair.key == key)
            .map(|pair| plain(pair.value.as_ref()))
            .unwrap_or_default()
    };
    let (service, namespace) = (of("service.name"), of("service.namespace"));
    builder.set_default("service_name", &service);
    builder.set_default("host_name", &of("host.name"));
    if !service.is_empty() {
        let job = if namespace.is_empty() {
            service
        } else {
            format!("{namespace}/{service}")
        };
        builder.set("job", &job);
    }
    if !of("service.instance.id").is_empty() {
        builder.set("instance", &of("service.instance.id"));
    }
    if let Some((name, value)) = extra {
        builder.set(name, &value);
    }
    builder
        .set("__name__", &(underscored(name) + suffix))
        .build()
}

// Strategies.

fn any_value() -> impl Strategy<Value = Option<AnyValue>> {
    let scalar = prop_oneof![
        "[a-z\"é]{0,6}".prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        (-1e6..1e6).prop_map(Value::DoubleValue),
    ];
    let list = vec(
        scalar
            .clone()
            .prop_map(|value| AnyValue { value: Some(value) }),
        0..3,
    );
    let value = prop_oneof![4 => scalar, 1 => list.prop_map(|values| Value::ArrayValue(ArrayValue { values }))];
    option::weighted(0.9, value.prop_map(|value| AnyValue { value: Some(value) }))
}

fn attributes(keys: &'static [&'static str]) -> impl Strategy<Value = Vec<KeyValue>> {
    let picked = proptest::sample::subsequence(keys, 0..=keys.len()).prop_shuffle();
    picked.prop_flat_map(|keys| {
        let pairs: Vec<_> = keys
            .into_iter()
            .map(|key| {
                any_value().prop_map(move |value| KeyValue {
                    key: key.to_owned(),
                    value,
                    ..Default::default()
                })
            })
            .collect();
        pairs
    })
}

fn point_attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    attributes(&[
        "http.method",
        "http_method",
        "a",
        "a-b",
        "code",
        "host.name",
    ])
}

fn nanos() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        1_600_000_000_000_000_000_u64..1_800_000_000_000_000_000
    ]
}

fn number_point() -> impl Strategy<Value = NumberDataPoint> {
    let number = prop_oneof![
        (-1e9..1e9).prop_map(Number::AsDouble),
        any::<i64>().prop_map(Number::AsInt)
    ];
    (
        point_attributes(),
        nanos(),
        option::weighted(0.9, number),
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |(attributes, time_unix_nano, value, stale)| NumberDataPoint {
                attributes,
                // None, or some: most senders write one, and it comes first.
                start_time_unix_nano: time_unix_nano % 3,
                time_unix_nano,
                value,
                flags: stale.into(),
                ..Default::default()
            },
        )
}

fn histogram_point() -> impl Strategy<Value = HistogramDataPoint> {
    let bounds = proptest::collection::btree_set(-50_i32..50, 0..4);
    let stale = prop::bool::weighted(0.1);
    (
        point_attributes(),
        nanos(),
        bounds,
        vec(0_u64..100, 0..5),
        option::of(0.0..1e3),
        stale,
    )
        .prop_map(
            |(attributes, time_unix_nano, bounds, mut bucket_counts, sum, stale)| {
                if bucket_counts.len() != 2 {
                    bucket_counts.resize(bounds.len() + 1, 3);
                }
                HistogramDataPoint {
                    attributes,
                    time_unix_nano,
                    count: bucket_counts.iter().sum(),
                    explicit_bounds: bounds
                        .into_iter()
                        .map(|bound| f64::from(bound) / 4.0)
                        .collect(),
                    bucket_counts,
                    sum,
                    flags: stale.into(),
                    ..Default::default()
                }
            },
        )
}

fn summary_point() -> impl Strategy<Value = SummaryDataPoint> {
    let quantiles = vec((0.0..1.0, -1e3..1e3), 0..3);
    (
        point_attributes(),
        nanos(),
        quantiles,
        0_u64..1000,
        0.0..1e3,
    )
        .prop_map(
            |(attributes, time_unix_nano, quantiles, count, sum)| SummaryDataPoint {
                attributes,
                time_unix_nano,
                count,
                sum,
                quantile_values: quantiles
                    .into_iter()
                    .map(|(quantile, value)| ValueAtQuantile { quantile, value })
                    .collect(),
                ..Default::default()
            },
        )
}

fn data() -> impl Strategy<Value = Data> {
    let sum = (vec(number_point(), 0..4), 0..3, any::<bool>());
    let histogram = (vec(histogram_point(), 0..3), 0..3);
    prop_oneof![
        vec(number_point(), 0..4).prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        sum.prop_map(|(data_points, aggregation_temporality, is_monotonic)| {
            Data::Sum(Sum {
                data_points,
                aggregation_temporality,
                is_monotonic,
            })
        }),
        histogram.prop_map(|(data_points, aggregation_temporality)| {
            Data::Histogram(Histogram {
                data_points,
                aggregation_temporality,
            })
        }),
        vec(summary_point(), 0..3).prop_map(|data_points| Data::Summary(Summary { data_points })),
        Just(Data::ExponentialHistogram(ExponentialHistogram::default())),
    ]
}

fn metric() -> impl Strategy<Value = Metric> {
    (
        "([a-z]{1,4}\\.)?[a-z]{0,4}[a-z]",
        option::weighted(0.95, data()),
        "|s|By|1",
    )
        .prop_map(|(name, data, unit)| Metric {
            name,
            data,
            unit,
            description: "a text that nobody reads".to_owned(),
            ..Default::default()
        })
}

fn request() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    let keys = &[
        "service.name",
        "service.namespace",
        "service.instance.id",
        "host.name",
        "process.pid",
    ];
    let scope = vec(metric(), 0..4).prop_map(|metrics| ScopeMetrics {
        metrics,
        ..Default::default()
    });
    let resource =
        (option::of(attributes(keys)), vec(scope, 0..3)).prop_map(|(attributes, scope_metrics)| {
            let resource = attributes.map(|attributes| Resource {
                attributes,
                ..Default::default()
            });
            ResourceMetrics {
                resource,
                scope_metrics,
                ..Default::default()
            }
        });
    vec(resource, 0..3)
        .prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}

fn check(format: Format, bytes: &[u8], naive: &Naive) {
    let (done, sink) = decode(options(Translation::Underscore), format, bytes);
    assert_eq!(sink.text().lines().collect::<Vec<_>>(), naive.lines);
    let mut codes: Vec<_> = sink
        .codes()
        .into_iter()
        .filter(|code| *code != "merged_resources")
        .collect();
    codes.extend(done.err().map(|refusal| {
        assert!(naive.lines.is_empty(), "{refusal:?} in spite of samples");
        refusal.code
    }));
    let mut expect = naive.codes.clone();
    codes.sort_unstable();
    expect.sort_unstable();
    assert_eq!(codes, expect);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn protobuf_means_what_the_structs_say(request in request()) {
        check(Format::OtlpMetricsProto, &request.encode_to_vec(), &Naive::request(&request));
    }

    #[test]
    fn json_means_what_the_structs_say(request in request()) {
        let json = serde_json::to_string(&request).unwrap();
        check(Format::OtlpMetricsJson, json.as_bytes(), &Naive::request(&request));
    }

    #[test]
    fn series_are_defined_once_and_attribute_order_changes_nothing(request in request()) {
        let mut decoder = Decoder::new(DecodeOptions::default());
        let mut sink = RecordingSink::new();
        let mut said = |request: &ExportMetricsServiceRequest| {
            sink.clear();
            let done = decoder.decode(Format::OtlpMetricsProto, &request.encode_to_vec(), NOW, &mut sink);
            (done, sink.text(), sink.defined)
        };
        let mut turned = request.clone();
        for metric in turned.resource_metrics.iter_mut().flat_map(|r| &mut r.scope_metrics).flat_map(|s| &mut s.metrics) {
            if let Some(Data::Gauge(gauge)) = &mut metric.data {
                gauge.data_points.iter_mut().for_each(|point| point.attributes.reverse());
            }
        }
        let (done, text, _) = said(&request);
        // Another order may take another key, and leads to the same series.
        let (turned_done, turned_text, _) = said(&turned);
        prop_assert_eq!((&done, &text), (&turned_done, &turned_text));
        for again in [&request, &turned] {
            prop_assert_eq!(said(again), (done.clone(), text.clone(), 0));
        }
    }
}

fn demo() -> Vec<u8> {
    let resource = [
        ("service.namespace", "shop"),
        ("service.name", "checkout"),
        ("service.instance.id", "i-1"),
    ];
    OtlpMetrics::new()
        .resource(&resource, |metrics| {
            let point = Point {
                attributes: &[("http.method", "GET")],
                at: NOW,
                value: 3.0,
            };
            metrics
                .numbers(
                    "http.server.requests",
                    "{request}",
                    MetricKind::Counter,
                    &[point],
                )
                .numbers(
                    "queue.fill",
                    "1",
                    MetricKind::Gauge,
                    &[Point {
                        value: 0.5,
                        ..point
                    }],
                )
                .numbers("jobs", "", MetricKind::DeltaCounter, &[point]);
            metrics.histogram(
                "http.server.duration",
                "s",
                &[HistogramPoint {
                    attributes: &[],
                    at: NOW,
                    bounds: &[0.1, 1.0],
                    counts: &[1, 2, 3],
                    sum: 9.5,
                }],
            );
        })
        .into_bytes()
}

#[test]
fn prometheus_names_units_and_kinds() {
    let (done, sink) = decode(DecodeOptions::default(), Format::OtlpMetricsProto, &demo());
    done.unwrap();
    let who = r#"instance="i-1", job="shop/checkout""#;
    let expect = format!(
        r#"http_server_requests_total{{http_method="GET", {who}, service_name="checkout"}} 3 @1700000000000
queue_fill_ratio{{http_method="GET", {who}, service_name="checkout"}} 0.5 @1700000000000
jobs_total{{http_method="GET", {who}, service_name="checkout"}} 3 @1700000000000 delta
http_server_duration_seconds_bucket{{{who}, le="0.1", service_name="checkout"}} 1 @1700000000000
http_server_duration_seconds_bucket{{{who}, le="1", service_name="checkout"}} 3 @1700000000000
http_server_duration_seconds_bucket{{{who}, le="+Inf", service_name="checkout"}} 6 @1700000000000
http_server_duration_seconds_sum{{{who}, service_name="checkout"}} 9.5 @1700000000000
http_server_duration_seconds_count{{{who}, service_name="checkout"}} 6 @1700000000000
"#
    );
    assert_eq!(sink.text(), expect);
}

#[test]
fn resources_that_differ_only_in_what_is_no_label() {
    let point = Point {
        attributes: &[],
        at: NOW,
        value: 1.0,
    };
    let two = |pid: &'static str| {
        move |w: OtlpMetrics| {
            w.resource(&[("service.name", "a"), ("process.pid", pid)], |metrics| {
                metrics.numbers("up", "", MetricKind::Gauge, &[point]);
            })
        }
    };
    let bytes = two("2")(two("1")(OtlpMetrics::new())).into_bytes();
    let (done, sink) = decode(DecodeOptions::default(), Format::OtlpMetricsProto, &bytes);
    assert_eq!(
        (done, sink.codes(), sink.samples.len(), sink.defined),
        (Ok(()), vec!["merged_resources"], 2, 1)
    );
    let apart = DecodeOptions {
        resource_hash_label: "resource".to_owned(),
        ..DecodeOptions::default()
    };
    let (done, sink) = decode(apart, Format::OtlpMetricsProto, &bytes);
    assert_eq!(
        (done, sink.codes(), sink.samples.len(), sink.defined),
        (Ok(()), vec![], 2, 2)
    );
}

fn check_json(json: &str, expect: Result<&str, &str>) {
    let (done, sink) = decode(
        options(Translation::None),
        Format::OtlpMetricsJson,
        json.as_bytes(),
    );
    assert_eq!(
        done.map(|()| sink.text()).map_err(|refusal| refusal.code),
        expect.map(str::to_owned),
        "{json}"
    );
}

fn gauge(point: &str) -> String {
    format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"x","gauge":{{"dataPoints":[{point}]}}}}]}}]}}]}}"#
    )
}

#[test]
fn json_numbers_in_all_their_spellings() {
    let at = r#""timeUnixNano":"1700000000001000000""#;
    for (value, expect) in [
        (r#""asDouble":"NaN""#, "NaN"),
        (r#""asDouble":"Infinity""#, "inf"),
        (r#""asDouble":"-Infinity""#, "-inf"),
        (r#""asDouble":1.5e3"#, "1500"),
        (r#""asInt":"-9007199254740993""#, "-9007199254740992"),
        (r#""asInt":7"#, "7"),
        (r#""flags":1"#, "stale"),
    ] {
        check_json(
            &gauge(&format!("{{{at},{value},\"unknown\":[{{}}]}}")),
            Ok(&format!("x {expect} @1700000000001\n")),
        );
    }
    check_json(
        &gauge(r#"{"timeUnixNano":1700000000001000000,"asInt":1}"#),
        Ok("x 1 @1700000000001\n"),
    );
    check_json(
        &gauge(r#"{"timeUnixNano":1.700000000001e18,"asInt":1}"#),
        Ok("x 1 @1700000000001\n"),
    );
    check_json(&gauge(r#"{"asInt":1}"#), Ok("x 1 @1700000000000\n"));
}

#[test]
fn json_that_is_wrong_says_how() {
    check_json(&gauge(r#"{"asDouble":null}"#), Err("no_value"));
    check_json(&gauge(r#"{"asDouble":"much"}"#), Err("wrong_type"));
    check_json(&gauge(r#"{"asDouble":[1]}"#), Err("wrong_type"));
    check_json(&gauge(r#"{"asDouble":1"#), Err("bad_json"));
    check_json(r#"{"resourceLogs":[]}"#, Err("missing_field"));
    check_json("[]", Err("wrong_type"));
    check_json("", Err("missing_field"));
    let deep = format!(
        "{}1{}",
        r#"{"arrayValue":{"values":["#.repeat(40),
        "]}}".repeat(40)
    );
    check_json(
        &gauge(&format!(
            r#"{{"asInt":1,"attributes":[{{"key":"a","value":{deep}}}]}}"#
        )),
        Err("wrong_type"),
    );
    let deep = deep.replace('1', "{}");
    check_json(
        &gauge(&format!(
            r#"{{"asInt":1,"attributes":[{{"key":"a","value":{deep}}}]}}"#
        )),
        Err("too_deep"),
    );
    check_json(
        &gauge(&format!(r#"{{"x":{}"#, "[".repeat(100_000))),
        Err("too_deep"),
    );
}
