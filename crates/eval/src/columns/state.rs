//! A group's columns at the tick that it is closing.

use foghorn_model::{Fingerprint, Labels, Timestamp};
use foghorn_rules::plan::LeafId;

use super::plan::{GroupPlan, Place, Scan};
use super::rows::{Column, Scanned};
use crate::catalog::{Catalog, GroupIndex};
use crate::promql::cache::FingerprintMap;
use crate::shard::{Shard, nameless_order};
use crate::vector::{Element, Vector};

/// A value that passes a rule's threshold.
#[derive(Clone, Copy, Debug)]
struct Hit {
    part: u16,
    row: u32,
    value: f64,
}

/// A scan's columns: part 0 is the core's own shard (recorded series), the others are the shards.
#[derive(Debug, Default)]
struct State {
    /// The round that the columns are of.
    round: u64,
    /// Whether they can be used: not where both recorded and ingested series have rows, since a
    /// recorded element then hides its ingested twin.
    usable: bool,
    parts: Vec<Scanned>,
    order: Order,
    /// How many single elements were asked for in the round.
    asked: usize,
    /// Part and row by labels without the metric's name, where many were asked for.
    index: FingerprintMap<Fingerprint, (u16, u32)>,
}

/// An element is looked for among so many rows before an index of them is made: a search costs
/// about as much as putting this many rows into an index. (Tests have few rows, and want both.)
const ROWS_A_SEARCH: usize = if cfg!(test) { 2 } else { 64 };

impl State {
    /// The row with these labels, which are without the metric's name.
    fn find(
        &mut self,
        wanted: &Labels,
        recorded: &Shard,
        shards: &[&mut Shard],
    ) -> Option<(u16, u32)> {
        let rows: usize = self.parts.iter().map(|part| part.slots.len()).sum();
        self.asked += 1;
        let parts = self.parts.iter().enumerate();
        if self.asked * ROWS_A_SEARCH <= rows {
            let mut found = parts.filter_map(|(p, part)| {
                let labels_of = |slot: &u32| labels_at(p as u16, *slot, recorded, shards);
                let at = part
                    .slots
                    .binary_search_by(|slot| labels_of(slot).without_name().cmp(wanted));
                Some((p as u16, at.ok()? as u32))
            });
            return found.next();
        }
        if self.index.is_empty() {
            for (p, part) in parts {
                for (slot, row) in part.slots.iter().zip(0..) {
                    let labels = labels_at(p as u16, *slot, recorded, shards);
                    let key = labels.without_name().fingerprint();
                    self.index.insert(key, (p as u16, row));
                }
            }
        }
        self.index.get(&wanted.fingerprint()).copied()
    }
}

/// All parts' rows in label order, for those who fold over them.
#[derive(Debug, Default)]
struct Order {
    generation: u64,
    /// The parts' rows that it was made for.
    versions: Vec<(u64, usize)>,
    labels: Vec<Labels>,
    /// Part and row, where several parts have rows.
    from: Vec<(u16, u32)>,
    /// A column in this order.
    values: Vec<f64>,
}

/// A leaf's values in label order.
#[derive(Debug)]
pub struct Rows<'a> {
    /// Which list of rows this is, among all of one process' groups: (group, scan).
    pub list: (u32, u32),
    /// Grows whenever the list of rows changes.
    pub generation: u64,
    /// Labels, with the metric's name.
    pub labels: &'a [Labels],
    /// Whether the leaf's elements keep the metric's name.
    pub keeps_name: bool,
    values: &'a [f64],
}

impl Rows<'_> {
    /// (row, value) of the rows that have one.
    pub fn values(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        let values = self.values.iter().copied().enumerate();
        values.filter(|(_, value)| !super::is_absent(*value))
    }
}

/// See the module's text. Holds nothing on which a result could depend.
#[derive(Debug)]
pub struct GroupColumns {
    pub(super) group: GroupIndex,
    pub(super) plan: GroupPlan,
    round: u64,
    states: Vec<State>,
    /// Per rule.
    hits: Vec<Vec<Hit>>,
    /// Rules that have hits.
    touched: Vec<u32>,
}

