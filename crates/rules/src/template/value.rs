//! Values that templates work on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use foghorn_model::Labels;

use super::format::format_float;
use super::{Sample, TemplateContext};

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Nil,
    Text(Cow<'a, str>),
    Float(f64),
    Int(i64),
    Bool(bool),
    /// A label set: Go's `map[string]string`.
    Labels(Cow<'a, Labels>),
    /// External labels.
    Pairs(&'a [(String, String)]),
    /// The data that the template was called with.
    Root(&'a TemplateContext<'a>),
    /// An element of a query's result.
    Sample(Sample),
    /// A query's result.
    Samples(Arc<Vec<Sample>>),
    /// Arguments by name: `arg0`, `arg1`, …
    Map(Arc<BTreeMap<String, Value<'a>>>),
    /// Something of which only the text counts here, and its type in Go.
    Opaque(&'static str, String),
}

impl<'a> Value<'a> {
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    /// Name of its type in Go.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Text(_) => "string",
            Self::Float(_) => "float64",
            Self::Int(_) => "int",
            Self::Bool(_) => "bool",
            Self::Labels(_) | Self::Pairs(_) => "map[string]string",
            Self::Root(_) => "struct",
            Self::Sample(_) => "*template.sample",
            Self::Samples(_) => "template.queryResult",
            Self::Map(_) => "map[string]interface {}",
            Self::Opaque(name, _) => name,
        }
    }

    /// Whether `if` takes it for true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Text(text) => !text.is_empty(),
            Self::Float(value) => *value != 0.0,
            Self::Int(value) => *value != 0,
            Self::Bool(value) => *value,
            Self::Labels(labels) => !labels.is_empty(),
            Self::Pairs(pairs) => !pairs.is_empty(),
            Self::Samples(samples) => !samples.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Root(_) | Self::Sample(_) | Self::Opaque(..) => true,
        }
    }

    /// `.name` of it. A label that is not there is the empty string.
    pub(super) fn field(&self, name: &str) -> Result<Self, String> {
        match self {
            Self::Labels(Cow::Borrowed(labels)) => Ok(Self::text(labels.value(name))),
            Self::Labels(Cow::Owned(labels)) => Ok(Self::text(labels.value(name).to_owned())),
            Self::Pairs(pairs) => Ok(Self::text(
                pairs
                    .iter()
                    .find(|(known, _)| known == name)
                    .map_or("", |(_, value)| value),
            )),
            Self::Root(root) => match name {
                "Labels" => Ok(Self::Labels(Cow::Borrowed(root.labels))),
                "ExternalLabels" => Ok(Self::Pairs(root.external_labels)),
                "ExternalURL" => Ok(Self::text(root.external_url)),
                "Value" => Ok(Self::Float(root.value)),
                _ => Err(format!("can't evaluate field {name}")),
            },
            Self::Sample(sample) => match name {
                "Labels" => Ok(Self::Labels(Cow::Owned(sample.labels.clone()))),
                "Value" => Ok(Self::Float(sample.value)),
                _ => Err(format!(
                    "can't evaluate field {name} in type {}",
                    self.type_name()
                )),
            },
            Self::Map(map) => Ok(map.get(name).cloned().unwrap_or(Self::Nil)),
            Self::Nil => Err(format!("nil data; no entry for key \"{name}\"")),
            _ => Err(format!(
                "can't evaluate field {name} in type {}",
                self.type_name()
            )),
        }
    }

    /// What `range` walks over: keys and elements. `None` where it cannot.
    pub(super) fn elements(&self) -> Option<Vec<(Self, Self)>> {
        let text = |text: &str| Self::text(text.to_owned());
        Some(match self {
            Self::Nil => Vec::new(),
            Self::Labels(labels) => labels.iter().map(|(n, v)| (text(n), text(v))).collect(),
            Self::Pairs(pairs) => sorted(pairs)
                .into_iter()
                .map(|(n, v)| (text(n), text(v)))
                .collect(),
            Self::Samples(samples) => (0..)
                .zip(samples.iter())
                .map(|(i, sample)| (Self::Int(i), Self::Sample(sample.clone())))
                .collect(),
            Self::Map(map) => map
                .iter()
                .map(|(name, value)| (text(name), value.clone()))
                .collect(),
            Self::Int(count) if *count <= 100_000 => {
                (0..*count).map(|i| (Self::Int(i), Self::Int(i))).collect()
            }
            _ => return None,
        })
    }

    /// As a number; texts are read (Prometheus' `ConvertToFloat`).
    pub(super) fn number(&self) -> Result<f64, String> {
        match self {
            Self::Float(value) => Ok(*value),
            Self::Int(value) => Ok(*value as f64),
            Self::Text(text) => text
                .trim_start_matches('+')
                .parse()
                .map_err(|_| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax")),
            _ => Err(format!("can't convert {} to float", self.type_name())),
        }
    }

    /// As a text, where a function needs one.
    pub(super) fn string(&self) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(self.wrong("string")),
        }
    }

    /// As an element of a query's result.
    pub(super) fn sample(&self) -> Result<&Sample, String> {
        match self {
            Self::Sample(sample) => Ok(sample),
            _ => Err(self.wrong("*template.sample")),
        }
    }

    /// As a query's result.
    pub(super) fn samples(&self) -> Result<&Arc<Vec<Sample>>, String> {
        match self {
            Self::Samples(samples) => Ok(samples),
            _ => Err(self.wrong("template.queryResult")),
        }
    }

    fn wrong(&self, expected: &str) -> String {
        format!(
            "wrong type for value; expected {expected}; got {}",
            self.type_name()
        )
    }

    /// As `%v` prints it.
    pub(super) fn print(&self, out: &mut String) {
        match self {
            Self::Nil => out.push_str("<no value>"),
            Self::Text(text) => out.push_str(text),
            Self::Opaque(_, text) => out.push_str(text),
            Self::Float(value) => out.push_str(&format_float(*value)),
            Self::Int(value) => drop(write!(out, "{value}")),
            Self::Bool(value) => drop(write!(out, "{value}")),
            Self::Labels(labels) => print_map(labels.iter(), out),
            Self::Pairs(pairs) => print_map(sorted(pairs).into_iter(), out),
            Self::Root(root) => {
                out.push('{');
                Self::Labels(Cow::Borrowed(root.labels)).print(out);
                out.push(' ');
                Self::Pairs(root.external_labels).print(out);
                let _ = write!(out, " {} {}}}", root.external_url, format_float(root.value));
            }
            Self::Sample(sample) => print_sample(sample, out),
            Self::Samples(samples) => {
                out.push('[');
                for (i, sample) in samples.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    print_sample(sample, out);
                }
                out.push(']');
            }
            Self::Map(map) => {
                out.push_str("map[");
                for (i, (name, value)) in map.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    let _ = write!(out, "{name}:");
                    match value {
                        Self::Nil => out.push_str("<nil>"),
                        value => value.print(out),
                    }
                }
                out.push(']');
            }
        }
    }
}

fn sorted(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    let mut sorted: Vec<_> = pairs
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    sorted.sort_unstable();
    sorted
}

fn print_sample(sample: &Sample, out: &mut String) {
    out.push('{');
    print_map(sample.labels.iter(), out);
    let _ = write!(out, " {}}}", format_float(sample.value));
}

fn print_map<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>, out: &mut String) {
    out.push_str("map[");
    for (i, (name, value)) in pairs.enumerate() {
        if i > 0 {
            out.push(' ');
        }
        let _ = write!(out, "{name}:{value}");
    }
    out.push(']');
}
