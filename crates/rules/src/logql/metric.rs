//! Metric queries: operators by precedence, aggregations, calls.

use super::LogqlError;
use super::ast::{Grouping, MetricExpr, VectorOp};
use super::cursor::Cursor;
use super::lex::Kind;
use super::range::{call, is_later, range_op};
use crate::plan::{BinaryOp, Cardinality, Matching};

/// A metric query.
pub(super) fn expr(cursor: &mut Cursor<'_>) -> Result<MetricExpr, LogqlError> {
    cursor.deeper(|cursor| binary(cursor, 1))
}

/// Operator, precedence (higher binds tighter) and whether it groups to the right.
fn operator(kind: &Kind) -> Option<(BinaryOp, u8, bool)> {
    Some(match kind {
        Kind::Name(word) => match word.as_str() {
            "or" => (BinaryOp::Or, 1, false),
            "and" => (BinaryOp::And, 2, false),
            "unless" => (BinaryOp::Unless, 2, false),
            _ => return None,
        },
        Kind::Sign(sign) => match *sign {
            "==" => (BinaryOp::Eq, 3, false),
            "!=" => (BinaryOp::Ne, 3, false),
            ">" => (BinaryOp::Gt, 3, false),
            ">=" => (BinaryOp::Ge, 3, false),
            "<" => (BinaryOp::Lt, 3, false),
            "<=" => (BinaryOp::Le, 3, false),
            "+" => (BinaryOp::Add, 4, false),
            "-" => (BinaryOp::Sub, 4, false),
            "*" => (BinaryOp::Mul, 5, false),
            "/" => (BinaryOp::Div, 5, false),
            "%" => (BinaryOp::Mod, 5, false),
            "^" => (BinaryOp::Pow, 6, true),
            _ => return None,
        },
        _ => return None,
    })
}

fn binary(cursor: &mut Cursor<'_>, weakest: u8) -> Result<MetricExpr, LogqlError> {
    let mut lhs = unary(cursor)?;
    while let Some((op, precedence, right)) = operator(&cursor.peek().kind) {
        if precedence < weakest {
            break;
        }
        let at = cursor.next().at;
        cursor.count()?;
        let return_bool = cursor.eat_word("bool");
        if return_bool && !op.is_comparison() {
            return Err(LogqlError::new(at, "`bool` belongs to comparisons only"));
        }
        let matching = matching(cursor, op)?;
        let next = if right { precedence } else { precedence + 1 };
        let rhs = cursor.deeper(|cursor| binary(cursor, next))?;
        if op.is_set() && (is_number(&lhs) || is_number(&rhs)) {
            return Err(LogqlError::new(
                at,
                "and, or, unless take two vectors, not a number",
            ));
        }
        lhs = MetricExpr::Binary {
            op,
            return_bool,
            matching,
            lhs: Box::new(lhs),
            rhs: Box::new(rhs),
        };
    }
    Ok(lhs)
}

/// Whether an expression is made of literals only.
pub(super) fn is_number(expr: &MetricExpr) -> bool {
    match expr {
        MetricExpr::Number(_) => true,
        MetricExpr::Neg(inner) => is_number(inner),
        MetricExpr::Binary { lhs, rhs, .. } => is_number(lhs) && is_number(rhs),
        MetricExpr::Vector(_)
        | MetricExpr::Range(_)
        | MetricExpr::Aggregate { .. }
        | MetricExpr::LabelReplace { .. } => false,
    }
}

/// `on (…) group_left (…)`, if it comes next.
fn matching(cursor: &mut Cursor<'_>, op: BinaryOp) -> Result<Matching, LogqlError> {
    let mut matching = Matching::default();
    if !cursor.sees_word("on") && !cursor.sees_word("ignoring") {
        return Ok(matching);
    }
    matching.on = cursor.eat_word("on") || !cursor.eat_word("ignoring");
    matching.labels = label_list(cursor)?;
    let at = cursor.here();
    matching.card = if cursor.eat_word("group_left") {
        Cardinality::ManyToOne
    } else if cursor.eat_word("group_right") {
        Cardinality::OneToMany
    } else {
        return Ok(matching);
    };
    if op.is_set() {
        return Err(LogqlError::new(
            at,
            "no grouping between the sides of and, or, unless",
        ));
    }
    if cursor.sees("(") {
        matching.include = label_list(cursor)?;
    }
    Ok(matching)
}

/// Minus binds tighter than `*` and weaker than `^`.
fn unary(cursor: &mut Cursor<'_>) -> Result<MetricExpr, LogqlError> {
    if cursor.eat("-") {
        cursor.count()?;
        return cursor.deeper(|cursor| {
            Ok(match binary(cursor, 6)? {
                MetricExpr::Number(value) => MetricExpr::Number(-value),
                inner => MetricExpr::Neg(Box::new(inner)),
            })
        });
    }
    if cursor.eat("+") {
        return cursor.deeper(|cursor| binary(cursor, 6));
    }
    primary(cursor)
}

