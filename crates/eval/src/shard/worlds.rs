//! Worlds of a shard: series of each scope and replica, kept apart as in shards of their own.
//!
//! An intake's number stands for a series of one world, and all worlds share one table of numbers:
//! it is lent to the world that is at work.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_model::Timestamp;

use super::Shard;
use crate::scope::World;

/// A shard's worlds, for a tick's time.
pub type WorldShards = BTreeMap<World, Shard>;

impl Shard {
    /// Does something in a world, which is made where it is new.
    pub(super) fn in_world(&mut self, world: &World, work: impl FnOnce(&mut Self)) {
        if !self.worlds.contains_key(world) {
            let shard = Self {
                closed: self.closed.clone(),
                ..Self::new(Arc::clone(&self.catalog))
            };
            self.worlds.insert(world.clone(), shard);
        }
        if let Some(shard) = self.worlds.get_mut(world) {
            std::mem::swap(&mut self.refs, &mut shard.refs);
            work(shard);
            std::mem::swap(&mut self.refs, &mut shard.refs);
        }
    }

    /// Does something in each world.
    pub(super) fn in_worlds(&mut self, mut work: impl FnMut(&mut Self)) {
        for shard in self.worlds.values_mut() {
            std::mem::swap(&mut self.refs, &mut shard.refs);
            work(shard);
            std::mem::swap(&mut self.refs, &mut shard.refs);
        }
    }

    /// Lends its worlds, to be read beside it. They must come back before anything else happens.
    pub fn lend_worlds(&mut self) -> WorldShards {
        std::mem::take(&mut self.worlds)
    }

    /// Takes its worlds back.
    pub fn take_back(&mut self, worlds: WorldShards) {
        self.worlds = worlds;
    }

    /// When something of some sources was heard last at or before a tick, to the second; `None` also
    /// where there are no scopes.
    pub fn last_heard(&self, tick: Timestamp, reads: impl Fn(u16) -> bool) -> Option<Timestamp> {
        self.heard.as_ref()?.last(tick, reads)
    }
}
