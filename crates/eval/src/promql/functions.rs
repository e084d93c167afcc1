//! Functions of one value at a time.

use std::f64::consts::PI;

use foghorn_rules::plan::Func;

/// Go's `math.Max`: NaN wins, but for +Inf.
fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`: NaN wins, but for −Inf.
fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

/// A value between two limits.
pub(super) fn clamp(value: f64, low: f64, high: f64) -> f64 {
    max(low, min(high, value))
}

/// The nearest multiple of `unit`; halves go up.
pub(super) fn round(value: f64, unit: f64) -> f64 {
    let inverse = 1.0 / unit;
    (value * inverse + 0.5).floor() / inverse
}

/// A function of one number; `None` for functions of another shape.
pub(super) fn of_number(func: Func) -> Option<fn(f64) -> f64> {
    Some(match func {
        Func::Abs => f64::abs,
        Func::Ceil => f64::ceil,
        Func::Floor => f64::floor,
        Func::Sgn => sign,
        Func::Sqrt => f64::sqrt,
        Func::Exp => f64::exp,
        Func::Ln => f64::ln,
        Func::Log2 => f64::log2,
        Func::Log10 => f64::log10,
        Func::Acos => f64::acos,
        Func::Acosh => f64::acosh,
        Func::Asin => f64::asin,
        Func::Asinh => f64::asinh,
        Func::Atan => f64::atan,
        Func::Atanh => f64::atanh,
        Func::Cos => f64::cos,
        Func::Cosh => f64::cosh,
        Func::Sin => f64::sin,
        Func::Sinh => f64::sinh,
        Func::Tan => f64::tan,
        Func::Tanh => f64::tanh,
        Func::Deg => |v| v * 180.0 / PI,
        Func::Rad => |v| v * PI / 180.0,
        _ => return None,
    })
}

fn sign(value: f64) -> f64 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_let_nan_through() {
        assert!(clamp(f64::NAN, 0.0, 1.0).is_nan());
        assert_eq!(clamp(5.0, 0.0, 1.0), 1.0);
        assert_eq!(clamp(-5.0, 0.0, f64::INFINITY), 0.0);
        assert_eq!(clamp(-5.0, f64::NEG_INFINITY, 3.0), -5.0);
    }

    #[test]
    fn halves_round_up() {
        assert_eq!(round(2.5, 1.0), 3.0);
        assert_eq!(round(-2.5, 1.0), -2.0);
        assert_eq!(round(17.0, 5.0), 15.0);
        assert_eq!(round(0.27, 0.1), 0.3);
    }

    #[test]
    fn zero_and_nan_have_their_own_sign() {
        assert_eq!(sign(-0.0).to_bits(), (-0.0_f64).to_bits());
        assert!(sign(f64::NAN).is_nan());
        assert_eq!(sign(-3.0), -1.0);
    }
}
