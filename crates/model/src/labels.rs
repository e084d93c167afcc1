//! Label sets: sorted, without duplicates, without empty values, packed into one allocation.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeMap, Serializer};
use xxhash_rust::xxh3::xxh3_128;

/// The label that holds a metric's name.
pub const NAME: &str = "__name__";

/// A label set's 128-bit identity: XXH3 over `name 0xff value 0xff …` in name order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u128);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// An immutable label set. Cheap to clone; equality and hashing go by fingerprint.
///
/// Order (`Ord`) is Prometheus' `labels.Compare`: pair by pair, name before value, a prefix first.
#[derive(Clone)]
pub struct Labels {
    packed: Arc<Packed>,
    /// Whether `__name__` is left out: a view of the same bytes, so that functions that drop the
    /// name build nothing.
    nameless: bool,
}

struct Packed {
    fingerprint: Fingerprint,
    /// Identity of the set without `__name__`.
    nameless: Fingerprint,
    /// Position of `__name__` among the pairs.
    name_at: Option<u32>,
    /// All names and values, one after another, in name order.
    text: Box<str>,
    /// End of each name and of each value in `text`: `2 * len` of them.
    ends: Box<[u32]>,
}

static EMPTY: LazyLock<Labels> = LazyLock::new(|| LabelsBuilder::default().build());

impl Labels {
    /// The empty set.
    pub fn empty() -> Self {
        EMPTY.clone()
    }

    /// From pairs in any order; of two with one name the later wins, empty values are left out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.packed.ends.len() / 2 - usize::from(self.hidden().is_some())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Identity of the set.
    pub fn fingerprint(&self) -> Fingerprint {
        if self.nameless {
            self.packed.nameless
        } else {
            self.packed.fingerprint
        }
    }

    /// Position of the pair that this view leaves out.
    fn hidden(&self) -> Option<usize> {
        if self.nameless {
            self.packed.name_at.map(|at| at as usize)
        } else {
            None
        }
    }

    /// Value of a label; `None` where it is missing (which PromQL treats as empty).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// Value of a label, or the empty string.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// The metric name (`__name__`), or the empty string.
    pub fn metric(&self) -> &str {
        self.value(NAME)
    }

    /// Pairs in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let hidden = self.hidden();
        (0..self.packed.ends.len() / 2)
            .filter(move |i| Some(*i) != hidden)
            .map(|i| self.pair(i))
    }

    fn pair(&self, i: usize) -> (&str, &str) {
        let Packed { text, ends, .. } = &*self.packed;
        let start = if i == 0 { 0 } else { ends[2 * i - 1] as usize };
        let middle = ends[2 * i] as usize;
        (
            &text[start..middle],
            &text[middle..ends[2 * i + 1] as usize],
        )
    }

    /// A builder that starts from this set.
    pub fn to_builder(&self) -> LabelsBuilder {
        let mut builder = LabelsBuilder::default();
        for (name, value) in self.iter() {
            builder.set(name, value);
        }
        builder
    }

    /// This set with one label set (or, with an empty value, removed).
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut builder = self.to_builder();
        builder.set(name, value);
        builder.build()
    }

    /// Without the metric name: a view, nothing is built.
    #[must_use]
    pub fn without_name(&self) -> Self {
        Self {
            packed: Arc::clone(&self.packed),
            nameless: true,
        }
    }

    /// Only the labels whose names pass.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in self.iter().filter(|(name, _)| keep(name)) {
            builder.set(name, value);
        }
        builder.build()
    }

    /// Prometheus' and Alertmanager's 64-bit label-set fingerprint (FNV-1a over sorted
    /// `name 0xff value 0xff`), as their APIs print it in hex.
    pub fn alertmanager_fingerprint(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |bytes: &[u8]| {
            for byte in bytes.iter().chain(&[0xff]) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        };
        for (name, value) in self.iter() {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        hash
    }

    /// Bytes that this set holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        size_of::<Packed>() + 16 + self.packed.text.len() + 4 * self.packed.ends.len()
    }

    /// As a map, for templates and JSON views.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.iter()
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect()
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fingerprint().hash(state);
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        if self == other {
            Ordering::Equal
        } else {
            self.iter().cmp(other.iter())
        }
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Labels {
    /// `name{a="b", c="d"}`, as Prometheus prints a series.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric())?;
        let mut rest = self.iter().filter(|(name, _)| *name != NAME).peekable();
        if rest.peek().is_none() && !self.metric().is_empty() {
            return Ok(());
        }
        f.write_str("{")?;
        for (i, (name, value)) in rest.enumerate() {
            write!(f, "{}{name}={value:?}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_pairs(BTreeMap::<String, String>::deserialize(
            deserializer,
        )?))
    }
}

