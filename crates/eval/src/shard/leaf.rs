//! The per-series half of rules: a leaf's vector at a tick.

mod grid;
mod scan;

use std::sync::Arc;

use foghorn_model::labels::NAME;
use foghorn_model::matcher::all_match;
use foghorn_model::{Labels, Matcher, Timestamp};
use foghorn_rules::plan::{LOOKBACK_MS, Leaf, LeafId, LogFunc, RangeFunc, Read};

use super::Shard;
use crate::catalog::{GroupIndex, RECORDED, ReadId};
use crate::promql::range::{asked, range_value_at, summed_value};
use crate::series::{PartitionRank, Series, Span, Total};
use crate::vector::{Element, Point, Vector};

impl Shard {
    /// The vector of a leaf as tick `tick` of its group sees it, evaluated as of `at`, in the order
    /// of labels without the metric's name.
    pub fn leaf(
        &mut self,
        group: GroupIndex,
        leaf: LeafId,
        tick: Timestamp,
        at: Timestamp,
    ) -> Vector {
        let catalog = Arc::clone(&self.catalog);
        match catalog.leaf_read(group, leaf) {
            Some(read) => {
                let leaf = &catalog.group(group).leaves[leaf.0 as usize];
                self.read(group, (read, leaf), &[], tick, at)
            }
            None => Vector::new(),
        }
    }

    /// The vector of a leaf that the group does not have, over the members of a read that the group
    /// makes and that covers it: see [`Catalog::covering`](crate::catalog::Catalog::covering).
    pub fn asked(
        &mut self,
        group: GroupIndex,
        leaf: &Leaf,
        tick: Timestamp,
        at: Timestamp,
    ) -> Vector {
        let (Read::Instant { selector, .. } | Read::Range { selector, .. }) = &leaf.read else {
            return Vector::new();
        };
        match self.catalog.covering(group, selector) {
            Some(read) => self.read(group, (read, leaf), &selector.matchers, tick, at),
            None => Vector::new(),
        }
    }

    /// The vector of a leaf over the members of a read that `matchers` let through.
    fn read(
        &mut self,
        group: GroupIndex,
        (read, leaf): (ReadId, &Leaf),
        matchers: &[Matcher],
        tick: Timestamp,
        at: Timestamp,
    ) -> Vector {
        let catalog = Arc::clone(&self.catalog);
        self.order();
        self.sort_members(read);
        let end = leaf.at_ms.unwrap_or(at.ms()) - leaf.offset_ms;
        let mut scratch = std::mem::take(&mut self.scratch);
        let members = &self.members[read.0 as usize];
        let mut vector = Vector::with_capacity(members.len());
        let seen = |slot: &u32| {
            self.series[*slot as usize]
                .as_ref()
                .filter(|series| catalog.reads_source(group, series.source))
                .filter(|series| all_match(matchers, &series.labels))
        };
        let mut members = members.iter().filter_map(seen).peekable();
        while let Some(mut series) = members.next() {
            // Series of several sources with the same labels are one to a group that reads them all.
            let mut merged: Option<Series> = None;
            while let Some(twin) = members.next_if(|next| next.labels == series.labels) {
                if twin.source == RECORDED {
                    if self.stands(twin, series, group, tick, end) {
                        series = twin;
                    }
                    continue;
                }
                merged
                    .get_or_insert_with(|| series.clone())
                    .merge(twin, group, |a, b| self.is_lower(a, b));
            }
            let series = merged.as_ref().unwrap_or(series);
            let heard_until = self.heard_until(series, group, tick).min(end);
            let view = View {
                group,
                tick,
                at,
                end,
                heard_until,
            };
            if let Some(value) = self.value(series, &leaf.read, view, &mut scratch) {
                let keeps_name = matches!(
                    &leaf.read,
                    Read::Instant {
                        timestamp: false,
                        ..
                    }
                ) || matches!(&leaf.read, Read::Range { func, .. } if func.keeps_name());
                let labels = if keeps_name {
                    series.labels.clone()
                } else {
                    series.labels.without_name()
                };
                vector.push(Element { labels, value });
            }
        }
        self.scratch = scratch;
        vector
    }

    /// Of two series with the same labels that two groups record one stands: the one that goes on,
    /// then the one with the newer sample, then the later group's.
    fn stands(
        &self,
        twin: &Series,
        other: &Series,
        group: GroupIndex,
        tick: Timestamp,
        end: i64,
    ) -> bool {
        let rank = |series: &Series| {
            let span = Span {
                start: i64::MIN,
                end: self.heard_until(series, group, tick).min(end),
            };
            let lower = |a: PartitionRank, b: PartitionRank| self.is_lower(a, b);
            let newest = series.newest(span, tick, || Total::Nobodys, lower, &mut Vec::new());
            let newest = newest.map(|point| (!foghorn_model::is_stale(point.v), point.t));
            (newest, series.recorder())
        };
        rank(twin) > rank(other)
    }

    fn is_lower(&self, a: PartitionRank, b: PartitionRank) -> bool {
        self.partitions[a as usize] < self.partitions[b as usize]
    }

    /// A recorder may have run ahead of a group that reads it: what the group may hear of it are
    /// the ticks before its own, and the one at it where the recorder comes first.
    fn heard_until(&self, series: &Series, group: GroupIndex, tick: Timestamp) -> i64 {
        let Some(recorder) = series.recorder() else {
            return i64::MAX;
        };
        let recorded_at = tick - self.catalog.group(recorder).query_offset_ms;
        recorded_at.ms() - i64::from(recorder > group)
    }

