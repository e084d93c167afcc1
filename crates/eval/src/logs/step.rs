//! Pipelines, compiled: stages with their searchers and names ready.

use foghorn_rules::logql::{
    CapturePattern, FieldMapping, LabelFilter, LabelFormat, LabelRef, LineFilter, LineOp,
    LineTemplate, LineTest, Pipeline, Regexp, Stage,
};
use memchr::memmem::Finder;

/// A compiled pipeline, without its stream selector.
#[derive(Debug)]
pub(super) struct Program {
    pub steps: Vec<Step>,
    /// The only labels that the result has, in name order.
    pub keep: Option<Vec<String>>,
}

/// A compiled stage.
#[derive(Debug)]
pub(super) enum Step {
    /// Whether the line holds one of the texts must be `wanted`.
    Search {
        finders: Vec<Finder<'static>>,
        wanted: bool,
    },
    /// A line filter by expressions.
    Line(LineFilter),
    /// All fields of a JSON line.
    Json,
    /// Some of them.
    JsonPaths(Vec<FieldMapping>),
    /// All pairs of a logfmt line.
    Logfmt { strict: bool },
    /// Some of them.
    LogfmtKeys {
        mappings: Vec<FieldMapping>,
        strict: bool,
    },
    /// Named groups.
    Regexp(Regexp),
    /// Captures.
    Pattern(CapturePattern),
    /// A condition on labels.
    Filter(LabelFilter),
    /// New labels from old ones.
    LabelFormat(Vec<LabelFormat>),
    /// A new line.
    LineFormat(LineTemplate),
    /// A line without colours.
    Decolorize,
    /// Labels go.
    Drop(Vec<LabelRef>),
    /// All other labels go.
    Keep(Vec<LabelRef>),
}

impl Program {
    /// Compiles the stages. Line filters go ahead of parsers, as far as the line stays the
    /// record's own: the same records pass, and fewer are parsed.
    pub(super) fn new(pipeline: &Pipeline) -> Self {
        let own_line = pipeline
            .stages
            .iter()
            .take_while(|stage| !stage.changes_line())
            .count();
        let (before, after) = pipeline.stages.split_at(own_line);
        let (cheap, costly): (Vec<_>, Vec<_>) = before
            .iter()
            .partition(|stage| matches!(stage, Stage::Line(_)));
        let steps = cheap.into_iter().chain(costly).chain(after);
        Self {
            steps: steps.map(Step::new).collect(),
            keep: pipeline.keep.clone(),
        }
    }
}

impl Step {
    fn new(stage: &Stage) -> Self {
        match stage {
            Stage::Line(filter) => Self::line(filter),
            Stage::Json(mappings) if mappings.is_empty() => Self::Json,
            Stage::Json(mappings) => Self::JsonPaths(mappings.clone()),
            Stage::Logfmt { mappings, strict } if mappings.is_empty() => {
                Self::Logfmt { strict: *strict }
            }
            Stage::Logfmt { mappings, strict } => Self::LogfmtKeys {
                mappings: mappings.clone(),
                strict: *strict,
            },
            Stage::Regexp(regexp) => Self::Regexp(regexp.clone()),
            Stage::Pattern(pattern) => Self::Pattern(pattern.clone()),
            Stage::Filter(filter) => Self::Filter(filter.clone()),
            Stage::LabelFormat(formats) => Self::LabelFormat(formats.clone()),
            Stage::LineFormat(template) => Self::LineFormat(template.clone()),
            Stage::Decolorize => Self::Decolorize,
            Stage::Drop(labels) => Self::Drop(labels.clone()),
            Stage::Keep(labels) => Self::Keep(labels.clone()),
        }
    }

    fn line(filter: &LineFilter) -> Self {
        if !matches!(filter.op, LineOp::Contains | LineOp::NotContains) {
            return Self::Line(filter.clone());
        }
        let finders = filter.tests.iter().filter_map(|test| match test {
            LineTest::Literal(text) => Some(Finder::new(text.as_bytes()).into_owned()),
            LineTest::Regexp(_) => None,
        });
        Self::Search {
            finders: finders.collect(),
            wanted: filter.op.is_positive(),
        }
    }
}
