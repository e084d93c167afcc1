//! A rule group.

use std::collections::BTreeSet;

use foghorn_model::RuleId;

use super::LoadOptions;
use super::expression::Language;
use super::fields::{Desk, Fields};
use super::rule::{self, Surroundings};
use crate::plan::{Group, Leaf};
use crate::yaml::Node;

const FIELDS: [&str; 8] = [
    "name",
    "interval",
    "query_offset",
    "limit",
    "labels",
    "rules",
    "sources",
    "language",
];

/// Longest interval, query offset and the like: what the engine's arithmetic in milliseconds bears
/// many times over (100 years).
const MAX_MS: i64 = 100 * 365 * 86_400_000;

/// Loads a group: without the rules that are wrong, and not at all if the group itself is.
///
/// `names` are the group names of the file so far, `known` the rules of all files so far.
pub(super) fn load(
    node: &Node,
    options: &LoadOptions,
    names: &mut BTreeSet<String>,
    known: &mut BTreeSet<RuleId>,
    desk: &mut Desk<'_>,
) -> Option<Group> {
    let before = desk.errors();
    let fields = Fields::open(node, "a rule group", &FIELDS, desk)?;
    let name = name(&fields, names, desk);
    desk.enter_group(name);
    let interval_ms = bounded(
        "interval",
        fields.positive_duration("interval", desk),
        &fields,
        desk,
    )
    .unwrap_or(options.default_interval_ms);
    let query_offset_ms = bounded(
        "query_offset",
        fields.duration("query_offset", desk),
        &fields,
        desk,
    )
    .unwrap_or(options.default_query_offset_ms);
    let limit = fields.count("limit", 0, desk).unwrap_or(0) as usize;
    let labels = rule::labels(&fields, desk);
    let language = fields.choice("language", &Language::WORDS, desk);
    let sources = sources(&fields, desk);
    let group_is_right = desk.errors() == before;

    // The rules of a group that is refused are read all the same, for what is wrong with them.
    let mut leaves: Vec<Leaf> = Vec::new();
    let around = Surroundings {
        group: name.unwrap_or_default(),
        labels: &labels,
        language,
        step_ms: options.subquery_step_ms.unwrap_or(interval_ms),
        external_labels: &options.external_labels.clone().into(),
        external_url: &options.external_url.as_str().into(),
    };
    let mut scratch = known.clone();
    let ids = if group_is_right { known } else { &mut scratch };
    let mut rules = Vec::new();
    for node in fields.list("rules", desk) {
        rules.extend(rule::load(node, &around, &mut leaves, ids, desk));
        desk.enter_rule(None);
    }
    desk.enter_group(None);
    if !group_is_right {
        return None;
    }
    let name = name?;
    Some(Group {
        name: name.into(),
        file: desk.file.into(),
        interval_ms,
        slot_ms: options.slots.offset_ms(desk.file, name, interval_ms),
        query_offset_ms,
        subquery_step_ms: options.subquery_step_ms.unwrap_or(interval_ms),
        limit,
        sources,
        rules,
        leaves,
    })
}

fn name<'n>(
    fields: &Fields<'n>,
    names: &mut BTreeSet<String>,
    desk: &mut Desk<'_>,
) -> Option<&'n str> {
    let Some((name, node)) = fields.text("name", desk) else {
        desk.error(
            "group-name",
            fields.place(),
            "this group has no `name`",
            None::<String>,
        );
        return None;
    };
    if name.is_empty() {
        desk.error(
            "group-name",
            node.span.clone(),
            "a group's name must not be empty",
            None::<String>,
        );
    } else if !names.insert(name.to_owned()) {
        let message = format!("a second group `{name}` in this file");
        desk.error(
            "duplicate-group",
            node.span.clone(),
            message,
            Some("give it another name"),
        );
    }
    Some(name)
}

fn bounded(field: &str, ms: Option<i64>, fields: &Fields<'_>, desk: &mut Desk<'_>) -> Option<i64> {
    let ms = ms?;
    if ms <= MAX_MS {
        return Some(ms);
    }
    let span = fields
        .get(field)
        .map_or_else(|| fields.place(), |node| node.span.clone());
    desk.error(
        "duration",
        span,
        format!("`{field}` is too long"),
        None::<String>,
    );
    None
}

fn sources(fields: &Fields<'_>, desk: &mut Desk<'_>) -> Vec<String> {
    let mut sources = Vec::new();
    for item in fields.list("sources", desk) {
        if let Some(text) = item.text().filter(|text| !text.is_empty()) {
            sources.push(text.to_owned());
        } else {
            let message = format!(
                "a source is named by a text, and here stands {}",
                item.noun()
            );
            desk.error("yaml-type", item.span.clone(), message, None::<String>);
        }
    }
    sources
}
