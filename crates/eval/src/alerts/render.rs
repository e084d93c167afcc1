//! Labels and annotations of an alert.

use foghorn_model::labels::NAME;
use foghorn_model::{Labels, LabelsBuilder};
use foghorn_rules::plan::Rule;
use foghorn_rules::template::{Template, TemplateContext};

/// The label that holds the rule's name.
const ALERT_NAME: &str = "alertname";

/// Renders a rule's templates.
#[derive(Clone, Copy)]
pub(super) struct Renderer<'a> {
    rule: &'a Rule,
    external: &'a [(String, String)],
}

impl<'a> Renderer<'a> {
    pub(super) fn new(rule: &'a Rule, external: &'a [(String, String)]) -> Self {
        Self { rule, external }
    }

    /// Whether nothing that it renders depends on the value. (A template that does not spell
    /// `$value` or `.Value` cannot see it.)
    pub(super) fn ignores_value(self) -> bool {
        let mut templates = self.rule.labels.iter().chain(&self.rule.annotations);
        templates.all(|(_, template)| template.is_plain() || !template.source().contains("alue"))
    }

    /// The element's labels without the metric's name, under the rule's labels and `alertname`.
    pub(super) fn labels(self, element: &Labels, value: f64) -> Labels {
        let mut builder = element.to_builder();
        builder.remove(NAME);
        self.render(&self.rule.labels, element, value, &mut builder);
        builder.set(ALERT_NAME, &self.rule.name);
        builder.build()
    }

    /// The rule's annotations.
    pub(super) fn annotations(self, element: &Labels, value: f64) -> Labels {
        let mut builder = LabelsBuilder::default();
        self.render(&self.rule.annotations, element, value, &mut builder);
        builder.build()
    }

    fn render(
        self,
        templates: &[(String, Template)],
        element: &Labels,
        value: f64,
        into: &mut LabelsBuilder,
    ) {
        let context = TemplateContext::new(element, value).with_external_labels(self.external);
        for (name, template) in templates {
            into.set(name, &template.render(&context));
        }
    }
}
