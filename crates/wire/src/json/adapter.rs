//! What prometheus-kafka-adapter writes: one sample an object,
//! `{"timestamp":"2023-11-14T22:13:20Z","value":"1","name":"up","labels":{"__name__":"up","job":"api"}}`.
//!
//! Its Avro-JSON is the same text. Values are strings (`"NaN"`, `"+Inf"`); times are cut to whole
//! seconds, so two samples of a series within one second are one. A metric's name is Prometheus'
//! own and is left as it is. Owns the keys; the walk is that of `json::metrics`.

use foghorn_model::{Refusal, SampleSink, Timestamp};

use crate::decoder::{Scratch, Settings};
use crate::json::metrics;
use crate::options::{DecodeOptions, JsonMetricMapping, Names, Translation};

/// A source's options, with the adapter's keys in place of those of the config.
pub(crate) fn options(own: &DecodeOptions) -> DecodeOptions {
    DecodeOptions {
        translation: Translation::None,
        json_metrics: JsonMetricMapping {
            name: Names::of(&["name"]),
            timestamp: Names::of(&["timestamp"]),
            value: Names::of(&["value"]),
            labels: Names::of(&["labels"]),
            top_level_labels: false,
        },
        ..own.clone()
    }
}

/// Decodes one object, an array of them, or one after another.
pub(crate) fn decode<S: SampleSink>(
    settings: &Settings,
    scratch: &mut Scratch,
    text: &str,
    record_time: Timestamp,
    sink: &mut S,
) -> Result<(), Refusal> {
    let settings = settings.adapter.as_deref().unwrap_or(settings);
    metrics::decode(settings, scratch, text, record_time, sink)
}
