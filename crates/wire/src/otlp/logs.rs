//! OTLP logs: a stream is what the stream labels say of a resource, and then of the record;
//! everything else that the record and then the resource say become the record's fields.

use std::fmt::Write;

use foghorn_model::{
    LabelsBuilder, LogRecord, Refusal, SampleSink, SeriesKey, SeriesRef, Timestamp,
};
use smallvec::SmallVec;

use crate::decoder::{Scratch, Settings};
use crate::options::Translation;
use crate::otlp::any_value::{AnyValue, KeyValue};
use crate::otlp::resource::{log_labels, write_attribute};
use crate::pairs::{Pairs, chain};
use crate::proto::{Fields, Malformed};
use crate::severity;
use crate::time::from_nanos;

/// The label that names a log stream's service, and its value where the sender named none.
const SERVICE_NAME: &str = "service_name";
const UNKNOWN_SERVICE: &str = "unknown_service";

/// `DecodeOptions::stream_labels`, made ready to be asked of every attribute of every record.
#[derive(Debug)]
pub(crate) struct StreamLabels {
    names: Vec<String>,
    /// Bit n: a name of n bytes is among them (bit 63: of 63 or more).
    lengths: u64,
    level: bool,
    severity_text: bool,
    event_name: bool,
}

impl StreamLabels {
    /// Makes a list of names ready.
    pub(crate) fn new(names: &[String]) -> Self {
        let has = |name: &str| names.iter().any(|own| own == name);
        Self {
            names: names.to_vec(),
            lengths: names.iter().fold(0, |bits, name| bits | length_bit(name)),
            level: has("level"),
            severity_text: has("severity_text"),
            event_name: has("event_name"),
        }
    }

    #[inline]
    fn has(&self, key: &str) -> bool {
        self.lengths & length_bit(key) != 0 && self.names.iter().any(|name| name == key)
    }
}

fn length_bit(name: &str) -> u64 {
    1 << name.len().min(63)
}

/// Decodes an `ExportLogsServiceRequest`.
pub(crate) fn decode<S: SampleSink>(
    settings: &Settings,
    scratch: &mut Scratch,
    request: &[u8],
    record_time: Timestamp,
    sink: &mut S,
) -> Result<(), Refusal> {
    Fields::check(request).map_err(|error| error.at("request"))?;
    let mut walk = Walk {
        settings,
        scratch,
        sink,
        record_time,
        records: 0,
        failed: None,
    };
    let mut fields = Fields::new(request);
    while let Some((number, value)) = fields.next().map_err(|error| error.at("request"))? {
        if number == 1 {
            let done = value
                .bytes()
                .and_then(|message| walk.resource_logs(message));
            walk.settle(done, "resource logs");
        }
    }
    let Walk {
        records,
        failed,
        sink,
        ..
    } = walk;
    match failed {
        Some(refusal) if records == 0 => Err(refusal),
        Some(refusal) => {
            sink.refuse(refusal);
            Ok(())
        }
        None => Ok(()),
    }
}

struct Walk<'w, S> {
    settings: &'w Settings,
    scratch: &'w mut Scratch,
    sink: &'w mut S,
    record_time: Timestamp,
    records: u64,
    /// The first fault, held back: a record of which nothing at all could be used is refused as
    /// a whole.
    failed: Option<Refusal>,
}

impl<S: SampleSink> Walk<'_, S> {
    fn settle(&mut self, done: Result<(), Malformed>, place: &str) {
        if let Err(error) = done {
            match &self.failed {
                None => self.failed = Some(error.at(place)),
                Some(_) => self.sink.refuse(error.at(place)),
            }
        }
    }

    fn resource_logs(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let mut resource: &[u8] = &[];
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            if number == 1 {
                resource = value.bytes()?;
            }
        }
        let options = &self.settings.options;
        let Scratch {
            resource: stream,
            rest,
            ..
        } = &mut *self.scratch;
        log_labels(
            resource,
            &options.stream_labels,
            options.translation,
            stream,
            rest,
        )?;
        let key = SeriesKey(chain(self.settings.logs_salt, &stream.hash().to_le_bytes()));
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            if number == 2 {
                self.scope_logs(value.bytes()?, key)?;
            }
        }
        Ok(())
    }

    fn scope_logs(&mut self, message: &[u8], key: SeriesKey) -> Result<(), Malformed> {
        Fields::check(message)?;
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            if number == 2 {
                let done = value.bytes().and_then(|record| self.record(record, key));
                self.settle(done, "log record");
            }
        }
        Ok(())
    }

    fn record(&mut self, message: &[u8], key: SeriesKey) -> Result<(), Malformed> {
        let Scratch {
            record: attributes,
            rest,
            text,
            resource: stream,
            ..
        } = &mut *self.scratch;
        attributes.clear();
        text.clear();
        let of_resource = stream.mark();
        let read = RawRecord::read(message, self.settings, stream, attributes);
        let body = read.and_then(|raw| Ok((raw, body_text(raw.body, text)?)));
        let (raw, line) = match body {
            Ok(read) => read,
            Err(error) => {
                stream.truncate(of_resource);
                return Err(error);
            }
        };
        raw.write_ids(&self.settings.stream_labels, stream, attributes);
        let severity = raw.severity();
        if self.settings.stream_labels.level {
            promote_level(severity, stream);
        }
        let key = if stream.mark() == of_resource {
            key
        } else {
            SeriesKey(chain(self.settings.logs_salt, &stream.hash().to_le_bytes()))
        };
        let fields: SmallVec<[(&str, &str); 32]> = attributes.iter().chain(rest.iter()).collect();
        let at = from_nanos(raw.time, from_nanos(raw.observed, self.record_time));
        let series = match self.sink.stream(key) {
            Some(series) => series,
            None => define(self.settings, stream, key, self.sink),
        };
        stream.truncate(of_resource);
        self.sink.log(
            series,
            &LogRecord {
                at,
                stream: key,
                line,
                severity,
                attributes: &fields,
            },
        );
        self.records += 1;
        Ok(())
    }
}

