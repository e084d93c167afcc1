//! Remote write 1.0 against messages that `prost` encodes.

use foghorn_model::{Labels, STALE_NAN, Timestamp, is_stale};
use foghorn_wire::encode::RemoteWrite;
use foghorn_wire::recording::RecordingSink;
use foghorn_wire::{Compression, DecodeOptions, Decoder, Format};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    metadata: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    histograms: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    TimeSeries {
        labels: labels
            .iter()
            .map(|(n, v)| Label {
                name: (*n).to_owned(),
                value: (*v).to_owned(),
            })
            .collect(),
        samples: samples
            .iter()
            .map(|(timestamp, value)| Sample {
                value: *value,
                timestamp: *timestamp,
            })
            .collect(),
        histograms: Vec::new(),
    }
}

fn check(timeseries: Vec<TimeSeries>, expect: Result<(&str, &[&str]), &str>) {
    let bytes = WriteRequest {
        timeseries,
        metadata: vec![vec![1, 2]],
    }
    .encode_to_vec();
    let mut sink = RecordingSink::new();
    let done =
        Decoder::new(DecodeOptions::default()).decode(Format::RemoteWrite1, &bytes, NOW, &mut sink);
    let expect = expect.map(|(text, codes)| (text.to_owned(), codes.to_vec()));
    assert_eq!(
        done.map(|()| (sink.text(), sink.codes()))
            .map_err(|refusal| refusal.code),
        expect
    );
}

#[test]
fn series_and_their_faults() {
    let up = series(
        &[("__name__", "up"), ("job", "a")],
        &[(1, 1.0), (-2, f64::NAN)],
    );
    check(
        vec![up.clone()],
        Ok(("up{job=\"a\"} 1 @1\nup{job=\"a\"} NaN @-2\n", &[])),
    );
    check(vec![], Ok(("", &[])));
    check(vec![series(&[("job", "a")], &[(1, 1.0)])], Err("no_name"));
    check(
        vec![series(
            &[("__name__", "up"), ("a", "1"), ("a", "2")],
            &[(1, 1.0)],
        )],
        Err("duplicate_label"),
    );
    let nameless = series(&[("job", "a")], &[(1, 1.0)]);
    check(
        vec![nameless, up.clone()],
        Ok(("up{job=\"a\"} 1 @1\nup{job=\"a\"} NaN @-2\n", &["no_name"])),
    );
    check(
        vec![series(&[("__name__", "up")], &[(i64::MAX, 1.0)])],
        Ok(("", &["bad_timestamp"])),
    );
    let native = TimeSeries {
        histograms: vec![vec![], vec![]],
        ..series(&[("__name__", "h")], &[])
    };
    check(vec![native.clone()], Err("unsupported_type"));
    let mixed = TimeSeries {
        samples: series(&[], &[(5, 2.0)]).samples,
        ..native
    };
    check(vec![mixed], Ok(("h 2 @5\n", &["unsupported_type"])));
}

#[test]
fn a_staleness_marker_keeps_its_bits() {
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
    let packed = RemoteWrite::new()
        .series(&labels, &[(NOW, STALE_NAN)])
        .into_snappy();
    let mut sink = RecordingSink::new();
    let mut decoder = Decoder::new(DecodeOptions::default());
    decoder
        .decode_compressed(
            Format::RemoteWrite1,
            Compression::Snappy,
            &packed,
            NOW,
            &mut sink,
        )
        .unwrap();
    assert!(is_stale(sink.samples[0].value));
    assert_eq!(sink.samples[0].labels, labels);
    sink.clear();
    decoder
        .decode_compressed(
            Format::RemoteWrite1,
            Compression::Snappy,
            &packed,
            NOW,
            &mut sink,
        )
        .unwrap();
    assert_eq!((sink.samples.len(), sink.defined), (1, 0));
}

#[test]
fn extra_labels_fill_gaps_only() {
    let extra_labels = vec![
        ("job".to_owned(), "x".to_owned()),
        ("cluster".to_owned(), "eu1".to_owned()),
    ];
    let mut decoder = Decoder::new(DecodeOptions {
        extra_labels,
        ..DecodeOptions::default()
    });
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
    let bytes = RemoteWrite::new()
        .series(&labels, &[(NOW, 1.0)])
        .into_bytes();
    let mut sink = RecordingSink::new();
    decoder
        .decode(Format::RemoteWrite1, &bytes, NOW, &mut sink)
        .unwrap();
    assert_eq!(
        sink.text(),
        "up{cluster=\"eu1\", job=\"a\"} 1 @1700000000000\n"
    );
}

proptest! {
    #[test]
    fn any_request_means_what_the_structs_say(
        all in vec((proptest::collection::btree_map("[a-c]{1,2}", "[a-zé]{1,4}", 0..4), vec((0_i64..1_000_000, -1e9..1e9), 0..4)), 0..5)
    ) {
        let mut expect = String::new();
        let timeseries = all.iter().map(|(labels, samples)| {
            let mut pairs: Vec<_> = labels.iter().map(|(n, v)| (&**n, &**v)).collect();
            pairs.push(("__name__", "m"));
            let text = Labels::from_pairs(pairs.clone());
            expect.extend(samples.iter().map(|(at, value)| format!("{text} {value} @{at}\n")));
            series(&pairs, samples)
        }).collect();
        check(timeseries, Ok((&expect, &[])));
    }
}
