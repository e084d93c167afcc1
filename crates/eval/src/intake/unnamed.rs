//! Keys of series that nothing names.

use foghorn_model::{SeriesKey, Timestamp};
use hashbrown::HashTable;

/// Keys of series that nothing names, so that their labels are not built at each sample. A cache of
/// two generations: what is not seen for long is forgotten, and found out again.
#[derive(Debug)]
pub(super) struct Unnamed {
    young: HashTable<[u64; 2]>,
    old: HashTable<[u64; 2]>,
    /// Event time of the next generation.
    turn: Timestamp,
}

/// Event time of a generation, in milliseconds.
const GENERATION_MS: i64 = 600_000;
/// Keys of a generation.
const GENERATION: usize = 1 << 20;

impl Default for Unnamed {
    fn default() -> Self {
        Self {
            young: HashTable::new(),
            old: HashTable::new(),
            turn: Timestamp::MIN,
        }
    }
}

impl Unnamed {
    /// Whether a key is known to be one of theirs.
    pub(super) fn has(&mut self, key: SeriesKey) -> bool {
        let (hash, packed) = (key.0 as u64, Self::pack(key));
        if self.young.find(hash, |known| *known == packed).is_some() {
            return true;
        }
        let was = self.old.find(hash, |known| *known == packed).is_some();
        if was {
            self.insert(key);
        }
        was
    }

    fn pack(key: SeriesKey) -> [u64; 2] {
        [key.0 as u64, (key.0 >> 64) as u64]
    }

    pub(super) fn insert(&mut self, key: SeriesKey) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young
            .insert_unique(key.0 as u64, Self::pack(key), |known| known[0]);
    }

    /// Event time has got this far.
    #[inline]
    pub(super) fn pass(&mut self, now: Timestamp) {
        if now > self.turn {
            self.turn = now + GENERATION_MS;
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// Keys that are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub(super) fn clear(&mut self) {
        self.young = HashTable::new();
        self.old = HashTable::new();
    }
}
