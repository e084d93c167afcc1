//! JSON metrics: one sample an object, such as
//! `{"ts":1700000000000,"name":"up","labels":{"job":"api"},"value":1}`.
//!
//! The object is scanned once. Labels are hashed as they stand in the text; they are unescaped
//! only for a series that the sink does not know yet. Records that repeat a layout have a short way
//! (`framed`).

use foghorn_model::labels::NAME;
use foghorn_model::{
    LabelsBuilder, Refusal, SampleSink, SeriesKey, SeriesKind, SeriesRef, Timestamp,
};

use crate::bounds;
use crate::decoder::{Scratch, Settings, utf8};
use crate::json::framed::{Place, Places};
use crate::json::scan::{Cursor, Documents, JsonError, JsonStr, Scalar};
use crate::naming::{label_name, sanitised_metric};
use crate::options::{DecodeOptions, JsonMetricMapping, Names, Translation};
use crate::pairs::chain;
use crate::time;

/// Decodes bytes that are nobody's text yet: those of a known series are not judged again.
pub(crate) fn decode_bytes<S: SampleSink>(
    settings: &Settings,
    scratch: &mut Scratch,
    payload: &[u8],
    record_time: Timestamp,
    sink: &mut S,
) -> Result<(), Refusal> {
    if scratch.frames.sample(settings, payload, record_time, sink) {
        return Ok(());
    }
    walk(settings, scratch, utf8(payload)?, record_time, sink)
}

/// Decodes one object, an array of them, or one after another.
pub(crate) fn decode<S: SampleSink>(
    settings: &Settings,
    scratch: &mut Scratch,
    text: &str,
    record_time: Timestamp,
    sink: &mut S,
) -> Result<(), Refusal> {
    if scratch
        .frames
        .sample(settings, text.as_bytes(), record_time, sink)
    {
        return Ok(());
    }
    walk(settings, scratch, text, record_time, sink)
}

/// The long way.
fn walk<S: SampleSink>(
    settings: &Settings,
    scratch: &mut Scratch,
    text: &str,
    record_time: Timestamp,
    sink: &mut S,
) -> Result<(), Refusal> {
    let mut cursor = Cursor::new(text);
    let mut documents = Documents::new();
    let (mut used, mut failed) = (false, None);
    loop {
        cursor.peek();
        let start = cursor;
        let done = match documents.next(&mut cursor) {
            Ok(false) => break,
            Ok(true) => one(settings, scratch, &mut cursor, record_time, sink),
            Err(error) => Err(Fault::Json(error)),
        };
        let (refusal, broken) = match done {
            Ok(()) => {
                used = true;
                continue;
            }
            Err(Fault::Json(error)) => (error.refusal(), true),
            Err(Fault::Meaning(refusal)) => (refusal, false),
        };
        if let Some(earlier) = failed.replace(refusal) {
            sink.refuse(earlier);
        }
        if broken && !documents.recover(start, &mut cursor) {
            break;
        }
    }
    match failed {
        Some(refusal) if !used => Err(refusal),
        Some(refusal) => {
            sink.refuse(refusal);
            Ok(())
        }
        None if used => Ok(()),
        None => Err(Refusal::new("empty", "a record without an object")),
    }
}

/// Why an object gave no sample: after `Json` the cursor is lost, after `Meaning` it stands
/// behind the object.
enum Fault {
    Json(JsonError),
    Meaning(Refusal),
}

impl From<JsonError> for Fault {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

/// What one object says, borrowed from its text.
#[derive(Default)]
struct Found<'a> {
    name: Option<JsonStr<'a>>,
    /// Whether a label `__name__` stands in for a missing name.
    name_label: bool,
    value: Option<Scalar<'a>>,
    value_at: Place,
    time: Option<Scalar<'a>>,
    time_at: Place,
    members: usize,
    /// Hash of the objects of labels, in their order.
    labels: u128,
    /// Hash of the top-level strings that are labels, in their order.
    strings: u128,
}

impl Found<'_> {
    /// Where time and value stand, if a short way may look for them there.
    fn places(&self) -> Option<Places> {
        let plain = |scalar: Option<Scalar<'_>>| match scalar {
            Some(Scalar::Number(_)) => true,
            Some(Scalar::Str(text)) => !text.escaped,
            Some(Scalar::Bool(_) | Scalar::Null) | None => false,
        };
        let timeless = matches!(self.time, None | Some(Scalar::Null));
        (plain(self.value) && (timeless || plain(self.time))).then_some(Places {
            time: (!timeless).then_some(self.time_at),
            value: self.value_at,
            members: self.members,
        })
    }

    fn key(&self, settings: &Settings) -> SeriesKey {
        let name = self.name.map_or("", |name| name.raw);
        let base = chain(settings.metrics_salt, name.as_bytes());
        SeriesKey(base.wrapping_add(self.labels).wrapping_add(!self.strings))
    }
}

