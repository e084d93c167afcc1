//! Files of unit tests for rules, as `promtool test rules` reads them.
//!
//! Owns the form: strict about fields, with every problem at its place. Refuses to run anything:
//! that is the lab's.

use std::sync::Arc;

use foghorn_model::{Labels, LabelsBuilder, Timestamp};

use crate::diagnostic::Diagnostic;
use crate::load::Source;
use crate::load::fields::{Desk, Fields};
use crate::notation::{self, NotationError};
use crate::yaml::{self, Node};

/// A file of unit tests.
#[derive(Clone, Debug, PartialEq)]
pub struct TestFile {
    /// Rule files (patterns), relative to the file's folder.
    pub rule_files: Vec<String>,
    /// Every group is evaluated so often, in milliseconds.
    pub evaluation_interval_ms: i64,
    /// Groups in the order in which they run at one instant.
    pub group_eval_order: Vec<String>,
    /// Whether values that differ in the last bit are the same.
    pub fuzzy_compare: bool,
    /// The tests.
    pub tests: Vec<TestGroup>,
}

/// A test: what happens, and what must be seen.
#[derive(Clone, Debug, PartialEq)]
pub struct TestGroup {
    /// Name; may be empty.
    pub name: String,
    /// Values of input series stand so far apart, in milliseconds.
    pub interval_ms: i64,
    /// When it begins.
    pub start: Timestamp,
    /// Labels and values (`None` for a gap) of the series that there are.
    pub input_series: Vec<(Labels, Vec<Option<f64>>)>,
    /// What must be firing.
    pub alert_tests: Vec<AlertTest>,
    /// What expressions must give.
    pub expr_tests: Vec<ExprTest>,
    /// Labels of the process, for templates.
    pub external_labels: Vec<(String, String)>,
    /// Address of the process, for templates.
    pub external_url: String,
}

/// The alerts of one name that must be firing at an instant.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertTest {
    /// After the test's beginning, in milliseconds.
    pub eval_ms: i64,
    /// Name of the alert.
    pub alertname: String,
    /// Labels (`alertname` among them) and annotations.
    pub expected: Vec<(Labels, Labels)>,
}

/// What an expression must give at an instant.
#[derive(Clone, Debug, PartialEq)]
pub struct ExprTest {
    /// The expression.
    pub expr: String,
    /// After the test's beginning, in milliseconds.
    pub eval_ms: i64,
    /// Labels and values.
    pub expected: Vec<(Labels, f64)>,
}

const FILE: [&str; 5] = [
    "rule_files",
    "evaluation_interval",
    "group_eval_order",
    "fuzzy_compare",
    "tests",
];
const GROUP: [&str; 8] = [
    "name",
    "interval",
    "input_series",
    "alert_rule_test",
    "promql_expr_test",
    "external_labels",
    "external_url",
    "start_timestamp",
];

/// Groups are evaluated so often where the file does not say, in milliseconds.
const DEFAULT_INTERVAL_MS: i64 = 60_000;

impl TestFile {
    /// Reads a file; `None` if something is wrong with it, which the diagnostics say.
    pub fn load(source: &Source) -> (Option<Self>, Vec<Diagnostic>) {
        let mut desk = Desk::new(&source.path, &source.text);
        let file = load(&source.text, &mut desk);
        let right = desk.errors() == 0;
        (file.filter(|_| right), desk.into_diagnostics())
    }
}

fn load(text: &str, desk: &mut Desk<'_>) -> Option<TestFile> {
    let document = match yaml::parse(text) {
        Ok(document) => document,
        Err(error) => {
            desk.error("yaml-syntax", error.span, error.message, error.hint);
            return None;
        }
    };
    let root = document.root.filter(|root| !root.is_null());
    let Some(root) = root else {
        return Some(TestFile {
            rule_files: Vec::new(),
            evaluation_interval_ms: DEFAULT_INTERVAL_MS,
            group_eval_order: Vec::new(),
            fuzzy_compare: false,
            tests: Vec::new(),
        });
    };
    let fields = Fields::open(&root, "a file of unit tests", &FILE, desk)?;
    let evaluation_interval_ms =
        interval(&fields, "evaluation_interval", desk).unwrap_or(DEFAULT_INTERVAL_MS);
    let tests = fields.list("tests", desk).iter();
    let tests = tests.filter_map(|node| test(node, evaluation_interval_ms, desk));
    let tests = tests.collect();
    Some(TestFile {
        rule_files: words(&fields, "rule_files", desk),
        evaluation_interval_ms,
        group_eval_order: order(&fields, desk),
        fuzzy_compare: fields.flag("fuzzy_compare", desk).unwrap_or(false),
        tests,
    })
}

