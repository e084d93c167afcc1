//! What rule files become: a plan in two halves.
//!
//! *Per series* (a [`Leaf`]: selector, range function, log query) is evaluated wherever the series
//! lives; *across series* (an [`Expr`]: aggregation, join, function, comparison) wherever the rule
//! lives, over the leaves' vectors. The two halves never mix: an `Expr` reaches series only
//! through [`LeafId`]s, so that a later release may put a network between them.

use std::sync::Arc;

use foghorn_model::{Matcher, RuleId};

use crate::logql::Pipeline;
pub use crate::reach::leaves_of;
use crate::template::Template;

/// All rules that are in force, in (file, position) order.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// Groups in (file, position) order.
    pub groups: Vec<Arc<Group>>,
}

/// A rule group: its rules run in order at each tick, `k * interval + slot`.
#[derive(Clone, Debug)]
pub struct Group {
    /// Name.
    pub name: Arc<str>,
    /// File that it stands in, as given.
    pub file: Arc<str>,
    /// Interval in milliseconds.
    pub interval_ms: i64,
    /// Offset of its ticks within the interval, in milliseconds.
    pub slot_ms: i64,
    /// Evaluation looks this far back from its tick, in milliseconds.
    pub query_offset_ms: i64,
    /// Step of subqueries that give none, in milliseconds.
    pub subquery_step_ms: i64,
    /// Most alerts or recorded series a rule may give; 0 for no limit.
    pub limit: usize,
    /// Sources that it reads, by name; empty for all.
    pub sources: Vec<String>,
    /// Rules in order.
    pub rules: Vec<Rule>,
    /// Every read that some rule (or subquery) of the group makes; `LeafId` indexes it.
    pub leaves: Vec<Leaf>,
}

impl Group {
    /// Metric names that the group records, those in which its alerts show among them.
    pub fn records(&self) -> impl Iterator<Item = &str> {
        let recorded = self.rules.iter().filter_map(|rule| match &rule.kind {
            RuleKind::Record { metric } => Some(&**metric),
            RuleKind::Alert { .. } | RuleKind::Match { .. } => None,
        });
        let alerts = |rule: &Rule| matches!(rule.kind, RuleKind::Alert { .. });
        let shown = if self.rules.iter().any(alerts) {
            &ALERT_SERIES[..]
        } else {
            &[]
        };
        recorded.chain(shown.iter().copied())
    }
}

/// Series in which alerts show that are pending or firing: 1 with the label `alertstate`, and since
/// when (in seconds).
pub const ALERT_SERIES: [&str; 2] = ["ALERTS", "ALERTS_FOR_STATE"];

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Identity: (group, name, expression, static labels).
    pub id: RuleId,
    /// The alert's name, or the recorded metric's.
    pub name: Arc<str>,
    /// Line in its file, from 1.
    pub line: u32,
    /// Expression as written.
    pub text: Arc<str>,
    /// What it does.
    pub kind: RuleKind,
    /// The expression.
    pub expr: Expr,
    /// Labels to add (templates for alerts, plain for records), in name order.
    pub labels: Vec<(String, Template)>,
    /// Annotations, in name order.
    pub annotations: Vec<(String, Template)>,
    /// What its templates ask by `query`: never evaluated, but what they read is kept. Where only
    /// rendering can tell a label's value, all values are read.
    pub queries: Vec<Expr>,
}

/// What a rule does with its expression's result.
#[derive(Clone, Debug)]
pub enum RuleKind {
    /// Writes it as a series.
    Record {
        /// Name of the recorded metric.
        metric: Arc<str>,
    },
    /// Keeps an alert for each element.
    Alert {
        /// The condition must hold so long before it fires, in milliseconds.
        for_ms: i64,
        /// It goes on firing so long after the condition ended, in milliseconds.
        keep_firing_ms: i64,
        /// Which elements count: all of them, or those that a detector picks.
        detector: Option<Detector>,
    },
    /// A bare log selector: an alert on arrival of a matching record.
    Match {
        /// The log query.
        pipeline: Arc<Pipeline>,
        /// The alert is over after so long without a match, in milliseconds.
        resolve_after_ms: i64,
    },
}

