//! Remote write 2.0 against messages that `prost` encodes.

use foghorn_model::{Labels, Timestamp};
use foghorn_wire::recording::RecordingSink;
use foghorn_wire::{Compression, DecodeOptions, Decoder, Format};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use prost::Message;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    histograms: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    exemplars: Vec<Vec<u8>>,
    #[prost(message, optional, tag = "5")]
    metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
    #[prost(int64, tag = "3")]
    start_timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(uint32, tag = "3")]
    help_ref: u32,
    #[prost(uint32, tag = "4")]
    unit_ref: u32,
}

fn series(labels_refs: &[u32], samples: &[(i64, f64)]) -> TimeSeries {
    let samples = samples.iter().map(|(timestamp, value)| Sample {
        value: *value,
        timestamp: *timestamp,
        start_timestamp: timestamp - 1,
    });
    TimeSeries {
        labels_refs: labels_refs.to_vec(),
        samples: samples.collect(),
        metadata: Some(Metadata {
            kind: 1,
            help_ref: 0,
            unit_ref: 0,
        }),
        ..TimeSeries::default()
    }
}

fn request(symbols: &[&str], timeseries: Vec<TimeSeries>) -> Vec<u8> {
    let symbols = symbols.iter().map(|symbol| (*symbol).to_owned()).collect();
    let request = Request {
        symbols,
        timeseries,
    };
    request.encode_to_vec()
}

fn check(bytes: &[u8], expect: Result<(&str, &[&str]), &str>) {
    let mut sink = RecordingSink::new();
    let done =
        Decoder::new(DecodeOptions::default()).decode(Format::RemoteWrite2, bytes, NOW, &mut sink);
    let expect = expect.map(|(text, codes)| (text.to_owned(), codes.to_vec()));
    assert_eq!(
        done.map(|()| (sink.text(), sink.codes()))
            .map_err(|refusal| refusal.code),
        expect
    );
}

const SYMBOLS: [&str; 6] = ["", "__name__", "up", "job", "a", "help text"];

#[test]
fn series_and_their_faults() {
    let good = series(&[1, 2, 3, 4], &[(1, 1.0), (-2, f64::NAN)]);
    let lines = "up{job=\"a\"} 1 @1\nup{job=\"a\"} NaN @-2\n";
    check(&request(&SYMBOLS, vec![good.clone()]), Ok((lines, &[])));
    check(&request(&SYMBOLS, vec![]), Ok(("", &[])));
    check(&request(&[], vec![]), Ok(("", &[])));
    for (bad, code) in [
        (series(&[3, 4], &[(1, 1.0)]), "no_name"),
        (series(&[1, 2, 3, 4, 3, 2], &[(1, 1.0)]), "duplicate_label"),
        (series(&[1, 2, 3], &[(1, 1.0)]), "bad_symbol_ref"),
        (series(&[1, 6], &[(1, 1.0)]), "bad_symbol_ref"),
        (series(&[1, u32::MAX], &[(1, 1.0)]), "bad_symbol_ref"),
        (
            TimeSeries {
                histograms: vec![vec![]],
                ..series(&[1, 2], &[])
            },
            "unsupported_type",
        ),
    ] {
        check(&request(&SYMBOLS, vec![bad.clone()]), Err(code));
        let both = request(&SYMBOLS, vec![bad, good.clone()]);
        check(&both, Ok((lines, &[code])));
    }
    let late = series(&[1, 2], &[(i64::MAX, 1.0)]);
    check(&request(&SYMBOLS, vec![late]), Ok(("", &["bad_timestamp"])));
    check(
        &request(&["x", "__name__", "up"], vec![series(&[1, 2], &[(1, 1.0)])]),
        Err("bad_symbols"),
    );
}

#[test]
fn references_one_by_one_and_of_the_wrong_type() {
    // symbols "", "__name__", "up"; series {1: 1, 1: 2 (not packed), 2: {1: 0.0, 2: 5}}.
    let symbols = b"\x22\x00\x22\x08__name__\x22\x02up";
    let bytes = [&symbols[..], b"\x2a\x08\x08\x01\x08\x02\x12\x02\x10\x05"].concat();
    check(&bytes, Ok(("up 0 @5\n", &[])));
    let fixed = [&symbols[..], b"\x2a\x05\x0d\x01\x00\x00\x00"].concat();
    check(&fixed, Err("wrong_type"));
    let huge = [&symbols[..], b"\x2a\x08\x0a\x06\xff\xff\xff\xff\xff\x01"].concat();
    check(&huge, Err("malformed"));
    let cut = [&symbols[..], b"\x2a\x04\x0a\x02\x01\x80"].concat();
    check(&cut, Err("truncated"));
}

#[test]
fn a_series_is_known_again_wherever_its_symbols_stand() {
    let first = request(&SYMBOLS, vec![series(&[1, 2, 3, 4], &[(1, 1.0)])]);
    let second = request(
        &["", "a", "job", "up", "__name__"],
        vec![series(&[4, 3, 2, 1], &[(2, 2.0)])],
    );
    let swapped = request(&SYMBOLS, vec![series(&[1, 4, 3, 2], &[(3, 3.0)])]);
    let mut decoder = Decoder::new(DecodeOptions::default());
    let mut sink = RecordingSink::new();
    for (bytes, defined) in [(first, 1), (second, 1), (swapped, 2)] {
        let packed = foghorn_wire::encode::snappy(&bytes);
        decoder
            .decode_compressed(
                Format::RemoteWrite2,
                Compression::Snappy,
                &packed,
                NOW,
                &mut sink,
            )
            .unwrap();
        assert_eq!(sink.defined, defined);
    }
    assert_eq!(
        sink.text(),
        "up{job=\"a\"} 1 @1\nup{job=\"a\"} 2 @2\na{job=\"up\"} 3 @3\n"
    );
}

proptest! {
    #[test]
    fn any_request_means_what_the_structs_say(
        all in vec((btree_map("[a-c]{1,2}", "[a-zé]{1,4}", 0..4), vec((0_i64..1_000_000, -1e9..1e9), 0..4)), 0..5),
        shuffle in any::<prop::sample::Index>(),
    ) {
        let mut symbols = vec![String::new(), "__name__".to_owned(), "m".to_owned()];
        symbols.extend(all.iter().flat_map(|(labels, _)| labels.iter().flat_map(|(n, v)| [n.clone(), v.clone()])));
        let at = shuffle.index(symbols.len());
        symbols[1..].rotate_left(at);
        let reference = |text: &str| symbols.iter().position(|symbol| symbol == text).unwrap() as u32;
        let mut expect = String::new();
        let timeseries = all.iter().map(|(labels, samples)| {
            let mut pairs: Vec<_> = labels.iter().map(|(n, v)| (&**n, &**v)).collect();
            pairs.push(("__name__", "m"));
            let text = Labels::from_pairs(pairs.clone());
            expect.extend(samples.iter().map(|(at, value)| format!("{text} {value} @{at}\n")));
            let references: Vec<_> = pairs.iter().flat_map(|(n, v)| [reference(n), reference(v)]).collect();
            series(&references, samples)
        }).collect();
        let symbols: Vec<_> = symbols.iter().map(|symbol| &**symbol).collect();
        check(&request(&symbols, timeseries), Ok((&expect, &[])));
    }
}
