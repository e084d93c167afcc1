//! What every fuzz target of a decoder runs: whatever the bytes, a decoder refuses or gives, within bounds, and
//! says the same again.
//!
//! Compiled into the fuzz targets, and into the test that runs it on broken fixtures.

use foghorn_model::{Partition, Timestamp};
use foghorn_wire::recording::RecordingSink;
use foghorn_wire::{Compression, DecodeOptions, Decoder, Format, JsonLogMapping, Preset};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// Longest record that a decoder takes here.
const MAX_BYTES: usize = 1 << 16;

/// Decodes `payload` with the options that matter to its format.
///
/// # Panics
/// A decoder did what none may do.
pub fn run(format: Format, compression: Compression, payload: &[u8]) {
    for options in options(format) {
        let mut decoder = Decoder::new(options);
        let first = one(&mut decoder, format, compression, payload);
        // A decoder that has seen anything before says the same; so does another one.
        let again = one(&mut decoder, format, compression, payload);
        if !matches!(format, Format::OtlpTracesProto | Format::OtlpTracesJson) {
            assert_eq!(first, again, "{format}: said otherwise the second time");
        }
        let mut other = Decoder::new(decoder.options().clone());
        assert_eq!(
            first,
            one(&mut other, format, compression, payload),
            "{format}: another decoder says otherwise"
        );
    }
}

/// The default options, and those under which more of a format's code runs.
fn options(format: Format) -> Vec<DecodeOptions> {
    let bounded = DecodeOptions {
        max_record_bytes: MAX_BYTES,
        max_decompressed_bytes: MAX_BYTES,
        ..DecodeOptions::default()
    };
    let mut all = vec![bounded.clone()];
    match format {
        Format::JsonLogs => all.extend(Preset::ALL.iter().map(|preset| DecodeOptions {
            json_logs: JsonLogMapping {
                max_attributes: 8,
                ..preset.mapping()
            },
            ..bounded.clone()
        })),
        Format::OtlpLogsProto | Format::OtlpLogsJson => {
            let labels = ["service.name", "string.attribute", "level", "event_name"];
            all.push(DecodeOptions {
                stream_labels: labels.map(str::to_owned).to_vec(),
                ..bounded.clone()
            });
        }
        Format::OtlpMetricsProto | Format::OtlpMetricsJson => all.push(DecodeOptions {
            resource_hash_label: "resource".to_owned(),
            ..bounded.clone()
        }),
        _ => {}
    }
    all
}

/// One decoding, and what it came to.
fn one(decoder: &mut Decoder, format: Format, compression: Compression, payload: &[u8]) -> String {
    let mut sink = RecordingSink::new();
    decoder.enter(Partition::new(0, 0));
    let done = decoder.decode_compressed(format, compression, payload, NOW, &mut sink);
    let used = sink.samples.len()
        + sink.logs.len()
        + sink.changes.len()
        + sink.alerts.len()
        + sink.edges.len();
    assert!(
        done.is_ok() || used == 0,
        "{format}: refused as a whole, yet used {used} times"
    );
    let bytes = if compression == Compression::None {
        payload.len()
    } else {
        MAX_BYTES
    };
    // Nothing in any format is said in less than a byte; a histogram's point has three series more
    // than buckets, and an exhausted span may have waited for sixteen.
    let most = 16 * bytes + 16;
    assert!(used <= most, "{format}: {used} from {bytes} bytes");
    assert!(sink.refusals.len() <= most, "{format}: too many refusals");
    for label in sink.logs.iter().flat_map(|log| log.stream.iter()) {
        assert!(
            label.1.len() <= 8 * bytes,
            "{format}: a label out of nothing"
        );
    }
    format!(
        "{done:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        sink.samples, sink.logs, sink.changes, sink.alerts, sink.edges, sink.refusals
    )
}