/// Picks elements of an expression's result by each series' own history.
#[derive(Clone, Debug, PartialEq)]
pub enum Detector {
    /// The value left the band that the series itself has taught.
    Band(Band),
    /// A series that was there is gone for so long.
    Absence {
        /// In milliseconds.
        after_ms: i64,
    },
    /// A trend that reaches a limit soon.
    Forecast {
        /// The limit.
        limit: f64,
        /// Alarm when it will be reached within so long, in milliseconds.
        within_ms: i64,
        /// The slope is learnt over about so long, in milliseconds.
        over_ms: i64,
    },
}

/// Which way a value may leave its band.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Only upwards counts.
    Up,
    /// Only downwards counts.
    Down,
    /// Either way.
    #[default]
    Both,
}

/// An online band: what `anomaly:` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// Which way.
    pub direction: Direction,
    /// The value must be this far from the band's centre, in its own unit.
    pub min_deviation_absolute: f64,
    /// … and this far as a share of the centre's magnitude.
    pub min_deviation_relative: f64,
    /// 0 (deaf) to 1 (nervous); 0.5 is the default.
    pub sensitivity: f64,
    /// Nothing alarms before so many values of a series.
    pub learn_samples: u32,
    /// Whether a daily and weekly season is learnt where there is enough history.
    pub season: bool,
}

/// Index into [`Group::leaves`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafId(pub u32);

/// A read of series: all that an expression knows of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// What is read and how.
    pub read: Read,
    /// `offset`, in milliseconds (negative looks ahead).
    pub offset_ms: i64,
    /// `@`: a fixed time instead of the evaluation time, in milliseconds.
    pub at_ms: Option<i64>,
}

/// What a leaf reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// The latest sample of each series in (t − lookback, t], lookback being 5 minutes.
    Instant {
        /// Which series.
        selector: Selector,
        /// Gives the sample's time in seconds in place of its value: `timestamp(x)`.
        timestamp: bool,
    },
    /// A range function over the samples in (t − range, t].
    Range {
        /// Which series.
        selector: Selector,
        /// In milliseconds.
        range_ms: i64,
        /// The function.
        func: RangeFunc,
        /// Constant parameters (`quantile_over_time`'s q, `predict_linear`'s seconds).
        params: Vec<f64>,
    },
    /// A range function over an expression evaluated at every step in (t − range, t].
    Subquery {
        /// The inner expression (reads the same group's leaves).
        inner: Box<Expr>,
        /// In milliseconds.
        range_ms: i64,
        /// Steps stand at whole multiples of it, in milliseconds.
        step_ms: i64,
        /// The function.
        func: RangeFunc,
        /// Constant parameters.
        params: Vec<f64>,
    },
    /// A function over the log records in (t − range, t] that pass a pipeline, per label set that
    /// the pipeline gives.
    Log {
        /// The log query.
        pipeline: Arc<Pipeline>,
        /// In milliseconds.
        range_ms: i64,
        /// The function.
        func: LogFunc,
    },
}

impl Read {
    /// How far back from its evaluation time it looks, in milliseconds (a subquery's own range;
    /// its inner leaves add theirs).
    pub fn lookback_ms(&self) -> i64 {
        match self {
            Self::Instant { .. } => LOOKBACK_MS,
            Self::Range { range_ms, .. }
            | Self::Subquery { range_ms, .. }
            | Self::Log { range_ms, .. } => *range_ms,
        }
    }
}

/// An instant selector sees a sample for so long: Prometheus' default lookback.
pub const LOOKBACK_MS: i64 = 300_000;

/// Which series: a metric name, where the expression gives one, and matchers (the name's among
/// them, as `__name__`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The metric name, where it is given by equality.
    pub metric: Option<Arc<str>>,
    /// All matchers, sorted by name, `__name__` included.
    pub matchers: Vec<Matcher>,
}

