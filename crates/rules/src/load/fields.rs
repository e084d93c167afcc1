//! Mappings with known keys, and the desk where problems are handed in.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::duration;
use crate::yaml::{Kind, Mapping, Node};

/// Collects one file's problems.
pub(crate) struct Desk<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
    group: Option<String>,
    rule: Option<String>,
    diagnostics: Vec<Diagnostic>,
    /// How many of them are errors.
    errors: usize,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        Self {
            file,
            text,
            group: None,
            rule: None,
            diagnostics: Vec::new(),
            errors: 0,
        }
    }

    /// Problems from now on belong to this group.
    pub(crate) fn enter_group(&mut self, name: Option<&str>) {
        self.group = name.map(str::to_owned);
    }

    /// Problems from now on belong to this rule.
    pub(crate) fn enter_rule(&mut self, name: Option<&str>) {
        self.rule = name.map(str::to_owned);
    }

    /// How many errors there are so far.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    pub(crate) fn error(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        hint: Option<impl Into<String>>,
    ) {
        self.errors += 1;
        self.take(Diagnostic::error(code, self.file, self.text, span, message).with_hint(hint));
    }

    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        hint: Option<impl Into<String>>,
    ) {
        self.take(Diagnostic::warning(code, self.file, self.text, span, message).with_hint(hint));
    }

    fn take(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(Diagnostic {
            group: self.group.clone(),
            rule: self.rule.clone(),
            ..diagnostic
        });
    }

    /// All problems in file order; what an alias shows at one place is told once.
    pub(crate) fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort();
        let mut told = BTreeSet::new();
        self.diagnostics
            .retain(|d| told.insert((d.span.start, d.span.end, d.message.clone(), d.rule.clone())));
        self.diagnostics
    }
}

/// A mapping whose keys are known.
pub(crate) struct Fields<'n> {
    what: &'static str,
    node: &'n Node,
    mapping: &'n Mapping,
}

impl<'n> Fields<'n> {
    /// Opens a mapping; unknown and repeated keys are handed in.
    pub(crate) fn open(
        node: &'n Node,
        what: &'static str,
        known: &[&str],
        desk: &mut Desk<'_>,
    ) -> Option<Self> {
        let Kind::Mapping(mapping) = &node.kind else {
            let message = format!("{what} is a mapping, and here stands {}", node.noun());
            desk.error("yaml-type", node.span.clone(), message, None::<String>);
            return None;
        };
        for (key, _) in mapping
            .entries
            .iter()
            .filter(|(key, _)| !known.contains(&key.text.as_str()))
        {
            let message = format!("unknown field `{}` in {what}", key.text);
            let hint = did_you_mean(&key.text, known.iter().copied())
                .unwrap_or_else(|| format!("known are {}", known.join(", ")));
            desk.error("unknown-field", key.span.clone(), message, Some(hint));
        }
        for key in &mapping.repeated {
            let message = format!("`{}` stands twice in {what}", key.text);
            desk.error("duplicate-field", key.span.clone(), message, None::<String>);
        }
        Some(Self {
            what,
            node,
            mapping,
        })
    }

