//! What alerts ask of their tick: what their condition compares, and the queries of their templates.

use foghorn_eval::alerts::{BaseValues, World};
use foghorn_eval::catalog::{Catalog, GroupIndex};
use foghorn_eval::columns::{AskedReader, TickReader};
use foghorn_eval::promql::Evaluator;
use foghorn_model::{Labels, Timestamp};
use foghorn_rules::plan::{Group, Leaf, Read, Rule};
use foghorn_rules::promql;
use foghorn_rules::template::{Queries, Sample};

/// Where a base comes from.
pub(super) enum Base {
    /// The rule does nothing but compare a leaf with a number.
    Tested,
    /// It is worked out when it is first asked for: few alerts end at a tick.
    Asked(Option<BaseValues>),
    /// It is there.
    Known(BaseValues),
}

/// See the module's text.
pub(super) struct TickWorld<'w, 'a, 'b> {
    pub(super) catalog: &'w Catalog,
    pub(super) index: GroupIndex,
    pub(super) group: &'w Group,
    pub(super) rule: &'w Rule,
    /// The rule's position in its group.
    pub(super) r: usize,
    pub(super) at: Timestamp,
    pub(super) base: Base,
    pub(super) evaluator: &'w mut Evaluator,
    pub(super) reader: &'w mut TickReader<'a, 'b>,
}

impl World for TickWorld<'_, '_, '_> {
    fn base(&mut self, element: &Labels) -> Option<f64> {
        let values = match &mut self.base {
            Base::Tested => return self.reader.compared(self.r, element).flatten(),
            Base::Known(values) => values,
            Base::Asked(values) => values.get_or_insert_with(|| {
                let expr = &self.rule.expr;
                let condition = self
                    .evaluator
                    .condition(self.group, expr, self.at, self.reader);
                let base = condition.ok().and_then(|condition| condition.base);
                BaseValues::new(&base.unwrap_or_default())
            }),
        };
        values.value(element)
    }
}

impl Queries for TickWorld<'_, '_, '_> {
    fn query(&mut self, text: &str) -> Result<Vec<Sample>, String> {
        let mut leaves = Vec::new();
        let step_ms = self.group.subquery_step_ms;
        let expr = promql::compile(text, step_ms, &mut leaves)
            .map_err(|error| format!("error parsing {text:?}: {}", error.message))?;
        if let Some(leaf) = leaves.iter().find(|leaf| !self.is_kept(leaf)) {
            return Err(format!("series that no rule names: {:?}", named(leaf)));
        }
        let asking = Group {
            rules: Vec::new(),
            leaves,
            ..self.group.clone()
        };
        let mut reader = AskedReader::new(self.reader, &asking.leaves);
        let value = self
            .evaluator
            .evaluate(&asking, &expr, self.at, &mut reader);
        let elements = value.and_then(foghorn_eval::promql::Value::into_elements);
        let elements = elements.map_err(|error| error.to_string())?;
        let samples = elements.into_iter().map(|element| Sample {
            labels: element.labels,
            value: element.value,
        });
        Ok(samples.collect())
    }
}

impl TickWorld<'_, '_, '_> {
    /// Whether what a leaf reads is kept for the group.
    fn is_kept(&self, leaf: &Leaf) -> bool {
        match &leaf.read {
            Read::Instant { selector, .. } | Read::Range { selector, .. } => {
                self.catalog.covering(self.index, selector).is_some()
            }
            // What it reads are leaves of its own.
            Read::Subquery { .. } | Read::Log { .. } => true,
        }
    }
}

/// The metric that a leaf names.
fn named(leaf: &Leaf) -> &str {
    match &leaf.read {
        Read::Instant { selector, .. } | Read::Range { selector, .. } => {
            selector.metric.as_deref().unwrap_or("")
        }
        Read::Subquery { .. } | Read::Log { .. } => "",
    }
}