impl GroupColumns {
    /// Columns of a group that has not ticked yet.
    pub fn new(catalog: &Catalog, group: GroupIndex) -> Self {
        let plan = GroupPlan::new(catalog, group);
        Self {
            group,
            round: 0,
            states: plan.scans.iter().map(|_| State::default()).collect(),
            hits: vec![Vec::new(); catalog.group(group).rules.len()],
            touched: Vec::new(),
            plan,
        }
    }

    /// A tick begins: what was computed before is out of date.
    pub fn begin(&mut self) {
        self.round += 1;
        for rule in self.touched.drain(..) {
            self.hits[rule as usize].clear();
        }
    }

    /// Computes a scan's columns, unless that was done at this tick; whether they can be used.
    pub(super) fn ensure(
        &mut self,
        scan: u32,
        recorded: &mut Shard,
        shards: &mut [&mut Shard],
        tick: Timestamp,
        at: Timestamp,
    ) -> bool {
        let state = &mut self.states[scan as usize];
        if state.round == self.round {
            return state.usable;
        }
        state.round = self.round;
        state.asked = 0;
        if !state.index.is_empty() {
            state.index = FingerprintMap::default();
        }
        let plan = &self.plan.scans[scan as usize];
        state.parts.resize_with(shards.len() + 1, Scanned::default);
        let (first, others) = state.parts.split_at_mut(1);
        recorded.scan(self.group, plan, tick, at, &mut first[0]);
        for (shard, part) in shards.iter_mut().zip(&mut *others) {
            shard.scan(self.group, plan, tick, at, part);
        }
        let ingested = others.iter().any(|part| !part.slots.is_empty());
        state.usable = first[0].slots.is_empty() || !ingested;
        if state.usable {
            test(plan, &state.parts, &mut self.hits, &mut self.touched);
        }
        state.usable
    }

    /// How many values pass a rule's threshold.
    pub(super) fn count(&self, rule: usize) -> usize {
        self.hits[rule].len()
    }

    /// What passes a rule's threshold, in label order.
    pub(super) fn passing(
        &self,
        rule: usize,
        place: Place,
        recorded: &Shard,
        shards: &[&mut Shard],
    ) -> Vector {
        let hits = self.hits[rule].iter();
        let hits = hits.map(|hit| (hit.part, hit.row, hit.value));
        self.elements(place, hits, recorded, shards)
    }

    /// What passes of a column, in label order.
    pub(super) fn vector(
        &self,
        place: Place,
        passes: impl Fn(f64) -> bool,
        recorded: &Shard,
        shards: &[&mut Shard],
    ) -> Vector {
        let parts = self.states[place.scan as usize].parts.iter().enumerate();
        let values = parts.flat_map(|(p, part)| {
            let values = part.values(place.column);
            values.map(move |(row, value)| (p as u16, row, value))
        });
        let values = values.filter(|(.., value)| passes(*value));
        self.elements(place, values, recorded, shards)
    }

    fn elements(
        &self,
        place: Place,
        values: impl Iterator<Item = (u16, u32, f64)>,
        recorded: &Shard,
        shards: &[&mut Shard],
    ) -> Vector {
        let parts = &self.states[place.scan as usize].parts;
        let mut vector = Vector::with_capacity(values.size_hint().0);
        let (mut last, mut mixed) = (None, false);
        for (part, row, value) in values {
            let slot = parts[part as usize].slots[row as usize];
            let labels = labels_at(part, slot, recorded, shards);
            let labels = if place.keeps_name {
                labels.clone()
            } else {
                labels.without_name()
            };
            vector.push(Element { labels, value });
            mixed |= last.replace(part).is_some_and(|last| last != part);
        }
        if place.keeps_name && matches!(place.column, Column::Sparse(_)) {
            // A subquery's results stand in the order of all their labels.
            vector.sort_by(|a, b| a.labels.cmp(&b.labels));
        } else if mixed {
            vector.sort_by(|a, b| nameless_order(&a.labels, &b.labels));
        }
        vector
    }