/// An interval; one of 0 counts as none.
fn interval(fields: &Fields<'_>, name: &str, desk: &mut Desk<'_>) -> Option<i64> {
    fields.duration(name, desk).filter(|ms| *ms > 0)
}

fn words(fields: &Fields<'_>, name: &str, desk: &mut Desk<'_>) -> Vec<String> {
    let mut words = Vec::new();
    for item in fields.list(name, desk) {
        match item.text() {
            Some(text) => words.push(text.to_owned()),
            None => refuse(item, format!("`{name}` is a list of texts"), desk),
        }
    }
    words
}

fn order(fields: &Fields<'_>, desk: &mut Desk<'_>) -> Vec<String> {
    let order = words(fields, "group_eval_order", desk);
    for (i, item) in fields.list("group_eval_order", desk).iter().enumerate() {
        if let Some(name) = order.get(i).filter(|name| order[..i].contains(name)) {
            let message = format!("group name repeated in evaluation order: {name}");
            refuse(item, message, desk);
        }
    }
    order
}

fn refuse(node: &Node, message: String, desk: &mut Desk<'_>) {
    desk.error("unit-test", node.span.clone(), message, None::<String>);
}

/// Takes a part of a scalar for what is wrong with it.
fn refuse_part(node: &Node, error: NotationError, desk: &mut Desk<'_>) {
    let end = node.text().map_or(0, |text| {
        let behind = &text[error.at.min(text.len())..];
        error.at + behind.find(char::is_whitespace).unwrap_or(behind.len())
    });
    let span = node.locate(desk.text, error.at..end);
    desk.error("unit-test", span, error.message, None::<String>);
}

fn test(node: &Node, default_interval_ms: i64, desk: &mut Desk<'_>) -> Option<TestGroup> {
    let fields = Fields::open(node, "a test", &GROUP, desk)?;
    let name = fields.text("name", desk).map_or("", |(name, _)| name);
    let start = fields.text("start_timestamp", desk).map(|(text, node)| {
        let start = timestamp(text);
        if start.is_none() {
            let message =
                format!("`{text}` is no time (seconds since 1970, or 2026-01-02T03:04:05Z)");
            refuse(node, message, desk);
        }
        start.unwrap_or_default()
    });
    let input = items(&fields, "input_series", desk);
    let alerts = items(&fields, "alert_rule_test", desk);
    let exprs = items(&fields, "promql_expr_test", desk);
    let external = pairs(&fields, "external_labels", desk);
    Some(TestGroup {
        name: name.to_owned(),
        interval_ms: interval(&fields, "interval", desk).unwrap_or(default_interval_ms),
        start: start.unwrap_or_default(),
        input_series: input.filter_map(|node| input_series(node, desk)).collect(),
        alert_tests: alerts.filter_map(|node| alert_test(node, desk)).collect(),
        expr_tests: exprs.filter_map(|node| expr_test(node, desk)).collect(),
        external_labels: external,
        external_url: fields
            .text("external_url", desk)
            .map_or(String::new(), |(url, _)| url.to_owned()),
    })
}

fn items<'n>(
    fields: &Fields<'n>,
    name: &str,
    desk: &mut Desk<'_>,
) -> impl Iterator<Item = &'n Arc<Node>> + use<'n> {
    fields.list(name, desk).iter()
}

fn input_series(node: &Node, desk: &mut Desk<'_>) -> Option<(Labels, Vec<Option<f64>>)> {
    let fields = Fields::open(node, "an input series", &["series", "values"], desk)?;
    let Some((text, series)) = fields.text("series", desk) else {
        desk.error(
            "unit-test",
            fields.place(),
            "an input series needs `series`",
            None::<String>,
        );
        return None;
    };
    let labels = notation::whole_series(text)
        .map_err(|error| refuse_part(series, error, desk))
        .ok();
    let values = match fields.text("values", desk) {
        None => Some(Vec::new()),
        Some((text, node)) => notation::values(text)
            .map_err(|error| refuse_part(node, error, desk))
            .ok(),
    };
    Some((labels?, values?))
}