/// What a key of the object is to us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Name,
    Time,
    Value,
    Labels,
    Other,
}

fn role(mapping: &JsonMetricMapping, key: JsonStr<'_>) -> Role {
    let has = |names: &Names| names.0.iter().any(|name| name == key.raw);
    if has(&mapping.value) {
        Role::Value
    } else if has(&mapping.timestamp) {
        Role::Time
    } else if has(&mapping.name) {
        Role::Name
    } else if has(&mapping.labels) {
        Role::Labels
    } else {
        Role::Other
    }
}

fn one<S: SampleSink>(
    settings: &Settings,
    scratch: &mut Scratch,
    cursor: &mut Cursor<'_>,
    record_time: Timestamp,
    sink: &mut S,
) -> Result<(), Fault> {
    let mapping = &settings.options.json_metrics;
    cursor.peek();
    let start = *cursor;
    let mut found = Found::default();
    cursor.expect(b'{')?;
    let (mut first, mut member) = (true, 0);
    while let Some(key) = cursor.key(&mut first)? {
        let next = cursor.peek();
        let (index, start) = (found.members, cursor.at());
        let place = |end| Place {
            index,
            member,
            start,
            end,
        };
        match role(mapping, key) {
            Role::Name if next == Some(b'"') => found.name = Some(cursor.string()?),
            Role::Time if !matches!(next, Some(b'{' | b'[')) => {
                found.time = Some(cursor.scalar()?);
                found.time_at = place(cursor.at());
            }
            Role::Value if !matches!(next, Some(b'{' | b'[')) => {
                found.value = Some(cursor.scalar()?);
                found.value_at = place(cursor.at());
            }
            Role::Labels if next == Some(b'{') => {
                each_label(cursor, |key, _| found.name_label |= key.raw == NAME)?;
                let object = cursor.between(start, cursor.at());
                found.labels = chain(found.labels, object.as_bytes());
            }
            Role::Other if mapping.top_level_labels && next == Some(b'"') => {
                let value = cursor.string()?;
                found.strings = chain(
                    chain(found.strings, key.raw.as_bytes()),
                    value.raw.as_bytes(),
                );
            }
            _ => {
                cursor.skip(1)?;
            }
        }
        found.members += 1;
        member = cursor.at();
    }
    let (value, at) = read(&found, scratch, record_time).map_err(Fault::Meaning)?;
    let framed = cursor.alone(start).and_then(|text| {
        let places = found.places()?;
        scratch.frames.learn(settings, text.as_bytes(), &places)
    });
    let key = framed.unwrap_or_else(|| found.key(settings));
    let series = match sink.series(key) {
        Some(series) => series,
        None => define(settings, key, start, found.name, scratch, sink)?,
    };
    sink.sample(series, at, value);
    Ok(())
}

/// Value and time of an object that has what it must have.
fn read(
    found: &Found<'_>,
    scratch: &mut Scratch,
    record_time: Timestamp,
) -> Result<(f64, Timestamp), Refusal> {
    if found.name.is_none_or(|name| name.raw.is_empty()) && !found.name_label {
        return Err(Refusal::new("no_name", "an object without a metric's name"));
    }
    let value = match found.value {
        Some(Scalar::Number(text)) => text.parse().ok(),
        Some(Scalar::Str(text)) => number(text.raw),
        Some(Scalar::Bool(truth)) => Some(f64::from(u8::from(truth))),
        Some(Scalar::Null) | None => None,
    };
    let value = value
        .ok_or_else(|| Refusal::new("bad_value", "an object without a number as its value"))?;
    let at = match found.time {
        None | Some(Scalar::Null) => Some(record_time),
        Some(Scalar::Number(text)) => time::from_text(text),
        Some(Scalar::Str(text)) => {
            scratch.text.clear();
            text.decode(&mut scratch.text)
                .ok()
                .and_then(|()| time::from_text(&scratch.text))
        }
        Some(Scalar::Bool(_)) => None,
    };
    let at =
        at.ok_or_else(|| Refusal::new("bad_timestamp", "an object with a time that is none"))?;
    Ok((value, at))
}

