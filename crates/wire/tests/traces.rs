//! Who calls whom, as spans show it.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the report"
)]

use foghorn_model::{Partition, Timestamp};
use foghorn_wire::recording::RecordingSink;
use foghorn_wire::{DecodeOptions, Decoder, Format, TraceOptions};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// The messages as the specification has them: the oracle's own crate is built without traces.
mod proto {
    use super::{KeyValue, Message, Resource};

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Request {
        #[prost(message, repeated, tag = "1")]
        pub(super) resource_spans: Vec<ResourceSpans>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct ResourceSpans {
        #[prost(message, optional, tag = "1")]
        pub(super) resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub(super) scope_spans: Vec<ScopeSpans>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct ScopeSpans {
        #[prost(message, repeated, tag = "2")]
        pub(super) spans: Vec<Span>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) id: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        pub(super) parent: Vec<u8>,
        #[prost(string, tag = "5")]
        pub(super) name: String,
        #[prost(int32, tag = "6")]
        pub(super) kind: i32,
        #[prost(fixed64, tag = "7")]
        pub(super) start: u64,
        #[prost(fixed64, tag = "8")]
        pub(super) end: u64,
        #[prost(message, repeated, tag = "9")]
        pub(super) attributes: Vec<KeyValue>,
        #[prost(message, repeated, tag = "13")]
        pub(super) links: Vec<Link>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Link {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) span_id: Vec<u8>,
    }
}

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..Default::default()
    }
}

/// A span of trace 1: its service, its id, its parent's (0: none), its kind.
#[derive(Clone, Copy)]
struct Of(&'static str, u8, u8, i32);

impl Of {
    fn span(self) -> proto::Span {
        let id = |id: u8| {
            if id == 0 {
                Vec::new()
            } else {
                vec![0, 0, 0, 0, 0, 0, 0, id]
            }
        };
        proto::Span {
            trace: vec![1; 16],
            id: id(self.1),
            parent: id(self.2),
            name: "op".to_owned(),
            kind: self.3,
            start: 1_700_000_000_000_000_000,
            end: 1_700_000_000_000_000_000 + u64::from(self.1) * 1_000_000,
            ..Default::default()
        }
    }
}

fn record(service: &str, spans: Vec<proto::Span>) -> Vec<u8> {
    proto::Request {
        resource_spans: vec![proto::ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text("service.name", service)],
                ..Default::default()
            }),
            scope_spans: vec![proto::ScopeSpans { spans }],
        }],
    }
    .encode_to_vec()
}

fn edges(records: &[(u32, Vec<u8>)], options: TraceOptions) -> Vec<String> {
    let mut decoder = Decoder::new(DecodeOptions {
        traces: options,
        ..DecodeOptions::default()
    });
    let mut sink = RecordingSink::new();
    for (partition, bytes) in records {
        decoder.enter(Partition::new(0, *partition));
        decoder
            .decode(Format::OtlpTracesProto, bytes, NOW, &mut sink)
            .unwrap();
    }
    assert!(sink.samples.is_empty() && sink.logs.is_empty());
    sink.edges
        .iter()
        .map(|(client, server)| format!("{client}->{server}"))
        .collect()
}

/// Each span a record of its own, all in one partition.
fn check(spans: &[Of], expect: &[&str]) {
    let records: Vec<_> = spans
        .iter()
        .map(|of| (0, record(of.0, vec![of.span()])))
        .collect();
    assert_eq!(edges(&records, TraceOptions::default()), expect);
}

#[test]
fn a_call_has_two_sides_in_any_order() {
    let web = Of("web", 1, 0, CLIENT);
    let api = Of("api", 2, 1, SERVER);
    check(&[web, api], &["web->api"]);
    check(&[api, web], &["web->api"]);
    // Several callees of one parent, known before it.
    let cart = Of("cart", 3, 1, SERVER);
    check(&[cart, api, web], &["web->cart", "web->api"]);
}

#[test]
fn within_a_service_nothing_is_called() {
    check(
        &[
            Of("web", 1, 0, SERVER),
            Of("web", 2, 1, INTERNAL),
            Of("web", 3, 2, SERVER),
            // An internal span is no callee, wherever its parent is.
            Of("api", 4, 1, INTERNAL),
        ],
        &[],
    );
}

#[test]
fn messages_by_parent_and_by_link() {
    check(
        &[Of("shop", 1, 0, PRODUCER), Of("mail", 2, 1, CONSUMER)],
        &["shop->mail"],
    );
    let mut linked = Of("mail", 9, 0, CONSUMER).span();
    linked.links.push(proto::Link {
        trace_id: vec![1; 16],
        span_id: vec![0, 0, 0, 0, 0, 0, 0, 1],
    });
    let records = [
        (0, record("mail", vec![linked])),
        (0, record("shop", vec![Of("shop", 1, 0, PRODUCER).span()])),
    ];
    assert_eq!(edges(&records, TraceOptions::default()), ["shop->mail"]);
}

