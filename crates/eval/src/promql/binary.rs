//! Operators on numbers, and between a vector and a number.

use foghorn_rules::plan::{Binary, BinaryOp, Expr};

use super::cache::Caches;
use super::error::EvalError;
use super::matching;
use super::value::{Value, drop_names};
use crate::vector::{Element, Vector};

/// A result, and where it was asked for and the operator is a filtering comparison: what the
/// result would be if everything met it.
pub(super) type WithBase<T> = (T, Option<Vector>);

/// Applies a binary operator to evaluated operands.
pub(super) fn operate(
    caches: &mut Caches,
    binary: &Binary,
    lhs: Value,
    rhs: Value,
    want_base: bool,
) -> Result<WithBase<Value>, EvalError> {
    let op = binary.op;
    let (result, base) = match (lhs, rhs) {
        (Value::Scalar(a), Value::Scalar(b)) => {
            return Ok((Value::Scalar(on_scalars(op, a, b)), None));
        }
        (Value::Vector(v), Value::Scalar(b)) if !op.is_set() => {
            with_scalar(binary, v, want_base, |a| (a, b))?
        }
        (Value::Scalar(a), Value::Vector(v)) if !op.is_set() => {
            with_scalar(binary, v, want_base, |b| (a, b))?
        }
        (Value::Vector(a), Value::Vector(b)) if op.is_set() => {
            (matching::set(caches, binary, a, b)?, None)
        }
        (Value::Vector(a), Value::Vector(b)) => matching::join(caches, binary, &a, &b, want_base)?,
        _ => {
            return Err(EvalError::WrongType {
                expected: "a vector or a scalar",
                of: "a binary operation",
            });
        }
    };
    Ok((Value::Vector(result), base))
}

/// `operands` puts an element's value and the number into the order that they are written in.
fn with_scalar(
    binary: &Binary,
    mut vector: Vector,
    want_base: bool,
    operands: impl Fn(f64) -> (f64, f64),
) -> Result<WithBase<Vector>, EvalError> {
    let op = binary.op;
    let holds = |value: f64| {
        let (a, b) = operands(value);
        compare(op, a, b)
    };
    if op.is_comparison() && !binary.return_bool {
        if want_base {
            let kept: Vec<Element> = vector.iter().filter(|e| holds(e.value)).cloned().collect();
            return Ok((kept, Some(vector)));
        }
        vector.retain(|element| holds(element.value));
        return Ok((vector, None));
    }
    for element in &mut vector {
        element.value = if op.is_comparison() {
            truth(holds(element.value))
        } else {
            let (a, b) = operands(element.value);
            arithmetic(op, a, b)
        };
    }
    Ok((drop_names(vector)?, None))
}

/// The number that an expression of numbers alone is; `None` for any other.
pub(crate) fn constant(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Number(value) => Some(*value),
        Expr::Neg(inner) => constant(inner).map(|value| -value),
        Expr::Binary(binary) if !binary.op.is_set() => Some(on_scalars(
            binary.op,
            constant(&binary.lhs)?,
            constant(&binary.rhs)?,
        )),
        _ => None,
    }
}

fn on_scalars(op: BinaryOp, a: f64, b: f64) -> f64 {
    if op.is_comparison() {
        truth(compare(op, a, b))
    } else {
        arithmetic(op, a, b)
    }
}

/// 1 or 0.
pub(super) fn truth(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// Arithmetic; NaN for what is none (rule loading lets no such thing pass).
pub(super) fn arithmetic(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => super::power::power(a, b),
        BinaryOp::Atan2 => a.atan2(b),
        BinaryOp::Eq
        | BinaryOp::Ne
        | BinaryOp::Gt
        | BinaryOp::Lt
        | BinaryOp::Ge
        | BinaryOp::Le
        | BinaryOp::And
        | BinaryOp::Or
        | BinaryOp::Unless => f64::NAN,
    }
}

/// Comparison; false for what is none.
pub(super) fn compare(op: BinaryOp, a: f64, b: f64) -> bool {
    match op {
        BinaryOp::Eq => a == b,
        BinaryOp::Ne => a != b,
        BinaryOp::Gt => a > b,
        BinaryOp::Lt => a < b,
        BinaryOp::Ge => a >= b,
        BinaryOp::Le => a <= b,
        BinaryOp::Add
        | BinaryOp::Sub
        | BinaryOp::Mul
        | BinaryOp::Div
        | BinaryOp::Mod
        | BinaryOp::Pow
        | BinaryOp::Atan2
        | BinaryOp::And
        | BinaryOp::Or
        | BinaryOp::Unless => false,
    }
}