/// A number as Prometheus prints it.
pub(crate) fn number(text: &str) -> Option<f64> {
    match text.trim() {
        "NaN" => Some(f64::NAN),
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

/// Walks an object of labels; each gets its key and its value. Values that are neither string,
/// number nor truth are no labels.
fn each_label<'a>(
    cursor: &mut Cursor<'a>,
    mut each: impl FnMut(JsonStr<'a>, Scalar<'a>),
) -> Result<(), JsonError> {
    cursor.expect(b'{')?;
    let mut first = true;
    while let Some(key) = cursor.key(&mut first)? {
        if matches!(cursor.peek(), Some(b'{' | b'[' | b'n')) {
            cursor.skip(2)?;
        } else {
            each(key, cursor.scalar()?);
        }
    }
    Ok(())
}

/// Walks the object again, now for its labels.
#[cold]
fn define<S: SampleSink>(
    settings: &Settings,
    key: SeriesKey,
    start: Cursor<'_>,
    name: Option<JsonStr<'_>>,
    scratch: &mut Scratch,
    sink: &mut S,
) -> Result<SeriesRef, Fault> {
    let options = &settings.options;
    let Scratch {
        oversized, text, ..
    } = scratch;
    let build = || -> Result<LabelsBuilder, Refusal> {
        let mut builder = labels_of(settings, start, text)?;
        if let Some(name) = name {
            text.clear();
            name.decode(text).map_err(JsonError::refusal)?;
            builder.set(NAME, text);
        }
        let metric = builder.get(NAME).unwrap_or_default().to_owned();
        if options.translation != Translation::None {
            builder.set(NAME, &sanitised_metric(&metric));
        }
        if builder.get(NAME).is_none() {
            return Err(Refusal::new(
                "no_name",
                format!("nothing is left of the name {metric:?}"),
            ));
        }
        Ok(builder)
    };
    oversized
        .define(options, key, SeriesKind::Absolute, sink, build)
        .map_err(Fault::Meaning)
}

/// The labels' object first; top-level strings fill in what it does not have.
fn labels_of(
    settings: &Settings,
    start: Cursor<'_>,
    buffer: &mut String,
) -> Result<LabelsBuilder, Refusal> {
    let options = &settings.options;
    let mut builder = LabelsBuilder::default();
    let mut fault = Ok(());
    let mut labels = 0;
    each_member(options, start, |in_labels, key, value| {
        labels += 1;
        if fault.is_err() || !in_labels || labels > options.max_labels {
            return;
        }
        fault = named(options.translation, key, value, buffer).and_then(|name| {
            if builder.get(&name).is_some() {
                return Err(Refusal::new(
                    "duplicate_label",
                    format!("label {name} is there twice"),
                ));
            }
            builder.set(&name, buffer);
            Ok(())
        });
    })
    .map_err(JsonError::refusal)?;
    bounds::count(options, labels)?;
    each_member(options, start, |in_labels, key, value| {
        if fault.is_ok() && !in_labels {
            fault = named(options.translation, key, value, buffer)
                .map(|name| _ = builder.set_default(&name, buffer));
        }
    })
    .map_err(JsonError::refusal)?;
    fault.map(|()| builder)
}

/// Walks all that may be a label; tells whether it stands in the labels' object.
fn each_member<'a>(
    options: &DecodeOptions,
    mut cursor: Cursor<'a>,
    mut each: impl FnMut(bool, JsonStr<'a>, Scalar<'a>),
) -> Result<(), JsonError> {
    let mapping = &options.json_metrics;
    let mut first = true;
    cursor.expect(b'{')?;
    while let Some(key) = cursor.key(&mut first)? {
        let next = cursor.peek();
        match role(mapping, key) {
            Role::Labels if next == Some(b'{') => {
                each_label(&mut cursor, |key, value| each(true, key, value))?;
            }
            Role::Other if mapping.top_level_labels && next == Some(b'"') => {
                each(false, key, Scalar::Str(cursor.string()?));
            }
            _ => _ = cursor.skip(1)?,
        }
    }
    Ok(())
}

/// A label's name; its value goes to `buffer`.
fn named(
    translation: Translation,
    key: JsonStr<'_>,
    value: Scalar<'_>,
    buffer: &mut String,
) -> Result<String, Refusal> {
    buffer.clear();
    key.decode(buffer).map_err(JsonError::refusal)?;
    let mut name = String::new();
    label_name(translation, buffer, &mut name);
    buffer.clear();
    match value {
        Scalar::Str(text) => text.decode(buffer).map_err(JsonError::refusal)?,
        Scalar::Number(text) => buffer.push_str(text),
        Scalar::Bool(truth) => buffer.push_str(if truth { "true" } else { "false" }),
        Scalar::Null => {}
    }
    Ok(name)
}
