//! The decoder: options made ready once, buffers that are used again and again.

use std::fmt::Write;

use foghorn_model::{Partition, Refusal, SampleSink, Timestamp};
use xxhash_rust::xxh3::xxh3_128;

use crate::bounds::Oversized;
use crate::compression::decompress;
use crate::format::{Compression, Format};
use crate::json::framed::Frames;
use crate::json::logs::LogPlan;
use crate::json::shape::Shape;
use crate::options::DecodeOptions;
use crate::otlp::{Resources, SpanTable, StreamLabels};
use crate::pairs::{ByHash, Pairs, chain};
use crate::proto::Writer;
use crate::remote_write_2::Symbols;
use crate::{alerts, changes, json, otlp, remote_write, remote_write_2};

/// Options, made ready.
#[derive(Debug)]
pub(crate) struct Settings {
    pub options: DecodeOptions,
    pub log_plan: LogPlan,
    /// `DecodeOptions::stream_labels`, made ready.
    pub stream_labels: StreamLabels,
    /// What the keys of series begin with: a hash of the options, since those change labels.
    pub metrics_salt: u128,
    /// What the keys of log streams begin with.
    pub logs_salt: u128,
    /// The same with prometheus-kafka-adapter's keys; not there in itself.
    pub adapter: Option<Box<Settings>>,
}

impl Settings {
    pub(crate) fn new(options: DecodeOptions) -> Self {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "{:?}",
            (
                options.translation,
                &options.promote_resource_attributes,
                &options.resource_hash_label,
                &options.stream_labels,
                &options.json_logs,
                &options.json_metrics,
                &options.extra_labels,
            )
        );
        let salt = xxh3_128(text.as_bytes());
        Self {
            log_plan: LogPlan::new(&options.json_logs),
            stream_labels: StreamLabels::new(&options.stream_labels),
            metrics_salt: chain(salt, b"metrics"),
            logs_salt: chain(salt, b"logs"),
            adapter: None,
            options,
        }
    }
}

/// Buffers of the decoders. Each decoder says which it uses for what.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Labels of the current resource, or of the current log stream.
    pub resource: Pairs,
    /// Attributes of the resource that are no stream labels.
    pub rest: Pairs,
    /// Attributes of the current point or record.
    pub record: Pairs,
    /// Text that had to be put together or unescaped.
    pub text: String,
    /// JSON that stood in a string of a JSON log.
    pub nested: String,
    /// Keys of JSON logs.
    pub shape: Shape,
    /// Spans whose other side may come yet.
    pub spans: SpanTable,
    /// Bucket counts.
    pub counts: Vec<u64>,
    /// Bucket bounds, or quantiles with their values.
    pub bounds: Vec<f64>,
    /// Symbols of the current remote write 2.0 request.
    pub symbols: Symbols,
    /// Series that are larger than series may be.
    pub oversized: Oversized,
    /// Resources of OTLP metrics.
    pub resources: Resources,
    /// Layouts of JSON metrics.
    pub frames: Frames,
    /// OTLP JSON, rewritten.
    pub rewritten: Writer,
    /// Hash of a resource's labels → hash of all its attributes, within one record. Never
    /// iterated.
    pub seen: ByHash<u128>,
}

/// Turns records into samples, log records, changes and alerts. One for each source (its options)
/// and worker (its buffers).
#[derive(Debug)]
pub struct Decoder {
    settings: Settings,
    scratch: Scratch,
    unpacked: Vec<u8>,
}

impl Decoder {
    /// A decoder with these options.
    pub fn new(options: DecodeOptions) -> Self {
        let mut settings = Settings::new(options);
        let adapter = json::adapter::options(&settings.options);
        settings.adapter = Some(Box::new(Settings::new(adapter)));
        let scratch = Scratch {
            spans: SpanTable::new(settings.options.traces),
            ..Scratch::default()
        };
        Self {
            settings,
            scratch,
            unpacked: Vec::new(),
        }
    }

    /// The options that it was made with.
    pub fn options(&self) -> &DecodeOptions {
        &self.settings.options
    }

    /// Says which partition the next records are of: spans meet only those of their own partition,
    /// so that what is found does not depend on how partitions interleave.
    pub fn enter(&mut self, partition: Partition) {
        self.scratch.spans.enter(partition);
    }