/// A body as a line: text as it is, bytes where they are text, anything else written to `buffer`.
fn body_text<'a>(body: &'a [u8], buffer: &'a mut String) -> Result<&'a str, Malformed> {
    match AnyValue::read(body)? {
        AnyValue::Text(line) => Ok(line),
        AnyValue::Bytes(bytes) => match str::from_utf8(bytes) {
            Ok(line) => Ok(line),
            Err(_) => AnyValue::Bytes(bytes)
                .write_text(buffer)
                .map(|()| &**buffer),
        },
        other => other.write_text(buffer).map(|()| &**buffer),
    }
}

/// Makes a stream known by the labels in `pairs`.
#[cold]
pub(crate) fn define<S: SampleSink>(
    settings: &Settings,
    pairs: &Pairs,
    key: SeriesKey,
    sink: &mut S,
) -> SeriesRef {
    let mut builder = LabelsBuilder::default();
    for (name, value) in pairs.iter() {
        builder.set_default(name, value);
    }
    for (name, value) in &settings.options.extra_labels {
        builder.set_default(name, value);
    }
    let mut labels = builder.build();
    if labels.is_empty() {
        // As Loki does: a stream can be selected even where its sender told nothing about itself.
        labels = labels.with(SERVICE_NAME, UNKNOWN_SERVICE);
    }
    sink.define_stream(key, labels)
}

/// A record's attribute as a label, or as a field where the stream has a label of its name.
fn promote(
    pair: KeyValue<'_>,
    translation: Translation,
    stream: &mut Pairs,
    attributes: &mut Pairs,
) -> Result<(), Malformed> {
    let before = stream.mark();
    write_attribute(pair, translation, stream)?;
    let added = stream.iter().nth(before.0);
    let taken =
        added.is_some_and(|(name, _)| stream.iter().take(before.0).any(|(label, _)| label == name));
    if taken {
        stream.truncate(before);
        write_attribute(pair, translation, attributes)?;
    }
    Ok(())
}

/// Adds the label `level`, unless there is one already.
fn promote_level(severity: u8, stream: &mut Pairs) {
    let word = severity::word(severity);
    if !word.is_empty() && stream.iter().all(|(name, _)| name != "level") {
        stream.push("level", word);
    }
}

/// A log record's own fields, borrowed; its attributes go to a buffer.
#[derive(Clone, Copy, Default)]
struct RawRecord<'a> {
    time: u64,
    observed: u64,
    severity: u64,
    severity_text: &'a str,
    body: &'a [u8],
    trace_id: &'a [u8],
    span_id: &'a [u8],
    event_name: &'a str,
}

impl<'a> RawRecord<'a> {
    fn read(
        message: &'a [u8],
        settings: &Settings,
        stream: &mut Pairs,
        attributes: &mut Pairs,
    ) -> Result<Self, Malformed> {
        let mut raw = Self::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => raw.time = value.fixed64()?,
                2 => raw.severity = value.varint()?,
                3 => raw.severity_text = value.text()?,
                5 => raw.body = value.bytes()?,
                6 => {
                    let pair = KeyValue::read(value.bytes()?)?;
                    let translation = settings.options.translation;
                    if settings.stream_labels.has(pair.key) {
                        promote(pair, translation, stream, attributes)?;
                    } else {
                        write_attribute(pair, translation, attributes)?;
                    }
                }
                9 => raw.trace_id = value.bytes()?,
                10 => raw.span_id = value.bytes()?,
                11 => raw.observed = value.fixed64()?,
                12 => raw.event_name = value.text()?,
                _ => {}
            }
        }
        Ok(raw)
    }

    fn severity(&self) -> u8 {
        match severity::in_range(self.severity) {
            0 => severity::number(self.severity_text),
            number => number,
        }
    }

    /// Fields of the record that are not attributes, but that rules ask for like attributes.
    fn write_ids(&self, labels: &StreamLabels, stream: &mut Pairs, attributes: &mut Pairs) {
        for (name, id) in [("trace_id", self.trace_id), ("span_id", self.span_id)] {
            if !id.is_empty() {
                let hex =
                    |out: &mut String| id.iter().try_for_each(|byte| write!(out, "{byte:02x}"));
                // Writing to a string does not fail.
                let _ = attributes.write(|out| out.write_str(name), hex);
            }
        }
        for (name, text, is_label) in [
            ("severity_text", self.severity_text, labels.severity_text),
            ("event_name", self.event_name, labels.event_name),
        ] {
            if !text.is_empty() {
                let taken = stream.iter().any(|(label, _)| label == name);
                let out = if is_label && !taken {
                    &mut *stream
                } else {
                    &mut *attributes
                };
                out.push(name, text);
            }
        }
    }
}
