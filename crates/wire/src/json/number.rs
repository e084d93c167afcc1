//! Numbers, straight from bytes: found by RFC 8259's grammar and valued in one walk, eight digits
//! at a time.
//!
//! Exact to the bit: a mantissa below 2^53 times a power of ten up to 22 needs one rounding
//! (W. D. Clinger, "How to read floating point numbers accurately", 1990); any other number is
//! left to the standard library.

use foghorn_model::Timestamp;

use crate::time;

/// `10^n` for every `n` whose power of ten is a double exactly.
const EXACT: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];
/// `10^n` for the digits of one word.
const WORD: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];
/// Digits that fit 64 bits whatever they are.
const SAFE_DIGITS: usize = 19;

/// A number in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number<'a> {
    text: &'a [u8],
    negative: bool,
    /// All digits as one number; meaningless where there are more than [`SAFE_DIGITS`].
    digits: u64,
    /// How many digits stand behind the point; `None` where `digits` does not say it all.
    decimals: Option<usize>,
}

impl<'a> Number<'a> {
    /// The number that begins a text.
    #[inline]
    pub(crate) fn at_start(text: &'a [u8]) -> Option<Self> {
        let negative = text.first() == Some(&b'-');
        let start = usize::from(negative);
        let (mut digits, mut at) = read_digits(text, start, 0);
        let whole = at - start;
        if whole == 0 || (whole > 1 && text[start] == b'0') {
            return None;
        }
        let mut count = whole;
        let mut decimals = Some(0);
        if text.get(at) == Some(&b'.') {
            let (all, end) = read_digits(text, at + 1, digits);
            let behind = end - at - 1;
            if behind == 0 {
                return None;
            }
            (digits, at, decimals) = (all, end, Some(behind));
            count += behind;
        }
        if let Some(b'e' | b'E') = text.get(at) {
            let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
            let from = at + 1 + sign;
            let (_, end) = read_digits(text, from, 0);
            if end == from {
                return None;
            }
            (at, decimals) = (end, None);
        }
        Some(Self {
            text: &text[..at],
            negative,
            digits,
            decimals: decimals.filter(|_| count <= SAFE_DIGITS),
        })
    }

    /// Bytes that it takes.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.text.len()
    }

    /// Its value, rounded once.
    #[inline]
    pub(crate) fn value(&self) -> Option<f64> {
        if let Some(decimals) = self.decimals
            && self.digits < 1 << 53
            && let Some(scale) = EXACT.get(decimals)
        {
            let size = self.digits as f64 / scale;
            return Some(if self.negative { -size } else { size });
        }
        self.as_str()?.parse().ok()
    }

    /// Its value as a time (see `time`).
    #[inline]
    pub(crate) fn time(&self) -> Option<Timestamp> {
        if self.decimals == Some(0)
            && !self.negative
            && (100_000_000_000..100_000_000_000_000).contains(&self.digits)
        {
            return Some(Timestamp(self.digits as i64));
        }
        time::from_text(self.as_str()?)
    }

    fn as_str(&self) -> Option<&'a str> {
        str::from_utf8(self.text).ok()
    }
}

/// Reads digits from a byte on behind `before`; gives all as one number (wrapping) and where they
/// end.
#[inline]
fn read_digits(text: &[u8], from: usize, before: u64) -> (u64, usize) {
    let (mut number, mut at) = (before, from);
    while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let (digits, count) = word_digits(u64::from_le_bytes(*word));
        number = number.wrapping_mul(WORD[count]).wrapping_add(digits);
        at += count;
        if count < 8 {
            return (number, at);
        }
    }
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')) {
        if digit > 9 {
            break;
        }
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (number, at)
}

/// The digits that a word of text (its first character lowest) begins with, and their number.
#[inline]
fn word_digits(word: u64) -> (u64, usize) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let values = word ^ (ONES * 0x30);
    // A byte's high bit is set where it is above 9; a carry spoils only bytes behind such a one.
    let others = (values.wrapping_add(ONES * 0x76) | values) & (ONES * 0x80);
    let count = (others.trailing_zeros() / 8) as usize;
    if count == 0 {
        return (0, 0);
    }
    // Zeros in front, then pairs, fours and all eight are put together.
    let mut digits = values << (64 - 8 * count);
    digits = (digits & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(10 << 8 | 1) >> 8;
    digits = (digits & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 << 16 | 1) >> 16;
    digits = (digits & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 << 32 | 1) >> 32;
    (digits, count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expect: Option<(usize, f64)>) {
        let got = Number::at_start(text.as_bytes())
            .map(|number| (number.len(), number.value().unwrap().to_bits()));
        assert_eq!(
            got,
            expect.map(|(len, value)| (len, value.to_bits())),
            "{text}"
        );
    }

    #[test]
    fn numbers_and_what_is_none() {
        check("0.123456}", Some((8, 0.123_456)));
        check("-0", Some((2, -0.0)));
        check("1700000000123,\"a\"", Some((13, 1_700_000_000_123.0)));
        check("12345678", Some((8, 12_345_678.0)));
        check("99999999999999999999", Some((20, 1e20)));
        check("9007199254740993", Some((16, 9_007_199_254_740_992.0)));
        check("1.5e-3 ", Some((6, 0.0015)));
        check("1e400", Some((5, f64::INFINITY)));
        for none in ["", "-", "01", "1.", "1.e3", "1e", "1e+", ".5", "+1", "x"] {
            check(none, None);
        }
    }

    #[test]
    fn times() {
        let time = |text: &str| {
            Number::at_start(text.as_bytes())
                .unwrap()
                .time()
                .map(Timestamp::ms)
        };
        assert_eq!(time("1700000000123"), Some(1_700_000_000_123));
        assert_eq!(time("1700000000.5"), Some(1_700_000_000_500));
        assert_eq!(time("-1"), Some(-1000));
        assert_eq!(time("1e300"), None);
    }

    proptest! {
        #[test]
        fn any_number_is_the_standard_librarys(
            number in prop_oneof![
                "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?",
                any::<f64>().prop_filter("JSON has none", |f| f.is_finite()).prop_map(|f| format!("{f:?}")),
                (any::<u64>(), 0_usize..8).prop_map(|(n, d)| format!("{:.d$}", n as f64 / 1e6)),
            ],
            behind in "[ ,}x\u{e9}-]{0,9}",
        ) {
            let text = format!("{number}{behind}");
            let found = Number::at_start(text.as_bytes()).unwrap();
            prop_assert_eq!(found.len(), number.len());
            prop_assert_eq!(found.value().map(f64::to_bits), number.parse::<f64>().ok().map(f64::to_bits));
        }

        #[test]
        fn digits_are_found_whatever_follows(digits in "[0-9]{0,20}", behind in proptest::collection::vec(any::<u8>(), 0..12)) {
            let text = [digits.as_bytes(), &behind].concat();
            let expect = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            prop_assert_eq!(read_digits(&text, 0, 0).1, expect);
        }
    }
}
