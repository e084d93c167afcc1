//! Label sets: sorted, without duplicates, without empty values, packed into one allocation.
//!
//! What the series of a metric have in common, the metric's name and the labels' names, stands once
//! in a schema that they share; a set of its own holds only its values.

mod builder;
mod schema;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use triomphe::HeaderSlice;

pub use builder::LabelsBuilder;
use schema::Schema;

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
    /// The values but the metric's name, in name order, each behind its length.
    packed: triomphe::Arc<HeaderSlice<Head, str>>,
    /// Whether `__name__` is left out: a view of the same bytes, so that functions that drop the
    /// name build nothing.
    nameless: bool,
}

struct Head {
    fingerprint: Halves,
    /// Identity of the set without `__name__`.
    nameless: Halves,
    schema: Arc<Schema>,
}

/// A fingerprint without a `u128`'s alignment.
#[derive(Clone, Copy)]
struct Halves([u64; 2]);

impl From<Fingerprint> for Halves {
    fn from(whole: Fingerprint) -> Self {
        Self([whole.0 as u64, (whole.0 >> 64) as u64])
    }
}

impl From<Halves> for Fingerprint {
    fn from(Halves([low, high]): Halves) -> Self {
        Self(u128::from(high) << 64 | u128::from(low))
    }
}

static EMPTY: LazyLock<Labels> = LazyLock::new(|| LabelsBuilder::default().build());

/// Appends a value behind its length. A length is written in characters of fourteen bits, lowest
/// first, of which all but the last are marked.
fn push_value(text: &mut String, value: &str) {
    let mut len = value.len() as u32;
    while len >= MARK {
        text.extend(char::from_u32(MARK | (len % MARK)));
        len /= MARK;
    }
    text.extend(char::from_u32(len));
    text.push_str(value);
}

/// Marks a length's character that is not its last.
const MARK: u32 = 1 << 14;

/// The values of a packed text.
fn values(text: &str) -> Values<'_> {
    Values { rest: text }
}

struct Values<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        let (mut len, mut shift) = (0, 0);
        let mut chars = self.rest.chars();
        loop {
            let part = chars.next()? as u32;
            len |= ((part % MARK) as usize) << shift;
            if part < MARK {
                break;
            }
            shift += 14;
        }
        let (value, rest) = chars.as_str().split_at_checked(len)?;
        self.rest = rest;
        Some(value)
    }
}

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

    /// Texts by name, as annotations are: of two with one name the later wins, and an empty one is
    /// one, too.
    pub fn from_texts<N: AsRef<str>, V: AsRef<str>>(
        texts: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, text) in texts {
            builder.set_text(name.as_ref(), text.as_ref());
        }
        builder.build()
    }

    fn schema(&self) -> &Schema {
        &self.packed.header.schema
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.schema().len() - usize::from(self.nameless && self.schema().metric().is_some())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Identity of the set.
    #[inline]
    pub fn fingerprint(&self) -> Fingerprint {
        let head = &self.packed.header;
        if self.nameless {
            head.nameless.into()
        } else {
            head.fingerprint.into()
        }
    }

    /// Value of a label; `None` where it is missing (which PromQL treats as empty).
    pub fn get(&self, name: &str) -> Option<&str> {
        if name == NAME {
            return self.schema().metric().filter(|_| !self.nameless);
        }
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
        let mut values = values(&self.packed.slice);
        let nameless = self.nameless;
        let metric = self.schema().metric();
        self.schema().names().filter_map(move |name| {
            let value = if name == NAME {
                metric.filter(|_| !nameless)
            } else {
                values.next()
            };
            Some((name, value?))
        })
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
            packed: triomphe::Arc::clone(&self.packed),
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

    /// Bytes that this set holds on the heap; its schema, which others share, not counted.
    pub fn heap_bytes(&self) -> usize {
        size_of::<usize>() + size_of::<Head>() + self.packed.slice.len()
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
            return Ordering::Equal;
        }
        let (own, others) = (&self.packed.header.schema, &other.packed.header.schema);
        if Arc::ptr_eq(own, others) && self.nameless == other.nameless {
            // The names are the same, and so is the metric's.
            return values(&self.packed.slice).cmp(values(&other.packed.slice));
        }
        self.iter().cmp(other.iter())
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
        deserializer.deserialize_map(Texts)
    }
}

/// Reads a set as it was written: empty texts stay.
struct Texts;

/// A text that is borrowed where the format holds it as it is.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Texts {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
        let mut builder = LabelsBuilder::default();
        while let Some((Text(name), Text(text))) = map.next_entry()? {
            builder.set_text(&name, &text);
        }
        Ok(builder.build())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_texts_empty_ones_stay() {
        let texts = Labels::from_texts([("b", ""), ("a", "1"), ("a", "")]);
        assert_eq!(texts.to_string(), r#"{a="", b=""}"#);
        let back: Labels = serde_json::from_str(&serde_json::to_string(&texts).unwrap()).unwrap();
        assert_eq!(back, texts);
    }

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
    fn values_of_any_length_come_back() {
        let long = "é".repeat(40_000);
        for len in [0, 1, 127, 128, 2_047, 2_048, 16_383, 16_384, 70_000] {
            let value = format!("{}.", &long[..long.floor_char_boundary(len)]);
            let labels = Labels::from_pairs([("a", "1"), ("b", &value), ("c", "3"), (NAME, "up")]);
            assert_eq!(labels.value("b"), value);
            assert_eq!(labels.value("c"), "3");
            assert_eq!(labels.with("b", "").to_string(), r#"up{a="1", c="3"}"#);
        }
    }

    #[test]
    fn order_does_not_depend_on_what_is_shared() {
        let sets = [
            Labels::from_pairs([("a", "1"), ("b", "2"), (NAME, "up")]),
            Labels::from_pairs([("a", "1"), ("b", "10"), (NAME, "up")]),
            Labels::from_pairs([("a", "1"), (NAME, "up")]),
            Labels::from_pairs([("a", "1"), ("b", "2"), (NAME, "down")]),
            Labels::from_pairs([("a", "1"), ("b", "2")]),
            Labels::from_pairs([("A", "9"), ("b", "2"), (NAME, "up")]),
        ];
        let views = sets.iter().map(Labels::without_name);
        let all: Vec<_> = sets.iter().cloned().chain(views).collect();
        for (a, b) in all.iter().flat_map(|a| all.iter().map(move |b| (a, b))) {
            let (pairs, others) = (a.to_map(), b.to_map());
            assert_eq!(a.cmp(b), pairs.iter().cmp(others.iter()), "{a} and {b}");
        }
    }

    #[test]
    fn a_series_set_is_one_small_allocation() {
        let labels = Labels::from_pairs([("path", "/api"), ("zone", "eu-west-1a"), (NAME, "up")]);
        assert_eq!(labels.heap_bytes(), 8 + 40 + 2 + 4 + 10);
        assert!(Arc::ptr_eq(
            &labels.packed.header.schema,
            &labels.with("zone", "us").packed.header.schema
        ));
    }

    #[test]
    fn json_round_trip() {
        let labels = Labels::from_pairs([("x", "é\"\n"), ("a", "1")]);
        let text = serde_json::to_string(&labels).unwrap();
        assert_eq!(serde_json::from_str::<Labels>(&text).unwrap(), labels);
    }
}
