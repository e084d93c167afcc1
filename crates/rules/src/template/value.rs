//! Values that templates work on.

use std::borrow::Cow;
use std::fmt::Write;

use foghorn_model::Labels;

use super::TemplateContext;
use super::format::format_float;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Nil,
    Text(Cow<'a, str>),
    Float(f64),
    Int(i64),
    Bool(bool),
    /// A label set: Go's `map[string]string`.
    Labels(&'a Labels),
    /// External labels.
    Pairs(&'a [(String, String)]),
    /// The data that the template was called with.
    Root(&'a TemplateContext<'a>),
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
            Self::Root(_) => true,
        }
    }

    /// `.name` of it. A label that is not there is the empty string.
    pub(super) fn field(&self, name: &str) -> Result<Self, String> {
        match self {
            Self::Labels(labels) => Ok(Self::text(labels.value(name))),
            Self::Pairs(pairs) => Ok(Self::text(
                pairs
                    .iter()
                    .find(|(known, _)| known == name)
                    .map_or("", |(_, value)| value),
            )),
            Self::Root(root) => match name {
                "Labels" => Ok(Self::Labels(root.labels)),
                "ExternalLabels" => Ok(Self::Pairs(root.external_labels)),
                "Value" => Ok(Self::Float(root.value)),
                _ => Err(format!("can't evaluate field {name}")),
            },
            _ => Err(format!(
                "can't evaluate field {name} in type {}",
                self.type_name()
            )),
        }
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
            _ => Err(format!(
                "wrong type for value; expected string; got {}",
                self.type_name()
            )),
        }
    }

    /// As `%v` prints it.
    pub(super) fn print(&self, out: &mut String) {
        match self {
            Self::Nil => out.push_str("<no value>"),
            Self::Text(text) => out.push_str(text),
            Self::Float(value) => out.push_str(&format_float(*value)),
            Self::Int(value) => drop(write!(out, "{value}")),
            Self::Bool(value) => drop(write!(out, "{value}")),
            Self::Labels(labels) => print_map(labels.iter(), out),
            Self::Pairs(pairs) => {
                let mut sorted: Vec<_> = pairs
                    .iter()
                    .map(|(n, v)| (n.as_str(), v.as_str()))
                    .collect();
                sorted.sort_unstable();
                print_map(sorted.into_iter(), out);
            }
            Self::Root(root) => {
                out.push('{');
                Self::Labels(root.labels).print(out);
                out.push(' ');
                Self::Pairs(root.external_labels).print(out);
                let _ = write!(out, "  {}}}", format_float(root.value));
            }
        }
    }
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