fn eval_ms(fields: &Fields<'_>, desk: &mut Desk<'_>) -> i64 {
    fields.duration("eval_time", desk).unwrap_or(0)
}

fn alert_test(node: &Node, desk: &mut Desk<'_>) -> Option<AlertTest> {
    const KNOWN: [&str; 3] = ["eval_time", "alertname", "exp_alerts"];
    let fields = Fields::open(node, "an alert test", &KNOWN, desk)?;
    let eval_ms = eval_ms(&fields, desk);
    let name = fields.text("alertname", desk).map(|(name, _)| name);
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        let message =
            "an item under alert_rule_test misses required attribute alertname".to_owned();
        desk.error("unit-test", fields.place(), message, None::<String>);
        return None;
    };
    let mut expected = Vec::new();
    for node in fields.list("exp_alerts", desk) {
        let known = ["exp_labels", "exp_annotations"];
        if node.is_null() {
            expected.push((with_name(Vec::new(), name), Labels::empty()));
        } else if let Some(fields) = Fields::open(node, "an expected alert", &known, desk) {
            let labels = pairs(&fields, "exp_labels", desk);
            let annotations = pairs(&fields, "exp_annotations", desk);
            expected.push((with_name(labels, name), Labels::from_texts(annotations)));
        }
    }
    Some(AlertTest {
        eval_ms,
        alertname: name.to_owned(),
        expected,
    })
}

fn with_name(labels: Vec<(String, String)>, name: &str) -> Labels {
    let mut builder = LabelsBuilder::default();
    for (label, value) in labels {
        builder.set(&label, &value);
    }
    builder.set("alertname", name);
    builder.build()
}

fn expr_test(node: &Node, desk: &mut Desk<'_>) -> Option<ExprTest> {
    const KNOWN: [&str; 3] = ["expr", "eval_time", "exp_samples"];
    let fields = Fields::open(node, "an expression test", &KNOWN, desk)?;
    let eval_ms = eval_ms(&fields, desk);
    let expr = fields
        .text("expr", desk)
        .map_or(String::new(), |(expr, _)| expr.to_owned());
    let samples = fields.list("exp_samples", desk).iter();
    let expected = samples.filter_map(|node| sample(node, desk)).collect();
    Some(ExprTest {
        expr,
        eval_ms,
        expected,
    })
}

fn sample(node: &Node, desk: &mut Desk<'_>) -> Option<(Labels, f64)> {
    const KNOWN: [&str; 3] = ["labels", "value", "histogram"];
    let fields = Fields::open(node, "an expected sample", &KNOWN, desk)?;
    if let Some((_, node)) = fields.text("histogram", desk) {
        refuse(node, "native histograms are not supported".to_owned(), desk);
    }
    let labels = match fields
        .text("labels", desk)
        .filter(|(text, _)| !text.is_empty())
    {
        None => Labels::empty(),
        Some((text, node)) => notation::whole_series(text)
            .map_err(|error| refuse_part(node, error, desk))
            .ok()?,
    };
    let value = match fields.text("value", desk) {
        None => 0.0,
        Some((text, node)) => {
            let value = yaml_number(text);
            if value.is_none() {
                refuse(node, format!("`{text}` is no number"), desk);
            }
            value?
        }
    };
    Some((labels, value))
}