/// Functions of a range of samples (PromQL names).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is named as PromQL names it")]
pub enum RangeFunc {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Resets,
    Changes,
    Deriv,
    PredictLinear,
    AvgOverTime,
    MinOverTime,
    MaxOverTime,
    SumOverTime,
    CountOverTime,
    LastOverTime,
    PresentOverTime,
    StddevOverTime,
    StdvarOverTime,
    QuantileOverTime,
}

impl RangeFunc {
    /// Whether the result keeps the metric's name (only `last_over_time` does).
    pub fn keeps_name(self) -> bool {
        self == Self::LastOverTime
    }
}

/// Functions of a range of log records (LogQL names).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogFunc {
    /// Records per second.
    Rate,
    /// Records.
    CountOverTime,
    /// Bytes per second.
    BytesRate,
    /// Bytes.
    BytesOverTime,
}

/// The across-series half.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A scalar.
    Number(f64),
    /// A string.
    Text(String),
    /// The vector that a leaf gives.
    Leaf(LeafId),
    /// Unary minus.
    Neg(Box<Expr>),
    /// A binary operation.
    Binary(Box<Binary>),
    /// An aggregation.
    Aggregate(Box<Aggregate>),
    /// A function.
    Call(Call),
}

/// A binary operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// `bool`: a comparison gives 0 or 1 in place of filtering.
    pub return_bool: bool,
    /// Left operand.
    pub lhs: Expr,
    /// Right operand.
    pub rhs: Expr,
    /// How elements of two vectors are paired; ignored where an operand is a scalar.
    pub matching: Matching,
}

/// Operators of PromQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is named as it is written")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    /// Whether it compares (and so filters, unless `bool`).
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Eq | Self::Ne | Self::Gt | Self::Lt | Self::Ge | Self::Le
        )
    }

    /// Whether it works on sets of elements.
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

/// Vector matching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// Whether `labels` are those that count (`on`) or those that do not (`ignoring`).
    pub on: bool,
    /// The labels named.
    pub labels: Vec<String>,
    /// One to one, or which side has many.
    pub card: Cardinality,
    /// Labels to copy from the "one" side.
    pub include: Vec<String>,
}

/// How many elements of each side may share a match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cardinality {
    /// One to one.
    #[default]
    OneToOne,
    /// `group_left`: many on the left.
    ManyToOne,
    /// `group_right`: many on the right.
    OneToMany,
}

/// An aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The operator.
    pub op: AggregateOp,
    /// `topk`'s k, `quantile`'s q (scalar) or `count_values`' label (text).
    pub param: Option<Expr>,
    /// What is aggregated.
    pub expr: Expr,
    /// `without` in place of `by`.
    pub without: bool,
    /// The labels named, sorted.
    pub labels: Vec<String>,
}

/// Aggregation operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is named as PromQL names it")]
pub enum AggregateOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    TopK,
    BottomK,
    Quantile,
    CountValues,
}

/// A function call over evaluated arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function.
    pub func: Func,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// `absent` and `absent_over_time`: the labels that the selector's equality matchers give.
    pub absent_labels: Vec<(String, String)>,
}

/// Functions of evaluated arguments (PromQL names; `absent_over_time(r)` is [`Func::Absent`] over
/// `present_over_time(r)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is named as PromQL names it")]
pub enum Func {
    Absent,
    Scalar,
    Vector,
    Time,
    Abs,
    Ceil,
    Floor,
    Round,
    Clamp,
    ClampMin,
    ClampMax,
    Sgn,
    Sqrt,
    Exp,
    Ln,
    Log2,
    Log10,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Cos,
    Cosh,
    Sin,
    Sinh,
    Tan,
    Tanh,
    Deg,
    Rad,
    HistogramFraction,
    HistogramQuantile,
    LabelReplace,
    LabelJoin,
    Sort,
    SortDesc,
    Hour,
    Minute,
    Month,
    Year,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    DaysInMonth,
    Pi,
}
