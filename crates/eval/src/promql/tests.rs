//! What tells a false condition from missing data. (Values of expressions: `tests/promqltest`.)

use std::sync::Arc;

use foghorn_model::{Labels, Timestamp};
use foghorn_rules::plan::{Group, Leaf, LeafId, Read};

use super::{Condition, Evaluator};
use crate::vector::{Element, Leaves, Vector};

/// `a` and `b` have hosts x and y, `few` only x: each with the values 1, 2 in label order.
struct Fixed<'a> {
    leaves: &'a [Leaf],
    asked: usize,
}

impl Leaves for Fixed<'_> {
    fn leaf(&mut self, leaf: LeafId, _: Timestamp) -> Vector {
        self.asked += 1;
        let Read::Instant { selector, .. } = &self.leaves[leaf.0 as usize].read else {
            panic!()
        };
        let metric = selector.metric.as_deref().unwrap();
        let hosts: &[&str] = match metric {
            "a" | "b" => &["x", "y"],
            "few" => &["x"],
            _ => &[],
        };
        let elements = hosts.iter().zip([1.0, 2.0]);
        elements
            .map(|(host, value)| Element {
                labels: Labels::from_pairs([("__name__", metric), ("host", *host), ("job", "j")]),
                value,
            })
            .collect()
    }
}

fn text(vector: &[Element]) -> String {
    let elements = vector.iter().map(|e| format!("{} {}", e.labels, e.value));
    elements.collect::<Vec<_>>().join(", ")
}

/// Evaluates a condition; each leaf must be asked once for each time that it stands in the text.
fn check(expr: &str, result: &str, base: Option<&str>) {
    let mut leaves = Vec::new();
    let plan = foghorn_rules::promql::compile(expr, 60_000, &mut leaves).unwrap();
    let group = Group {
        name: Arc::from("g"),
        file: Arc::from("f"),
        interval_ms: 60_000,
        slot_ms: 0,
        query_offset_ms: 0,
        subquery_step_ms: 60_000,
        limit: 0,
        sources: Vec::new(),
        rules: Vec::new(),
        leaves,
    };
    let mut fixed = Fixed {
        leaves: &group.leaves,
        asked: 0,
    };
    let Condition {
        result: got,
        base: got_base,
    } = Evaluator::new()
        .condition(&group, &plan, Timestamp(0), &mut fixed)
        .unwrap();
    assert_eq!(text(&got), result, "result of {expr}");
    assert_eq!(
        got_base.as_deref().map(text).as_deref(),
        base,
        "base of {expr}"
    );
    let stands = expr
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| ["a", "b", "few", "none"].contains(w))
        .count();
    assert_eq!(fixed.asked, stands, "reads of {expr}");
}

const BOTH: &str = r#"a{host="x", job="j"} 1, a{host="y", job="j"} 2"#;
const Y: &str = r#"a{host="y", job="j"} 2"#;

#[test]
fn the_base_is_what_is_compared() {
    check("a > 1", Y, Some(BOTH));
    check("1 < a", Y, Some(BOTH));
    check("a > 5", "", Some(BOTH));
    check("none > 5", "", Some(""));
    check("(a > 1)", Y, Some(BOTH));
}

#[test]
fn joins_keep_pairs_that_have_both_sides() {
    check("a > on(host) few", "", Some(r#"{host="x"} 1"#));
    check("a > on(host) none", "", Some(""));
    check(
        "a >= on(host, job) group_left few",
        r#"a{host="x", job="j"} 1"#,
        Some(r#"a{host="x", job="j"} 1"#),
    );
}

#[test]
fn sets_are_looked_through() {
    check("a > 1 and b", Y, Some(BOTH));
    check("a > 1 unless b", "", Some(BOTH));
    let either = r#"a{host="x", job="j"} 1, a{host="y", job="j"} 2, b{host="x", job="j"} 1, b{host="y", job="j"} 2"#;
    check("a > 1 or b > 5", Y, Some(either));
}

#[test]
fn without_a_comparison_there_is_no_base() {
    check("a", BOTH, None);
    check("a and b", BOTH, None);
    check(
        "a > bool 1",
        r#"{host="x", job="j"} 0, {host="y", job="j"} 1"#,
        None,
    );
    check(
        "a + b",
        r#"{host="x", job="j"} 2, {host="y", job="j"} 4"#,
        None,
    );
}

#[test]
fn groups_that_a_filter_emptied_are_in_the_base() {
    check("count by (job) (a > 5) > 2", "", Some(r#"{job="j"} NaN"#));
    check(
        "count by (job) (a > 0) > 1",
        r#"{job="j"} 2"#,
        Some(r#"{job="j"} 2, {job="j"} NaN"#),
    );
    check("count by (job) (none > 5) > 2", "", Some(""));
    check("sum by (job) (a) > 5", "", Some(r#"{job="j"} 3"#));
}

#[test]
fn data_that_came_back_ends_an_absence() {
    check(r#"absent(a{host="x"})"#, "", Some(r#"{host="x"} 0"#));
    check(
        r#"absent(none{host="x"})"#,
        r#"{host="x"} 1"#,
        Some(r#"{host="x"} 0"#),
    );
}