    /// Decodes one record into `sink`. `record_time` stands in for times that the record does not
    /// say.
    ///
    /// # Errors
    /// A refusal where nothing of the record could be used: it belongs in the dead-letter topic,
    /// and the sink got nothing but possibly further refusals. Where part of it could be used,
    /// the rest goes to [`SampleSink::refuse`] and the result is `Ok`.
    pub fn decode(
        &mut self,
        format: Format,
        payload: &[u8],
        record_time: Timestamp,
        sink: &mut impl SampleSink,
    ) -> Result<(), Refusal> {
        self.bounded(payload)?;
        decode(
            &self.settings,
            &mut self.scratch,
            format,
            payload,
            record_time,
            sink,
        )
    }

    /// As [`Decoder::decode`], for a record that its sender packed. `max_record_bytes` bounds the
    /// record as it came, `max_decompressed_bytes` what it unpacks to.
    ///
    /// # Errors
    /// As [`Decoder::decode`]; and `bomb` or `bad_compression`, see [`decompress`].
    pub fn decode_compressed(
        &mut self,
        format: Format,
        compression: Compression,
        payload: &[u8],
        record_time: Timestamp,
        sink: &mut impl SampleSink,
    ) -> Result<(), Refusal> {
        if compression == Compression::None {
            return self.decode(format, payload, record_time, sink);
        }
        self.bounded(payload)?;
        let max_bytes = self.settings.options.max_decompressed_bytes;
        decompress(compression, payload, max_bytes, &mut self.unpacked)?;
        decode(
            &self.settings,
            &mut self.scratch,
            format,
            &self.unpacked,
            record_time,
            sink,
        )
    }

    fn bounded(&self, payload: &[u8]) -> Result<(), Refusal> {
        let bound = self.settings.options.max_record_bytes;
        if payload.len() <= bound {
            return Ok(());
        }
        Err(Refusal::new(
            "too_large",
            format!("{} bytes; the bound is {bound}", payload.len()),
        ))
    }
}

fn decode(
    settings: &Settings,
    scratch: &mut Scratch,
    format: Format,
    payload: &[u8],
    record_time: Timestamp,
    sink: &mut impl SampleSink,
) -> Result<(), Refusal> {
    match format {
        Format::OtlpMetricsProto => {
            otlp::decode_metrics(settings, scratch, payload, record_time, sink)
        }
        Format::OtlpLogsProto => otlp::decode_logs(settings, scratch, payload, record_time, sink),
        Format::OtlpTracesProto => otlp::decode_traces(settings, scratch, payload, sink),
        Format::OtlpMetricsJson | Format::OtlpLogsJson => {
            let text = utf8(payload)?;
            let mut rewritten = std::mem::take(&mut scratch.rewritten);
            let done = if format == Format::OtlpMetricsJson {
                otlp::to_metrics_proto(text, &mut scratch.text, &mut rewritten).and_then(|()| {
                    otlp::decode_metrics(settings, scratch, rewritten.bytes(), record_time, sink)
                })
            } else {
                otlp::to_logs_proto(text, &mut scratch.text, &mut rewritten).and_then(|()| {
                    otlp::decode_logs(settings, scratch, rewritten.bytes(), record_time, sink)
                })
            };
            scratch.rewritten = rewritten;
            done
        }
        Format::OtlpTracesJson => {
            let text = utf8(payload)?;
            let mut rewritten = std::mem::take(&mut scratch.rewritten);
            let done = otlp::to_traces_proto(text, &mut scratch.text, &mut rewritten)
                .and_then(|()| otlp::decode_traces(settings, scratch, rewritten.bytes(), sink));
            scratch.rewritten = rewritten;
            done
        }
        Format::RemoteWrite1 | Format::Mimir => {
            remote_write::decode(settings, scratch, payload, sink)
        }
        Format::RemoteWrite2 => remote_write_2::decode(settings, scratch, payload, sink),
        Format::JsonMetrics => {
            json::metrics::decode_bytes(settings, scratch, payload, record_time, sink)
        }
        Format::PrometheusKafkaAdapter => {
            json::adapter::decode(settings, scratch, utf8(payload)?, record_time, sink)
        }
        Format::JsonLogs => {
            json::logs::decode(settings, scratch, utf8(payload)?, record_time, sink)
        }
        Format::Changes => changes::decode(settings, payload, record_time, sink),
        Format::Alerts => alerts::decode(settings, payload, record_time, sink),
    }
}

pub(crate) fn utf8(payload: &[u8]) -> Result<&str, Refusal> {
    str::from_utf8(payload).map_err(|error| Refusal::new("bad_utf8", error.to_string()))
}
