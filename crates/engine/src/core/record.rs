//! What a recording rule remembers: the series that it recorded at its last tick.

use std::collections::HashSet;

use foghorn_eval::catalog::Catalog;
use foghorn_eval::promql::Value;
use foghorn_eval::vector::{Element, Vector};
use foghorn_model::labels::NAME;
use foghorn_model::{Fingerprint, Labels, STALE_NAN};
use foghorn_rules::plan::Rule;
use foghorn_rules::template::TemplateContext;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// See the module's text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Recording {
    /// What was recorded at the last tick, by the fingerprint of the element that it came from.
    #[serde(with = "pairs")]
    live: HashMap<Fingerprint, Live>,
    tick: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Live {
    labels: Labels,
    /// Whether another rule must see it: else it need not be kept.
    is_kept: bool,
    /// Count of the last tick that recorded it.
    tick: u64,
}

/// A map as the list of its pairs, in order.
mod pairs {
    use serde::{Deserializer, Serializer};

    use super::{Deserialize, Fingerprint, HashMap, Live};

    pub(super) fn serialize<S: Serializer>(
        live: &HashMap<Fingerprint, Live>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let pairs = live.iter().map(|(fingerprint, live)| (fingerprint.0, live));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_unstable_by_key(|(fingerprint, _)| *fingerprint);
        serializer.collect_seq(pairs)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<HashMap<Fingerprint, Live>, D::Error> {
        let pairs = Vec::<(u128, Live)>::deserialize(deserializer)?.into_iter();
        Ok(pairs.map(|(key, live)| (Fingerprint(key), live)).collect())
    }
}

impl Recording {
    /// Whether nothing was recorded at the last tick.
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Series that are recorded for nobody here.
    pub(super) fn unread(&self) -> usize {
        self.live.values().filter(|live| !live.is_kept).count()
    }

    /// After a reload: other rules read other series.
    pub(super) fn read_anew(&mut self, catalog: &Catalog) {
        for live in self.live.values_mut() {
            live.is_kept = catalog.keeps_recorded(&live.labels);
        }
    }

