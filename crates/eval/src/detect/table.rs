//! Per-series states in label order, walked together with a vector in label order.

use foghorn_model::{Labels, Timestamp};
use serde::{Deserialize, Serialize};

use crate::vector::Element;

/// A series and what is kept for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry<S> {
    pub(crate) labels: Labels,
    pub(crate) last_seen: Timestamp,
    pub(crate) state: S,
}

/// Entries in label order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Table<S> {
    entries: Vec<Entry<S>>,
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
        }
    }
}

impl<S> Table<S> {
    /// Visits the state of every element, in the vector's order, then drops what was not seen for
    /// `forget_ms`. Both are in label order, so each step is one comparison of fingerprints; only
    /// where series came or went is there a search.
    pub(crate) fn visit(
        &mut self,
        at: Timestamp,
        forget_ms: i64,
        vector: &[Element],
        new: impl Fn() -> S,
        mut each: impl FnMut(&mut S, &Element),
    ) {
        let mut born: Vec<Entry<S>> = Vec::new();
        let (mut next, mut seen) = (0, 0);
        for element in vector {
            if let Some(found) = self.find(next, &element.labels) {
                let entry = &mut self.entries[found];
                entry.last_seen = at;
                each(&mut entry.state, element);
                (next, seen) = (found + 1, seen + 1);
            } else {
                let mut state = new();
                each(&mut state, element);
                born.push(Entry {
                    labels: element.labels.clone(),
                    last_seen: at,
                    state,
                });
            }
        }
        if seen < self.entries.len() {
            self.entries
                .retain(|entry| at - entry.last_seen < forget_ms);
        }
        if !born.is_empty() {
            self.entries.append(&mut born);
            self.entries.sort_by(|a, b| a.labels.cmp(&b.labels));
            self.entries
                .dedup_by(|later, earlier| later.labels == earlier.labels);
        }
    }

    fn find(&self, next: usize, labels: &Labels) -> Option<usize> {
        if self
            .entries
            .get(next)
            .is_some_and(|entry| entry.labels == *labels)
        {
            return Some(next);
        }
        self.entries
            .binary_search_by(|entry| entry.labels.cmp(labels))
            .ok()
    }

    /// Entries in label order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry<S>> {
        self.entries.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes held; `heap` tells a state's own.
    pub(crate) fn bytes(&self, heap: impl Fn(&S) -> usize) -> usize {
        let held: usize = self
            .entries
            .iter()
            .map(|entry| entry.labels.heap_bytes() + heap(&entry.state))
            .sum();
        self.entries.capacity() * size_of::<Entry<S>>() + held
    }
}
