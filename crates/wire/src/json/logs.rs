//! JSON logs: any object is a record; pointers say which of its fields make the stream, which
//! are its time, message and level. Every other scalar becomes a field, named by its path. Text
//! that is named as nested and holds an object is walked like an object in its place.

use foghorn_model::{LogRecord, Refusal, SampleSink, SeriesKey, Timestamp};
use smallvec::SmallVec;

use crate::decoder::{Scratch, Settings};
use crate::json::scan::{Cursor, Documents, JsonError, JsonStr, MAX_DEPTH, Scalar};
use crate::naming::label_name;
use crate::options::{JsonLogMapping, LineSource, Translation};
use crate::otlp::define_stream;
use crate::pairs::{Pairs, chain};
use crate::{severity, time};

/// A mapping, made ready: each pointer with what it is for.
#[derive(Debug)]
pub(crate) struct LogPlan {
    /// By the length of their pointers.
    targets: Vec<SmallVec<[Target; 2]>>,
    /// Pointers to texts that may hold an object.
    nested: Vec<String>,
}

#[derive(Debug)]
struct Target {
    pointer: String,
    /// Which of the slots (time, message, level, then the stream labels) it fills.
    slot: usize,
    /// Position in its slot's list: the lower wins.
    rank: usize,
}

const TIME: usize = 0;
const MESSAGE: usize = 1;
const LEVEL: usize = 2;
const STREAM: usize = 3;

impl LogPlan {
    /// Makes a mapping ready.
    pub(crate) fn new(mapping: &JsonLogMapping) -> Self {
        let fixed = [&mapping.timestamp, &mapping.message, &mapping.level];
        let lists = fixed
            .into_iter()
            .chain(mapping.stream.iter().map(|label| &label.from));
        let mut targets: Vec<SmallVec<[Target; 2]>> = Vec::new();
        for (slot, names) in lists.enumerate() {
            for (rank, pointer) in names.pointers().enumerate() {
                let len = pointer.len();
                if targets.len() <= len {
                    targets.resize_with(len + 1, SmallVec::new);
                }
                targets[len].push(Target {
                    pointer,
                    slot,
                    rank,
                });
            }
        }
        Self {
            targets,
            nested: mapping.nested.pointers().collect(),
        }
    }

    fn at(&self, path: &str) -> impl Iterator<Item = &Target> {
        let same_length = self.targets.get(path.len()).map_or(&[][..], |list| list);
        same_length
            .iter()
            .filter(move |target| target.pointer == path)
    }
}

/// What a slot holds: its rank, and where its text is among the values.
type Slot = Option<(usize, usize)>;

/// Decodes one object, an array of them, or one after another.
pub(crate) fn decode<S: SampleSink>(
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
            Err(error) => Err(error),
        };
        let Err(error) = done else {
            used = true;
            continue;
        };
        if let Some(earlier) = failed.replace(error.refusal()) {
            sink.refuse(earlier);
        }
        if !documents.recover(start, &mut cursor) {
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

/// Walks one object's leaves.
struct Leaves<'s> {
    plan: &'s LogPlan,
    /// Values that some slot asked for, unnamed.
    values: &'s mut Pairs,
    /// The other leaves, named by their paths.
    fields: &'s mut Pairs,
    /// JSON pointer to where the walk stands.
    path: &'s mut String,
    /// A nested object's text, unescaped.
    inner: &'s mut String,
    slots: SmallVec<[Slot; 16]>,
    max_fields: usize,
    /// Whether a field found no room.
    overfull: bool,
}

