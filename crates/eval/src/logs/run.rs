//! One pipeline over one record: labels as they change from stage to stage.

use foghorn_model::{Labels, LogRecord};
use foghorn_rules::logql::{
    ERROR, FieldMapping, LabelFormat, LabelRef, LineTemplate, TemplatePart,
};

use super::condition;
use super::hit::{self, HitLabels};
use super::scratch::{Entry, Fields, Scratch, Sink, Span, State};
use super::step::Step;
use super::{json, logfmt};

/// A pipeline under way.
///
/// A label is looked for among what the pipeline made, then among the record's attributes, then
/// in the stream.
pub(super) struct Run<'r> {
    scratch: &'r mut Scratch,
    stream: &'r Labels,
    record: &'r LogRecord<'r>,
    /// Whether the line is `scratch.edited` in place of the record's own.
    is_edited: bool,
}

impl<'r> Run<'r> {
    pub(super) fn new(
        scratch: &'r mut Scratch,
        stream: &'r Labels,
        record: &'r LogRecord<'r>,
    ) -> Self {
        scratch.own.clear();
        Self {
            scratch,
            stream,
            record,
            is_edited: false,
        }
    }

    /// The line as it is by now.
    pub(super) fn line(&self) -> &str {
        if self.is_edited {
            &self.scratch.edited
        } else {
            self.record.line
        }
    }

    /// Value of a label; an empty one was taken away, or was empty in the record.
    pub(super) fn get(&mut self, name: &str) -> Option<&str> {
        self.read_metadata();
        let (line, fields) = (self.record.line, &self.scratch.fields);
        let named = |entry: &&Entry| entry.name.text(line, &fields.arena) == name;
        let made = self.scratch.own.iter().rev().find(named);
        let found = made.or_else(|| fields.metadata.entries.iter().rev().find(named));
        match found {
            Some(entry) => Some(entry.value.text(line, &fields.arena)),
            None => self.stream.get(name),
        }
    }

