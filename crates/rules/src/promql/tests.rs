use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::plan::{Leaf, Read};

/// The plan of an expression, short: leaves as `#n`, and what each reads.
fn plan(text: &str) -> String {
    let mut leaves = Vec::new();
    let expr = compile(text, 60_000, &mut leaves).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut out = short(&expr);
    for (i, leaf) in leaves.iter().enumerate() {
        let _ = write!(out, "\n#{i} {}", short_leaf(leaf));
    }
    out
}

fn short(expr: &Expr) -> String {
    match expr {
        Expr::Number(value) => format!("{value}"),
        Expr::Text(text) => format!("{text:?}"),
        Expr::Leaf(id) => format!("#{}", id.0),
        Expr::Neg(inner) => format!("-({})", short(inner)),
        Expr::Binary(binary) => {
            let matching = &binary.matching;
            let mut op = format!("{:?}", binary.op);
            if binary.return_bool {
                op.push_str(" bool");
            }
            if matching.on || !matching.labels.is_empty() {
                let _ = write!(
                    op,
                    " {}{:?}",
                    if matching.on { "on" } else { "ignoring" },
                    matching.labels
                );
            }
            if matching.card != crate::plan::Cardinality::OneToOne {
                let _ = write!(op, " {:?}{:?}", matching.card, matching.include);
            }
            format!("({} {op} {})", short(&binary.lhs), short(&binary.rhs))
        }
        Expr::Aggregate(aggregate) => {
            let grouping = if aggregate.without { "without" } else { "by" };
            let param = aggregate
                .param
                .as_ref()
                .map(|param| format!("{}, ", short(param)))
                .unwrap_or_default();
            let (op, labels) = (aggregate.op, &aggregate.labels);
            format!(
                "{op:?} {grouping}{labels:?} ({param}{})",
                short(&aggregate.expr)
            )
        }
        Expr::Call(call) => {
            let args: Vec<_> = call.args.iter().map(short).collect();
            let absent = if call.absent_labels.is_empty() {
                String::new()
            } else {
                format!("{:?}", call.absent_labels)
            };
            format!("{:?}{absent}({})", call.func, args.join(", "))
        }
    }
}

fn short_leaf(leaf: &Leaf) -> String {
    let mut out = match &leaf.read {
        Read::Instant {
            selector,
            timestamp,
        } => format!(
            "{:?}{}",
            selector.matchers,
            if *timestamp { " timestamp" } else { "" }
        ),
        Read::Range {
            selector,
            range_ms,
            func,
            params,
        } => format!("{func:?}{params:?} {:?}[{range_ms}]", selector.matchers),
        Read::Subquery {
            inner,
            range_ms,
            step_ms,
            func,
            params,
        } => {
            format!(
                "{func:?}{params:?} ({})[{range_ms}:{step_ms}]",
                short(inner)
            )
        }
        Read::Log { .. } => "log".to_owned(),
    };
    if leaf.offset_ms != 0 {
        let _ = write!(out, " offset {}", leaf.offset_ms);
    }
    if let Some(at) = leaf.at_ms {
        let _ = write!(out, " @ {at}");
    }
    out
}

fn check(text: &str, expect: &str) {
    assert_eq!(plan(text), expect, "{text}");
}

