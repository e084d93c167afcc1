//! What a group computes together, found when its rules are loaded.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_rules::plan::{
    Expr, Group, Leaf, LeafId, LogFunc, RangeFunc, Read, RuleKind, Selector,
};

use super::ladder::{Comparison, Ladder};
use super::rows::Column;
use super::shape::{direct_leaves, resampled, threshold};
use crate::catalog::{Catalog, GroupIndex, ReadId};
use crate::promql::range::asked;

/// What a dense column holds of each series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Dense {
    /// The newest sample within the lookback: its time in seconds, or its value.
    Instant {
        timestamp: bool,
    },
    Range {
        range_ms: i64,
        func: RangeFunc,
        params: Vec<f64>,
    },
    Log {
        range_ms: i64,
        func: LogFunc,
    },
}

impl Dense {
    /// Whether a [summary](crate::window::Summary) of a long window is enough.
    pub(crate) fn is_summed(&self) -> bool {
        matches!(self, Self::Range { func, .. } if asked(*func).is_some())
    }
}

/// An instant read resampled at a subquery's steps, and the functions over it.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    pub(crate) range_ms: i64,
    pub(crate) step_ms: i64,
    /// Of the instant read.
    pub(crate) inner_offset_ms: i64,
    /// Indexed by the ladders.
    pub(crate) uses: Vec<GridUse>,
    /// Uses that filter.
    pub(crate) ladders: Vec<Ladder>,
    /// Uses that do not.
    pub(crate) unfiltered: Vec<u32>,
}

/// A range function over resampled values; its results are a sparse column.
#[derive(Clone, Debug)]
pub(crate) struct GridUse {
    pub(crate) func: RangeFunc,
    pub(crate) params: Vec<f64>,
    pub(crate) column: u32,
}

/// Columns over the same series, all read in one walk.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub(crate) read: ReadId,
    /// All columns look back from so long before the evaluation time, in milliseconds.
    pub(crate) offset_ms: i64,
    /// The longest range, in milliseconds; 0 where only newest samples are asked.
    pub(crate) range_ms: i64,
    /// The longest range of which every point is needed: a [summary](crate::window::Summary) does not
    /// do.
    pub(crate) read_ms: i64,
    pub(crate) dense: Vec<Dense>,
    /// A leaf that each dense column is of.
    pub(crate) dense_leaf: Vec<LeafId>,
    pub(crate) grids: Vec<Grid>,
    /// Number of sparse columns.
    pub(crate) sparse: u32,
    /// Per dense column: rules that compare it with a number.
    pub(super) dense_tests: Vec<Vec<Ladder>>,
    /// The same of sparse columns.
    pub(super) sparse_tests: Vec<Vec<Ladder>>,
}

/// Where a leaf's results stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) scan: u32,
    pub(crate) column: Column,
    pub(crate) keeps_name: bool,
}

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub struct GroupPlan {
    pub(super) scans: Vec<Scan>,
    /// Per leaf.
    places: Vec<Option<Place>>,
    /// Per rule: what it compares with a number, where it does nothing else.
    rules: Vec<Option<Place>>,
}

impl GroupPlan {
    /// Finds what a group's rules share.
    pub fn new(catalog: &Catalog, group: GroupIndex) -> Self {
        let plan = catalog.group(group);
        let mut building = Building {
            catalog,
            index: group,
            group: plan,
            recorded: plan.records().collect(),
            scans: Vec::new(),
            known: BTreeMap::new(),
            filters: Vec::new(),
        };
        let mut places = vec![None; plan.leaves.len()];
        for rule in &plan.rules {
            direct_leaves(&rule.expr, &mut |leaf| {
                let place = &mut places[leaf.0 as usize];
                if place.is_none() {
                    *place = building.place(leaf);
                }
            });
        }
        let mut tests = Vec::new();
        let rules = plan.rules.iter().enumerate().map(|(r, rule)| {
            let (leaf, comparison, number) = match (&rule.kind, &rule.expr) {
                (RuleKind::Record { .. } | RuleKind::Alert { .. }, Expr::Binary(binary)) => {
                    threshold(binary)?
                }
                _ => return None,
            };
            let place = places[leaf.0 as usize]?;
            tests.push((place, (comparison, number, r as u32)));
            Some(place)
        });
        let rules = rules.collect();
        Self {
            scans: building.finish(tests),
            places,
            rules,
        }
    }

    /// What a rule compares with a number, where it does nothing else.
    pub(super) fn tested(&self, rule: usize) -> Option<Place> {
        *self.rules.get(rule)?
    }

    /// Where a leaf's results stand; `None` where they are not shared.
    pub(crate) fn place(&self, leaf: LeafId) -> Option<Place> {
        *self.places.get(leaf.0 as usize)?
    }
}

type Test = (Comparison, f64, u32);

struct Building<'a> {
    catalog: &'a Catalog,
    index: GroupIndex,
    group: &'a Group,
    /// Metrics that the group itself records: what reads them may change within a tick.
    recorded: BTreeSet<&'a str>,
    scans: Vec<Scan>,
    known: BTreeMap<(ReadId, i64), usize>,
    /// Per scan, per grid: uses that filter.
    filters: Vec<Vec<Vec<Test>>>,
}

