//! The features of PromQL that public rules use (66 of them), and which of them an expression has.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use foghorn_rules::plan::{Binary, BinaryOp, Cardinality, Expr, Func, Leaf, Read};
use regex::Regex;

/// Functions and aggregations, as they are written.
const WORDS: [&str; 50] = [
    "rate",
    "increase",
    "label_replace",
    "histogram_quantile",
    "absent",
    "vector",
    "time",
    "last_over_time",
    "max_over_time",
    "avg_over_time",
    "changes",
    "clamp_min",
    "predict_linear",
    "irate",
    "sum_over_time",
    "count_over_time",
    "clamp_max",
    "floor",
    "delta",
    "label_join",
    "min_over_time",
    "round",
    "ceil",
    "deriv",
    "scalar",
    "quantile_over_time",
    "timestamp",
    "abs",
    "absent_over_time",
    "hour",
    "stddev_over_time",
    "month",
    "year",
    "day_of_week",
    "sort_desc",
    "days_in_month",
    "resets",
    "sgn",
    "clamp",
    "sum",
    "max",
    "count",
    "avg",
    "topk",
    "min",
    "group",
    "count_values",
    "bottomk",
    "quantile",
    "stdvar",
];
/// What is no word with a bracket behind it.
const OTHERS: [&str; 16] = [
    "vector arithmetic",
    "vector comparison",
    "and",
    "or",
    "unless",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "^",
    "%",
    "subquery",
    "offset",
    "nameless selector",
    "without",
];

/// All features.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    WORDS.into_iter().chain(OTHERS)
}

/// The features that an expression has; `leaves` are what it reads.
pub(crate) fn of(text: &str, expr: &Expr, leaves: &[Leaf]) -> BTreeSet<&'static str> {
    static WORD: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|([a-z_0-9:]+)\s*(?:\(|(by|without)\b)|\b(without|offset)\b"#)
            .unwrap_or_else(|_| unreachable!("a pattern that compiles"))
    });
    let mut found = BTreeSet::new();
    for word in WORD.captures_iter(text) {
        let words = word.iter().skip(1).flatten();
        for word in words {
            found.extend(all().find(|known| *known == word.as_str()));
        }
    }
    let mut seen = Seen {
        leaves,
        found: &mut found,
    };
    seen.expr(expr);
    for leaf in leaves {
        match &leaf.read {
            Read::Instant { selector, .. } | Read::Range { selector, .. } => {
                if selector.metric.is_none() {
                    found.insert("nameless selector");
                }
            }
            Read::Subquery { .. } => drop(found.insert("subquery")),
            Read::Log { .. } => {}
        }
    }
    found
}

/// A walk through an expression.
struct Seen<'a> {
    leaves: &'a [Leaf],
    found: &'a mut BTreeSet<&'static str>,
}

impl Seen<'_> {
    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Number(_) | Expr::Text(_) => {}
            Expr::Leaf(leaf) => {
                if let Some(Read::Subquery { inner, .. }) =
                    self.leaves.get(leaf.0 as usize).map(|leaf| &leaf.read)
                {
                    self.expr(inner);
                }
            }
            Expr::Neg(inner) => self.expr(inner),
            Expr::Binary(binary) => self.binary(binary),
            Expr::Aggregate(aggregate) => {
                self.expr(&aggregate.expr);
                aggregate.param.iter().for_each(|param| self.expr(param));
            }
            Expr::Call(call) => call.args.iter().for_each(|arg| self.expr(arg)),
        }
    }

    fn binary(&mut self, binary: &Binary) {
        let Binary {
            op,
            lhs,
            rhs,
            matching,
            ..
        } = binary;
        let both = !is_scalar(lhs) && !is_scalar(rhs);
        self.found.extend(match op {
            BinaryOp::And => Some("and"),
            BinaryOp::Or => Some("or"),
            BinaryOp::Unless => Some("unless"),
            BinaryOp::Pow => Some("^"),
            BinaryOp::Mod => Some("%"),
            op if op.is_comparison() => both.then_some("vector comparison"),
            _ => both.then_some("vector arithmetic"),
        });
        if binary.return_bool {
            self.found.insert("bool");
        }
        if both {
            self.found.extend(match matching.card {
                Cardinality::OneToOne => None,
                Cardinality::ManyToOne => Some("group_left"),
                Cardinality::OneToMany => Some("group_right"),
            });
            if matching.on {
                self.found.insert("on");
            } else if !matching.labels.is_empty() {
                self.found.insert("ignoring");
            }
        }
        self.expr(lhs);
        self.expr(rhs);
    }
}

/// Whether an expression gives a number.
fn is_scalar(expr: &Expr) -> bool {
    match expr {
        Expr::Number(_) | Expr::Text(_) => true,
        Expr::Leaf(_) | Expr::Aggregate(_) => false,
        Expr::Neg(inner) => is_scalar(inner),
        Expr::Binary(binary) => is_scalar(&binary.lhs) && is_scalar(&binary.rhs),
        Expr::Call(call) => matches!(call.func, Func::Scalar | Func::Time | Func::Pi),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[&str]) {
        let mut leaves = Vec::new();
        let expr = foghorn_rules::promql::compile(text, 60_000, &mut leaves).unwrap();
        let found = of(text, &expr, &leaves);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expect, "{text}");
    }

    #[test]
    fn features_are_found_in_what_is_written_and_meant() {
        assert_eq!(all().count(), 66);
        check("a > 1", &[]);
        check(
            "sum by (x) (rate(a[5m])) / count(b)",
            &["count", "rate", "sum", "vector arithmetic"],
        );
        check(
            "a * on (x) group_left (y) b offset 5m",
            &["group_left", "offset", "on", "vector arithmetic"],
        );
        check(
            "max_over_time(sum(a)[5m:1m]) == bool 1",
            &["bool", "max_over_time", "subquery", "sum"],
        );
        check(
            "{job=\"sum(a)\"} unless ignoring (x) b",
            &["ignoring", "nameless selector", "unless"],
        );
        check("a ^ 2 < time() % 3", &["%", "^", "time"]);
        check(
            "sum without (x) (a) and (b < c)",
            &["and", "sum", "vector comparison", "without"],
        );
    }
}
