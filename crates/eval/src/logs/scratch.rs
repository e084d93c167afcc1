//! Memory that is used again from record to record: parsed fields, and the texts they need.

use foghorn_model::Labels;
use foghorn_rules::logql::EXTRACTED;

use super::prefilter::Marks;

/// A worker's own scratch memory. Holds nothing that the next record could see.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) candidates: Vec<u32>,
    pub(super) marks: Marks,
    pub(super) fields: Fields,
    /// What the pipeline in hand has made of the labels: later entries win.
    pub(super) own: Vec<Entry>,
    /// The line after `line_format`, of the pipeline in hand.
    pub(super) edited: String,
    /// Bytes under hash.
    pub(super) hashed: Vec<u8>,
}

impl Scratch {
    /// Forgets the last record.
    pub(super) fn begin_record(&mut self) {
        self.fields.arena.clear();
        for parsed in [
            &mut self.fields.json,
            &mut self.fields.logfmt,
            &mut self.fields.metadata,
        ] {
            parsed.state = State::NotYet;
            parsed.entries.clear();
        }
    }
}

/// What was read from the present record, shared by all pipelines.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Texts that do not stand in the line as they are. Grows during a record only.
    pub arena: String,
    /// All fields of the line as JSON.
    pub json: Parsed,
    /// All pairs of the line as logfmt.
    pub logfmt: Parsed,
    /// The record's attributes.
    pub metadata: Parsed,
    /// Name of the JSON object that is being read.
    pub prefix: String,
    /// Fields of a line that a pipeline has changed; valid for one stage.
    pub fresh: Vec<Entry>,
}

/// Fields of one kind.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub state: State,
    pub entries: Vec<Entry>,
}

/// How far a lazily read part is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    NotYet,
    Read,
    /// Read as far as it was well formed.
    Malformed,
}

/// A text: a piece of the record's line, or of the arena.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: u32,
    end: u32,
    in_line: bool,
}

impl Span {
    /// A piece of the record's line.
    pub(super) fn of_line(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
            in_line: true,
        }
    }

    /// Copies a text to the arena.
    pub(super) fn copied(arena: &mut String, text: &str) -> Self {
        let start = arena.len();
        arena.push_str(text);
        Self::since(arena, start)
    }

    /// What the arena holds from `start` on.
    pub(super) fn since(arena: &str, start: usize) -> Self {
        Self {
            start: start as u32,
            end: arena.len() as u32,
            in_line: false,
        }
    }

    /// The text itself.
    pub(super) fn text<'t>(self, line: &'t str, arena: &'t str) -> &'t str {
        let from = if self.in_line { line } else { arena };
        from.get(self.start as usize..self.end as usize)
            .unwrap_or("")
    }
}

/// A label that was made: an empty value takes it away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub name: Span,
    pub value: Span,
}

/// Receives the fields that a parser finds.
pub(super) struct Sink<'s> {
    /// The text under the parser.
    pub source: &'s str,
    /// Whether `source` is the record's own line, whose pieces need no copy.
    pub is_line: bool,
    /// Names that the stream has already.
    pub stream: &'s Labels,
    pub arena: &'s mut String,
    pub out: &'s mut Vec<Entry>,
}

impl Sink<'_> {
    /// A piece of the source as a span.
    pub(super) fn piece(&mut self, start: usize, end: usize) -> Span {
        if self.is_line {
            Span::of_line(start, end)
        } else {
            Span::copied(self.arena, &self.source[start..end])
        }
    }

    /// A field with its name as found: made a label's name behind `prefix`, and given the suffix
    /// where the stream has it.
    pub(super) fn field(&mut self, prefix: &str, name: &str, at: Option<usize>, value: Span) {
        if let Some(at) = at
            && prefix.is_empty()
            && is_plain(name)
            && self.stream.get(name).is_none()
        {
            let name = self.piece(at, at + name.len());
            self.out.push(Entry { name, value });
            return;
        }
        let start = self.arena.len();
        self.arena.push_str(prefix);
        append_name(self.arena, start, name);
        if self.arena.len() == start {
            return;
        }
        if self.stream.get(&self.arena[start..]).is_some() {
            self.arena.push_str(EXTRACTED);
        }
        self.out.push(Entry {
            name: Span::since(self.arena, start),
            value,
        });
    }
}

/// Whether a name is a label's as it stands.
fn is_plain(name: &str) -> bool {
    let word = |b: u8| b == b'_' || b.is_ascii_alphanumeric();
    !name.is_empty() && name.bytes().all(word) && !name.as_bytes()[0].is_ascii_digit()
}

/// Appends a field's name to what `text` holds from `start` on: joined by `_`, and every character
/// that a label's name cannot have made one.
pub(super) fn append_name(text: &mut String, start: usize, name: &str) {
    let name = name.trim();
    if text.len() > start || name.starts_with(|c: char| c.is_ascii_digit()) {
        text.push('_');
    }
    text.extend(
        name.chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }),
    );
}
