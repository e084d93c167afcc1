//! The metric side of a query's syntax tree.

use super::pipeline::Pipeline;
use crate::plan::{BinaryOp, LogFunc, Matching};

/// A query.
#[derive(Clone, Debug, PartialEq)]
pub enum LogExpr {
    /// Gives records.
    Logs(Pipeline),
    /// Gives a vector (or a number).
    Metric(MetricExpr),
}

/// A query that gives a vector or a number.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricExpr {
    /// A literal.
    Number(f64),
    /// `vector(x)`.
    Vector(f64),
    /// A function over records in a window.
    Range(LogRange),
    /// An aggregation.
    Aggregate {
        /// The operator.
        op: VectorOp,
        /// `topk`'s and `bottomk`'s k.
        param: Option<f64>,
        /// `by (…)` or `without (…)`; missing is `by ()`.
        grouping: Option<Grouping>,
        /// What is aggregated.
        expr: Box<MetricExpr>,
    },
    /// A binary operation.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// `bool`.
        return_bool: bool,
        /// `on`, `ignoring`, `group_left`, `group_right`.
        matching: Matching,
        /// Left operand.
        lhs: Box<MetricExpr>,
        /// Right operand.
        rhs: Box<MetricExpr>,
    },
    /// Unary minus.
    Neg(Box<MetricExpr>),
    /// `label_replace(expr, dst, replacement, src, regex)`.
    LabelReplace {
        /// The vector.
        expr: Box<MetricExpr>,
        /// The four texts in the order written.
        args: [String; 4],
    },
}

/// A function over the records of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRange {
    /// The function.
    pub op: RangeOp,
    /// Which records.
    pub pipeline: Pipeline,
    /// Length of the window, in milliseconds.
    pub range_ms: i64,
    /// How far back the window ends, in milliseconds.
    pub offset_ms: i64,
}

/// Functions over records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeOp {
    /// One that the plan knows by itself.
    Func(LogFunc),
    /// `absent_over_time`: 1 where there is no record.
    Absent,
}

/// Aggregation operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named as LogQL names it")]
pub enum VectorOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Stddev,
    Stdvar,
    TopK,
    BottomK,
    Sort,
    SortDesc,
}

impl VectorOp {
    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "sum" => Self::Sum,
            "avg" => Self::Avg,
            "min" => Self::Min,
            "max" => Self::Max,
            "count" => Self::Count,
            "stddev" => Self::Stddev,
            "stdvar" => Self::Stdvar,
            "topk" => Self::TopK,
            "bottomk" => Self::BottomK,
            "sort" => Self::Sort,
            "sort_desc" => Self::SortDesc,
            _ => return None,
        })
    }

    /// Whether its first argument is a number.
    pub fn takes_param(self) -> bool {
        matches!(self, Self::TopK | Self::BottomK)
    }
}

/// Labels that an aggregation keeps or drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// `without` in place of `by`.
    pub without: bool,
    /// The labels, sorted, each once.
    pub labels: Vec<String>,
}
