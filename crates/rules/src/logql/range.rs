//! Functions over a window of records: `rate({…} |= "…" [5m] offset 1h)`.

use super::LogqlError;
use super::ast::{LogRange, MetricExpr, RangeOp};
use super::cursor::Cursor;
use super::lex::Kind;
use super::pipeline::Pipeline;
use super::stage::{selector, stages};
use crate::plan::LogFunc;

/// Functions that need `unwrap`, and others that the plan has no name for.
const LATER: [&str; 11] = [
    "rate_counter",
    "sum_over_time",
    "avg_over_time",
    "max_over_time",
    "min_over_time",
    "first_over_time",
    "last_over_time",
    "stdvar_over_time",
    "stddev_over_time",
    "quantile_over_time",
    "approx_topk",
];

/// By its name.
pub(super) fn range_op(name: &str) -> Option<RangeOp> {
    Some(match name {
        "rate" => RangeOp::Func(LogFunc::Rate),
        "count_over_time" => RangeOp::Func(LogFunc::CountOverTime),
        "bytes_rate" => RangeOp::Func(LogFunc::BytesRate),
        "bytes_over_time" => RangeOp::Func(LogFunc::BytesOverTime),
        "absent_over_time" => RangeOp::Absent,
        _ => return None,
    })
}

/// Whether the function is LogQL's, but not evaluated.
pub(super) fn is_later(name: &str) -> bool {
    LATER.contains(&name)
}

/// The rest of a call, from its opening bracket.
pub(super) fn call(cursor: &mut Cursor<'_>, op: RangeOp) -> Result<MetricExpr, LogqlError> {
    let at = cursor.here();
    cursor.expect("(")?;
    let mut window = Window::default();
    let pipeline = log_range(cursor, &mut window)?;
    cursor.expect(")")?;
    if cursor.sees_word("by") || cursor.sees_word("without") {
        return Err(
            LogqlError::new(cursor.here(), "this function takes no grouping")
                .hint("wrap it: sum by (…) (…)"),
        );
    }
    let range_ms = window.range_ms.ok_or_else(|| {
        LogqlError::new(at, "the window's length is missing")
            .hint("write it behind the query: {…} [5m]")
    })?;
    Ok(MetricExpr::Range(LogRange {
        op,
        pipeline,
        range_ms,
        offset_ms: window.offset_ms,
    }))
}

#[derive(Default)]
struct Window {
    range_ms: Option<i64>,
    offset_ms: i64,
}

/// A log query with its window behind the selector, behind the stages or behind brackets.
fn log_range(cursor: &mut Cursor<'_>, window: &mut Window) -> Result<Pipeline, LogqlError> {
    if cursor.sees("(") {
        return cursor.deeper(|cursor| {
            cursor.expect("(")?;
            let pipeline = log_range(cursor, window)?;
            cursor.expect(")")?;
            self::window(cursor, window)?;
            Ok(pipeline)
        });
    }
    let start = cursor.here();
    let matchers = selector(cursor)?;
    let selected = cursor.read_to();
    let mut text = cursor.text[start..selected].to_owned();
    self::window(cursor, window)?;
    let staged = cursor.here();
    let stages = stages(cursor)?;
    if !stages.is_empty() {
        // With the window between them, selector and stages are two pieces of the text.
        let from = if window.range_ms.is_some() {
            staged
        } else {
            selected
        };
        if from == staged {
            text.push(' ');
        }
        text.push_str(&cursor.text[from..cursor.read_to()]);
    }
    self::window(cursor, window)?;
    Ok(Pipeline {
        text,
        matchers,
        stages,
        keep: None,
    })
}

/// `[5m] offset 1h`, if it comes next.
fn window(cursor: &mut Cursor<'_>, window: &mut Window) -> Result<(), LogqlError> {
    let at = cursor.here();
    if cursor.eat("[") {
        if window.range_ms.is_some() {
            return Err(LogqlError::new(at, "a second window"));
        }
        let range_ms = duration(cursor)?;
        if range_ms <= 0 {
            return Err(LogqlError::new(
                at,
                "the window must be at least a millisecond long",
            ));
        }
        window.range_ms = Some(range_ms);
        if cursor.sees(":") {
            return Err(LogqlError::new(cursor.here(), "LogQL has no subqueries"));
        }
        cursor.expect("]")?;
    }
    if window.range_ms.is_some() && cursor.eat_word("offset") {
        let negative = cursor.eat("-");
        let offset_ms = duration(cursor)?;
        window.offset_ms = if negative { -offset_ms } else { offset_ms };
    }
    Ok(())
}

/// A duration in milliseconds.
fn duration(cursor: &mut Cursor<'_>) -> Result<i64, LogqlError> {
    let Kind::Duration(ns) = cursor.peek().kind else {
        return Err(cursor
            .unexpected("a duration")
            .hint("durations are written 5m, 1h30m, 250ms"));
    };
    cursor.next();
    Ok((ns / 1e6) as i64)
}
