//! Syntax tree → plan: windows of records become leaves, everything else is the across-series half.

use std::sync::Arc;

use super::LogqlError;
use super::ast::{Grouping, LogExpr, LogRange, MetricExpr, RangeOp, VectorOp};
use super::metric::is_number;
use super::pipeline::{Pipeline, Stage};
use super::stage::absent_labels;
use crate::plan::{
    Aggregate, AggregateOp, Binary, Call, Expr, Func, Leaf, LeafId, LogFunc, Matching, Read,
};

/// Turns a metric query into a plan over `leaves`; a window that is there already is used again.
///
/// A log query has no value: it is an error here (and a match rule elsewhere).
pub fn lower(expr: &LogExpr, leaves: &mut Vec<Leaf>) -> Result<Expr, LogqlError> {
    match expr {
        LogExpr::Logs(_) => Err(LogqlError::new(0, "a log query gives records, not numbers")
            .hint("wrap it: count_over_time({…} [5m])")),
        LogExpr::Metric(metric) => Ok(self::metric(metric, None, leaves)),
    }
}

/// `keep`: the labels that whatever encloses the expression needs, if it adds up.
fn metric(expr: &MetricExpr, keep: Option<&[String]>, leaves: &mut Vec<Leaf>) -> Expr {
    match expr {
        MetricExpr::Number(value) => Expr::Number(*value),
        MetricExpr::Vector(value) => call(Func::Vector, vec![Expr::Number(*value)]),
        MetricExpr::Range(range) => log_range(range, keep, leaves),
        MetricExpr::Neg(inner) => Expr::Neg(Box::new(metric(inner, None, leaves))),
        MetricExpr::Aggregate {
            op,
            param,
            grouping,
            expr,
        } => aggregate(*op, *param, grouping.as_ref(), expr, leaves),
        MetricExpr::Binary {
            op,
            return_bool,
            matching,
            lhs,
            rhs,
        } => {
            let numbers = is_number(lhs) && is_number(rhs);
            Expr::Binary(Box::new(Binary {
                op: *op,
                // LogQL compares two numbers without `bool`; the plan wants it said.
                return_bool: *return_bool || (numbers && op.is_comparison()),
                lhs: metric(lhs, None, leaves),
                rhs: metric(rhs, None, leaves),
                matching: sorted(matching),
            }))
        }
        MetricExpr::LabelReplace { expr, args } => {
            let vector = metric(expr, None, leaves);
            let texts = args.iter().map(|arg| Expr::Text(arg.clone()));
            call(
                Func::LabelReplace,
                std::iter::once(vector).chain(texts).collect(),
            )
        }
    }
}

fn sorted(matching: &Matching) -> Matching {
    let mut matching = matching.clone();
    matching.labels.sort_unstable();
    matching.labels.dedup();
    matching
}

fn call(func: Func, args: Vec<Expr>) -> Expr {
    Expr::Call(Call {
        func,
        args,
        absent_labels: Vec::new(),
    })
}

fn aggregate(
    op: VectorOp,
    param: Option<f64>,
    grouping: Option<&Grouping>,
    expr: &MetricExpr,
    leaves: &mut Vec<Leaf>,
) -> Expr {
    let op = match op {
        VectorOp::Sum => AggregateOp::Sum,
        VectorOp::Avg => AggregateOp::Avg,
        VectorOp::Min => AggregateOp::Min,
        VectorOp::Max => AggregateOp::Max,
        VectorOp::Count => AggregateOp::Count,
        VectorOp::Stddev => AggregateOp::Stddev,
        VectorOp::Stdvar => AggregateOp::Stdvar,
        VectorOp::TopK => AggregateOp::TopK,
        VectorOp::BottomK => AggregateOp::BottomK,
        VectorOp::Sort => return call(Func::Sort, vec![metric(expr, None, leaves)]),
        VectorOp::SortDesc => return call(Func::SortDesc, vec![metric(expr, None, leaves)]),
    };
    let without = grouping.is_some_and(|grouping| grouping.without);
    let labels = grouping
        .map(|grouping| grouping.labels.clone())
        .unwrap_or_default();
    // Records of one group may be counted together from the start: their sum is the same.
    let keep = (op == AggregateOp::Sum && !without).then_some(labels.as_slice());
    let expr = metric(expr, keep, leaves);
    Expr::Aggregate(Box::new(Aggregate {
        op,
        param: param.map(Expr::Number),
        expr,
        without,
        labels,
    }))
}

fn log_range(range: &LogRange, keep: Option<&[String]>, leaves: &mut Vec<Leaf>) -> Expr {
    match range.op {
        RangeOp::Func(func) => Expr::Leaf(leaf(range, func, keep, leaves)),
        RangeOp::Absent => {
            // Absence asks only whether there is any record at all.
            let counted = leaf(range, LogFunc::CountOverTime, Some(&[]), leaves);
            Expr::Call(Call {
                func: Func::Absent,
                args: vec![Expr::Leaf(counted)],
                absent_labels: absent_labels(&range.pipeline.matchers),
            })
        }
    }
}

fn leaf(
    range: &LogRange,
    func: LogFunc,
    keep: Option<&[String]>,
    leaves: &mut Vec<Leaf>,
) -> LeafId {
    let mut pipeline = range.pipeline.clone();
    pipeline.keep = keep.map(<[String]>::to_vec);
    drop_idle_stages(&mut pipeline);
    let found = leaves
        .iter()
        .position(|leaf| is_same(leaf, &pipeline, range, func));
    let at = found.unwrap_or_else(|| {
        let read = Read::Log {
            pipeline: Arc::new(pipeline),
            range_ms: range.range_ms,
            func,
        };
        leaves.push(Leaf {
            read,
            offset_ms: range.offset_ms,
            at_ms: None,
        });
        leaves.len() - 1
    });
    LeafId(at as u32)
}

/// With no label wanted, stages at the end that only make labels do nothing (Loki skips them too).
fn drop_idle_stages(pipeline: &mut Pipeline) {
    if pipeline.keep.as_ref().is_some_and(Vec::is_empty) {
        while pipeline.stages.last().is_some_and(Stage::only_labels) {
            pipeline.stages.pop();
        }
    }
}

fn is_same(leaf: &Leaf, pipeline: &Pipeline, range: &LogRange, func: LogFunc) -> bool {
    let Read::Log {
        pipeline: own,
        range_ms,
        func: own_func,
    } = &leaf.read
    else {
        return false;
    };
    (*range_ms, *own_func, leaf.offset_ms, leaf.at_ms)
        == (range.range_ms, func, range.offset_ms, None)
        && own.same_as(pipeline)
}
