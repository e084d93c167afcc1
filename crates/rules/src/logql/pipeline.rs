//! The log side of a query's syntax tree: which streams, and what a line must pass.

use foghorn_model::Matcher;

use super::format::{LabelFormat, LineTemplate};
use super::pattern::CapturePattern;
use super::regexp::Regexp;

/// A log query: which streams, what a line must pass, and which labels come out.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// The query as written, without its range.
    pub text: String,
    /// Which streams.
    pub matchers: Vec<Matcher>,
    /// What happens to a line, in order.
    pub stages: Vec<Stage>,
    /// The only labels (sorted) that the result needs; `None` for all of them. Set by
    /// [`lower`](super::lower) where adding up early gives the same answer.
    pub keep: Option<Vec<String>>,
}

impl Pipeline {
    /// Whether both ask the same (however they are written).
    pub fn same_as(&self, other: &Self) -> bool {
        (&self.matchers, &self.stages, &self.keep) == (&other.matchers, &other.stages, &other.keep)
    }
}

/// One stage of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// `|= "…"` and its kin.
    Line(LineFilter),
    /// `| json`: every scalar field, nested names joined by `_`; or only the mapped ones.
    Json(Vec<FieldMapping>),
    /// `| logfmt`: every pair, or only the mapped ones.
    Logfmt {
        /// The mapped fields; empty for all.
        mappings: Vec<FieldMapping>,
        /// `--strict`: a malformed pair ends parsing with an error.
        strict: bool,
    },
    /// `| regexp "…"`: named groups become labels.
    Regexp(Regexp),
    /// `| pattern "…"`: captures become labels.
    Pattern(CapturePattern),
    /// `| <label filter>`.
    Filter(LabelFilter),
    /// `| label_format …`.
    LabelFormat(Vec<LabelFormat>),
    /// `| line_format "…"`.
    LineFormat(LineTemplate),
    /// `| decolorize`: ANSI colour sequences go.
    Decolorize,
    /// `| drop …`.
    Drop(Vec<LabelRef>),
    /// `| keep …`.
    Keep(Vec<LabelRef>),
}

impl Stage {
    /// Whether it may change the line (so that what follows no longer speaks of the record's own).
    pub fn changes_line(&self) -> bool {
        matches!(self, Self::LineFormat(_) | Self::Decolorize)
    }

    /// Whether it only makes labels: it drops no record and leaves the line alone.
    pub fn only_labels(&self) -> bool {
        match self {
            Self::Line(_) | Self::Filter(_) | Self::LineFormat(_) | Self::Decolorize => false,
            Self::Json(_)
            | Self::Logfmt { .. }
            | Self::Regexp(_)
            | Self::Pattern(_)
            | Self::LabelFormat(_)
            | Self::Drop(_)
            | Self::Keep(_) => true,
        }
    }
}

/// How a line filter tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineOp {
    /// `|=`: contains one of the texts.
    Contains,
    /// `!=`: contains none of them.
    NotContains,
    /// `|~`: one of the expressions matches somewhere.
    Matches,
    /// `!~`: none of them matches.
    NotMatches,
}

impl LineOp {
    /// Whether a record passes when a test holds (and not when none does).
    pub fn is_positive(self) -> bool {
        matches!(self, Self::Contains | Self::Matches)
    }
}

/// A line filter, with its `or` alternatives.
#[derive(Clone, Debug, PartialEq)]
pub struct LineFilter {
    /// How.
    pub op: LineOp,
    /// Alternatives, at least one.
    pub tests: Vec<LineTest>,
}

/// What a line is searched for.
#[derive(Clone, Debug, PartialEq)]
pub enum LineTest {
    /// A text.
    Literal(String),
    /// An expression, not anchored.
    Regexp(Regexp),
}

impl LineFilter {
    /// Whether a line passes.
    pub fn passes(&self, line: &str) -> bool {
        let found = self.tests.iter().any(|test| match test {
            LineTest::Literal(text) => line.contains(text.as_str()),
            LineTest::Regexp(regexp) => regexp.is_match(line),
        });
        found == self.op.is_positive()
    }
}

/// A field that a parser is told to read, and the label that it goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldMapping {
    /// The label.
    pub label: String,
    /// Where in the record: for logfmt a single key.
    pub path: Vec<PathPart>,
}

/// One step into a JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPart {
    /// A field of an object.
    Key(String),
    /// An element of an array, from 0.
    Index(usize),
}

/// A condition on labels.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelFilter {
    /// All hold.
    And(Vec<LabelFilter>),
    /// One holds.
    Or(Vec<LabelFilter>),
    /// Text comparison; a missing label is the empty text.
    Text(Matcher),
    /// Comparison as a number; a missing label fails.
    Number(LabelCompare),
    /// Comparison as a duration, in nanoseconds.
    Duration(LabelCompare),
    /// Comparison as a size, in bytes.
    Bytes(LabelCompare),
}

/// A label compared with a constant.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelCompare {
    /// The label.
    pub label: String,
    /// How.
    pub op: Comparison,
    /// With what, in the unit of the comparison's kind.
    pub value: f64,
}

/// Orderings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named as it is written")]
pub enum Comparison {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

impl Comparison {
    /// Whether `left` compares so with `right`.
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Eq => left == right,
            Self::Ne => left != right,
            Self::Gt => left > right,
            Self::Ge => left >= right,
            Self::Lt => left < right,
            Self::Le => left <= right,
        }
    }
}

/// A label that `drop` or `keep` names, perhaps only where its value matches.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelRef {
    /// By name.
    Name(String),
    /// By name and value.
    Matching(Matcher),
}

impl LabelRef {
    /// The label's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Matching(matcher) => &matcher.name,
        }
    }

    /// Whether it means a label with this name and value.
    pub fn means(&self, name: &str, value: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Matching(matcher) => &*matcher.name == name && matcher.accepts(value),
        }
    }
}
