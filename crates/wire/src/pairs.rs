//! Name/value pairs in one reusable buffer, and the keys that are made of them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128, xxh3_128_with_seed};

/// Pairs, one after another in one string. Cleared and refilled, it allocates nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pairs {
    text: String,
    /// Start, end of the name, end of the value.
    spans: Vec<(usize, usize, usize)>,
}

impl Pairs {
    /// Forgets the pairs, keeps the buffers.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
    }

    /// Where the pairs end now, for [`Pairs::truncate`].
    pub(crate) fn mark(&self) -> (usize, usize) {
        (self.spans.len(), self.text.len())
    }

    /// Takes back what was appended since a mark. (What was there before may have been sorted
    /// since, but not together with what came after.)
    pub(crate) fn truncate(&mut self, (spans, text): (usize, usize)) {
        self.spans.truncate(spans);
        self.text.truncate(text);
    }

    /// Number of pairs.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Appends a pair whose name and value are written by functions; what a failing function
    /// wrote is taken back.
    pub(crate) fn write<E>(
        &mut self,
        name: impl FnOnce(&mut String) -> Result<(), E>,
        value: impl FnOnce(&mut String) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.text.len();
        let mut middle = start;
        let written = name(&mut self.text).and_then(|()| {
            middle = self.text.len();
            value(&mut self.text)
        });
        match written {
            Ok(()) => self.spans.push((start, middle, self.text.len())),
            Err(_) => self.text.truncate(start),
        }
        written
    }

    /// Appends a pair.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        self.text.push_str(value);
        self.spans.push((start, middle, self.text.len()));
    }

    /// The pairs in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.spans
            .iter()
            .map(|&(start, middle, end)| (&self.text[start..middle], &self.text[middle..end]))
    }

    /// Puts the pairs in order, so that what is made of them does not depend on how they came.
    pub(crate) fn sort(&mut self) {
        let text = &*self.text;
        self.spans.sort_unstable_by_key(|&(start, middle, end)| {
            (&text[start..middle], &text[middle..end])
        });
    }

    /// A hash of the set of pairs; their order does not matter.
    pub(crate) fn hash(&self) -> u128 {
        self.spans
            .iter()
            .fold(0_u128, |sum, &(start, middle, end)| {
                let pair =
                    xxh3_128_with_seed(&self.text.as_bytes()[start..end], (middle - start) as u64);
                sum.wrapping_add(pair)
            })
    }
}

/// Hash of one pair as it stands in the bytes; summed with wrapping, so that order does not matter.
#[inline]
pub(crate) fn pair_hash(raw: &[u8]) -> u128 {
    xxh3_128(raw)
}

/// Folds bytes as they stand, order and all, into a key.
#[inline]
pub(crate) fn fold(base: u128, bytes: &[u8]) -> u128 {
    fold_hash(base, xxh3_128(bytes))
}

/// Folds a hash into a key, both halves by themselves. The multipliers are odd, so nothing is lost,
/// and order matters; they are 3 modulo 8, so that differences of their powers have few factors of
/// two, and hashes that change places do not cancel.
#[inline]
pub(crate) const fn fold_hash(base: u128, hash: u128) -> u128 {
    const HIGH: u64 = 0x9e37_79b9_7f4a_7c13;
    const LOW: u64 = 0xc2b2_ae3d_27d4_eb4b;
    let high = ((base >> 64) as u64)
        .wrapping_mul(HIGH)
        .wrapping_add((hash >> 64) as u64);
    let low = (base as u64).wrapping_mul(LOW).wrapping_add(hash as u64);
    (high as u128) << 64 | low as u128
}

/// Maps by keys and other hashes, which need no hashing again.
pub(crate) type ByHash<V> = HashMap<u128, V, BuildHasherDefault<Already>>;

/// Takes the lower half of a 128-bit hash for its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Already(u64);

impl Hasher for Already {
    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= xxh3_64(bytes);
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Folds the parts of what comes before the pairs (settings, resource, metric) into one hash.
pub(crate) fn chain(base: u128, part: &[u8]) -> u128 {
    let seed = (base as u64) ^ (base >> 64) as u64;
    base.rotate_left(29)
        .wrapping_add(xxh3_128_with_seed(part, seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_but_borders_do() {
        let of = |list: &[(&str, &str)]| {
            let mut pairs = Pairs::default();
            for (name, value) in list {
                pairs.push(name, value);
            }
            pairs.hash()
        };
        assert_eq!(of(&[("a", "1"), ("b", "2")]), of(&[("b", "2"), ("a", "1")]));
        assert_ne!(of(&[("a", "12")]), of(&[("a1", "2")]));
        assert_ne!(of(&[("a", "1"), ("b", "2")]), of(&[("a", "2"), ("b", "1")]));
    }

    #[test]
    fn failed_writes_leave_nothing() {
        let mut pairs = Pairs::default();
        pairs.push("a", "1");
        let failed = pairs.write(
            |name| {
                name.push('b');
                Ok(())
            },
            |_| Err(()),
        );
        assert_eq!(failed, Err(()));
        pairs.push("c", "2");
        assert_eq!(pairs.iter().collect::<Vec<_>>(), [("a", "1"), ("c", "2")]);
        assert_eq!(pairs.iter().count(), 2);
    }
}
