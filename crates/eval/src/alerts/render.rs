//! Labels and annotations of an alert.

use foghorn_model::labels::NAME;
use foghorn_model::{Labels, LabelsBuilder, Timestamp};
use foghorn_rules::plan::Rule;
use foghorn_rules::template::{Template, TemplateContext};

use super::world::World;

/// The label that holds the rule's name.
const ALERT_NAME: &str = "alertname";

/// Where a rule is evaluated, as its alerts tell.
#[derive(Clone, Copy, Debug)]
pub struct Home<'a> {
    /// What templates see as `$externalLabels`.
    pub external: &'a [(String, String)],
    /// Labels of the scope: every alert has them, whatever else it is given.
    pub scope: &'a Labels,
}

/// Renders a rule's templates.
#[derive(Clone, Copy)]
pub(super) struct Renderer<'a> {
    rule: &'a Rule,
    home: Home<'a>,
    at: Timestamp,
}

/// What templates depend on, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sees {
    /// The element's labels.
    Labels,
    /// And its value.
    Value,
    /// And anything that is another at each tick: what they ask, the time.
    Tick,
}

impl<'a> Renderer<'a> {
    pub(super) fn new(rule: &'a Rule, home: Home<'a>, at: Timestamp) -> Self {
        Self { rule, home, at }
    }

    /// What its labels, and what its annotations depend on.
    pub(super) fn sees(self) -> [Sees; 2] {
        [&self.rule.labels, &self.rule.annotations].map(|templates| {
            let mut sees = Sees::Labels;
            for (_, template) in templates {
                if template.sees_time() {
                    return Sees::Tick;
                }
                if template.sees_value() {
                    sees = Sees::Value;
                }
            }
            sees
        })
    }

    /// The element's labels without the metric's name, under the rule's labels, `alertname` and the
    /// scope.
    pub(super) fn labels(self, element: &Labels, value: f64, world: &mut dyn World) -> Labels {
        let mut builder = element.to_builder();
        builder.remove(NAME);
        self.render(&self.rule.labels, element, value, world, |name, text| {
            builder.set(name, text);
        });
        builder.set(ALERT_NAME, &self.rule.name);
        for (name, value) in self.home.scope.iter() {
            builder.set(name, value);
        }
        builder.build()
    }

    /// The rule's annotations, empty ones among them.
    pub(super) fn annotations(self, element: &Labels, value: f64, world: &mut dyn World) -> Labels {
        let mut builder = LabelsBuilder::default();
        self.render(
            &self.rule.annotations,
            element,
            value,
            world,
            |name, text| {
                builder.set_text(name, text);
            },
        );
        builder.build()
    }

    fn render(
        self,
        templates: &[(String, Template)],
        element: &Labels,
        value: f64,
        world: &mut dyn World,
        mut take: impl FnMut(&str, &str),
    ) {
        let context = TemplateContext::new(element, value)
            .with_external_labels(self.home.external)
            .at(self.at);
        for (name, template) in templates {
            take(name, &template.render_asking(&context, world));
        }
    }
}
