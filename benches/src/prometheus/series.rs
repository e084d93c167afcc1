//! Series for a rule set: label sets that its selectors name.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_eval::catalog::Catalog;
use foghorn_model::labels::NAME;
use foghorn_model::matcher::all_match;
use foghorn_model::{Labels, LabelsBuilder};
use foghorn_rules::plan::{Read, Selector};
use foghorn_testkit::passing::candidates;

/// A series to be sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) labels: Labels,
    /// Whether it only rises.
    counter: bool,
    /// Its position among the series of its selector.
    number: u64,
}

/// Borders of histograms.
const BORDERS: [&str; 6] = ["0.05", "0.5", "1", "5", "30", "+Inf"];
/// Labels that rules join by, where a selector says nothing of them.
const IDENTITY: [&str; 6] = ["instance", "namespace", "node", "pod", "container", "job"];

/// At least `total` series, evenly over the selectors of metrics that no rule records.
pub(super) fn series(catalog: &Catalog, total: u64) -> Vec<Sent> {
    let groups = &catalog.rules.groups;
    let recorded: BTreeSet<&str> = groups.iter().flat_map(|group| group.records()).collect();
    let mut selectors = BTreeMap::new();
    for leaf in groups.iter().flat_map(|group| &group.leaves) {
        let (Read::Instant { selector, .. } | Read::Range { selector, .. }) = &leaf.read else {
            continue;
        };
        let metric = selector.metric.as_deref().unwrap_or_default();
        if !metric.is_empty() && !recorded.contains(metric) {
            let text: Vec<_> = selector.matchers.iter().map(ToString::to_string).collect();
            selectors.insert(text, selector);
        }
    }
    let each = total.div_ceil(selectors.len().max(1) as u64);
    let mut known = BTreeSet::new();
    let all = selectors.values().flat_map(|selector| {
        let base = base(selector);
        (0..each).filter_map(move |number| one(selector, &base, number))
    });
    all.filter(|sent| known.insert(sent.labels.clone()))
        .collect()
}

/// Labels that pass a selector's matchers.
fn base(selector: &Selector) -> BTreeMap<String, String> {
    let mut base = BTreeMap::new();
    for matcher in selector.matchers.iter().filter(|m| &*m.name != NAME) {
        let chosen = candidates(matcher).find(|value| {
            let all = || selector.matchers.iter().filter(|m| m.name == matcher.name);
            all().all(|m| m.accepts(value))
        });
        if let Some(value) = chosen.filter(|value| !value.is_empty()) {
            base.insert(matcher.name.to_string(), value);
        }
    }
    base
}

/// The `number`th series of a selector.
fn one(selector: &Selector, base: &BTreeMap<String, String>, number: u64) -> Option<Sent> {
    let metric = selector.metric.as_deref()?;
    let is_histogram = metric.ends_with("_bucket");
    let (borders, within) = if is_histogram {
        (BORDERS.len() as u64, number % BORDERS.len() as u64)
    } else {
        (1, 0)
    };
    let who = number / borders;
    let mut builder = LabelsBuilder::default();
    builder.set(NAME, metric);
    for label in IDENTITY {
        let value = match label {
            "instance" => format!("10.0.{}.{}:9100", who / 250, who % 250),
            "namespace" => format!("team-{}", who % 40),
            "node" => format!("node-{}", who % 100),
            "pod" => format!("pod-{who}"),
            "container" => "main".to_owned(),
            _ => "kubelet".to_owned(),
        };
        builder.set(label, &value);
    }
    for (name, value) in base {
        builder.set(name, value);
    }
    if is_histogram && !base.contains_key("le") {
        builder.set("le", BORDERS[within as usize]);
    }
    let labels = builder.build();
    let ends = ["_total", "_count", "_sum", "_bucket"];
    all_match(&selector.matchers, &labels).then(|| Sent {
        labels,
        counter: ends.iter().any(|end| metric.ends_with(end)),
        number,
    })
}

impl Sent {
    /// The value of a round: a counter's pace and a gauge's level are its own.
    pub(super) fn value(&self, round: u64) -> f64 {
        let own = crate::dataset::mix(self.number);
        if self.counter {
            return (round * (own % 50 + 1)) as f64;
        }
        // Most of what tells a state is calm.
        if own.is_multiple_of(50) { 1.0 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foghorn_engine::RuleFile;

    #[test]
    fn every_selector_finds_series() {
        let text = "groups:\n- name: g\n  rules:\n  - record: r:a\n    expr: sum by (pod) (rate(a_total{job=\"j\",code=~\"5..|404\",mode!=\"idle\",x!=\"\"}[5m]))\n  - alert: A\n    expr: r:a > 1 and on (pod) b{phase=~\"Pending|Unknown\"} == 1\n";
        let file = RuleFile {
            path: "t.yaml".to_owned(),
            text: text.to_owned(),
        };
        let catalog = crate::rules::catalog(&file).unwrap();
        let all = series(&catalog, 10);
        let of = |metric: &str| {
            let found = all.iter().filter(|sent| sent.labels.metric() == metric);
            found.map(|sent| sent.labels.clone()).collect::<Vec<_>>()
        };
        assert_eq!((of("a_total").len(), of("b").len(), all.len()), (5, 5, 10));
        let first = &of("a_total")[0];
        assert_eq!(
            ["job", "code", "mode", "x", "pod"].map(|name| first.value(name)),
            ["j", "500", "some", "some", "pod-0"]
        );
        assert_eq!(of("b")[3].value("phase"), "Pending");
    }
}
