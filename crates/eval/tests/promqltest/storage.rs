//! Samples in memory, as [`Leaves`].

use std::collections::BTreeMap;

use foghorn_eval::promql::range::range_value_at;
use foghorn_eval::vector::{Element, Leaves, Point, Vector};
use foghorn_model::matcher::all_match;
use foghorn_model::{Labels, Timestamp, is_stale};
use foghorn_rules::plan::{LOOKBACK_MS, Leaf, LeafId, Read};

/// Everything that a script has loaded.
#[derive(Default)]
pub(crate) struct Storage {
    pub(crate) series: BTreeMap<Labels, Series>,
}

#[derive(Default)]
pub(crate) struct Series {
    pub(crate) points: Vec<Point>,
    /// It has native histograms, which are not known here.
    pub(crate) native: bool,
}

/// The leaves of one expression.
pub(crate) struct Reader<'a> {
    pub(crate) storage: &'a Storage,
    pub(crate) leaves: &'a [Leaf],
    /// A series with native histograms was read: the result is not ours to judge.
    pub(crate) native: bool,
}

impl Leaves for Reader<'_> {
    fn leaf(&mut self, leaf: LeafId, at: Timestamp) -> Vector {
        let leaf = &self.leaves[leaf.0 as usize];
        let end = leaf.at_ms.unwrap_or(at.ms()) - leaf.offset_ms;
        let (Read::Instant { selector, .. } | Read::Range { selector, .. }) = &leaf.read else {
            panic!("not a leaf of series: {leaf:?}");
        };
        let mut vector = Vec::new();
        for (labels, series) in &self.storage.series {
            if !all_match(&selector.matchers, labels) {
                continue;
            }
            self.native |= series.native;
            match &leaf.read {
                Read::Instant { timestamp, .. } => {
                    let last = series
                        .points
                        .iter()
                        .rfind(|p| p.t <= end && p.t > end - LOOKBACK_MS);
                    let Some(last) = last.filter(|p| !is_stale(p.v)) else {
                        continue;
                    };
                    vector.push(if *timestamp {
                        Element {
                            labels: labels.without_name(),
                            value: last.t as f64 / 1e3,
                        }
                    } else {
                        Element {
                            labels: labels.clone(),
                            value: last.v,
                        }
                    });
                }
                Read::Range {
                    range_ms,
                    func,
                    params,
                    ..
                } => {
                    let start = end - range_ms;
                    let within = series
                        .points
                        .iter()
                        .filter(|p| p.t > start && p.t <= end && !is_stale(p.v));
                    let points: Vec<Point> = within.copied().collect();
                    let value = range_value_at(*func, &points, start, end, at.ms(), params);
                    let labels = if func.keeps_name() {
                        labels.clone()
                    } else {
                        labels.without_name()
                    };
                    vector.extend(value.map(|value| Element { labels, value }));
                }
                Read::Subquery { .. } | Read::Log { .. } => {}
            }
        }
        vector.sort_by(|a, b| a.labels.cmp(&b.labels));
        vector
    }
}
