//! JSON logs: any object is a record; pointers say which of its fields make the stream, which
//! are its time, message and level. Every other scalar becomes a field, named by its path. Text
//! that is named as nested and holds an object is walked like an object in its place.
//!
//! Text without escapes stays where it is; what a key means is known by `shape`.

use std::collections::BTreeSet;

use foghorn_model::{LogRecord, Refusal, SampleSink, SeriesKey, Timestamp};
use smallvec::SmallVec;

use crate::decoder::{Scratch, Settings};
use crate::json::scan::{Cursor, Documents, JsonError, JsonStr, MAX_DEPTH, Scalar};
use crate::json::shape::{KeyId, ROOT, Shape};
use crate::options::{JsonLogMapping, LineSource};
use crate::otlp::define_stream;
use crate::pairs::chain;
use crate::{severity, time};

/// A mapping, made ready: each pointer with what it is for.
#[derive(Debug)]
pub(crate) struct LogPlan {
    targets: Vec<Target>,
    /// Pointers to texts that may hold an object.
    nested: Vec<String>,
    /// Every pointer above, and what lies on the way to it; the shorter ones first.
    own: BTreeSet<String>,
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
        let targets: Vec<_> = lists
            .enumerate()
            .flat_map(|(slot, names)| {
                names
                    .pointers()
                    .enumerate()
                    .map(move |(rank, pointer)| Target {
                        pointer,
                        slot,
                        rank,
                    })
            })
            .collect();
        let nested: Vec<_> = mapping.nested.pointers().collect();
        let all = targets.iter().map(|target| &target.pointer).chain(&nested);
        let own = all
            .flat_map(|pointer| {
                let ends = pointer.match_indices('/').map(|(at, _)| at);
                ends.skip(1)
                    .chain([pointer.len()])
                    .map(|end| pointer[..end].to_owned())
            })
            .filter(|pointer| pointer.len() > 1)
            .collect();
        Self {
            targets,
            nested,
            own,
        }
    }

    /// The slots that a pointer fills, each with its rank there.
    pub(crate) fn slots_of(&self, pointer: &str) -> SmallVec<[(usize, usize); 2]> {
        let asking = self
            .targets
            .iter()
            .filter(|target| target.pointer == pointer);
        asking.map(|target| (target.slot, target.rank)).collect()
    }

    /// Whether the text at a pointer may hold an object.
    pub(crate) fn is_nested(&self, pointer: &str) -> bool {
        self.nested.iter().any(|nested| nested == pointer)
    }

    /// How many keys the mapping's pointers go through.
    pub(crate) fn own_keys(&self) -> usize {
        self.own.len()
    }

    /// Every key that the mapping's pointers go through, with the pointer to what it stands in.
    pub(crate) fn each_own_key(&self, mut each: impl FnMut(&str, &str)) {
        for pointer in &self.own {
            if let Some((above, key)) = pointer.rsplit_once('/') {
                each(above, &key.replace("~1", "/").replace("~0", "~"));
            }
        }
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

/// A text: where the record has it, or put together.
#[derive(Clone, Copy, Debug)]
enum Text<'t> {
    /// As it stands in the record.
    There(&'t str),
    /// Between two bytes of what was put together.
    Made(usize, usize),
}

impl<'t> Text<'t> {
    fn of<'a>(self, made: &'a str) -> &'a str
    where
        't: 'a,
    {
        match self {
            Self::There(text) => text,
            Self::Made(start, end) => &made[start..end],
        }
    }

    fn copied(made: &mut String, text: &str) -> Self {
        let start = made.len();
        made.push_str(text);
        Self::Made(start, made.len())
    }
}