    /// Takes in a tick's result and calls `write` for each sample to be recorded (with whether its
    /// series must be kept): those of the result in its order, then staleness markers of what was
    /// recorded at the last tick and is gone, in label order. `write` says whether the sample stands.
    ///
    /// # Errors
    /// Two elements become one series: nothing is recorded. A rule before this one recorded another
    /// value of a series at this tick, which stands: the rest is recorded.
    pub(super) fn take(
        &mut self,
        catalog: &Catalog,
        rule: &Rule,
        metric: &str,
        vector: Vector,
        mut write: impl FnMut(Labels, bool, f64) -> bool,
    ) -> Result<(), String> {
        self.tick += 1;
        let tick = self.tick;
        // Labels that see the value are derived anew each time.
        let keeps = rule.labels.iter().all(|(_, template)| template.is_plain());
        let mut fresh = Vec::new();
        let mut known = 0;
        let mut samples = Vec::with_capacity(vector.len());
        for element in vector {
            let key = element.labels.fingerprint();
            if let Some(live) = self.live.get_mut(&key).filter(|_| keeps) {
                live.tick = tick;
                known += 1;
                samples.push((live.labels.clone(), live.is_kept, element.value));
            } else {
                let labels = recorded_labels(&element, rule, metric);
                let is_kept = catalog.keeps_recorded(&labels);
                samples.push((labels.clone(), is_kept, element.value));
                let live = Live {
                    labels,
                    is_kept,
                    tick,
                };
                fresh.push((key, live));
            }
        }
        // What is known was distinct at the last tick.
        if !fresh.is_empty() {
            let distinct: HashSet<_> = samples.iter().map(|(labels, ..)| labels).collect();
            if distinct.len() < samples.len() {
                return Err(
                    "vector contains metrics with the same labelset after applying rule labels"
                        .to_owned(),
                );
            }
        }
        let mut gone = Vec::new();
        if known < self.live.len() {
            let left = self.live.extract_if(|_, live| live.tick != tick);
            gone.extend(left.map(|(_, live)| live));
        }
        if !gone.is_empty() {
            let back: HashSet<_> = fresh.iter().map(|(_, live)| &live.labels).collect();
            gone.retain(|live| !back.contains(&live.labels));
            gone.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        self.live.extend(fresh);
        let mut all_stand = true;
        for (labels, is_kept, value) in samples {
            all_stand &= write(labels, is_kept, value);
        }
        for live in gone {
            // Another rule may go on with the series at this very tick: its sample stands.
            write(live.labels, live.is_kept, STALE_NAN);
        }
        if !all_stand {
            return Err("duplicate sample for timestamp".to_owned());
        }
        Ok(())
    }
}

fn recorded_labels(element: &Element, rule: &Rule, metric: &str) -> Labels {
    let mut builder = element.labels.to_builder();
    builder.set(NAME, metric);
    if !rule.labels.is_empty() {
        let context = TemplateContext::new(&element.labels, element.value);
        for (name, template) in &rule.labels {
            builder.set(name, &template.render(&context));
        }
    }
    builder.build()
}

/// A result as a recording rule takes it: a number stands for one element without labels.
///
/// # Errors
/// A string cannot be recorded.
pub(super) fn recordable(value: Value) -> Result<Vector, String> {
    match value {
        Value::Vector(vector) => Ok(vector),
        Value::Scalar(value) => Ok(vec![Element {
            labels: Labels::empty(),
            value,
        }]),
        Value::Text(_) => Err("a recording rule cannot record a string".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use foghorn_rules::{LoadOptions, Source, load};

    use super::*;

    /// Takes in ticks of `host value …`, and checks what is recorded at each.
    fn check(labels: &str, ticks: &[(&str, &str)]) {
        let text = format!(
            "groups:\n  - name: g\n    rules:\n      - record: r\n        expr: m\n        labels: {labels}\n      - record: s\n        expr: r{{host!=\"b\"}}\n"
        );
        let (rules, diagnostics) = load(&[Source::new("r.yaml", &text)], &LoadOptions::default());
        assert!(!diagnostics.iter().any(foghorn_rules::Diagnostic::is_error));
        let catalog = Catalog::new(rules);
        let rule = &catalog.group(0).rules[0];
        let mut recording = Recording::default();
        for (tick, expect) in ticks {
            let words: Vec<&str> = tick.split_whitespace().collect();
            let elements = words.chunks(2).map(|pair| Element {
                labels: Labels::from_pairs([(NAME, "m"), ("host", pair[0])]),
                value: pair[1].parse().unwrap(),
            });
            let mut written = Vec::new();
            let write = |labels: Labels, is_kept: bool, value: f64| {
                let host = labels.value("host").to_owned();
                let value = if foghorn_model::is_stale(value) {
                    "ends".to_owned()
                } else {
                    value.to_string()
                };
                let unread = if is_kept { "" } else { " unread" };
                assert_eq!(labels.metric(), "r");
                written.push(format!("{host} {value}{unread}"));
                true
            };
            let result = recording.take(&catalog, rule, "r", elements.collect(), write);
            let told = match result {
                Ok(()) => written.join(", "),
                Err(error) => error.split_whitespace().last().unwrap().to_owned(),
            };
            assert_eq!(told, *expect, "{tick}");
        }
    }

    #[test]
    fn what_is_gone_ends_once() {
        check(
            "{}",
            &[
                ("a 1 b 2 c 3", "a 1, b 2 unread, c 3"),
                ("c 4", "c 4, a ends, b ends unread"),
                ("a 5 c 6", "a 5, c 6"),
                ("", "a ends, c ends"),
                ("", ""),
            ],
        );
    }

    #[test]
    fn two_elements_cannot_be_one_series() {
        let one = "{host: x}";
        check(
            one,
            &[("a 1", "x 1"), ("a 1 b 2", "labels"), ("a 3", "x 3")],
        );
        // The series goes on under another element.
        check(one, &[("a 1", "x 1"), ("b 2", "x 2"), ("", "x ends")]);
    }
}
