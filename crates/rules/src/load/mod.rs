//! Rule files → a [`RuleSet`] and everything that is wrong with them.
//!
//! A bad rule is left out and pointed at; every other rule loads. All problems are told at once.

mod detector;
mod expression;
pub(crate) mod fields;
mod group;
mod lint;
mod rule;
mod templates;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use foghorn_model::RuleId;

use crate::diagnostic::Diagnostic;
use crate::plan::RuleSet;
use crate::slot::Slots;
use crate::yaml;

use fields::{Desk, Fields};

/// Largest rule file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// A rule file: its path as given, and its text (rooms do no I/O).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Path as given; Prometheus' slots depend on it.
    pub path: String,
    /// Content.
    pub text: String,
}

impl Source {
    /// A file.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
        }
    }
}

/// What a file takes from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Interval of groups that give none, in milliseconds (Prometheus' `evaluation_interval`).
    pub default_interval_ms: i64,
    /// `query_offset` of groups that give none, in milliseconds.
    pub default_query_offset_ms: i64,
    /// Step of subqueries that give none, in milliseconds; `None` for their group's interval.
    /// (Prometheus takes its global `evaluation_interval`.)
    pub subquery_step_ms: Option<i64>,
    /// Where within their interval groups tick.
    pub slots: Slots,
    /// Labels of the process, for templates.
    pub external_labels: Vec<(String, String)>,
    /// Address of the process, for templates.
    pub external_url: String,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            default_interval_ms: 60_000,
            default_query_offset_ms: 0,
            subquery_step_ms: None,
            slots: Slots::Zero,
            external_labels: Vec::new(),
            external_url: String::new(),
        }
    }
}

/// Reads rule files, in the order given.
///
/// The rule set holds every rule that is right; the diagnostics say what is not, in file order.
pub fn load(files: &[Source], options: &LoadOptions) -> (RuleSet, Vec<Diagnostic>) {
    let mut rules = RuleSet::default();
    let mut diagnostics = Vec::new();
    let mut known = BTreeSet::new();
    for file in files {
        let mut desk = Desk::new(&file.path, &file.text);
        load_file(file, options, &mut known, &mut rules, &mut desk);
        diagnostics.extend(desk.into_diagnostics());
    }
    (rules, diagnostics)
}

fn load_file(
    file: &Source,
    options: &LoadOptions,
    known: &mut BTreeSet<RuleId>,
    rules: &mut RuleSet,
    desk: &mut Desk<'_>,
) {
    if file.text.len() > MAX_FILE_BYTES {
        let message = format!("the file is larger than {MAX_FILE_BYTES} bytes");
        desk.error("file-size", 0..0, message, Some("split it"));
        return;
    }
    let document = match yaml::parse(&file.text) {
        Ok(document) => document,
        Err(error) => return desk.error("yaml-syntax", error.span, error.message, error.hint),
    };
    if let Some(second) = document.second {
        let message = "a rule file holds one YAML document; what follows is not read";
        desk.error("yaml-documents", second, message, None::<String>);
    }
    let Some(root) = document.root.filter(|root| !root.is_null()) else {
        return;
    };
    if let yaml::Kind::Mapping(mapping) = &root.kind
        && mapping.get("groups").is_none()
        && mapping.get("spec").is_some()
    {
        let hint = "take out what stands under `spec`";
        let message = "this is a Kubernetes resource, not a rule file";
        return desk.error(
            "not-a-rule-file",
            root.span.start..root.span.start + 1,
            message,
            Some(hint),
        );
    }
    let Some(fields) = Fields::open(&root, "a rule file", &["groups"], desk) else {
        return;
    };
    let mut names = BTreeSet::new();
    for node in fields.list("groups", desk) {
        if let Some(group) = group::load(node, options, &mut names, known, desk) {
            rules.groups.push(std::sync::Arc::new(group));
        }
    }
}
