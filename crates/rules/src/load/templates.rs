//! Templates of a rule, and what they ask.

use super::fields::Desk;
use super::rule::{Surroundings, Written};
use crate::plan::{Expr, Leaf, Read, Selector};
use crate::promql;
use crate::template::{HOLE, Template, TemplateError};
use foghorn_model::labels::NAME;

/// Compiles a rule's texts.
pub(super) struct Templates<'a, 'b> {
    pub(super) around: &'a Surroundings<'a>,
    /// Nothing is a template: a recording rule's labels.
    pub(super) plain: bool,
    /// Where leaves and expressions of queries go; `None` where nobody could answer them.
    pub(super) asks: Option<(&'b mut Vec<Leaf>, &'b mut Vec<Expr>)>,
}

impl Templates<'_, '_> {
    /// Compiles texts. In a recording rule they are plain; in an alert's labels everything must run;
    /// an annotation that only Prometheus could render costs its text, not its alert.
    pub(super) fn compile(
        &mut self,
        written: &Written<'_>,
        are_labels: bool,
        desk: &mut Desk<'_>,
    ) -> Vec<(String, Template)> {
        let mut templates = Vec::with_capacity(written.len());
        for (name, (_, node)) in written {
            let text = node.text().unwrap_or("");
            let template = match self.one(text) {
                Ok(template) => template,
                Err(error) => {
                    let end = text[error.at..]
                        .find([' ', '\n', '}'])
                        .map_or(text.len(), |end| error.at + end.max(1));
                    let span = node.locate(desk.text, error.at..end);
                    let message = format!("`{name}`: {}", error.message);
                    if error.unsupported && !are_labels {
                        let hint =
                            "the alert works, and this annotation says so in place of its text";
                        desk.warning("template", span, message, Some(hint));
                        Template::failing(text, &error.message)
                    } else {
                        desk.error("template", span, message, None::<String>);
                        continue;
                    }
                }
            };
            let template = template
                .with_external_labels(self.around.external_labels)
                .with_external_url(self.around.external_url);
            templates.push(((*name).to_owned(), template));
        }
        templates
    }

    fn one(&mut self, text: &str) -> Result<Template, TemplateError> {
        if self.plain {
            return Ok(Template::plain(text));
        }
        let template = Template::compile(text)?;
        for asked in template.asked() {
            let refuse = |message: String| TemplateError {
                at: asked.at,
                message,
                unsupported: true,
            };
            let Some((leaves, queries)) = &mut self.asks else {
                let message = "a rule on log records cannot ask queries".to_owned();
                return Err(refuse(message));
            };
            let before = leaves.len();
            let expr = promql::compile(&asked.text, self.around.step_ms, leaves)
                .map_err(|error| refuse(format!("this query is wrong: {}", error.message)))?;
            if leaves[before..].iter_mut().any(|leaf| !fill(leaf)) {
                leaves.truncate(before);
                let message = "the metric's name in this query must be written out".to_owned();
                return Err(refuse(message));
            }
            queries.push(expr);
        }
        Ok(template)
    }
}

/// What only rendering can tell is read whole: its matchers go. `false` where the name is among it.
fn fill(leaf: &mut Leaf) -> bool {
    let (Read::Instant { selector, .. } | Read::Range { selector, .. }) = &mut leaf.read else {
        return true;
    };
    let Selector { metric, matchers } = selector;
    if metric.as_ref().is_some_and(|metric| metric.contains(HOLE)) {
        return false;
    }
    let is_hole = |matcher: &foghorn_model::Matcher| {
        matcher.value.contains(HOLE) || matcher.name.contains(HOLE)
    };
    if matchers
        .iter()
        .any(|matcher| is_hole(matcher) && &*matcher.name == NAME)
    {
        return false;
    }
    matchers.retain(|matcher| !is_hole(matcher));
    true
}