/// Walks one object's leaves.
struct Leaves<'s, 't> {
    plan: &'s LogPlan,
    shape: &'s mut Shape,
    /// Texts that had to be put together.
    made: &'s mut String,
    /// A nested object's text, unescaped.
    inner: &'s mut String,
    /// What each slot holds: its rank and its text.
    slots: SmallVec<[Option<(usize, Text<'t>)>; 16]>,
    /// The other leaves.
    fields: SmallVec<[(KeyId, Text<'t>); 32]>,
    max_fields: usize,
    /// Whether a field found no room.
    overfull: bool,
}

impl<'t> Leaves<'_, 't> {
    /// `keep` makes a text of what stands in the cursor's text.
    fn object<'x>(
        &mut self,
        cursor: &mut Cursor<'x>,
        within: KeyId,
        depth: usize,
        keep: fn(&mut String, &'x str) -> Text<'t>,
    ) -> Result<(), JsonError> {
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep(cursor.at()));
        }
        match cursor.peek() {
            Some(b'{') => cursor.bump(),
            Some(_) => return Err(JsonError::WrongType(cursor.at())),
            None => return Err(JsonError::Truncated),
        }
        let (mut first, mut last) = (true, None);
        // In its parts: moved whole, it costs more than all that is done with it.
        while let Some(JsonStr { raw, escaped }) = cursor.key(&mut first)? {
            let guess = self.shape.guess(within, last, raw);
            let found = match guess {
                Some(id) => Some(id),
                None => {
                    let key = JsonStr { raw, escaped };
                    self.shape.find(self.plan, within, last, key)?
                }
            };
            let Some(id) = found else {
                self.overfull = true;
                cursor.skip(depth + 1)?;
                continue;
            };
            last = Some(id);
            match cursor.peek() {
                Some(b'{') => self.object(cursor, id, depth + 1, keep)?,
                Some(b'[') => drop(cursor.skip(depth + 1)?),
                Some(b'"') => {
                    let JsonStr { raw, escaped } = cursor.string()?;
                    if escaped {
                        let start = self.made.len();
                        JsonStr { raw, escaped }.decode(self.made)?;
                        self.leaf(id, Text::Made(start, self.made.len()));
                    } else {
                        let text = keep(self.made, raw);
                        self.leaf(id, text);
                    }
                    if self.shape.key(id).nested {
                        self.nested(id, JsonStr { raw, escaped }, depth)?;
                    }
                }
                _ => {
                    let text = match cursor.scalar()? {
                        Scalar::Null => continue,
                        Scalar::Bool(true) => Text::There("true"),
                        Scalar::Bool(false) => Text::There("false"),
                        Scalar::Number(text) | Scalar::Str(JsonStr { raw: text, .. }) => {
                            keep(self.made, text)
                        }
                    };
                    self.leaf(id, text);
                }
            }
        }
        Ok(())
    }

    /// Walks text that is a whole object; any other is a text and no more. (Broken escapes end the
    /// walk where they stand.)
    fn nested(&mut self, id: KeyId, text: JsonStr<'_>, depth: usize) -> Result<(), JsonError> {
        let mut inner = std::mem::take(self.inner);
        inner.clear();
        text.decode(&mut inner)?;
        let trimmed = inner.trim();
        let mut check = Cursor::new(trimmed);
        let whole =
            trimmed.starts_with('{') && check.skip(depth + 1).is_ok() && check.peek().is_none();
        if whole {
            let _ = self.object(&mut Cursor::new(trimmed), id, depth + 1, Text::copied);
        }
        *self.inner = inner;
        Ok(())
    }

    #[inline]
    fn leaf(&mut self, id: KeyId, text: Text<'t>) {
        let wanted = &self.shape.key(id).slots;
        if wanted.is_empty() {
            if self.fields.len() < self.max_fields {
                self.fields.push((id, text));
            } else {
                self.overfull = true;
            }
        }
        for &(slot, rank) in wanted {
            let slot = &mut self.slots[slot];
            if slot.is_none_or(|(held, _)| rank < held) {
                *slot = Some((rank, text));
            }
        }
    }
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
        resource: stream,
        text: made,
        nested: inner,
        shape,
        ..
    } = scratch;
    cursor.peek();
    let start = *cursor;
    let Leaves {
        slots,
        fields,
        overfull,
        ..
    } = loop {
        made.clear();
        shape.begin(&settings.log_plan);
        let mut leaves = Leaves {
            plan: &settings.log_plan,
            shape: &mut *shape,
            made: &mut *made,
            inner: &mut *inner,
            slots: SmallVec::from_elem(None, STREAM + mapping.stream.len()),
            fields: SmallVec::new(),
            max_fields: mapping.max_attributes,
            overfull: false,
        };
        let done = leaves.object(cursor, ROOT, 0, |_, text| Text::There(text));
        if !leaves.shape.ran_out() {
            done?;
            break leaves;
        }
        // What other records brought left too little room for this one's keys: alone, as always.
        *cursor = start;
    };
    if overfull {
        let detail = format!(
            "a log record has more than {} fields",
            mapping.max_attributes
        );
        sink.refuse(Refusal::new("too_many_fields", detail));
    }
    let text_of = |slot: usize| slots[slot].map(|(_, text): (usize, Text<'_>)| text.of(made));
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
    let whole = cursor.between(start.at(), cursor.at());
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
    let attributes: SmallVec<[(&str, &str); 32]> = fields
        .iter()
        .map(|(id, text)| (&*shape.key(*id).name, text.of(made)))
        .collect();
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