    /// From where a delta series' total counts for a group.
    fn total_of(&self, series: &Series, group: GroupIndex, tick: Timestamp) -> Total {
        let reach = |read: &ReadId| {
            self.catalog.reads[read.0 as usize]
                .reach_ms
                .get(&group)
                .copied()
        };
        let reads = self.sets.reads(series.reads);
        let reach_ms = reads.iter().filter_map(reach).max().unwrap_or(0);
        Total::Of {
            group,
            since: (tick - reach_ms).ms(),
        }
    }

    fn value(
        &self,
        series: &Series,
        read: &Read,
        view: View,
        scratch: &mut Vec<Point>,
    ) -> Option<f64> {
        let View {
            group,
            tick,
            at,
            end,
            heard_until,
        } = view;
        let lower = |a: PartitionRank, b: PartitionRank| self.is_lower(a, b);
        let total = || self.total_of(series, group, tick);
        let since = |start: i64| Span {
            start,
            end: heard_until,
        };
        match read {
            Read::Instant { timestamp, .. } => {
                let point = series.newest(since(end - LOOKBACK_MS), tick, total, lower, scratch)?;
                if foghorn_model::is_stale(point.v) {
                    return None;
                }
                Some(if *timestamp {
                    point.t as f64 / 1e3
                } else {
                    point.v
                })
            }
            Read::Range {
                range_ms,
                func,
                params,
                ..
            } => {
                let start = end - range_ms;
                if let Some(asked) = asked(*func).filter(|_| series.is_summed()) {
                    let summary =
                        series
                            .window
                            .summary(start, heard_until, series.stale, asked, scratch)?;
                    return summed_value(*func, &summary, start, end);
                }
                let total = || {
                    if is_difference(*func) {
                        Total::Nobodys
                    } else {
                        total()
                    }
                };
                let points = series.visible(since(start), tick, false, total, lower, scratch);
                if points.is_empty() {
                    None
                } else {
                    range_value_at(*func, points, start, end, at.ms(), params)
                }
            }
            Read::Log { range_ms, func, .. } => {
                let points = series.visible(
                    since(end - range_ms),
                    tick,
                    true,
                    || Total::Nobodys,
                    lower,
                    scratch,
                );
                log_value(*func, points, *range_ms)
            }
            Read::Subquery { .. } => None,
        }
    }

    fn sort_members(&mut self, read: ReadId) {
        if !std::mem::take(&mut self.unsorted[read.0 as usize]) {
            return;
        }
        let (series, sets) = (&self.series, &self.sets);
        let members = &mut self.members[read.0 as usize];
        members.retain(|slot| {
            series[*slot as usize]
                .as_ref()
                .is_some_and(|s| sets.reads(s.reads).contains(&read))
        });
        members.sort_by(|a, b| match (&series[*a as usize], &series[*b as usize]) {
            (Some(a), Some(b)) => {
                nameless_order(&a.labels, &b.labels).then(a.source.cmp(&b.source))
            }
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
        members.dedup();
        self.rows.changed(read);
    }
}

/// Tells when a read's members may be others than before.
#[derive(Debug, Default)]
pub(super) struct Versions {
    changes: u64,
    /// Per read: the last change that touched it.
    last: Vec<u64>,
}

impl Versions {
    pub(super) fn changed(&mut self, read: ReadId) {
        self.changes += 1;
        let at = read.0 as usize;
        if self.last.len() <= at {
            self.last.resize(at + 1, 0);
        }
        self.last[at] = self.changes;
    }

    fn version(&self, read: ReadId) -> u64 {
        self.last.get(read.0 as usize).copied().unwrap_or(0)
    }
}

/// A log function over the records in a range; `None` where there are none.
fn log_value(func: LogFunc, points: &[Point], range_ms: i64) -> Option<f64> {
    let seconds = range_ms as f64 / 1e3;
    let bytes = || points.iter().map(|p| p.v).sum::<f64>();
    (!points.is_empty()).then(|| match func {
        LogFunc::CountOverTime => points.len() as f64,
        LogFunc::Rate => points.len() as f64 / seconds,
        LogFunc::BytesOverTime => bytes(),
        LogFunc::BytesRate => bytes() / seconds,
    })
}

/// How a tick looks at a series.
#[derive(Clone, Copy)]
struct View {
    group: GroupIndex,
    tick: Timestamp,
    /// Evaluation time.
    at: Timestamp,
    /// Evaluation time, with the leaf's own `offset` and `@`.
    end: i64,
    /// No sample after this is seen.
    heard_until: i64,
}

/// Functions that only differences between samples count for.
fn is_difference(func: RangeFunc) -> bool {
    use RangeFunc::{Changes, Delta, Deriv, Idelta, Increase, Irate, Rate, Resets};
    matches!(
        func,
        Rate | Increase | Delta | Irate | Idelta | Deriv | Changes | Resets
    )
}

/// Label order without the metric's name, then the name: the same order whether or not a function
/// drops the name.
pub fn nameless_order(a: &Labels, b: &Labels) -> std::cmp::Ordering {
    bare(a)
        .cmp(bare(b))
        .then_with(|| a.metric().cmp(b.metric()))
}

/// Looks past the name in place: a tick over several shards compares many thousand times.
fn bare(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().filter(|(name, _)| *name != NAME)
}