#[test]
fn what_a_client_says_of_whom_it_calls() {
    let said = |kind: i32, pairs: &[(&str, &str)]| {
        let mut span = Of("api", 1, 0, kind).span();
        span.attributes = pairs.iter().map(|(key, value)| text(key, value)).collect();
        edges(&[(0, record("api", vec![span]))], TraceOptions::default())
    };
    assert_eq!(said(CLIENT, &[("peer.service", "stripe")]), ["api->stripe"]);
    assert_eq!(
        said(
            CLIENT,
            &[("db.system", "postgresql"), ("db.name", "orders")]
        ),
        ["api->orders"]
    );
    assert_eq!(said(CLIENT, &[("db.system.name", "redis")]), ["api->redis"]);
    assert!(said(CLIENT, &[("server.address", "10.0.0.1")]).is_empty());
    assert!(said(SERVER, &[("peer.service", "stripe")]).is_empty());
    assert!(said(CLIENT, &[("peer.service", "api")]).is_empty());
}

#[test]
fn partitions_do_not_meet() {
    let web = record("web", vec![Of("web", 1, 0, CLIENT).span()]);
    let api = record("api", vec![Of("api", 2, 1, SERVER).span()]);
    let apart = [(0, web.clone()), (1, api.clone())];
    assert!(edges(&apart, TraceOptions::default()).is_empty());
    // Whatever of another partition lies between them, they meet.
    let among = [(0, web.clone()), (1, web), (0, api)];
    assert_eq!(edges(&among, TraceOptions::default()), ["web->api"]);
}

#[test]
fn the_oldest_span_is_forgotten_first() {
    let spans: Vec<_> = [
        Of("web", 1, 0, CLIENT),
        Of("web", 2, 0, CLIENT),
        Of("web", 3, 0, CLIENT),
        Of("cart", 12, 2, SERVER),
        Of("api", 11, 1, SERVER),
    ]
    .iter()
    .map(|of| (0, record(of.0, vec![of.span()])))
    .collect();
    let options = TraceOptions {
        max_spans: 3,
        ..TraceOptions::default()
    };
    assert_eq!(edges(&spans, options), ["web->cart"]);
    let wide = edges(&spans, TraceOptions::default());
    assert_eq!(wide, ["web->cart", "web->api"]);
}

#[test]
fn too_many_services_are_refused_by_name() {
    let mut decoder = Decoder::new(DecodeOptions {
        traces: TraceOptions {
            max_services: 1,
            ..TraceOptions::default()
        },
        ..DecodeOptions::default()
    });
    let mut sink = RecordingSink::new();
    for (service, span) in [
        ("web", Of("web", 1, 0, CLIENT)),
        ("api", Of("api", 2, 1, SERVER)),
    ] {
        let bytes = record(service, vec![span.span()]);
        decoder
            .decode(Format::OtlpTracesProto, &bytes, NOW, &mut sink)
            .unwrap();
    }
    assert_eq!(sink.codes(), ["too_many_services"]);
}

#[test]
fn the_latest_end_of_a_span_moves_event_time() {
    let bytes = record(
        "web",
        vec![
            Of("web", 7, 0, CLIENT).span(),
            Of("web", 3, 0, CLIENT).span(),
        ],
    );
    let mut sink = RecordingSink::new();
    Decoder::new(DecodeOptions::default())
        .decode(Format::OtlpTracesProto, &bytes, NOW, &mut sink)
        .unwrap();
    assert_eq!(sink.witnessed, [NOW + 7]);
}

#[test]
fn json_says_the_same() {
    // Written after the OTLP specification's example of a trace, with a second service.
    let json = r#"{"resourceSpans":[
        {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"web"}}]},"scopeSpans":[{"spans":[
            {"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","parentSpanId":"","name":"GET",
             "startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000005000000","kind":3,
             "attributes":[{"key":"peer.service","value":{"stringValue":"cdn"}}]}]}]},
        {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"api"}}]},"scopeSpans":[{"spans":[
            {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b175","parentSpanId":"eee19b7ec3c1b174",
             "name":"GET /","kind":"SPAN_KIND_SERVER","endTimeUnixNano":"1700000000004000000"}]}]}]}"#;
    let mut sink = RecordingSink::new();
    Decoder::new(DecodeOptions::default())
        .decode(Format::OtlpTracesJson, json.as_bytes(), NOW, &mut sink)
        .unwrap();
    let edge = |client: &str, server: &str| (client.to_owned(), server.to_owned());
    assert_eq!(sink.edges, [edge("web", "cdn"), edge("web", "api")]);
    assert_eq!(sink.witnessed, [NOW + 5]);
}