    /// The value of the element with these labels (its metric's name apart).
    pub(super) fn value_of(
        &mut self,
        place: Place,
        labels: &Labels,
        recorded: &Shard,
        shards: &[&mut Shard],
    ) -> Option<f64> {
        let state = &mut self.states[place.scan as usize];
        let (part, row) = state.find(&labels.without_name(), recorded, shards)?;
        state.parts[part as usize].value(place.column, row)
    }

    /// A dense column's rows, all parts in one.
    pub(super) fn rows(
        &mut self,
        place: Place,
        recorded: &Shard,
        shards: &[&mut Shard],
    ) -> Option<Rows<'_>> {
        let Column::Dense(column) = place.column else {
            return None;
        };
        let State { parts, order, .. } = &mut self.states[place.scan as usize];
        order.update(parts, recorded, shards);
        let mut used = parts.iter().filter(|part| !part.slots.is_empty());
        let values = match (used.next(), order.from.is_empty()) {
            (None, _) => &[],
            (Some(only), true) => only.dense[column as usize].as_slice(),
            (Some(_), false) => {
                let value = |(part, row): &(u16, u32)| {
                    parts[*part as usize].dense[column as usize][*row as usize]
                };
                order.values.clear();
                order.values.extend(order.from.iter().map(value));
                order.values.as_slice()
            }
        };
        Some(Rows {
            list: (self.group as u32, place.scan),
            generation: order.generation,
            labels: &order.labels,
            keeps_name: place.keeps_name,
            values,
        })
    }

    /// Where a leaf's results stand.
    pub(super) fn place(&self, leaf: LeafId) -> Option<Place> {
        self.plan.place(leaf)
    }
}

impl Order {
    fn update(&mut self, parts: &[Scanned], recorded: &Shard, shards: &[&mut Shard]) {
        let versions = parts.iter().map(|part| (part.version, part.slots.len()));
        if self.generation > 0 && versions.clone().eq(self.versions.iter().copied()) {
            return;
        }
        self.versions = versions.collect();
        self.generation += 1;
        let rows = parts.iter().enumerate().flat_map(|(p, part)| {
            let rows = part.slots.iter().enumerate();
            rows.map(move |(row, slot)| {
                let labels = labels_at(p as u16, *slot, recorded, shards);
                ((p as u16, row as u32), labels)
            })
        });
        let used = parts.iter().filter(|part| !part.slots.is_empty()).count();
        let mut rows: Vec<_> = rows.collect();
        self.from.clear();
        if used > 1 {
            rows.sort_by(|a, b| nameless_order(a.1, b.1));
            self.from.extend(rows.iter().map(|(from, _)| *from));
        }
        self.labels.clear();
        let labels = rows.into_iter().map(|(_, labels)| labels.clone());
        self.labels.extend(labels);
    }
}

/// Tries all rules' thresholds on a scan's columns.
fn test(plan: &Scan, parts: &[Scanned], hits: &mut [Vec<Hit>], touched: &mut Vec<u32>) {
    let mut hit = |part: usize, row: u32, value: f64, rule: u32| {
        let hits = &mut hits[rule as usize];
        if hits.is_empty() {
            touched.push(rule);
        }
        hits.push(Hit {
            part: part as u16,
            row,
            value,
        });
    };
    for (p, part) in parts.iter().enumerate() {
        for (values, ladders) in part.dense.iter().zip(&plan.dense_tests) {
            for ladder in ladders {
                ladder.sift(values, |row, value, rule| hit(p, row, value, rule));
            }
        }
        for (values, ladders) in part.sparse.iter().zip(&plan.sparse_tests) {
            if values.is_empty() {
                continue;
            }
            for ladder in ladders {
                for (row, value) in values {
                    ladder.passed(*value, |rule| hit(p, *row, *value, rule));
                }
            }
        }
    }
}

fn labels_at<'a>(
    part: u16,
    slot: u32,
    recorded: &'a Shard,
    shards: &'a [&mut Shard],
) -> &'a Labels {
    match (part as usize).checked_sub(1) {
        None => recorded.labels_at(slot),
        Some(shard) => shards[shard].labels_at(slot),
    }
}