/// A number as YAML writes it.
fn yaml_number(text: &str) -> Option<f64> {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    match bare {
        ".inf" | ".Inf" | ".INF" => Some(sign * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        _ => notation::number(&text.replace('_', "")),
    }
}

/// Texts by name; nothing stands for the empty text.
fn pairs(fields: &Fields<'_>, name: &str, desk: &mut Desk<'_>) -> Vec<(String, String)> {
    let texts = fields.texts(name, desk).into_iter();
    let text = |node: &Node| match node.text() {
        Some(text) if !node.is_null() => text.to_owned(),
        _ => String::new(),
    };
    texts
        .map(|(name, _, node)| (name.to_owned(), text(node)))
        .collect()
}

/// Seconds since 1970, or `2026-01-02T03:04:05[.678]Z`.
fn timestamp(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = (seconds * 1e3).round();
        return (ms.abs() < 1e15).then_some(Timestamp(ms as i64));
    }
    let (date, time) = text.strip_suffix(['Z', 'z'])?.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let mut time = time.splitn(3, ':');
    let hour: i64 = time.next()?.parse().ok()?;
    let minute: i64 = time.next()?.parse().ok()?;
    let second: f64 = time.next()?.parse().ok()?;
    let right = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..61.0).contains(&second);
    if !right {
        return None;
    }
    // Years begin in March, so that the leap day is the last one.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    let ms = (second * 1e3).round() as i64;
    Some(Timestamp(
        days * 86_400_000 + hour * 3_600_000 + minute * 60_000 + ms,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> TestFile {
        let (file, diagnostics) = TestFile::load(&Source::new("t.yml", text));
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        file.unwrap()
    }

    #[test]
    fn a_whole_file() {
        let file = read(
            "rule_files: [a.yml, 'b*.yml']\nevaluation_interval: 30s\ngroup_eval_order: [b, a]\nfuzzy_compare: true\ntests:\n- name: n\n  start_timestamp: 2026-01-02T03:04:05.5Z\n  external_labels: {dc: eu}\n  external_url: http://x/y\n  input_series:\n  - series: up{job=\"a\"}\n    values: 1 0x1 _\n  alert_rule_test:\n  - eval_time: 1m30s\n    alertname: Down\n    exp_alerts:\n    - exp_labels: {severity: page, empty: ~}\n      exp_annotations: {s: 1}\n  promql_expr_test:\n  - expr: up\n    eval_time: 0\n    exp_samples:\n    - {labels: 'up{job=\"a\"}', value: .inf}\n    - {value: 1_000}\n",
        );
        assert_eq!(file.rule_files, ["a.yml", "b*.yml"]);
        assert_eq!(file.group_eval_order, ["b", "a"]);
        assert!(file.fuzzy_compare);
        let test = &file.tests[0];
        assert_eq!((test.interval_ms, test.name.as_str()), (30_000, "n"));
        assert_eq!(test.start, Timestamp(1_767_323_045_500));
        assert_eq!(
            test.input_series[0].1,
            [Some(1.0), Some(0.0), Some(0.0), None]
        );
        let alert = &test.alert_tests[0];
        assert_eq!(alert.eval_ms, 90_000);
        assert_eq!(
            alert.expected[0].0.to_string(),
            r#"{alertname="Down", severity="page"}"#
        );
        assert_eq!(alert.expected[0].1.to_string(), r#"{s="1"}"#);
        assert_eq!(test.expr_tests[0].expected[0].1, f64::INFINITY);
        assert_eq!(test.expr_tests[0].expected[1], (Labels::empty(), 1_000.0));
    }

    #[test]
    fn times() {
        let check = |text: &str, expect: Option<i64>| {
            assert_eq!(timestamp(text).map(Timestamp::ms), expect, "{text}");
        };
        check("0", Some(0));
        check("1.5", Some(1_500));
        check("1970-01-01T00:00:00Z", Some(0));
        check("2024-02-29T12:00:00Z", Some(1_709_208_000_000));
        check("2024-13-01T00:00:00Z", None);
        check("yesterday", None);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(
            text in "(\\{|\\}|\"|'|,|:|=| |\\n|\\n  - |up|é|x|_|stale|[0-9+-]|\\\\){0,24}",
        ) {
            drop(notation::whole_series(&text));
            drop(notation::values(&text));
            for key in ["series", "values"] {
                let file = format!("tests:\n- input_series:\n  - {key}: {text}\n");
                TestFile::load(&Source::new("t.yml", file));
            }
        }
    }

    #[test]
    fn problems_have_their_places() {
        let check = |text: &str, line: u32, column: u32, words: &str| {
            let (file, diagnostics) = TestFile::load(&Source::new("t.yml", text));
            assert!(file.is_none());
            let first = &diagnostics[0];
            assert_eq!((first.line, first.column), (line, column), "{first}");
            assert!(first.message.contains(words), "{first}");
        };
        check("rule_file: []\n", 1, 1, "unknown field `rule_file`");
        check("tests:\n- input: []\n", 2, 3, "unknown field `input`");
        check(
            "tests:\n- input_series:\n  - series: up{job=x}\n",
            3,
            20,
            "must be quoted",
        );
        check(
            "tests:\n- input_series:\n  - series: up\n    values: 1 {{schema:1}}\n",
            4,
            15,
            "native histograms",
        );
        check(
            "tests:\n- alert_rule_test:\n  - eval_time: 5m\n",
            3,
            5,
            "alertname",
        );
        check("evaluation_interval: 5\n", 1, 22, "has no unit");
        check("group_eval_order: [a, a]\n", 1, 23, "repeated");
    }
}