fn primary(cursor: &mut Cursor<'_>) -> Result<MetricExpr, LogqlError> {
    let at = cursor.here();
    match cursor.peek().kind.clone() {
        Kind::Number(value) => {
            cursor.next();
            Ok(MetricExpr::Number(value))
        }
        Kind::Sign("(") => {
            cursor.next();
            let inner = expr(cursor)?;
            cursor.expect(")")?;
            if cursor.sees("[") {
                return Err(LogqlError::new(cursor.here(), "LogQL has no subqueries"));
            }
            Ok(inner)
        }
        Kind::Sign("{") => Err(
            LogqlError::new(at, "a log query gives records, not numbers")
                .hint("wrap it: count_over_time({…} [5m])"),
        ),
        Kind::Name(name) => {
            cursor.next();
            cursor.count()?;
            named(cursor, &name, at)
        }
        _ => Err(cursor.unexpected("a metric query")),
    }
}

/// What a name begins.
fn named(cursor: &mut Cursor<'_>, name: &str, at: usize) -> Result<MetricExpr, LogqlError> {
    if let Some(op) = range_op(name) {
        return call(cursor, op);
    }
    if let Some(op) = VectorOp::named(name) {
        return aggregation(cursor, op);
    }
    match name {
        "vector" => {
            cursor.expect("(")?;
            let value = number(cursor, "a number")?;
            cursor.expect(")")?;
            Ok(MetricExpr::Vector(value))
        }
        "label_replace" => label_replace(cursor),
        "Inf" | "inf" => Ok(MetricExpr::Number(f64::INFINITY)),
        "NaN" | "nan" => Ok(MetricExpr::Number(f64::NAN)),
        _ if is_later(name) => Err(LogqlError::unsupported(at, name)),
        _ => Err(unknown(name, at)),
    }
}

fn unknown(name: &str, at: usize) -> LogqlError {
    const KNOWN: [&str; 18] = [
        "rate",
        "count_over_time",
        "bytes_rate",
        "bytes_over_time",
        "absent_over_time",
        "sum",
        "avg",
        "min",
        "max",
        "count",
        "stddev",
        "stdvar",
        "topk",
        "bottomk",
        "sort",
        "sort_desc",
        "vector",
        "label_replace",
    ];
    let error = LogqlError::new(at, format!("LogQL knows no function `{name}`"));
    let near = KNOWN
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .min();
    match near {
        Some((distance, known)) if distance <= 2 => error.hint(format!("did you mean `{known}`?")),
        _ => error,
    }
}

/// `sum by (a) (x)`, `sum(x) by (a)`, `topk(3, x)`, from behind the operator's name.
fn aggregation(cursor: &mut Cursor<'_>, op: VectorOp) -> Result<MetricExpr, LogqlError> {
    let mut grouping = self::grouping(cursor)?;
    cursor.expect("(")?;
    let param = if op.takes_param() {
        let at = cursor.here();
        let k = number(cursor, "how many elements to pick")?;
        if k < 1.0 || k.fract() != 0.0 {
            return Err(LogqlError::new(
                at,
                "the number of elements must be a whole number of at least 1",
            ));
        }
        cursor.expect(",")?;
        Some(k)
    } else {
        None
    };
    let inner = expr(cursor)?;
    cursor.expect(")")?;
    let at = cursor.here();
    if let Some(behind) = self::grouping(cursor)? {
        if grouping.is_some() {
            return Err(LogqlError::new(at, "a second grouping"));
        }
        grouping = Some(behind);
    }
    if matches!(op, VectorOp::Sort | VectorOp::SortDesc) && grouping.is_some() {
        return Err(LogqlError::new(at, "sort takes no grouping"));
    }
    if is_number(&inner) {
        return Err(LogqlError::new(
            at,
            "an aggregation takes a vector, not a number",
        ));
    }
    Ok(MetricExpr::Aggregate {
        op,
        param,
        grouping,
        expr: Box::new(inner),
    })
}

fn grouping(cursor: &mut Cursor<'_>) -> Result<Option<Grouping>, LogqlError> {
    let without = cursor.sees_word("without");
    if !without && !cursor.sees_word("by") {
        return Ok(None);
    }
    cursor.next();
    let mut labels = label_list(cursor)?;
    labels.sort_unstable();
    labels.dedup();
    Ok(Some(Grouping { without, labels }))
}

/// `(a, b)`.
fn label_list(cursor: &mut Cursor<'_>) -> Result<Vec<String>, LogqlError> {
    cursor.expect("(")?;
    let mut labels = Vec::new();
    while !cursor.sees(")") {
        labels.push(cursor.name("a label")?.0);
        if !cursor.eat(",") {
            break;
        }
    }
    cursor.expect(")")?;
    Ok(labels)
}

fn number(cursor: &mut Cursor<'_>, what: &str) -> Result<f64, LogqlError> {
    let negative = cursor.eat("-");
    let Kind::Number(value) = cursor.peek().kind else {
        return Err(cursor.unexpected(what));
    };
    cursor.next();
    Ok(if negative { -value } else { value })
}

fn label_replace(cursor: &mut Cursor<'_>) -> Result<MetricExpr, LogqlError> {
    cursor.expect("(")?;
    let inner = expr(cursor)?;
    let mut at = cursor.here();
    let mut args = [const { String::new() }; 4];
    for arg in &mut args {
        cursor.expect(",")?;
        (*arg, at) = cursor.quoted("a text in quotes")?;
    }
    cursor.expect(")")?;
    super::regexp::Regexp::new(&args[3]).map_err(|why| LogqlError::new(at, why))?;
    Ok(MetricExpr::LabelReplace {
        expr: Box::new(inner),
        args,
    })
}