/// Collects pairs in any order and packs them.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(Box<str>, Box<str>)>,
}

impl LabelsBuilder {
    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.iter().position(|(n, _)| &**n == name) {
            Some(i) if value.is_empty() => drop(self.pairs.swap_remove(i)),
            Some(i) => self.pairs[i].1 = value.into(),
            None if value.is_empty() => {}
            None => self.pairs.push((name.into(), value.into())),
        }
        self
    }

    /// Sets a label only where it is not there yet.
    pub fn set_default(&mut self, name: &str, value: &str) -> &mut Self {
        if self.get(name).is_none() {
            self.set(name, value);
        }
        self
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// Value of a label set so far.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(n, _)| &**n == name)
            .map(|(_, v)| &**v)
    }

    /// Sorts, packs and fingerprints.
    pub fn build(&mut self) -> Labels {
        self.pairs.sort_unstable();
        let mut text =
            String::with_capacity(self.pairs.iter().map(|(n, v)| n.len() + v.len()).sum());
        let mut ends = Vec::with_capacity(2 * self.pairs.len());
        let mut hashed = Vec::with_capacity(text.capacity() + 2 * self.pairs.len());
        let mut name = None;
        for (i, (n, v)) in self.pairs.iter().enumerate() {
            let start = hashed.len();
            for part in [n, v] {
                text.push_str(part);
                ends.push(text.len() as u32);
                hashed.extend_from_slice(part.as_bytes());
                hashed.push(0xff);
            }
            if &**n == NAME {
                name = Some((i as u32, start..hashed.len()));
            }
        }
        let fingerprint = Fingerprint(xxh3_128(&hashed));
        let (name_at, nameless) = match name {
            None => (None, fingerprint),
            Some((at, range)) => {
                hashed.drain(range);
                (Some(at), Fingerprint(xxh3_128(&hashed)))
            }
        };
        let packed = Packed {
            fingerprint,
            nameless,
            name_at,
            text: text.into_boxed_str(),
            ends: ends.into_boxed_slice(),
        };
        Labels {
            packed: Arc::new(packed),
            nameless: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_dedups_and_drops_empty_values() {
        let labels =
            Labels::from_pairs([("b", "2"), ("a", "1"), ("c", ""), ("b", "3"), (NAME, "up")]);
        assert_eq!(labels.to_string(), r#"up{a="1", b="3"}"#);
        assert_eq!(labels.get("c"), None);
        assert_eq!(
            labels.without_name().with("a", "").to_string(),
            r#"{b="3"}"#
        );
    }

    #[test]
    fn without_name_is_the_set_without_it() {
        let named = Labels::from_pairs([("Z", "0"), ("a", "1"), (NAME, "up")]);
        let plain = Labels::from_pairs([("Z", "0"), ("a", "1")]);
        assert_eq!(named.without_name(), plain);
        assert_eq!(named.without_name().len(), 2);
        assert_eq!(named.without_name().get(NAME), None);
        assert_ne!(named, plain);
        assert_eq!(plain.without_name(), plain);
    }

    #[test]
    fn orders_pair_by_pair() {
        let a = Labels::from_pairs([("a", "1")]);
        let ab = Labels::from_pairs([("a", "1"), ("b", "1")]);
        let b = Labels::from_pairs([("b", "0")]);
        assert!(a < ab && ab < b);
    }

    #[test]
    fn alertmanager_fingerprint_is_fnv1a() {
        // model.LabelSet{}.Fingerprint() of an empty set is the FNV offset basis.
        assert_eq!(
            Labels::empty().alertmanager_fingerprint(),
            0xcbf2_9ce4_8422_2325
        );
    }

    #[test]
    fn json_round_trip() {
        let labels = Labels::from_pairs([("x", "é\"\n"), ("a", "1")]);
        let text = serde_json::to_string(&labels).unwrap();
        assert_eq!(serde_json::from_str::<Labels>(&text).unwrap(), labels);
    }
}
