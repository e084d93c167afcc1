//! Which reads may cover a series: by metric, then by one label that must be equal.
//!
//! Ten thousand rules over one metric that each name another service must not each be asked about
//! every series that is born.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_model::Labels;
use foghorn_model::labels::NAME;
use foghorn_model::matcher::MatchOp;
use foghorn_rules::plan::Selector;
use hashbrown::HashMap;

use crate::catalog::ReadId;

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct ReadIndex {
    by_metric: HashMap<Arc<str>, Narrowed>,
    nameless: Narrowed,
}

/// The reads of one metric, or those that name none.
#[derive(Debug, Default)]
struct Narrowed {
    /// By a label's name, then by the value that it must have.
    by_label: BTreeMap<Box<str>, HashMap<Box<str>, Vec<ReadId>>>,
    others: Vec<ReadId>,
}

impl ReadIndex {
    /// Enters a read, later than those of smaller ids.
    pub(crate) fn insert(&mut self, read: ReadId, selector: &Selector) {
        let reads = match &selector.metric {
            Some(metric) => self.by_metric.entry(Arc::clone(metric)).or_default(),
            None => &mut self.nameless,
        };
        let equal = selector
            .matchers
            .iter()
            .find(|matcher| matcher.op == MatchOp::Equal && &*matcher.name != NAME);
        match equal {
            Some(matcher) => reads
                .by_label
                .entry(matcher.name.clone())
                .or_default()
                .entry(matcher.value.clone())
                .or_default()
                .push(read),
            None => reads.others.push(read),
        }
    }

    /// Reads that may cover a series, all that do among them; for the same reads the same order.
    pub(crate) fn candidates<'a>(
        &'a self,
        labels: &'a Labels,
    ) -> impl Iterator<Item = ReadId> + 'a {
        let named = self.by_metric.get(labels.metric());
        let both = named.into_iter().chain([&self.nameless]);
        both.flat_map(move |reads| {
            let narrow = reads
                .by_label
                .iter()
                .filter_map(|(name, values)| values.get(labels.value(name)))
                .flatten();
            narrow.chain(&reads.others).copied()
        })
    }
}

#[cfg(test)]
mod tests {
    use foghorn_model::Labels;
    use foghorn_rules::{LoadOptions, Source, load};

    use crate::catalog::Catalog;

    /// The expressions' positions of those that read a series.
    fn check(series: &[(&str, &str)], expect: &[u32]) {
        let exprs = [
            "up",
            "up{job=\"a\"}",
            "up{job=\"b\"}",
            "up{job!=\"a\"}",
            "up{job=~\"a|b\",zone=\"x\"}",
            "up{zone=\"\"}",
            "{job=\"a\"}",
            "down{job=\"a\"}",
        ];
        let rules = exprs.map(|expr| format!("      - record: r\n        expr: '{expr}'\n"));
        let text = format!("groups:\n  - name: g\n    rules:\n{}", rules.concat());
        let (rules, diagnostics) = load(&[Source::new("t.yaml", &text)], &LoadOptions::default());
        let errors = diagnostics.iter().filter(|d| d.is_error()).count();
        assert_eq!(errors, 0, "{diagnostics:?}");
        let catalog = Catalog::new(rules);
        let labels = Labels::from_pairs(series.iter().copied());
        let mut reads: Vec<_> = catalog.reads_of(&labels, 0).map(|read| read.0).collect();
        reads.sort_unstable();
        assert_eq!(reads, expect);
    }

    #[test]
    fn the_index_loses_nothing_and_adds_nothing() {
        check(
            &[("__name__", "up"), ("job", "a"), ("zone", "x")],
            &[0, 1, 4, 6],
        );
        check(&[("__name__", "up"), ("job", "b")], &[0, 2, 3, 5]);
        check(&[("__name__", "down"), ("job", "a")], &[6, 7]);
        check(&[("__name__", "down"), ("job", "b")], &[]);
        check(&[("__name__", "up")], &[0, 3, 5]);
    }
}
