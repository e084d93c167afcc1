//! A rule.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use foghorn_model::RuleId;
use foghorn_model::labels::NAME;

use super::expression::{self, Compiled, Language};
use super::fields::{Desk, Fields};
use super::templates::Templates;
use super::{detector, lint};
use crate::diagnostic::position;
use crate::logql::Pipeline;
use crate::plan::{Expr, Leaf, Rule, RuleKind};
use crate::yaml::Node;

const FIELDS: [&str; 12] = [
    "record",
    "alert",
    "expr",
    "for",
    "keep_firing_for",
    "labels",
    "annotations",
    "anomaly",
    "absence",
    "forecast",
    "resolve_after",
    "language",
];

/// A match alert ends after so long without a match where `resolve_after` is not given.
const RESOLVE_AFTER_MS: i64 = 300_000;

/// Label names and texts as written, with their places.
pub(super) type Written<'n> = BTreeMap<&'n str, (Range<usize>, &'n Node)>;

/// What a rule takes from its group.
pub(super) struct Surroundings<'a> {
    pub(super) group: &'a str,
    pub(super) labels: &'a Written<'a>,
    pub(super) language: Option<Language>,
    pub(super) step_ms: i64,
    pub(super) external_labels: &'a Arc<[(String, String)]>,
    pub(super) external_url: &'a Arc<str>,
}

/// Loads a rule; `None` if something is wrong with it, or if it is there already.
pub(super) fn load(
    node: &Node,
    around: &Surroundings<'_>,
    leaves: &mut Vec<Leaf>,
    known: &mut BTreeSet<RuleId>,
    desk: &mut Desk<'_>,
) -> Option<Rule> {
    let (errors, before) = (desk.errors(), leaves.len());
    let rule = read(node, around, leaves, desk);
    let right = desk.errors() == errors;
    let Some((rule, place, own)) = rule.filter(|_| right) else {
        leaves.truncate(before);
        return None;
    };
    if !known.insert(rule.id) {
        let message = format!(
            "`{}` stands here a second time (name, expression and labels are the same)",
            rule.name
        );
        desk.warning(
            "duplicate-rule",
            place,
            message,
            Some("the second one is left out"),
        );
        leaves.truncate(before);
        return None;
    }
    let own = &leaves[before..own];
    lint::regexes(node, own, desk);
    if around.language.is_none() {
        lint::nameless(node, own, desk);
    }
    Some(rule)
}

