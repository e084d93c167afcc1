//! Collects pairs in any order and packs them.

use triomphe::Arc;
use xxhash_rust::xxh3::xxh3_128;

use super::schema::schema_of;
use super::{Fingerprint, Head, Labels, NAME, push_value};

/// Collects pairs in any order and packs them.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    /// Names and values as they came, those that were replaced among them.
    text: String,
    pairs: Vec<Pair>,
}

/// Where a pair stands in the text.
#[derive(Clone, Copy, Debug)]
struct Pair {
    start: usize,
    middle: usize,
    end: usize,
}

impl Pair {
    fn name(self, text: &str) -> &str {
        &text[self.start..self.middle]
    }

    fn value(self, text: &str) -> &str {
        &text[self.middle..self.end]
    }
}

impl LabelsBuilder {
    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        if !value.is_empty() {
            return self.set_text(name, value);
        }
        if let Some(i) = self.find(name) {
            self.pairs.swap_remove(i);
        }
        self
    }

    /// Sets a text of that name: of annotations an empty one is one, too.
    pub fn set_text(&mut self, name: &str, text: &str) -> &mut Self {
        let pair = self.write(name, text);
        match self.find(name) {
            Some(i) => self.pairs[i] = pair,
            None => self.pairs.push(pair),
        }
        self
    }

    fn find(&self, name: &str) -> Option<usize> {
        let mut pairs = self.pairs.iter();
        pairs.position(|pair| pair.name(&self.text) == name)
    }

    fn write(&mut self, name: &str, value: &str) -> Pair {
        let start = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        self.text.push_str(value);
        Pair {
            start,
            middle,
            end: self.text.len(),
        }
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
        let pair = self.pairs.iter().find(|pair| pair.name(&self.text) == name);
        pair.map(|pair| pair.value(&self.text))
    }

    /// Sorts, packs and fingerprints.
    pub fn build(&mut self) -> Labels {
        let text = &self.text;
        self.pairs
            .sort_unstable_by(|a, b| a.name(text).cmp(b.name(text)));
        let mut values = String::with_capacity(text.len());
        let mut hashed = Vec::with_capacity(text.len() + 2 * self.pairs.len());
        let mut metric = None;
        for pair in &self.pairs {
            let (name, value) = (pair.name(text), pair.value(text));
            let start = hashed.len();
            for part in [name, value] {
                hashed.extend_from_slice(part.as_bytes());
                hashed.push(0xff);
            }
            if name == NAME {
                metric = Some((value, start..hashed.len()));
            } else {
                push_value(&mut values, value);
            }
        }
        let fingerprint = Fingerprint(xxh3_128(&hashed));
        let schema = schema_of(
            &self.pairs.iter().map(|pair| pair.name(text)),
            metric.as_ref().map(|(value, _)| *value),
        );
        let nameless = match metric {
            None => fingerprint,
            Some((_, range)) => {
                hashed.drain(range);
                Fingerprint(xxh3_128(&hashed))
            }
        };
        let head = Head {
            fingerprint: fingerprint.into(),
            nameless: nameless.into(),
            schema,
        };
        Labels {
            packed: Arc::from_header_and_str(head, &values),
            nameless: false,
        }
    }
}
