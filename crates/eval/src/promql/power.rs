//! `^` to the bit as Prometheus has it.
//!
//! Its powers are Go's (`math.Pow`): the exponent's whole part is worked off bit by bit on the
//! mantissa, with the exponents of two kept apart, so that the last bit is another one than the C
//! library's. A fraction (of at most a half either way) goes by exponential and logarithm, which
//! differ by processor there: here they are the C library's.

/// Exponents from here on are even, and leave nothing between zero and infinity.
const HUGE: f64 = 9_223_372_036_854_775_808.0;

/// `base ^ exponent`.
pub(super) fn power(base: f64, exponent: f64) -> f64 {
    let whole = exponent.abs().trunc();
    let plain =
        base.is_finite() && base != 0.0 && base != 1.0 && exponent != 0.0 && exponent != 1.0;
    if !plain || exponent.is_nan() || whole >= HUGE {
        return base.powf(exponent);
    }
    let fraction = exponent.abs() - whole;
    if exponent.abs() == 0.5 {
        let root = base.sqrt();
        return if exponent < 0.0 { 1.0 / root } else { root };
    }
    if fraction != 0.0 && base < 0.0 {
        return f64::NAN;
    }
    let (whole, fraction) = if fraction > 0.5 {
        (whole + 1.0, fraction - 1.0)
    } else {
        (whole, fraction)
    };
    let begin = if fraction == 0.0 {
        1.0
    } else {
        (fraction * base.ln()).exp()
    };
    whole_power(begin, base, whole as i64, exponent < 0.0)
}

/// `begin * base^exponent`, or one over it.
fn whole_power(begin: f64, base: f64, exponent: i64, inverse: bool) -> f64 {
    let (mut product, mut twos) = (begin, 0_i64);
    let (mut square, mut square_twos) = mantissa(base);
    let mut left = exponent;
    while left != 0 {
        if square_twos.abs() > 1 << 12 {
            // Beyond all numbers, whatever is left.
            twos += square_twos;
            break;
        }
        if left & 1 == 1 {
            product *= square;
            twos += square_twos;
        }
        square *= square;
        square_twos <<= 1;
        if square < 0.5 {
            square += square;
            square_twos -= 1;
        }
        left >>= 1;
    }
    if inverse {
        scale(1.0 / product, -twos)
    } else {
        scale(product, twos)
    }
}

/// A finite number that is not zero, as a mantissa of [0.5, 1) and an exponent of two.
fn mantissa(x: f64) -> (f64, i64) {
    // The smallest numbers are first made larger.
    let (x, less) = if x.abs() < f64::MIN_POSITIVE {
        (x * 4_503_599_627_370_496.0, 52)
    } else {
        (x, 0)
    };
    let bits = x.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i64 - 1_022;
    let mantissa = f64::from_bits(bits & !(0x7ff << 52) | 1_022 << 52);
    (mantissa, exponent - less)
}

/// `x * 2^twos`, rounded once.
fn scale(x: f64, twos: i64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let (mantissa, exponent) = mantissa(x);
    let exponent = exponent + twos;
    // As a mantissa of [1, 2): 2^-1022 is the smallest that has all its digits.
    let (exponent, mantissa) = (exponent - 1, mantissa * 2.0);
    let two_to = |exponent: i64| f64::from_bits(((exponent + 1_023) as u64) << 52);
    match exponent {
        1_024.. => mantissa * f64::INFINITY,
        -1_022..1_024 => mantissa * two_to(exponent),
        -1_075..-1_022 => mantissa * two_to(exponent + 53) * two_to(-53),
        _ => mantissa * 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_gos_to_the_bit() {
        let check = |base: f64, exponent: f64, expect: f64| {
            assert_eq!(
                power(base, exponent).to_bits(),
                expect.to_bits(),
                "{base} ^ {exponent}"
            );
        };
        check(2.0, 10.0, 1_024.0);
        check(-2.0, 3.0, -8.0);
        check(-2.0, -3.0, -0.125);
        check(0.0, 3.0, 0.0);
        check(-0.0, -3.0, f64::NEG_INFINITY);
        check(1.5, 0.0, 1.0);
        check(f64::NAN, 0.0, 1.0);
        check(f64::NEG_INFINITY, 3.0, f64::NEG_INFINITY);
        check(-1.0, 1e300, 1.0);
        check(2.0, 2_000.0, f64::INFINITY);
        check(-2.0, 2_001.0, f64::NEG_INFINITY);
        check(2.0, -1_074.0, 5e-324);
        check(2.0, -1_080.0, 0.0);
        check(5e-324, 1.0, 5e-324);
        check(5e-324, 2.0, 0.0);
        check(4.0, 0.5, 2.0);
        assert!(power(-8.0, 1.0 / 3.0).is_nan());
    }
}
