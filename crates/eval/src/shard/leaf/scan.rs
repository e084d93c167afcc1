//! One walk over the series of a read that fills all columns of a [`Scan`].

use std::sync::Arc;

use foghorn_model::{Labels, Timestamp, is_stale};
use foghorn_rules::plan::LOOKBACK_MS;

use super::{View, grid, is_difference, log_value};
use crate::catalog::{Catalog, GroupIndex, RECORDED};
use crate::columns::{ABSENT, Dense, Scan, Scanned};
use crate::promql::range::{asked, range_value_at, summed_value};
use crate::series::{PartitionRank, Series, Span};
use crate::shard::Shard;
use crate::vector::Point;

/// Buffers of a walk.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) points: Vec<Point>,
    pub(super) clean: Vec<Point>,
    pub(super) grid: grid::Buffers,
}

impl Shard {
    /// Labels of a live slot.
    pub(crate) fn labels_at(&self, slot: u32) -> &Labels {
        static NONE: std::sync::LazyLock<Labels> = std::sync::LazyLock::new(Labels::empty);
        match &self.series[slot as usize] {
            Some(series) => &series.labels,
            None => &NONE,
        }
    }

    /// Fills a scan's columns as tick `tick` of its group sees them, evaluated as of `at`. Rows
    /// stand in the order of labels without the metric's name.
    pub(crate) fn scan(
        &mut self,
        group: GroupIndex,
        plan: &Scan,
        tick: Timestamp,
        at: Timestamp,
        out: &mut Scanned,
    ) {
        out.clear(plan.dense.len(), plan.sparse as usize);
        self.order();
        self.sort_members(plan.read);
        out.version = self.rows.version(plan.read);
        let catalog = Arc::clone(&self.catalog);
        let mut scratch = Scratch::default();
        scratch.points = std::mem::take(&mut self.scratch);
        let walk = Walk {
            shard: self,
            catalog: &catalog,
            plan,
            group,
            tick,
            at,
            end: at.ms() - plan.offset_ms,
        };
        walk.all(out, &mut scratch);
        self.scratch = scratch.points;
    }
}

/// Series whose windows are fetched together.
const TOGETHER: usize = 16;

/// One walk.
struct Walk<'a> {
    shard: &'a Shard,
    catalog: &'a Catalog,
    plan: &'a Scan,
    group: GroupIndex,
    tick: Timestamp,
    at: Timestamp,
    /// The instant that all columns look back from.
    end: i64,
}