impl Building<'_> {
    fn place(&mut self, id: LeafId) -> Option<Place> {
        let leaf = self.group.leaves.get(id.0 as usize)?;
        if leaf.at_ms.is_some() {
            return None;
        }
        match &leaf.read {
            Read::Instant {
                selector,
                timestamp,
            } if self.is_stable(selector) => {
                let timestamp = *timestamp;
                let place = self.dense(id, leaf, Dense::Instant { timestamp }, 0)?;
                Some(named(place, !timestamp))
            }
            Read::Range {
                selector,
                range_ms,
                func,
                params,
            } if self.is_stable(selector) => {
                let column = Dense::Range {
                    range_ms: *range_ms,
                    func: *func,
                    params: params.clone(),
                };
                let place = self.dense(id, leaf, column, *range_ms)?;
                Some(named(place, func.keeps_name()))
            }
            Read::Log { range_ms, func, .. } => {
                let column = Dense::Log {
                    range_ms: *range_ms,
                    func: *func,
                };
                let place = self.dense(id, leaf, column, *range_ms)?;
                Some(named(place, false))
            }
            Read::Subquery { .. } => self.grid(leaf),
            Read::Instant { .. } | Read::Range { .. } => None,
        }
    }

    /// Whether the series that a selector names stay as they are while the group's rules run, and
    /// stay distinct without their metric's name.
    fn is_stable(&self, selector: &Selector) -> bool {
        let metric = selector.metric.as_deref();
        metric.is_some_and(|metric| !self.recorded.contains(metric))
    }

    fn scan(&mut self, id: LeafId, offset_ms: i64) -> Option<usize> {
        let read = self.catalog.leaf_read(self.index, id)?;
        let scans = &mut self.scans;
        let filters = &mut self.filters;
        Some(*self.known.entry((read, offset_ms)).or_insert_with(|| {
            filters.push(Vec::new());
            scans.push(Scan {
                read,
                offset_ms,
                range_ms: 0,
                read_ms: 0,
                dense: Vec::new(),
                dense_leaf: Vec::new(),
                grids: Vec::new(),
                sparse: 0,
                dense_tests: Vec::new(),
                sparse_tests: Vec::new(),
            });
            scans.len() - 1
        }))
    }

    fn dense(
        &mut self,
        id: LeafId,
        leaf: &Leaf,
        column: Dense,
        range_ms: i64,
    ) -> Option<(usize, Column)> {
        let at = self.scan(id, leaf.offset_ms)?;
        let scan = &mut self.scans[at];
        scan.range_ms = scan.range_ms.max(range_ms);
        if !column.is_summed() {
            scan.read_ms = scan.read_ms.max(range_ms);
        }
        scan.dense.push(column);
        scan.dense_leaf.push(id);
        Some((at, Column::Dense(scan.dense.len() as u32 - 1)))
    }

    fn grid(&mut self, outer: &Leaf) -> Option<Place> {
        let Read::Subquery {
            inner,
            range_ms,
            step_ms,
            func,
            params,
        } = &outer.read
        else {
            return None;
        };
        let found = resampled(self.group, inner)?;
        let Read::Instant { selector, .. } = &found.leaf.read else {
            return None;
        };
        if found.leaf.at_ms.is_some() || !self.is_stable(selector) {
            return None;
        }
        let inner_offset_ms = found.leaf.offset_ms;
        let at = self.scan(found.inner, outer.offset_ms + inner_offset_ms)?;
        let (scan, filters) = (&mut self.scans[at], &mut self.filters[at]);
        scan.range_ms = scan.range_ms.max(*range_ms);
        scan.read_ms = scan.read_ms.max(*range_ms);
        let same = |grid: &Grid| {
            (grid.range_ms, grid.step_ms, grid.inner_offset_ms)
                == (*range_ms, (*step_ms).max(1), inner_offset_ms)
        };
        let g = scan.grids.iter().position(same).unwrap_or_else(|| {
            scan.grids.push(Grid {
                range_ms: *range_ms,
                step_ms: (*step_ms).max(1),
                inner_offset_ms,
                uses: Vec::new(),
                ladders: Vec::new(),
                unfiltered: Vec::new(),
            });
            filters.push(Vec::new());
            scan.grids.len() - 1
        });
        let grid = &mut scan.grids[g];
        let number = grid.uses.len() as u32;
        grid.uses.push(GridUse {
            func: *func,
            params: params.clone(),
            column: scan.sparse,
        });
        match found.filter {
            Some((comparison, value)) => filters[g].push((comparison, value, number)),
            None => grid.unfiltered.push(number),
        }
        scan.sparse += 1;
        Some(Place {
            scan: at as u32,
            column: Column::Sparse(scan.sparse - 1),
            keeps_name: func.keeps_name(),
        })
    }

    /// Sorts all thresholds: those inside of subqueries, and those of the rules.
    fn finish(mut self, tests: Vec<(Place, Test)>) -> Vec<Scan> {
        for (scan, filters) in self.scans.iter_mut().zip(&mut self.filters) {
            for (grid, filters) in scan.grids.iter_mut().zip(filters) {
                grid.ladders = Ladder::all(std::mem::take(filters));
            }
        }
        let dense = |scan: &Scan| vec![Vec::new(); scan.dense.len()];
        let sparse = |scan: &Scan| vec![Vec::new(); scan.sparse as usize];
        let mut of_dense: Vec<Vec<Vec<Test>>> = self.scans.iter().map(dense).collect();
        let mut of_sparse: Vec<Vec<Vec<Test>>> = self.scans.iter().map(sparse).collect();
        for (place, test) in tests {
            let scan = place.scan as usize;
            match place.column {
                Column::Dense(at) => of_dense[scan][at as usize].push(test),
                Column::Sparse(at) => of_sparse[scan][at as usize].push(test),
            }
        }
        let tests = of_dense.into_iter().zip(of_sparse);
        for (scan, (dense, sparse)) in self.scans.iter_mut().zip(tests) {
            scan.dense_tests = dense.into_iter().map(Ladder::all).collect();
            scan.sparse_tests = sparse.into_iter().map(Ladder::all).collect();
        }
        self.scans
    }
}

fn named((scan, column): (usize, Column), keeps_name: bool) -> Place {
    Place {
        scan: scan as u32,
        column,
        keeps_name,
    }
}
