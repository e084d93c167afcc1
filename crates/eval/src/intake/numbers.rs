//! From decoders' keys to dense numbers.

use foghorn_model::SeriesKey;

/// Keys are hashes of 128 bits. The low half says where an entry is looked for; of all keys that it
/// leads there, the check picks the one.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Both halves mixed into one; as two words, so that an entry is 12 bytes.
    check: [u32; 2],
    number: u32,
}

/// A place without an entry.
const EMPTY: Entry = Entry {
    check: [0; 2],
    number: u32::MAX,
};
/// Fewest places.
const LEAST: usize = 64;

/// Marks a number of log hits, which a reload takes back.
const HIT: u16 = 1 << 15;
/// Owner of a number that stands for no series.
const FREE: u16 = u16::MAX;

/// Keys and the numbers that they lead to; freed numbers are given again.
///
/// A table of its own, with entries one after another from where their key leads: a look-up waits for
/// memory once, where one with control bytes beside its entries waits twice. With a million series
/// that wait is most of what a look-up costs.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// A power of two of places, at most three quarters of them taken; none at first.
    places: Vec<Entry>,
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
        let mut at = self.home(low);
        loop {
            let entry = self.places.get(at)?;
            if entry.number == EMPTY.number {
                return None;
            }
            if entry.check == check {
                return Some(entry.number);
            }
            at = self.next(at);
        }
    }

    /// Where an entry stands if nothing is in its way.
    #[inline]
    fn home(&self, low: u64) -> usize {
        low as usize & self.places.len().wrapping_sub(1)
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.places.len() - 1)
    }

    /// A number for a key that leads nowhere yet.
    pub(super) fn give(&mut self, key: SeriesKey, owner: u16, is_hit: bool) -> u32 {
        let (low, check) = halves(key);
        if (self.live() + 1) * 4 > self.places.len() * 3 {
            self.resize((2 * self.places.len()).max(LEAST));
        }
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
        self.put(low, Entry { check, number });
        number
    }

    fn put(&mut self, low: u64, entry: Entry) {
        let mut at = self.home(low);
        while self.places[at].number != EMPTY.number {
            at = self.next(at);
        }
        self.places[at] = entry;
    }

    fn resize(&mut self, places: usize) {
        let old = std::mem::replace(&mut self.places, vec![EMPTY; places]);
        for entry in old {
            if entry.number != EMPTY.number {
                self.put(self.lows[entry.number as usize], entry);
            }
        }
    }

    /// Takes a number back: the shard that it led to; `None` where it was taken back already.
    pub(super) fn free(&mut self, number: u32) -> Option<u16> {
        let owner = self.owners.get_mut(number as usize)?;
        if *owner == FREE {
            return None;
        }
        let owner = std::mem::replace(owner, FREE) & !HIT;
        self.remove(number);
        self.free.push(number);
        if self.places.len() > LEAST && self.live() * 8 < self.places.len() {
            self.resize(self.places.len() / 2);
        }
        Some(owner)
    }

    /// Takes an entry out, and moves those behind it that it was in the way of.
    fn remove(&mut self, number: u32) {
        let mut hole = self.home(self.lows[number as usize]);
        while self.places[hole].number != number {
            hole = self.next(hole);
        }
        let mut at = self.next(hole);
        while self.places[at].number != EMPTY.number {
            let entry = self.places[at];
            let home = self.home(self.lows[entry.number as usize]);
            let mask = self.places.len() - 1;
            // Whether the hole lies on its way from home to where it stands.
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.places[hole] = entry;
                hole = at;
            }
            at = self.next(at);
        }
        self.places[hole] = EMPTY;
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Deeds: a key, which is given a number or, where it has one, loses it.
        #[test]
        fn numbers_are_a_map(
            keys in prop::collection::vec(prop_oneof![
                // Many that want the same places, and some that do not.
                (0..8_u128, 0..40_u128).prop_map(|(low, high)| high << 64 | low | (low & 1) << 63),
                (0..300_u128).prop_map(|low| low * 0x9e37_79b9_7f4a_7c15),
            ], 0..1_500),
        ) {
            let (mut numbers, mut model) = (Numbers::default(), BTreeMap::new());
            for key in keys {
                if let Some(number) = model.remove(&key) {
                    prop_assert_eq!(numbers.free(number), Some(3));
                    prop_assert_eq!(numbers.free(number), None);
                } else {
                    model.insert(key, numbers.give(SeriesKey(key), 3, key % 2 == 0));
                }
                prop_assert_eq!(numbers.get(SeriesKey(key)), model.get(&key).copied());
            }
            for (key, number) in &model {
                prop_assert_eq!(numbers.get(SeriesKey(*key)), Some(*number));
            }
            prop_assert_eq!(numbers.live(), model.len());
            prop_assert_eq!(numbers.hits().len(), model.keys().filter(|key| *key % 2 == 0).count());
        }
    }

    #[test]
    fn the_table_shrinks_again() {
        let mut numbers = Numbers::default();
        let given: Vec<_> = (0..10_000_u128)
            .map(|i| numbers.give(SeriesKey((i << 64) | (i * 7)), 0, false))
            .collect();
        assert_eq!(numbers.places.len(), 16_384);
        for number in given {
            assert_eq!(numbers.free(number), Some(0));
        }
        assert_eq!(numbers.places.len(), LEAST);
    }
}