impl Leaves<'_> {
    fn object(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), JsonError> {
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep(cursor.at()));
        }
        match cursor.peek() {
            Some(b'{') => cursor.bump(),
            Some(_) => return Err(JsonError::WrongType(cursor.at())),
            None => return Err(JsonError::Truncated),
        }
        let mut first = true;
        while let Some(key) = cursor.key(&mut first)? {
            let parent = self.path.len();
            self.enter(key)?;
            match cursor.peek() {
                Some(b'{') => self.object(cursor, depth + 1)?,
                Some(b'[') => drop(cursor.skip(depth + 1)?),
                _ => {
                    let value = cursor.scalar()?;
                    self.leaf(value)?;
                    if let Scalar::Str(text) = value
                        && self.plan.nested.contains(self.path)
                    {
                        self.nested(text, depth)?;
                    }
                }
            }
            self.path.truncate(parent);
        }
        Ok(())
    }

    /// Appends a key to the path, escaped as a pointer's part.
    fn enter(&mut self, key: JsonStr<'_>) -> Result<(), JsonError> {
        self.path.push('/');
        let start = self.path.len();
        key.decode(self.path)?;
        if self.path[start..].contains(['~', '/']) {
            let escaped = self.path[start..].replace('~', "~0").replace('/', "~1");
            self.path.truncate(start);
            self.path.push_str(&escaped);
        }
        Ok(())
    }

    /// Walks text that is a whole object; any other is a text and no more. (Broken escapes end the
    /// walk where they stand.)
    fn nested(&mut self, text: JsonStr<'_>, depth: usize) -> Result<(), JsonError> {
        let mut inner = std::mem::take(self.inner);
        inner.clear();
        text.decode(&mut inner)?;
        let trimmed = inner.trim();
        let mut check = Cursor::new(trimmed);
        let whole =
            trimmed.starts_with('{') && check.skip(depth + 1).is_ok() && check.peek().is_none();
        if whole {
            let at = self.path.len();
            // Its own nested texts stay texts: their paths are longer than any that is named.
            let _ = self.object(&mut Cursor::new(trimmed), depth + 1);
            self.path.truncate(at);
        }
        *self.inner = inner;
        Ok(())
    }

    fn leaf(&mut self, value: Scalar<'_>) -> Result<(), JsonError> {
        if value == Scalar::Null {
            return Ok(());
        }
        let mut kept = None;
        for target in self.plan.at(self.path) {
            let index = if let Some(index) = kept {
                index
            } else {
                self.values
                    .write(|_| Ok(()), |out| write_scalar(value, out))?;
                *kept.insert(self.values.len() - 1)
            };
            let slot = &mut self.slots[target.slot];
            if slot.is_none_or(|(rank, _)| target.rank < rank) {
                *slot = Some((target.rank, index));
            }
        }
        if kept.is_some() {
            return Ok(());
        }
        if self.fields.len() >= self.max_fields {
            self.overfull = true;
            return Ok(());
        }
        let path = &self.path[1..];
        self.fields.write(
            |name| {
                // Whatever the translation: a path's slashes could not be named in a rule.
                label_name(Translation::Underscore, path, name);
                Ok(())
            },
            |out| write_scalar(value, out),
        )
    }
}

fn write_scalar(value: Scalar<'_>, out: &mut String) -> Result<(), JsonError> {
    match value {
        Scalar::Str(text) => text.decode(out)?,
        Scalar::Number(text) => out.push_str(text),
        Scalar::Bool(truth) => out.push_str(if truth { "true" } else { "false" }),
        Scalar::Null => {}
    }
    Ok(())
}

fn one<S: SampleSink>(
    settings: &Settings,
    scratch: &mut Scratch,
    cursor: &mut Cursor<'_>,
    record_time: Timestamp,
    sink: &mut S,
) -> Result<(), JsonError> {
    let mapping = &settings.options.json_logs;
    let Scratch {
        rest: values,
        record: fields,
        resource: stream,
        text: path,
        nested: inner,
        ..
    } = scratch;
    values.clear();
    fields.clear();
    path.clear();
    cursor.peek();
    let start = cursor.at();
    let mut leaves = Leaves {
        plan: &settings.log_plan,
        values,
        fields,
        path,
        inner,
        slots: SmallVec::from_elem(None, STREAM + mapping.stream.len()),
        max_fields: mapping.max_attributes,
        overfull: false,
    };
    leaves.object(cursor, 0)?;
    let Leaves {
        slots, overfull, ..
    } = leaves;
    if overfull {
        let detail = format!(
            "a log record has more than {} fields",
            mapping.max_attributes
        );
        sink.refuse(Refusal::new("too_many_fields", detail));
    }
    let texts: SmallVec<[&str; 32]> = values.iter().map(|(_, value)| value).collect();
    let text_of = |slot: usize| slots[slot].map(|(_, index)| texts[index]);
    stream.clear();
    for (i, label) in mapping.stream.iter().enumerate() {
        if let Some(value) = text_of(STREAM + i).filter(|value| !value.is_empty()) {
            stream.push(&label.label, value);
        }
    }
    let at = match text_of(TIME).map(time::from_text) {
        None => record_time,
        Some(Some(at)) => at,
        Some(None) => {
            sink.refuse(Refusal::new(
                "bad_timestamp",
                "a log record's time is none; the record's own is used",
            ));
            record_time
        }
    };
    let whole = cursor.between(start, cursor.at());
    let line = match mapping.line {
        LineSource::Object => whole,
        // Container runtimes leave the newline in.
        LineSource::Message => {
            text_of(MESSAGE).map_or(whole, |text| text.trim_end_matches(['\n', '\r']))
        }
    };
    let key = SeriesKey(chain(settings.logs_salt, &stream.hash().to_le_bytes()));
    let series = match sink.stream(key) {
        Some(series) => series,
        None => define_stream(settings, stream, key, sink),
    };
    let attributes: SmallVec<[(&str, &str); 32]> = fields.iter().collect();
    let severity = text_of(LEVEL).map_or(0, severity::number);
    sink.log(
        series,
        &LogRecord {
            at,
            stream: key,
            line,
            severity,
            attributes: &attributes,
        },
    );
    Ok(())
}
