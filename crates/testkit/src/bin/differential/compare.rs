//! Whether two answers are the same.

use std::sync::LazyLock;

use regex::Regex;

/// How the answers to a question compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// To the letter.
    Same,
    /// `topk` and `bottomk` take others of the same values: ours the first by label, Prometheus'
    /// any.
    Tie,
    /// Numbers differ in their last bit, where values are added over series: ours are added in the
    /// order of labels, Prometheus' in the order of its maps.
    LastBit,
    /// Numbers differ by a little more, where such a sum is worked on further, or for a power with a
    /// fraction in its exponent: Go's exponential differs by processor.
    Looser,
    /// They differ.
    Different,
}

/// Compares what is said of an expression. What is allowed follows from the expression alone.
pub(crate) fn compare(expr: &str, ours: &str, theirs: &str) -> Verdict {
    if ours == theirs {
        return Verdict::Same;
    }
    let (ours, theirs) = (split(ours, &VALUE), split(theirs, &VALUE));
    if has(expr, &["topk", "bottomk"]) && sorted(&ours.1) == sorted(&theirs.1) {
        return Verdict::Tie;
    }
    near(expr, &ours, &theirs)
}

/// Compares what is said of alerts, whose texts may show the expression's values.
pub(crate) fn compare_texts(expr: &str, ours: &str, theirs: &str) -> Verdict {
    if ours == theirs {
        return Verdict::Same;
    }
    near(expr, &split(ours, &WRITTEN), &split(theirs, &WRITTEN))
}

fn near(expr: &str, ours: &Told, theirs: &Told) -> Verdict {
    if ours.0 != theirs.0 {
        return Verdict::Different;
    }
    let distance = ours
        .1
        .iter()
        .zip(&theirs.1)
        .map(|(a, b)| ulps(*a, *b))
        .max();
    match distance.unwrap_or(0) {
        0..=1 if adds(expr) => Verdict::LastBit,
        far if far <= allowed(expr) => Verdict::Looser,
        _ => Verdict::Different,
    }
}

fn has(expr: &str, words: &[&str]) -> bool {
    words.iter().any(|word| {
        expr.match_indices(word).any(|(at, _)| {
            let before = expr[..at].chars().next_back();
            let after = expr[at + word.len()..].chars().next();
            let part = |c: Option<char>| c.is_some_and(|c| c == '_' || c.is_alphanumeric());
            !part(before) && !part(after)
        })
    })
}

/// Whether values are added over series.
fn adds(expr: &str) -> bool {
    has(expr, &["sum", "avg", "stddev", "stdvar"])
}

/// Most units in the last place for what works on a sum further: variances take nearly equal numbers
/// from one another, and so may what looks back over sums.
fn allowed(expr: &str) -> u64 {
    if expr.contains('^') {
        return 8;
    }
    if !adds(expr) {
        return 0;
    }
    if has(expr, &["stddev", "stdvar"]) || SUBQUERY.is_match(expr) {
        return 1_024;
    }
    let works = [
        "/",
        "*",
        "-",
        "+",
        "^",
        "%",
        "histogram_quantile",
        "ln",
        "sqrt",
    ];
    if works.iter().any(|word| expr.contains(word)) {
        8
    } else {
        0
    }
}

/// A text without its numbers, and these.
type Told = (String, Vec<f64>);

/// A sample's value.
static VALUE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\} ([-+0-9.E]+|NaN|[-+]Inf)"));
/// A range with a step.
static SUBQUERY: LazyLock<Regex> = LazyLock::new(|| pattern(r"\[[^\[\]]*:[^\[\]]*\]"));
/// A number in a text.
static WRITTEN: LazyLock<Regex> = LazyLock::new(|| pattern(r"([0-9]+\.[0-9]+(?:e[-+][0-9]+)?)"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|_| unreachable!("a pattern that compiles"))
}

/// The text without its numbers, and these.
fn split(text: &str, number: &Regex) -> Told {
    let read = |text: &str| match text {
        "NaN" => f64::NAN,
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().unwrap_or(f64::NAN),
    };
    let numbers = number.captures_iter(text).map(|found| read(&found[1]));
    let numbers = numbers.collect();
    (number.replace_all(text, "#").into_owned(), numbers)
}

fn sorted(numbers: &[f64]) -> Vec<u64> {
    let mut bits: Vec<_> = numbers.iter().map(|number| number.to_bits()).collect();
    bits.sort_unstable();
    bits
}

/// How many numbers lie between two, and one.
fn ulps(a: f64, b: f64) -> u64 {
    if a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan() {
        return 0;
    }
    if !a.is_finite() || !b.is_finite() {
        return u64::MAX;
    }
    let place = |x: f64| {
        let bits = x.to_bits().cast_signed();
        if bits < 0 { i64::MIN - bits } else { bits }
    };
    place(a).abs_diff(place(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expr: &str, ours: &str, theirs: &str, expect: Verdict) {
        assert_eq!(compare(expr, ours, theirs), expect, "{expr}");
    }

    #[test]
    fn only_sums_over_series_may_differ_and_by_a_bit() {
        let (a, b, c) = (
            "got: {} 1E-01",
            "got: {} 1.0000000000000002E-01",
            "got: {} 1.1E-01",
        );
        check("sum(a)", a, a, Verdict::Same);
        check("sum(a)", a, b, Verdict::LastBit);
        check("sum_over_time(a[5m])", a, b, Verdict::Different);
        check("sum(a)", a, c, Verdict::Different);
        check("sum(a)", a, "got: {x=\"1\"} 1E-01", Verdict::Different);
        check(
            "sum(a) / 3",
            a,
            "got: {} 1.0000000000000005E-01",
            Verdict::Looser,
        );
        let [first, second] = ["got: {x=\"1\"} 1E+00", "got: {x=\"2\"} 1E+00"];
        check("topk(1, a)", first, second, Verdict::Tie);
        check("max(a)", first, second, Verdict::Different);
        check(
            "a ^ 0.3",
            a,
            "got: {} 1.0000000000000003E-01",
            Verdict::Looser,
        );
        let text = |number: &str| format!("Annotations:{{s=\"is {number}\"}}");
        let (one, other) = (text("76.54854910714283"), text("76.54854910714286"));
        assert_eq!(compare_texts("sum(a) / 3", &one, &other), Verdict::Looser);
        assert_eq!(compare_texts("a / 3", &one, &other), Verdict::Different);
        check("a / 3", "got: {} NaN", "got: {} +Inf", Verdict::Different);
    }
}
