//! A case: rules, series, and a question at every tick, as promtool's test files have them.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_rules::promql;
use foghorn_testkit::rng::Rng;
use serde_json::{Value, json};

use crate::corpus::{CorpusRule, as_text, shortened};
use crate::features;
use crate::series::{Input, Wanted};

/// Ticks of a case, the first at 0.
pub(crate) const TICKS: usize = 21;

/// What one case asks and says.
pub(crate) struct Case {
    /// Its number: names its files.
    pub(crate) number: usize,
    /// Seconds between ticks, and between samples.
    pub(crate) step_s: i64,
    /// The rule file.
    pub(crate) rules: Value,
    /// Its alerts: name and expression.
    pub(crate) alerts: Vec<(String, String)>,
    /// Expressions that are asked at each tick, with their features.
    pub(crate) exprs: Vec<(String, BTreeSet<&'static str>)>,
    /// What there is to be read.
    pub(crate) input: Vec<Input>,
}

/// Expressions for features that public rules have seldom, or seldom with a result.
const SELDOM: &[&str] = &[
    "count_values(\"v\", floor(gauge_a))",
    "count_values by (job) (\"v\", sgn(gauge_a))",
    "timestamp(gauge_a)",
    "timestamp(gauge_a + 1)",
    "abs(gauge_a)",
    "absent_over_time(gauge_c{job=\"x\"}[30s])",
    "absent_over_time(gauge_c{job=\"x\",zone!=\"\"}[1m] offset 5m)",
    "absent_over_time(gauge_c[1m] offset 5m)",
    "absent(gauge_c{job=\"x\",zone=~\"z.*\"} > 1)",
    "absent(gauge_c{job=\"x\"} offset 5m)",
    "gauge_a ^ 2",
    "gauge_a ^ gauge_b",
    "gauge_a ^ -3",
    "2 ^ gauge_a",
    "gauge_a % 3",
    "gauge_a % gauge_b",
    "stddev_over_time(gauge_a[4m])",
    "stddev_over_time(requests_total[3m])",
    "bottomk(2, gauge_a)",
    "bottomk by (job) (1, gauge_a)",
    "topk(1, rate(requests_total[2m]))",
    "sort_desc(gauge_a)",
    "hour()",
    "hour(vector(86400 + 7 * 3600))",
    "hour(gauge_a * 3600)",
    "month(gauge_a * 86400 * 31)",
    "year(vector(time() + 1e9))",
    "day_of_week(gauge_a * 86400)",
    "days_in_month(vector(time() * 86400))",
    "days_in_month(gauge_a * 86400)",
    "quantile(0.9, gauge_a)",
    "quantile by (job) (0.25, gauge_a)",
    "sgn(gauge_a - 2)",
    "resets(requests_total[5m])",
    "clamp(gauge_a, -1, 2.5)",
    "stdvar(gauge_a)",
    "stdvar by (job) (rate(requests_total[2m]))",
    "group by (job) (gauge_a)",
    "group(requests_total)",
    "quantile_over_time(0.5, gauge_a[5m])",
    "quantile_over_time(0.99, rate(requests_total[1m])[5m:30s])",
    "scalar(gauge_a{instance=\"i-0\"})",
    "gauge_a * scalar(sum(gauge_b))",
    "deriv(gauge_a[4m])",
    "predict_linear(gauge_a[4m], 600)",
    "delta(gauge_a[3m])",
    "label_join(gauge_a, \"x\", \"-\", \"job\", \"instance\")",
    "label_replace(gauge_a, \"n\", \"$1\", \"instance\", \"i-(.*)\")",
    "round(gauge_a, 0.5)",
    "round(gauge_a)",
    "ceil(gauge_a)",
    "floor(gauge_a)",
    "clamp_max(gauge_a, 1)",
    "clamp_min(gauge_a, 1)",
    "min_over_time(gauge_a[3m])",
    "min by (job) (gauge_a)",
    "irate(requests_total[2m])",
    "changes(gauge_a[5m])",
    "gauge_a > bool 1",
    "gauge_a == bool gauge_b",
    "gauge_a < gauge_b",
    "gauge_a offset 1m",
    "rate(requests_total[2m] offset 1m)",
    "{__name__=~\"gauge_[ab]\"}",
    "{__name__=~\"gauge_.\", job=~\".+\"} > 0",
    "sum without (instance) (gauge_a)",
    "avg without (job) (rate(requests_total[2m]))",
    "gauge_a * on (instance) group_left (zone) gauge_z",
    "gauge_z * on (instance) group_right () gauge_a",
    "gauge_a / ignoring (zone) gauge_z",
    "gauge_a and on (instance) gauge_b > 0",
    "gauge_a unless gauge_b > 1",
    "gauge_a or gauge_b",
    "max_over_time(sum(gauge_a)[4m:1m])",
    "avg_over_time((gauge_a > 0)[4m:])",
    "sum_over_time(gauge_a[3m])",
    "count_over_time(gauge_a[3m])",
    "last_over_time(gauge_a[2m])",
    "histogram_quantile(0.9, sum by (le) (rate(latency_seconds_bucket[3m])))",
    "histogram_quantile(0.5, latency_seconds_bucket)",
    "increase(requests_total[3m])",
    "max by (job) (gauge_a) - min by (job) (gauge_a)",
    "count by (job) (gauge_a)",
    "vector(time())",
    "time() - timestamp(gauge_a) > 20",
];

/// The `number`th case.
pub(crate) fn make(number: usize, corpus: &[CorpusRule], rng: &mut Rng) -> Case {
    let mut wanted = Wanted::default();
    let (mut rules, mut alerts, mut exprs) = (Vec::new(), Vec::new(), Vec::new());
    let take = |text: &str, wanted: &mut Wanted, exprs: &mut Vec<_>| {
        let mut leaves = Vec::new();
        let Ok(expr) = promql::compile(text, 60_000, &mut leaves) else {
            return false;
        };
        wanted.add(&expr, &leaves);
        exprs.push((text.to_owned(), features::of(text, &expr, &leaves)));
        true
    };
    for _ in 0..2 {
        let rule = &corpus[rng.below(corpus.len())];
        let text = shortened(rule.expr.trim(), rng);
        if !take(&text, &mut wanted, &mut exprs) {
            continue;
        }
        let name = if rule.alert.is_empty() {
            "Recorded"
        } else {
            &rule.alert
        };
        if alerts.iter().any(|(known, _)| known == name) {
            continue;
        }
        rules.push(alert(rule, name, &text, rng));
        alerts.push((name.to_owned(), text));
    }
    let seldom = SELDOM[number % SELDOM.len()];
    take(seldom, &mut wanted, &mut exprs);
    ["gauge_a", "gauge_b"].iter().for_each(|text| {
        let mut leaves = Vec::new();
        if seldom.contains(text)
            && let Ok(expr) = promql::compile(text, 60_000, &mut leaves)
        {
            wanted.add(&expr, &leaves);
        }
    });
    rules.push(json!({"record": "case:recorded", "expr": seldom}));
    exprs.push(("case:recorded".to_owned(), BTreeSet::new()));
    let step_s = rng.pick(&[15, 30, 30, 60]);
    Case {
        number,
        step_s,
        rules: json!({"groups": [{"name": "case", "rules": rules}]}),
        alerts,
        exprs,
        input: wanted.series(TICKS, step_s, rng),
    }
}

fn alert(rule: &CorpusRule, name: &str, expr: &str, rng: &mut Rng) -> Value {
    let texts = |texts: &Option<BTreeMap<String, Value>>| -> BTreeMap<String, String> {
        let texts = texts.iter().flatten();
        texts
            .map(|(name, value)| (name.clone(), as_text(value)))
            .collect()
    };
    let mut alert = json!({
        "alert": name,
        "expr": expr,
        "for": rng.pick(&["0s", "30s", "1m", "2m"]),
        "labels": texts(&rule.labels),
        "annotations": texts(&rule.annotations),
    });
    if rng.chance(25) {
        alert["keep_firing_for"] = json!("1m");
    }
    alert
}

impl Case {
    /// Names of its test file and its rule file.
    pub(crate) fn files(&self) -> (String, String) {
        let number = self.number;
        (
            format!("test-{number}.yaml"),
            format!("rules-{number}.yaml"),
        )
    }

