//! `line_format` and `label_format`: the plain part of their templates, texts and `{{.label}}`.

/// A template of texts and labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineTemplate {
    /// Pieces in order.
    pub parts: Vec<TemplatePart>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// As it stands.
    Text(String),
    /// A label's value; missing is empty.
    Label(String),
    /// The line as it is by then.
    Line,
}

/// One assignment of `label_format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelFormat {
    /// `to=from`: renames.
    Rename {
        /// The new name.
        to: String,
        /// The old one, which goes.
        from: String,
    },
    /// `to="template"`.
    Template {
        /// The label.
        to: String,
        /// Its new value.
        template: LineTemplate,
    },
}

impl LineTemplate {
    /// Reads a template; `None` where it holds an action other than `{{.label}}` or `{{__line__}}`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            let close = open + rest[open..].find("}}")?;
            if open > 0 {
                parts.push(TemplatePart::Text(rest[..open].to_owned()));
            }
            let action = rest[open + 2..close].trim();
            parts.push(match action.strip_prefix('.') {
                Some(label) if is_label(label) => TemplatePart::Label(label.to_owned()),
                None if action == "__line__" => TemplatePart::Line,
                _ => return None,
            });
            rest = &rest[close + 2..];
        }
        if !rest.is_empty() {
            parts.push(TemplatePart::Text(rest.to_owned()));
        }
        Some(Self { parts })
    }
}

/// Whether a text is a label's name: a letter or `_`, then letters, digits and `_`.
pub(super) fn is_label(text: &str) -> bool {
    text.bytes()
        .enumerate()
        .all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit()))
        && !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_templates_only() {
        let text = |t: &str| TemplatePart::Text(t.to_owned());
        let label = |t: &str| TemplatePart::Label(t.to_owned());
        let check = |source: &str, expect: Option<Vec<TemplatePart>>| {
            assert_eq!(
                LineTemplate::parse(source),
                expect.map(|parts| LineTemplate { parts }),
                "{source}"
            );
        };
        check("a {{.b}} c", Some(vec![text("a "), label("b"), text(" c")]));
        check(
            "{{ .b }}{{__line__}}",
            Some(vec![label("b"), TemplatePart::Line]),
        );
        check("{{ .b | upper }}", None);
        check("{{ .b", None);
    }
}
