//! How the rules of a group read series at a tick.

use foghorn_model::{Labels, Timestamp};
use foghorn_rules::plan::{Leaf, LeafId};
use hashbrown::HashSet;

use super::plan::Place;
use super::state::{GroupColumns, Rows};
use crate::catalog::GroupIndex;
use crate::shard::{Shard, nameless_order};
use crate::vector::{Leaves, Vector};

/// All shards as a group sees them at a tick: the core's own (recorded series) and the others.
pub struct TickReader<'a, 'b> {
    columns: &'a mut GroupColumns,
    recorded: &'a mut Shard,
    shards: &'a mut [&'b mut Shard],
    tick: Timestamp,
    at: Timestamp,
}

impl<'a, 'b> TickReader<'a, 'b> {
    /// A reader for tick `tick`, whose rules are evaluated as of `at`. For a new tick
    /// [`GroupColumns::begin`] must have been called.
    pub fn new(
        columns: &'a mut GroupColumns,
        recorded: &'a mut Shard,
        shards: &'a mut [&'b mut Shard],
        tick: Timestamp,
        at: Timestamp,
    ) -> Self {
        Self {
            columns,
            recorded,
            shards,
            tick,
            at,
        }
    }

    /// The shard of recorded series, to record into.
    pub fn recorded(&mut self) -> &mut Shard {
        self.recorded
    }

    /// How many elements a rule has that does nothing but compare a leaf with a number; `None` for
    /// any other rule, which is to be evaluated.
    pub fn count(&mut self, rule: usize) -> Option<usize> {
        let place = self.columns.plan.tested(rule)?;
        self.ensure(place).then(|| self.columns.count(rule))
    }

    /// The elements of such a rule, in label order.
    pub fn passing(&mut self, rule: usize) -> Option<Vector> {
        let place = self.columns.plan.tested(rule)?;
        self.ensure(place).then(|| {
            self.columns
                .passing(rule, place, self.recorded, self.shards)
        })
    }

    /// What such a rule compares for an element (its metric's name apart): `Some(None)` where there
    /// is no such element, `None` for any other rule.
    pub fn compared(&mut self, rule: usize, element: &Labels) -> Option<Option<f64>> {
        let place = self.columns.plan.tested(rule)?;
        self.ensure(place).then(|| {
            self.columns
                .value_of(place, element, self.recorded, self.shards)
        })
    }

    fn ensure(&mut self, place: Place) -> bool {
        self.columns
            .ensure(place.scan, self.recorded, self.shards, self.tick, self.at)
    }

    /// Where a leaf's results stand, once they are computed.
    fn shared_place(&mut self, leaf: LeafId, at: Timestamp) -> Option<Place> {
        if at != self.at {
            return None;
        }
        let place = self.columns.place(leaf)?;
        self.ensure(place).then_some(place)
    }

    /// A leaf's vector, read by itself.
    pub(super) fn read(&mut self, leaf: LeafId, at: Timestamp) -> Vector {
        let (group, tick) = (self.columns.group, self.tick);
        self.gather(|shard| shard.leaf(group, leaf, tick, at))
    }

    /// The vector of a leaf that the group does not have: see [`Shard::asked`].
    fn asked(&mut self, leaf: &Leaf, at: Timestamp) -> Vector {
        let (group, tick) = (self.columns.group, self.tick);
        self.gather(|shard| shard.asked(group, leaf, tick, at))
    }

    fn gather(&mut self, part_of: impl FnMut(&mut Shard) -> Vector) -> Vector {
        gather(self.recorded, self.shards, part_of)
    }
}

/// One vector of what all shards give.
fn gather(
    recorded: &mut Shard,
    shards: &mut [&mut Shard],
    mut part_of: impl FnMut(&mut Shard) -> Vector,
) -> Vector {
    let mut vector = part_of(recorded);
    let recorded: HashSet<Labels> = vector
        .iter()
        .map(|element| element.labels.clone())
        .collect();
    let mut parts = usize::from(!vector.is_empty());
    for shard in shards {
        let mut part = part_of(shard);
        // A recorded element beats its ingested twin.
        if !recorded.is_empty() {
            part.retain(|element| !recorded.contains(&element.labels));
        }
        parts += usize::from(!part.is_empty());
        if vector.is_empty() {
            vector = part;
        } else {
            vector.extend(part);
        }
    }
    if parts > 1 {
        vector.sort_by(|a, b| nameless_order(&a.labels, &b.labels));
    }
    vector
}

/// The leaves of a question that no group asks: each is read through a group that keeps what it
/// reads.
pub struct QueryReader<'a, 'b> {
    recorded: &'a mut Shard,
    shards: &'a mut [&'b mut Shard],
    /// Each leaf and its group; without a group it reads nothing.
    leaves: &'a [(Leaf, Option<GroupIndex>)],
    tick: Timestamp,
}

impl<'a, 'b> QueryReader<'a, 'b> {
    /// A reader that sees what a tick sees.
    pub fn new(
        recorded: &'a mut Shard,
        shards: &'a mut [&'b mut Shard],
        leaves: &'a [(Leaf, Option<GroupIndex>)],
        tick: Timestamp,
    ) -> Self {
        Self {
            recorded,
            shards,
            leaves,
            tick,
        }
    }
}

impl Leaves for QueryReader<'_, '_> {
    fn leaf(&mut self, leaf: LeafId, at: Timestamp) -> Vector {
        let Some((leaf, Some(group))) = self.leaves.get(leaf.0 as usize) else {
            return Vector::new();
        };
        let tick = self.tick;
        gather(self.recorded, self.shards, |shard| {
            shard.asked(*group, leaf, tick, at)
        })
    }
}

/// The leaves of an expression that no rule has, such as one that a template asks: they are read
/// through the reads that its group makes.
pub struct AskedReader<'r, 'a, 'b> {
    reader: &'r mut TickReader<'a, 'b>,
    leaves: &'r [Leaf],
}

impl<'r, 'a, 'b> AskedReader<'r, 'a, 'b> {
    /// Reads an expression's own leaves.
    pub fn new(reader: &'r mut TickReader<'a, 'b>, leaves: &'r [Leaf]) -> Self {
        Self { reader, leaves }
    }
}

impl Leaves for AskedReader<'_, '_, '_> {
    fn leaf(&mut self, leaf: LeafId, at: Timestamp) -> Vector {
        match self.leaves.get(leaf.0 as usize) {
            Some(leaf) => self.reader.asked(leaf, at),
            None => Vector::new(),
        }
    }
}

impl Leaves for TickReader<'_, '_> {
    fn leaf(&mut self, leaf: LeafId, at: Timestamp) -> Vector {
        self.shared(leaf, at).unwrap_or_else(|| self.read(leaf, at))
    }

    fn shared(&mut self, leaf: LeafId, at: Timestamp) -> Option<Vector> {
        self.filtered(leaf, at, &|_| true)
    }

    fn filtered(
        &mut self,
        leaf: LeafId,
        at: Timestamp,
        passes: &dyn Fn(f64) -> bool,
    ) -> Option<Vector> {
        let place = self.shared_place(leaf, at)?;
        let (recorded, shards) = (&*self.recorded, &*self.shards);
        Some(self.columns.vector(place, passes, recorded, shards))
    }

    fn rows(&mut self, leaf: LeafId, at: Timestamp) -> Option<Rows<'_>> {
        let place = self.shared_place(leaf, at)?;
        self.columns.rows(place, self.recorded, self.shards)
    }
}
