//! From decoders' keys to dense numbers.

use foghorn_model::{SeriesKey, Timestamp};
use hashbrown::HashTable;

/// Keys are hashes of 128 bits. The low half is the hash in the table; of all keys that it leads to the
/// same place, the check picks the one.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Both halves mixed into one; as two words, so that an entry is 12 bytes.
    check: [u32; 2],
    number: u32,
}

/// Marks a number of log hits, which a reload takes back.
const HIT: u16 = 1 << 15;
/// Owner of a number that stands for no series.
const FREE: u16 = u16::MAX;

/// Keys and the numbers that they lead to; freed numbers are given again.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    table: HashTable<Entry>,
    /// Per number: its key's low half.
    lows: Vec<u64>,
    /// Per number: the shard that its samples go to, with marks.
    owners: Vec<u16>,
    free: Vec<u32>,
}

fn halves(key: SeriesKey) -> (u64, [u32; 2]) {
    let (low, high) = (key.0 as u64, (key.0 >> 64) as u64);
    let check = high ^ low.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (low, [check as u32, (check >> 32) as u32])
}

impl Numbers {
    /// The number that a key leads to.
    #[inline]
    pub(super) fn get(&self, key: SeriesKey) -> Option<u32> {
        let (low, check) = halves(key);
        let entry = self.table.find(low, |entry| entry.check == check)?;
        Some(entry.number)
    }

    /// A number for a key that leads nowhere yet.
    pub(super) fn give(&mut self, key: SeriesKey, owner: u16, is_hit: bool) -> u32 {
        let (low, check) = halves(key);
        let owner = owner | if is_hit { HIT } else { 0 };
        let number = if let Some(number) = self.free.pop() {
            self.lows[number as usize] = low;
            self.owners[number as usize] = owner;
            number
        } else {
            self.lows.push(low);
            self.owners.push(owner);
            (self.lows.len() - 1) as u32
        };
        let lows = &self.lows;
        self.table
            .insert_unique(low, Entry { check, number }, |entry| {
                lows[entry.number as usize]
            });
        number
    }

    /// Takes a number back: the shard that it led to; `None` where it was taken back already.
    pub(super) fn free(&mut self, number: u32) -> Option<u16> {
        let owner = self.owners.get_mut(number as usize)?;
        if *owner == FREE {
            return None;
        }
        let owner = std::mem::replace(owner, FREE) & !HIT;
        let low = self.lows[number as usize];
        if let Ok(entry) = self.table.find_entry(low, |entry| entry.number == number) {
            entry.remove();
        }
        self.free.push(number);
        Some(owner)
    }

    /// The shard that a number's samples go to.
    #[inline]
    pub(super) fn owner(&self, number: u32) -> u16 {
        self.owners[number as usize] & !HIT
    }

    /// Numbers in use.
    pub(super) fn live(&self) -> usize {
        self.lows.len() - self.free.len()
    }

    /// Numbers that log hits lead to.
    pub(super) fn hits(&self) -> Vec<u32> {
        let is_hit = |owner: &u16| *owner != FREE && owner & HIT != 0;
        let numbered = self.owners.iter().zip(0..);
        numbered
            .filter_map(|(owner, number)| is_hit(owner).then_some(number))
            .collect()
    }
}

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