    /// The test file: everything is asked at every tick, and nothing is expected.
    pub(crate) fn test(&self) -> Value {
        let step = format!("{}s", self.step_s);
        let ticks = || (0..TICKS as i64).map(|tick| format!("{}s", tick * self.step_s));
        let alerts = self.alerts.iter().flat_map(|(name, _)| {
            ticks().map(move |at| json!({"eval_time": at, "alertname": name, "exp_alerts": []}))
        });
        let shown = ["ALERTS", "ALERTS_FOR_STATE"];
        let exprs = self
            .exprs
            .iter()
            .map(|(expr, _)| expr.as_str())
            .chain(shown);
        let exprs = exprs.flat_map(|expr| {
            ticks().map(move |at| json!({"expr": expr, "eval_time": at, "exp_samples": []}))
        });
        let input = self.input.iter().map(
            |input| json!({"series": input.labels.to_string(), "values": input.values.join(" ")}),
        );
        json!({
            "rule_files": [self.files().1],
            "evaluation_interval": step,
            "tests": [{
                "interval": step,
                "input_series": input.collect::<Vec<_>>(),
                "alert_rule_test": alerts.collect::<Vec<_>>(),
                "promql_expr_test": exprs.collect::<Vec<_>>(),
            }],
        })
    }
}