impl Walk<'_> {
    fn all(&self, out: &mut Scanned, scratch: &mut Scratch) {
        let members = &self.shard.members[self.plan.read.0 as usize];
        out.slots.reserve_exact(members.len());
        for column in &mut out.dense {
            column.reserve_exact(members.len());
        }
        let all_sources = self.catalog.group(self.group).sources.is_empty();
        let seen = |(i, slot): (usize, &u32)| {
            if i.is_multiple_of(TOGETHER) {
                self.fetch(&members[i..members.len().min(i + TOGETHER)]);
            }
            let series = self.shard.series[*slot as usize].as_ref()?;
            let visible = all_sources || self.catalog.reads_source(self.group, series.source);
            visible.then_some((*slot, series))
        };
        let mut members = members.iter().enumerate().filter_map(seen).peekable();
        while let Some((mut slot, mut series)) = members.next() {
            // Series of several sources with the same labels are one to a group that reads them all.
            let mut merged: Option<Series> = None;
            while let Some((its, twin)) = members.next_if(|(_, next)| next.labels == series.labels)
            {
                if twin.source == RECORDED {
                    let (group, tick) = (self.group, self.tick);
                    if self.shard.stands(twin, series, group, tick, self.end) {
                        (slot, series) = (its, twin);
                    }
                    continue;
                }
                merged
                    .get_or_insert_with(|| series.clone())
                    .merge(twin, self.group, |a, b| self.shard.is_lower(a, b));
            }
            let row = out.slots.len() as u32;
            out.slots.push(slot);
            self.one(merged.as_ref().unwrap_or(series), row, out, scratch);
        }
    }

    /// Looks at the ends of some series' windows, one after another: where they are cold, the
    /// machine fetches them side by side, while a walk would wait for each.
    fn fetch(&self, slots: &[u32]) {
        let ends = slots
            .iter()
            .filter_map(|slot| self.shard.series[*slot as usize].as_ref())
            .fold(0, |all, series| all ^ series.window.last_t());
        std::hint::black_box(ends);
    }

    /// Computes a row.
    fn one(&self, series: &Series, row: u32, out: &mut Scanned, scratch: &mut Scratch) {
        let shard = self.shard;
        let lower = |a: PartitionRank, b: PartitionRank| shard.is_lower(a, b);
        let total = || shard.total_of(series, self.group, self.tick);
        let heard_until = shard
            .heard_until(series, self.group, self.tick)
            .min(self.end);
        let Scratch {
            points,
            clean,
            grid,
        } = scratch;
        // Of a long window most columns need no more than what it comes to.
        let is_summed = series.is_summed();
        let reach_ms = if is_summed {
            self.plan.read_ms
        } else {
            self.plan.range_ms
        };
        let points = if reach_ms > 0 {
            let span = Span {
                start: self.end - reach_ms,
                end: heard_until,
            };
            series.visible(span, self.tick, true, total, lower, points)
        } else {
            &[]
        };
        let (mut spare, mut edges) = (Vec::new(), Vec::new());
        let mut newest_by = |from: i64, until: i64| {
            let span = Span {
                start: from,
                end: until.min(heard_until),
            };
            series.newest(span, self.tick, total, lower, &mut spare)
        };
        // Once for all columns.
        let numbers = if series.stale || series.has_late() {
            clean.clear();
            clean.extend(points.iter().filter(|p| !is_stale(p.v)));
            clean.as_slice()
        } else {
            points
        };
        let is_delta = series.is_delta();
        for (c, dense) in self.plan.dense.iter().enumerate() {
            let value = match dense {
                Dense::Instant { timestamp } => {
                    let newest = match points.last() {
                        Some(point) => Some(*point),
                        None => newest_by(self.end - LOOKBACK_MS, self.end),
                    };
                    newest
                        .filter(|p| p.t > self.end - LOOKBACK_MS && !is_stale(p.v))
                        .map(|p| if *timestamp { p.t as f64 / 1e3 } else { p.v })
                }
                Dense::Range { func, .. } if is_delta && is_difference(*func) => {
                    self.alone(series, c, heard_until)
                }
                Dense::Range {
                    range_ms,
                    func,
                    params,
                } => {
                    let start = self.end - range_ms;
                    // What is read anyway is not summed up besides.
                    let beyond = is_summed && *range_ms > reach_ms;
                    if let Some(asked) = asked(*func).filter(|_| beyond) {
                        let summary = series.window.summary(
                            start,
                            heard_until,
                            series.stale,
                            asked,
                            &mut edges,
                        );
                        out.dense[c].push(
                            summary
                                .and_then(|all| summed_value(*func, &all, start, self.end))
                                .unwrap_or(ABSENT),
                        );
                        continue;
                    }
                    let within = after(numbers, start, *range_ms == reach_ms);
                    range_value_at(*func, within, start, self.end, self.at.ms(), params)
                }
                Dense::Log { range_ms, func } => {
                    let start = self.end - range_ms;
                    let within = after(points, start, *range_ms == reach_ms);
                    log_value(*func, within, *range_ms)
                }
            };
            out.dense[c].push(value.unwrap_or(ABSENT));
        }
        for plan in &self.plan.grids {
            let times = grid::Times::of(plan, self.end, self.at);
            let within = after(points, self.end - plan.range_ms, plan.range_ms == reach_ms);
            let carry = times.carry(within, &mut newest_by);
            let hit = |column: u32, value: f64| out.sparse[column as usize].push((row, value));
            grid::evaluate(plan, &times, within, carry, grid, hit);
        }
    }

    /// A column's value, read by itself: differences of a delta series have totals of their own.
    fn alone(&self, series: &Series, column: usize, heard_until: i64) -> Option<f64> {
        let leaf = self.plan.dense_leaf[column].0 as usize;
        let view = View {
            group: self.group,
            tick: self.tick,
            at: self.at,
            end: self.end,
            heard_until,
        };
        let leaf = self.catalog.group(self.group).leaves.get(leaf)?;
        self.shard.value(series, &leaf.read, view, &mut Vec::new())
    }
}

/// The points after `start`: all of them where the walk's own span begins there.
fn after(points: &[Point], start: i64, is_whole: bool) -> &[Point] {
    if is_whole {
        points
    } else {
        &points[points.partition_point(|p| p.t <= start)..]
    }
}
