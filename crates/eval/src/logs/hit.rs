//! The label set of a record that passed: its key at once, the labels only when asked.

use foghorn_model::{Fingerprint, Labels};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

use super::scratch::Entry;

/// Labels by name, without those that are gone.
pub(super) type Pairs<'p> = SmallVec<[(&'p str, &'p str); 24]>;

/// Where labels are found, strongest last.
#[derive(Clone, Copy)]
pub(super) struct Parts<'p> {
    pub line: &'p str,
    pub arena: &'p str,
    pub stream: &'p Labels,
    pub metadata: &'p [Entry],
    pub own: &'p [Entry],
}

/// What a pipeline makes of a record that passes it.
#[derive(Debug)]
pub struct HitLabels<'h> {
    key: Fingerprint,
    line: &'h str,
    labels: Found<'h>,
}

#[derive(Debug)]
enum Found<'h> {
    /// A set that is built already.
    Whole(&'h Labels),
    /// In name order.
    Pairs(&'h [(&'h str, &'h str)]),
}

impl HitLabels<'_> {
    /// Identity of the label set: the bits of the fingerprint that [`labels`](Self::labels) has.
    pub fn key(&self) -> u128 {
        self.key.0
    }

    /// Builds the label set. Allocates: for a key not seen before.
    pub fn labels(&self) -> Labels {
        match &self.labels {
            Found::Whole(labels) => (*labels).clone(),
            Found::Pairs(pairs) => Labels::from_pairs(pairs.iter().copied()),
        }
    }

    /// The line as the pipeline left it; its length is what `bytes_rate` counts.
    pub fn line(&self) -> &str {
        self.line
    }
}

impl<'p> Parts<'p> {
    /// Every label, in name order.
    pub(super) fn all(self) -> Pairs<'p> {
        let mut ranked: SmallVec<[(&str, usize, &str); 32]> = SmallVec::new();
        ranked.extend(self.stream.iter().map(|(name, value)| (name, 0, value)));
        let made = self.metadata.iter().chain(self.own);
        ranked.extend(made.enumerate().map(|(i, entry)| {
            (
                entry.name.text(self.line, self.arena),
                i + 1,
                entry.value.text(self.line, self.arena),
            )
        }));
        ranked.sort_unstable();
        let mut pairs = Pairs::new();
        for (i, (name, _, value)) in ranked.iter().enumerate() {
            let is_last = ranked.get(i + 1).is_none_or(|(next, _, _)| next != name);
            if is_last && !value.is_empty() {
                pairs.push((name, value));
            }
        }
        pairs
    }

    fn get(self, name: &str) -> Option<&'p str> {
        let named = |entry: &&Entry| entry.name.text(self.line, self.arena) == name;
        let made = self
            .own
            .iter()
            .rev()
            .find(named)
            .or_else(|| self.metadata.iter().rev().find(named));
        let value = match made {
            Some(entry) => Some(entry.value.text(self.line, self.arena)),
            None => self.stream.get(name),
        };
        value.filter(|value| !value.is_empty())
    }

    /// Hands the hit to `on_hit`; `line` is the line as it was left.
    pub(super) fn hit(
        self,
        keep: Option<&[String]>,
        line: &str,
        hashed: &mut Vec<u8>,
        on_hit: impl FnOnce(&HitLabels<'_>),
    ) {
        let pairs: Pairs<'_> = match keep {
            None if self.own.is_empty() && self.metadata.is_empty() => {
                let labels = Found::Whole(self.stream);
                return on_hit(&HitLabels {
                    key: self.stream.fingerprint(),
                    line,
                    labels,
                });
            }
            None => self.all(),
            Some(names) => names
                .iter()
                .filter_map(|name| Some((name.as_str(), self.get(name)?)))
                .collect(),
        };
        on_hit(&HitLabels {
            key: fingerprint(&pairs, hashed),
            line,
            labels: Found::Pairs(&pairs),
        });
    }
}

/// What `Labels` computes for the same set.
fn fingerprint(pairs: &[(&str, &str)], hashed: &mut Vec<u8>) -> Fingerprint {
    hashed.clear();
    for part in pairs.iter().flat_map(|(name, value)| [name, value]) {
        hashed.extend_from_slice(part.as_bytes());
        hashed.push(0xff);
    }
    Fingerprint(xxh3_128(hashed))
}