    /// Sets a label; an empty value takes it away.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let arena = &mut self.scratch.fields.arena;
        let entry = Entry {
            name: Span::copied(arena, name),
            value: Span::copied(arena, value),
        };
        self.scratch.own.push(entry);
    }

    /// Whether a parser or a conversion failed.
    pub(super) fn has_error(&mut self) -> bool {
        self.get(ERROR).is_some_and(|error| !error.is_empty())
    }

    /// Runs a stage; whether the record goes on.
    pub(super) fn step(&mut self, step: &Step) -> bool {
        match step {
            Step::Search { finders, wanted } => {
                let line = self.line().as_bytes();
                return finders.iter().any(|finder| finder.find(line).is_some()) == *wanted;
            }
            Step::Line(filter) => return filter.passes(self.line()),
            Step::Filter(filter) => return condition::holds(filter, self),
            Step::Json => self.json(),
            Step::JsonPaths(mappings) => self.json_paths(mappings),
            Step::Logfmt { strict } => self.logfmt(*strict),
            Step::LogfmtKeys { mappings, strict } => self.logfmt_keys(mappings, *strict),
            Step::Regexp(regexp) => self.parse(
                |sink| {
                    let Some(found) = regexp.regex().captures(sink.source) else {
                        return Ok(());
                    };
                    for (name, group) in regexp.regex().capture_names().zip(found.iter()) {
                        if let (Some(name), Some(group)) = (name, group) {
                            let value = sink.piece(group.start(), group.end());
                            sink.field("", name, None, value);
                        }
                    }
                    Ok(())
                },
                "",
            ),
            Step::Pattern(pattern) => self.parse(
                |sink| {
                    let source = sink.source;
                    pattern.captures(source, |name, value| {
                        let start = value.as_ptr() as usize - source.as_ptr() as usize;
                        let value = sink.piece(start, start + value.len());
                        sink.field("", name, None, value);
                    });
                    Ok(())
                },
                "",
            ),
            Step::LabelFormat(formats) => {
                for format in formats {
                    self.label_format(format);
                }
            }
            Step::LineFormat(template) => {
                self.scratch.edited = self.filled(template);
                self.is_edited = true;
            }
            Step::Decolorize => self.decolorize(),
            Step::Drop(labels) => {
                self.remove(|name, value| labels.iter().any(|label| label.means(name, value)));
            }
            Step::Keep(labels) => self.keep(labels),
        }
        true
    }

    /// Ends the pipeline: the record passed.
    pub(super) fn hit(&mut self, keep: Option<&[String]>, on_hit: impl FnOnce(&HitLabels<'_>)) {
        self.read_metadata();
        let mut hashed = std::mem::take(&mut self.scratch.hashed);
        let labels = hit::Parts {
            line: self.record.line,
            arena: &self.scratch.fields.arena,
            stream: self.stream,
            metadata: &self.scratch.fields.metadata.entries,
            own: &self.scratch.own,
        };
        labels.hit(keep, self.line(), &mut hashed, on_hit);
        self.scratch.hashed = hashed;
    }

    fn read_metadata(&mut self) {
        let Fields {
            arena, metadata, ..
        } = &mut self.scratch.fields;
        if metadata.state != State::NotYet {
            return;
        }
        metadata.state = State::Read;
        let mut sink = Sink {
            source: "",
            is_line: false,
            stream: self.stream,
            arena,
            out: &mut metadata.entries,
        };
        for (name, value) in self.record.attributes {
            let value = Span::copied(sink.arena, value);
            sink.field("", name, None, value);
        }
    }

    /// All JSON fields: of the record's own line once for all pipelines.
    fn json(&mut self) {
        if self.is_edited {
            let mut prefix = std::mem::take(&mut self.scratch.fields.prefix);
            self.parse(|sink| json::flatten(sink, &mut prefix), "JSONParserErr");
            self.scratch.fields.prefix = prefix;
            return;
        }
        let Fields {
            arena,
            json,
            prefix,
            ..
        } = &mut self.scratch.fields;
        if json.state == State::NotYet {
            let out = &mut json.entries;
            let mut sink = Sink {
                source: self.record.line,
                is_line: true,
                stream: self.stream,
                arena,
                out,
            };
            json.state = if json::flatten(&mut sink, prefix).is_ok() {
                State::Read
            } else {
                State::Malformed
            };
        }
        self.scratch.own.extend_from_slice(&json.entries);
        if json.state == State::Malformed {
            self.set(ERROR, "JSONParserErr");
        }
    }

    fn json_paths(&mut self, mappings: &[FieldMapping]) {
        if !self.line().trim_start().starts_with(['{', '[', '"']) {
            self.set(ERROR, "JSONParserErr");
            return;
        }
        self.parse(
            |sink| {
                for FieldMapping { label, path } in mappings {
                    if let Some(value) = json::find(sink, path)? {
                        sink.field("", label, None, value);
                    }
                }
                Ok(())
            },
            "JSONParserErr",
        );
    }

    /// All pairs; the lenient reading of the record's own line once for all pipelines.
    fn logfmt(&mut self, strict: bool) {
        let read = |sink: &mut Sink<'_>| {
            logfmt::pairs(sink, strict, |sink, key, at, value| {
                sink.field("", key, Some(at), value);
            })
        };
        if self.is_edited || strict {
            self.parse(read, "LogfmtParserErr");
            return;
        }
        let Fields { arena, logfmt, .. } = &mut self.scratch.fields;
        if logfmt.state == State::NotYet {
            let out = &mut logfmt.entries;
            let mut sink = Sink {
                source: self.record.line,
                is_line: true,
                stream: self.stream,
                arena,
                out,
            };
            logfmt.state = if read(&mut sink).is_ok() {
                State::Read
            } else {
                State::Malformed
            };
        }
        self.scratch.own.extend_from_slice(&logfmt.entries);
    }

    fn logfmt_keys(&mut self, mappings: &[FieldMapping], strict: bool) {
        use foghorn_rules::logql::PathPart;
        let wants = |mapping: &FieldMapping, key: &str| matches!(mapping.path.as_slice(), [PathPart::Key(wanted)] if wanted == key);
        self.parse(
            |sink| {
                logfmt::pairs(sink, strict, |sink, key, _, value| {
                    for mapping in mappings.iter().filter(|mapping| wants(mapping, key)) {
                        sink.field("", &mapping.label, None, value);
                    }
                })
            },
            "LogfmtParserErr",
        );
    }

    /// Runs a parser over the line as it is by now, for this pipeline alone.
    fn parse(
        &mut self,
        read: impl FnOnce(&mut Sink<'_>) -> Result<(), json::Malformed>,
        error: &str,
    ) {
        let edited = std::mem::take(&mut self.scratch.edited);
        let source = if self.is_edited {
            edited.as_str()
        } else {
            self.record.line
        };
        let Fields { arena, fresh, .. } = &mut self.scratch.fields;
        fresh.clear();
        let mut sink = Sink {
            source,
            is_line: !self.is_edited,
            stream: self.stream,
            arena,
            out: fresh,
        };
        let read = read(&mut sink);
        self.scratch.own.extend_from_slice(fresh);
        self.scratch.edited = edited;
        if read.is_err() {
            self.set(ERROR, error);
        }
    }

    fn label_format(&mut self, format: &LabelFormat) {
        match format {
            LabelFormat::Rename { to, from } => {
                if let Some(value) = self
                    .get(from)
                    .filter(|value| !value.is_empty())
                    .map(str::to_owned)
                {
                    self.set(to, &value);
                    self.set(from, "");
                }
            }
            LabelFormat::Template { to, template } => {
                let value = self.filled(template);
                self.set(to, &value);
            }
        }
    }

    fn filled(&mut self, template: &LineTemplate) -> String {
        let mut text = String::new();
        for part in &template.parts {
            match part {
                TemplatePart::Text(own) => text.push_str(own),
                TemplatePart::Label(name) => text.push_str(self.get(name).unwrap_or_default()),
                TemplatePart::Line => text.push_str(self.line()),
            }
        }
        text
    }

    /// Without ANSI's colour sequences: ESC `[`, digits and semicolons, `m`.
    fn decolorize(&mut self) {
        if memchr::memchr(0x1b, self.line().as_bytes()).is_none() {
            return;
        }
        let mut out = String::with_capacity(self.line().len());
        let mut rest = self.line();
        while let Some(at) = rest.find("\u{1b}[") {
            let body = &rest[at + 2..];
            let end = body
                .find(|c: char| !c.is_ascii_digit() && c != ';')
                .unwrap_or(body.len());
            out.push_str(&rest[..at]);
            if body[end..].starts_with('m') {
                rest = &body[end + 1..];
            } else {
                out.push_str("\u{1b}[");
                rest = body;
            }
        }
        out.push_str(rest);
        self.scratch.edited = out;
        self.is_edited = true;
    }

    /// Keeps the labels named, and what tells of errors.
    fn keep(&mut self, labels: &[LabelRef]) {
        self.remove(|name, value| {
            name != ERROR && !labels.iter().any(|label| label.means(name, value))
        });
    }

    /// Takes every label away that is to go.
    fn remove(&mut self, goes: impl Fn(&str, &str) -> bool) {
        self.read_metadata();
        let parts = hit::Parts {
            line: self.record.line,
            arena: &self.scratch.fields.arena,
            stream: self.stream,
            metadata: &self.scratch.fields.metadata.entries,
            own: &self.scratch.own,
        };
        let gone: Vec<String> = parts
            .all()
            .iter()
            .filter(|(name, value)| goes(name, value))
            .map(|(name, _)| (*name).to_owned())
            .collect();
        for name in gone {
            self.set(&name, "");
        }
    }
}