/// The rule, its place, and the end of the leaves that its own expression reads.
fn read(
    node: &Node,
    around: &Surroundings<'_>,
    leaves: &mut Vec<Leaf>,
    desk: &mut Desk<'_>,
) -> Option<(Rule, Range<usize>, usize)> {
    // Its name first, so that every problem carries it.
    if let crate::yaml::Kind::Mapping(mapping) = &node.kind {
        let named = mapping.get("alert").or_else(|| mapping.get("record"));
        desk.enter_rule(named.and_then(Node::text));
    }
    let fields = Fields::open(node, "a rule", &FIELDS, desk)?;
    let name = name(&fields, desk);
    let labels = merged(around.labels, labels(&fields, desk));
    let language = fields
        .choice("language", &Language::WORDS, desk)
        .or(around.language);
    let text = fields
        .text("expr", desk)
        .filter(|(text, _)| !text.trim().is_empty());
    if text.is_none() && fields.get("expr").is_none_or(|node| node.text().is_some()) {
        desk.error(
            "rule-expr",
            fields.place(),
            "this rule has no `expr`",
            None::<String>,
        );
    }
    let compiled = text.and_then(|(text, node)| {
        expression::compile(text, node, language, around.step_ms, leaves, desk)
    });
    let own = leaves.len();
    let shape = match name {
        Some(Name::Record(_)) => {
            only_alerts(&fields, desk);
            Shape::Record
        }
        _ => alert(&fields, compiled.as_ref(), desk),
    };
    let is_record = matches!(shape, Shape::Record);
    let asks = !matches!(compiled, Some(Compiled::Records(_)));
    let mut queries = Vec::new();
    let mut templates = Templates {
        around,
        plain: is_record,
        asks: asks.then_some((leaves, &mut queries)),
    };
    let label_templates = templates.compile(&labels, true, desk);
    let written: Written<'_> = fields
        .texts("annotations", desk)
        .into_iter()
        .map(|(name, key, node)| (name, (key, node)))
        .collect();
    for (name, (key, _)) in &written {
        valid_label("annotation", name, key, desk);
    }
    let annotations = templates.compile(&written, false, desk);

    let ((text, _), compiled, name) = (text?, compiled?, name?);
    let (word, key, kind) = match (name, shape) {
        (Name::Record(metric), _) => (
            metric,
            "record",
            RuleKind::Record {
                metric: metric.into(),
            },
        ),
        (Name::Alert(alert), Shape::Kind(kind)) => (alert, "alert", kind),
        (Name::Alert(_), _) => return None,
    };
    if let (Name::Record(_), Compiled::Records(_)) = (&name, &compiled) {
        let message = "a log query gives records, and a recording rule needs numbers";
        desk.error(
            "logql",
            fields.key("expr"),
            message,
            Some("wrap it: count_over_time({…} [5m])"),
        );
        return None;
    }
    let expr = match compiled {
        Compiled::Vector(expr) => expr,
        // A match counts one.
        Compiled::Records(_) => Expr::Number(1.0),
    };
    let text = text.trim();
    let static_labels: Vec<(String, String)> = labels
        .iter()
        .map(|(name, (_, node))| ((*name).to_owned(), node.text().unwrap_or("").to_owned()))
        .collect();
    let place = fields.key(key);
    let rule = Rule {
        id: RuleId::derive(around.group, word, text, &static_labels),
        name: word.into(),
        line: position(desk.text, place.start).0,
        text: text.into(),
        kind,
        expr,
        labels: label_templates,
        annotations,
        queries,
    };
    Some((rule, place, own))
}

// === Names ===