    /// A field's value, where there is one (`null` is none).
    pub(crate) fn get(&self, name: &str) -> Option<&'n Node> {
        self.mapping.get(name).filter(|node| !node.is_null())
    }

    /// Bytes of a field's key.
    pub(crate) fn key(&self, name: &str) -> Range<usize> {
        let found = self
            .mapping
            .entries
            .iter()
            .find(|(key, _)| key.text == name);
        found.map_or_else(|| self.place(), |(key, _)| key.span.clone())
    }

    /// Bytes of its first key: where the mapping as a whole is pointed at.
    pub(crate) fn place(&self) -> Range<usize> {
        let first = self.mapping.entries.first();
        first.map_or_else(|| self.node.span.clone(), |(key, _)| key.span.clone())
    }

    /// A text.
    pub(crate) fn text(&self, name: &str, desk: &mut Desk<'_>) -> Option<(&'n str, &'n Node)> {
        let node = self.get(name)?;
        let text = node.text();
        if text.is_none() {
            self.wrong(name, node, "a text", desk);
        }
        text.map(|text| (text, node))
    }

    /// A list's items; none where there is no such field.
    pub(crate) fn list(&self, name: &str, desk: &mut Desk<'_>) -> &'n [Arc<Node>] {
        match self.get(name) {
            None => &[],
            Some(Node {
                kind: Kind::Sequence(items),
                ..
            }) => items,
            Some(node) => {
                self.wrong(name, node, "a list", desk);
                &[]
            }
        }
    }

    /// A duration in milliseconds.
    pub(crate) fn duration(&self, name: &str, desk: &mut Desk<'_>) -> Option<i64> {
        let (text, node) = self.text(name, desk)?;
        match duration::parse(text) {
            Ok(ms) => Some(ms),
            Err(error) => {
                let hint = matches!(error, duration::DurationError::NoUnit(_))
                    .then(|| format!("say in which unit: {text}s, {text}m, …"));
                desk.error(
                    "duration",
                    node.span.clone(),
                    format!("`{name}`: {error}"),
                    hint,
                );
                None
            }
        }
    }

    /// A duration of at least a millisecond.
    pub(crate) fn positive_duration(&self, name: &str, desk: &mut Desk<'_>) -> Option<i64> {
        let ms = self.duration(name, desk)?;
        if ms > 0 {
            return Some(ms);
        }
        let span = self
            .get(name)
            .map_or_else(|| self.place(), |node| node.span.clone());
        desk.error(
            "duration",
            span,
            format!("`{name}` must be longer than 0"),
            None::<String>,
        );
        None
    }

    /// A number that passes a test.
    pub(crate) fn number(
        &self,
        name: &str,
        passes: impl Fn(f64) -> bool,
        expected: &str,
        desk: &mut Desk<'_>,
    ) -> Option<f64> {
        let (text, node) = self.text(name, desk)?;
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() && passes(value) => Some(value),
            _ => {
                self.wrong(name, node, expected, desk);
                None
            }
        }
    }

    /// A whole number from `least` on.
    pub(crate) fn count(&self, name: &str, least: u32, desk: &mut Desk<'_>) -> Option<u32> {
        let (text, node) = self.text(name, desk)?;
        match text.parse::<u32>() {
            Ok(value) if value >= least => Some(value),
            _ => {
                self.wrong(
                    name,
                    node,
                    &format!("a whole number, at least {least}"),
                    desk,
                );
                None
            }
        }
    }

    /// A boolean, as YAML 1.2 writes them.
    pub(crate) fn flag(&self, name: &str, desk: &mut Desk<'_>) -> Option<bool> {
        let (text, node) = self.text(name, desk)?;
        match text {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => {
                self.wrong(name, node, "true or false", desk);
                None
            }
        }
    }

    /// One of some words.
    pub(crate) fn choice<T: Copy>(
        &self,
        name: &str,
        words: &[(&str, T)],
        desk: &mut Desk<'_>,
    ) -> Option<T> {
        let (text, node) = self.text(name, desk)?;
        let found = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(name, node, &format!("one of {}", known.join(", ")), desk);
        }
        found
    }

    /// A mapping of texts, in file order, with the places of key and value.
    pub(crate) fn texts(
        &self,
        name: &str,
        desk: &mut Desk<'_>,
    ) -> Vec<(&'n str, Range<usize>, &'n Node)> {
        let Some(node) = self.get(name) else {
            return Vec::new();
        };
        let Kind::Mapping(mapping) = &node.kind else {
            self.wrong(name, node, "a mapping", desk);
            return Vec::new();
        };
        for key in &mapping.repeated {
            let message = format!("`{}` stands twice in `{name}`", key.text);
            desk.error("duplicate-field", key.span.clone(), message, None::<String>);
        }
        let mut texts = Vec::with_capacity(mapping.entries.len());
        for (key, value) in &mapping.entries {
            if value.text().is_some() {
                texts.push((key.text.as_str(), key.span.clone(), &**value));
            } else {
                let message = format!(
                    "`{}` must be a text, and here stands {}",
                    key.text,
                    value.noun()
                );
                desk.error("yaml-type", value.span.clone(), message, None::<String>);
            }
        }
        texts
    }

    fn wrong(&self, name: &str, node: &Node, expected: &str, desk: &mut Desk<'_>) {
        let found = match node.text() {
            Some(text) if text.len() <= 40 => format!("`{text}`"),
            _ => node.noun().to_owned(),
        };
        let message = format!(
            "`{name}` of {} must be {expected}, and here stands {found}",
            self.what
        );
        desk.error("yaml-type", node.span.clone(), message, None::<String>);
    }
}