#[test]
fn selectors() {
    check("up", "#0\n#0 [__name__=\"up\"]");
    check(
        r#"up{job=~"a|b",instance!="x"} offset 5m"#,
        "#0\n#0 [__name__=\"up\", instance!=\"x\", job=~\"a|b\"] offset 300000",
    );
    check(r#"{__name__=~"node_.*"}"#, "#0\n#0 [__name__=~\"node_.*\"]");
    check("up @ 1.5", "#0\n#0 [__name__=\"up\"] @ 1500");
    check("up offset -1m", "#0\n#0 [__name__=\"up\"] offset -60000");
    check(
        r#"{"with.dots", a="b"}"#,
        "#0\n#0 [__name__=\"with.dots\", a=\"b\"]",
    );
    check(
        r#"up{a=~"x{y}"}"#,
        "#0\n#0 [__name__=\"up\", a=~\"x\\\\{y}\"]",
    );
}

#[test]
fn the_metric_is_known_where_it_is_given_by_equality() {
    let metric = |text: &str| {
        let mut leaves = Vec::new();
        compile(text, 60_000, &mut leaves).unwrap();
        match &leaves[0].read {
            Read::Instant { selector, .. } => selector.metric.as_deref().map(str::to_owned),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(metric("up").as_deref(), Some("up"));
    assert_eq!(metric(r#"{__name__="up"}"#).as_deref(), Some("up"));
    assert_eq!(metric(r#"{__name__=~"up"}"#), None);
    assert_eq!(metric(r#"{job="x"}"#), None);
}

#[test]
fn ranges_and_subqueries() {
    check("rate(x[5m])", "#0\n#0 Rate[] [__name__=\"x\"][300000]");
    check(
        "predict_linear(x[1h], 4 * 3600) < 0",
        "(#0 Lt 0)\n#0 PredictLinear[14400.0] [__name__=\"x\"][3600000]",
    );
    check(
        "quantile_over_time(0.9, x[1m] offset 1m)",
        "#0\n#0 QuantileOverTime[0.9] [__name__=\"x\"][60000] offset 60000",
    );
    check(
        "max_over_time(sum(rate(x[1m]))[10m:30s] offset 1h)",
        "#1\n#0 Rate[] [__name__=\"x\"][60000]\n#1 MaxOverTime[] (Sum by[] (#0))[600000:30000] offset 3600000",
    );
    check(
        "avg_over_time(x[10m:])",
        "#1\n#0 [__name__=\"x\"]\n#1 AvgOverTime[] (#0)[600000:60000]",
    );
}

#[test]
fn one_read_is_one_leaf() {
    check(
        "rate(x[5m]) / rate(x[5m]) + rate(x[1m])",
        "((#0 Div #0) Add #1)\n#0 Rate[] [__name__=\"x\"][300000]\n#1 Rate[] [__name__=\"x\"][60000]",
    );
}

#[test]
fn operators() {
    check("-1 + 2 ^ 3", "(-1 Add (2 Pow 3))");
    check("a > bool 1", "(#0 Gt bool 1)\n#0 [__name__=\"a\"]");
    check(
        "a * on(x, w) group_left(z) b",
        "(#0 Mul on[\"w\", \"x\"] ManyToOne[\"z\"] #1)\n#0 [__name__=\"a\"]\n#1 [__name__=\"b\"]",
    );
    check(
        "a unless ignoring(x) b",
        "(#0 Unless ignoring[\"x\"] #1)\n#0 [__name__=\"a\"]\n#1 [__name__=\"b\"]",
    );
    check("-a", "-(#0)\n#0 [__name__=\"a\"]");
}

#[test]
fn aggregations() {
    check(
        "sum without(b, a) (x)",
        "Sum without[\"a\", \"b\"] (#0)\n#0 [__name__=\"x\"]",
    );
    check(
        "topk(3, x) by (a)",
        "TopK by[\"a\"] (3, #0)\n#0 [__name__=\"x\"]",
    );
    check(
        "count_values(\"v\", x)",
        "CountValues by[] (\"v\", #0)\n#0 [__name__=\"x\"]",
    );
}

#[test]
fn functions_with_a_turn() {
    check("hour()", "Hour(Vector(Time()))");
    check("hour(x)", "Hour(#0)\n#0 [__name__=\"x\"]");
    check("round(x)", "Round(#0, 1)\n#0 [__name__=\"x\"]");
    check("timestamp(x)", "#0\n#0 [__name__=\"x\"] timestamp");
    check(
        "timestamp(x + 1)",
        "(Group without[] ((#0 Add 1)) Mul Time())\n#0 [__name__=\"x\"]",
    );
    check(
        r#"absent(x{a="1",b=~"2",c="3",c="4"})"#,
        "Absent[(\"a\", \"1\")](#0)\n#0 [__name__=\"x\", a=\"1\", b=~\"2\", c=\"3\", c=\"4\"]",
    );
    check(
        r#"absent_over_time(x{a="1"}[5m])"#,
        "Absent[(\"a\", \"1\")](#0)\n#0 PresentOverTime[] [__name__=\"x\", a=\"1\"][300000]",
    );
    check(
        r#"absent(sum(x{a="1"}))"#,
        "Absent(Sum by[] (#0))\n#0 [__name__=\"x\", a=\"1\"]",
    );
}

/// The place of an error, as text, and its words.
fn refused(text: &str) -> (String, String) {
    let mut leaves = Vec::new();
    let error = compile(text, 60_000, &mut leaves).unwrap_err();
    assert!(leaves.is_empty(), "{text} left leaves behind");
    (text[error.span].to_owned(), error.message)
}

#[test]
fn refusals_point_at_their_cause() {
    let check = |text: &str, at: &str, message: &str| {
        assert_eq!(refused(text), (at.to_owned(), message.to_owned()), "{text}");
    };
    check("sum(rate(x[5m])", "(", "`(` is not closed");
    check("sum(x))", ")", "`)` closes nothing");
    check("x{a=\"b]", "\"b]", "this text has no closing quote");
    check("x > > 1", ">", "`>` has nothing on its left");
    check("x >", ">", "nothing follows `>`");
    check("x y", "y", "no operator stands before `y`");
    check("x = 1", "=", "`=` compares labels only");
    check("x | y", "|", "`|` is no operator of PromQL");
    check("", "", "the expression is empty");
    check("1 + rat(x[5m])", "rat", "there is no function `rat`");
    check(
        "1 + rate(x)",
        "rate",
        "expected type matrix in call to function `rate`, got vector",
    );
    check(
        "x + histogram_avg(y)",
        "histogram_avg",
        "not supported: the function `histogram_avg`",
    );
    check(
        "x @ start()",
        "@",
        "not supported: `@ start()` and `@ end()` (a rule has no range)",
    );
    check(
        "limitk(3, x)",
        "limitk",
        "not supported: the aggregation `limitk`",
    );
    check(
        "quantile_over_time(scalar(y), x[5m])",
        "quantile_over_time",
        "not supported: a parameter of `quantile_over_time` that changes",
    );
    check(
        "x[5m]",
        "x[5m]",
        "the expression gives a range vector, where a rule needs an instant vector or a number",
    );
    check(
        "\"a\"",
        "\"a\"",
        "the expression gives a string, where a rule needs an instant vector or a number",
    );
    check(
        "1 > 2",
        ">",
        "comparisons between scalars must use BOOL modifier",
    );
    check(
        "{}",
        "{",
        "vector selector must contain at least one non-empty matcher",
    );
    check(
        "a and 1",
        "and",
        "set operator `and` not allowed in binary scalar expression",
    );
    check("x{a=~\"(\"}", "\"(\"", "illegal regex for (");
    check(
        "x[5m:1s]",
        "x[5m:1s]",
        "the expression gives a range vector, where a rule needs an instant vector or a number",
    );
    check(
        "max_over_time(x[1y:1s])",
        "max_over_time(x[1y:1s])",
        "a subquery of 31536000 steps (at most 11000)",
    );
}

#[test]
fn a_number_of_seconds_is_bounded_wherever_it_is_a_duration() {
    let many = "8".repeat(80);
    for number in [&many, "1e30", "1e+30", "Inf", "NaN", "0xffffffffffffffff"] {
        for text in [
            format!("rate(x[{number}])"),
            format!("max_over_time(x[1m:{number}])"),
            format!("max_over_time(x[ {number} : 1s])"),
            format!("x offset {number}"),
            format!("x OFFSET - {number}"),
        ] {
            assert_eq!(refused(&text).1, "duration out of range", "{text}");
        }
    }
    let fine = "rate(x[300]) + x offset -1e3 + 1e30";
    assert!(compile(fine, 60_000, &mut Vec::new()).is_ok());
}

#[test]
fn depth_is_bounded() {
    let deep = format!("{}x{}", "(".repeat(5_000), ")".repeat(5_000));
    assert_eq!(refused(&deep).1, "the expression is nested too deep");
    assert_eq!(
        refused(&format!("{}1", "-".repeat(5_000))).1,
        "the expression is nested too deep"
    );
}

proptest! {
    #[test]
    fn never_panics(text in "(up|rate|sum| by | on |\\(|\\)|\\[5m\\]|\\[5m:\\]|\\{|\\}|a=\"b\"|=~|\"|'|[0-9]|[-+*/%^]| and |é|@| offset |1m|,){0,20}") {
        let mut leaves = Vec::new();
        let _ = compile(&text, 60_000, &mut leaves);
    }
}