#[derive(Clone, Copy)]
enum Name<'n> {
    Record(&'n str),
    Alert(&'n str),
}

fn name<'n>(fields: &Fields<'n>, desk: &mut Desk<'_>) -> Option<Name<'n>> {
    let record = fields.text("record", desk);
    let alert = fields.text("alert", desk);
    match (record, alert) {
        (Some(_), Some(_)) => {
            let message = "a rule is either `record` or `alert`, not both";
            desk.error("rule-name", fields.key("record"), message, None::<String>);
            None
        }
        (None, None) => {
            let message = "a rule needs `record` or `alert`";
            desk.error("rule-name", fields.place(), message, None::<String>);
            None
        }
        (Some((name, node)), None) => {
            if name.contains(['{', '}']) {
                let hint = "labels go to `labels:`, selectors to `expr:`";
                desk.error(
                    "metric-name",
                    node.span.clone(),
                    "a metric's name has no braces",
                    Some(hint),
                );
            } else if name.is_empty() {
                desk.error(
                    "metric-name",
                    node.span.clone(),
                    "a metric's name must not be empty",
                    None::<String>,
                );
            }
            Some(Name::Record(name))
        }
        (None, Some((name, node))) => {
            if name.is_empty() {
                desk.error(
                    "rule-name",
                    node.span.clone(),
                    "an alert's name must not be empty",
                    None::<String>,
                );
            }
            Some(Name::Alert(name))
        }
    }
}

// === What kind of rule ===

enum Shape {
    Record,
    Kind(RuleKind),
}

/// Fields that a recording rule must not have.
fn only_alerts(fields: &Fields<'_>, desk: &mut Desk<'_>) {
    let wrong = [
        "for",
        "keep_firing_for",
        "annotations",
        "anomaly",
        "absence",
        "forecast",
        "resolve_after",
    ];
    for name in wrong.into_iter().filter(|name| fields.get(name).is_some()) {
        let message = format!("a recording rule has no `{name}`");
        desk.error("rule-kind", fields.key(name), message, None::<String>);
    }
}

fn alert(fields: &Fields<'_>, compiled: Option<&Compiled>, desk: &mut Desk<'_>) -> Shape {
    let for_ms = fields.duration("for", desk).unwrap_or(0);
    let keep_firing_ms = fields.duration("keep_firing_for", desk).unwrap_or(0);
    let resolve_after = fields.positive_duration("resolve_after", desk);
    let detector = detector::load(fields, desk);
    if let Some(Compiled::Records(pipeline)) = compiled {
        return Shape::Kind(match_rule(fields, pipeline, resolve_after, desk));
    }
    if compiled.is_some() && fields.get("resolve_after").is_some() {
        let hint =
            "an alert on numbers ends when its condition does; `keep_firing_for` holds it longer";
        let message = "`resolve_after` is for alerts on log records";
        desk.error(
            "rule-kind",
            fields.key("resolve_after"),
            message,
            Some(hint),
        );
    }
    Shape::Kind(RuleKind::Alert {
        for_ms,
        keep_firing_ms,
        detector,
    })
}

fn match_rule(
    fields: &Fields<'_>,
    pipeline: &Arc<Pipeline>,
    resolve_after: Option<i64>,
    desk: &mut Desk<'_>,
) -> RuleKind {
    for name in ["for", "keep_firing_for", "anomaly", "absence", "forecast"] {
        if fields.get(name).is_some() {
            let hint =
                "to ask how many and for how long, wrap the query: count_over_time({…} [5m]) > 3";
            let message =
                format!("`{name}` has no meaning for a log query, which alerts on each record");
            desk.error("rule-kind", fields.key(name), message, Some(hint));
        }
    }
    RuleKind::Match {
        pipeline: Arc::clone(pipeline),
        resolve_after_ms: resolve_after.unwrap_or(RESOLVE_AFTER_MS),
    }
}

// === Labels and annotations ===

/// The `labels` of a rule or group, in name order.
pub(super) fn labels<'n>(fields: &Fields<'n>, desk: &mut Desk<'_>) -> Written<'n> {
    let mut labels = Written::new();
    for (name, key, node) in fields.texts("labels", desk) {
        valid_label("label", name, &key, desk);
        if name == NAME {
            let message = "`__name__` is the metric's name, not a label to set";
            desk.error(
                "label-name",
                key.clone(),
                message,
                Some("a recording rule's name is its `record`"),
            );
        } else if name == "alertname" {
            let message = "`alertname` is always the rule's name; this label has no effect";
            desk.warning("label-name", key.clone(), message, None::<String>);
        }
        labels.insert(name, (key, node));
    }
    labels
}

fn merged<'n>(group: &Written<'n>, rule: Written<'n>) -> Written<'n> {
    let mut all = group.clone();
    all.extend(rule);
    all
}

/// Since Prometheus 3 a label's name is any text; one that is no plain identifier must be quoted
/// wherever PromQL speaks of it, which is rarely meant.
fn valid_label(what: &str, name: &str, key: &Range<usize>, desk: &mut Desk<'_>) {
    let mut chars = name.chars();
    let first = chars
        .next()
        .is_some_and(|c| c == '_' || c.is_ascii_alphabetic());
    if name.is_empty() {
        desk.error(
            "label-name",
            key.clone(),
            format!("a {what}'s name must not be empty"),
            None::<String>,
        );
    } else if !first || !chars.all(|c| c == '_' || c.is_ascii_alphanumeric()) {
        let message = format!("the {what} name `{name}` must be quoted wherever a query uses it");
        let hint = "plain names have letters, digits and underscores, and no digit first";
        desk.warning("label-name", key.clone(), message, Some(hint));
    }
}
