//! The worlds that an intake has seen, and the batches that lead there.

use hashbrown::HashMap;

use crate::batch::Batch;
use crate::scope::World;

/// Worlds that one intake knows at most, where the config does not say otherwise.
pub const DEFAULT_MAX_WORLDS: usize = 256;

/// Bits of an owner: the lowest tell the shard, the others the world. The highest of 16 is a mark,
/// and all of them set are no owner.
const OWNER_BITS: u32 = 15;

/// See the module's text. World 0 is the plain one.
#[derive(Debug)]
pub(super) struct Worlds {
    numbers: HashMap<World, u16>,
    /// By number, less one.
    known: Vec<World>,
    shard_bits: u32,
    most: usize,
}

impl Worlds {
    /// For so many shards.
    pub(super) fn new(shards: usize) -> Self {
        Self {
            numbers: HashMap::new(),
            known: Vec::new(),
            shard_bits: shards.next_power_of_two().trailing_zeros(),
            most: DEFAULT_MAX_WORLDS,
        }
    }

    /// Whether only the plain one is known.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// From here on no more than so many become known.
    pub(super) fn bound(&mut self, most: usize) {
        self.most = most;
    }

    /// The number of a world; `None` where it would be one too many. What the log let in is let in
    /// again (`settled`), as long as there are numbers.
    pub(super) fn number(&mut self, world: World, settled: bool) -> Option<u16> {
        if let Some(known) = self.numbers.get(&world) {
            return Some(*known);
        }
        let numbers = (1_usize << (OWNER_BITS - self.shard_bits)) - 2;
        if self.known.len() >= numbers || (self.known.len() >= self.most && !settled) {
            return None;
        }
        self.known.push(world.clone());
        let number = self.known.len() as u16;
        self.numbers.insert(world, number);
        Some(number)
    }

    /// What says of a number where its samples go.
    pub(super) fn owner(&self, world: u16, shard: u16) -> u16 {
        (world << self.shard_bits) | shard
    }

    /// Where an owner's samples go.
    #[inline]
    pub(super) fn batch<'a>(&self, out: &'a mut [Batch], owner: u16) -> &'a mut Batch {
        let (world, shard) = (
            owner >> self.shard_bits,
            owner & ((1 << self.shard_bits) - 1),
        );
        let batch = &mut out[shard as usize];
        match (world as usize).checked_sub(1) {
            None => batch,
            Some(at) => self.world_of(batch, at),
        }
    }

    fn world_of<'a>(&self, batch: &'a mut Batch, at: usize) -> &'a mut Batch {
        for world in &self.known[batch.worlds.len().min(at + 1)..=at] {
            let of_world = Batch {
                intake: batch.intake,
                ..Batch::default()
            };
            batch.worlds.push((world.clone(), of_world));
        }
        &mut batch.worlds[at].1
    }
}

#[cfg(test)]
mod tests {
    use foghorn_model::Labels;

    use super::*;

    fn world(cluster: &str) -> World {
        World {
            scope: Labels::from_pairs([("cluster", cluster)]),
            replica: "".into(),
        }
    }

    #[test]
    fn an_owner_leads_to_its_worlds_batch_in_its_shard() {
        let mut worlds = Worlds::new(3);
        let mut out: Vec<_> = (0..3).map(|_| Batch::default()).collect();
        let (eu, us) = (world("eu"), world("us"));
        let numbers = [&eu, &us, &eu].map(|world| worlds.number(world.clone(), false));
        assert_eq!(numbers, [Some(1), Some(2), Some(1)]);
        worlds.batch(&mut out, worlds.owner(2, 1)).freed.push(7);
        worlds.batch(&mut out, worlds.owner(0, 2)).freed.push(8);
        assert_eq!(out[2].freed, [8]);
        let told: Vec<_> = out[1]
            .worlds
            .iter()
            .map(|(w, b)| (w, b.freed.len()))
            .collect();
        assert_eq!(told, [(&eu, 0), (&us, 1)]);
        assert!(out[0].worlds.is_empty());
    }

    #[test]
    fn worlds_have_a_bound() {
        let mut worlds = Worlds::new(1);
        worlds.bound(1);
        let all = [("eu", false), ("us", false), ("us", true), ("ap", false)];
        let numbers = all.map(|(name, settled)| worlds.number(world(name), settled));
        assert_eq!(numbers, [Some(1), None, Some(2), None]);
        assert_eq!(worlds.number(world("eu"), false), Some(1));
    }
}
