//! The shape of JSON logs as far as it was seen: every key by where it stands, with what it is
//! called as a field and what the mapping wants of it.
//!
//! Programs write the same keys again and again, mostly in the same order. So a key is compared with
//! the one that came next the last time, and only what is new is looked up, named and matched. What
//! is known changes no result. It is bounded; a record that alone has more keys than fit keeps those
//! that came first, and is said to be overfull.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::json::logs::LogPlan;
use crate::json::scan::{JsonError, JsonStr};
use crate::naming::label_name;
use crate::options::Translation;

/// Most keys that are known at once.
const MAX_KEYS: usize = 8_192;

/// Most bytes of their texts.
const MAX_BYTES: usize = 1 << 20;

/// A key at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyId(u32);

/// The document itself.
pub(crate) const ROOT: KeyId = KeyId(0);

/// What is known of a key.
#[derive(Debug, Default)]
pub(crate) struct Key {
    /// As it stands in the text, escapes and all.
    raw: String,
    parent: u32,
    /// JSON pointer.
    pointer: String,
    /// What it is called as a field.
    pub(crate) name: String,
    /// Slots that ask for it, each with its rank there.
    pub(crate) slots: SmallVec<[(usize, usize); 2]>,
    /// Whether its text may hold an object.
    pub(crate) nested: bool,
    /// Whichever key came first inside it the last time.
    inside: u32,
    /// Whichever key came after it the last time.
    after: u32,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    keys: Vec<Key>,
    /// Hash of parent and raw key → key. Never iterated.
    known: HashMap<u128, u32, BuildHasherDefault<DefaultHasher>>,
    bytes: usize,
    /// Whether it knew only the mapping's own keys when the document began.
    fresh: bool,
    full: bool,
}

impl Shape {
    /// Begins a document.
    pub(crate) fn begin(&mut self, plan: &LogPlan) {
        if self.keys.is_empty() || self.full {
            self.forget(plan);
        }
        self.fresh = self.keys.len() == plan.own_keys() + 1;
        self.full = false;
    }

    /// Whether the document must be walked again: there was no room for one of its keys, but there
    /// is once what came before is forgotten.
    pub(crate) fn ran_out(&self) -> bool {
        self.full && !self.fresh
    }

    /// What is known of a key.
    pub(crate) fn key(&self, id: KeyId) -> &Key {
        &self.keys[id.0 as usize]
    }

    /// The key inside `parent` after `last`, if it is the one that came there the last time.
    #[inline]
    pub(crate) fn guess(&self, parent: KeyId, last: Option<KeyId>, raw: &str) -> Option<KeyId> {
        let guess = match last {
            Some(last) => self.keys[last.0 as usize].after,
            None => self.keys[parent.0 as usize].inside,
        };
        let guessed = &self.keys[guess as usize];
        let right = guess != 0 && guessed.parent == parent.0 && guessed.raw == raw;
        right.then_some(KeyId(guess))
    }

    /// The key inside `parent` after `last`, and the guess for the next time. `None` where there is
    /// no room for it: the mapping asks for no such key.
    pub(crate) fn find(
        &mut self,
        plan: &LogPlan,
        parent: KeyId,
        last: Option<KeyId>,
        key: JsonStr<'_>,
    ) -> Result<Option<KeyId>, JsonError> {
        let found = self.look_up(plan, parent.0, key)?;
        if let Some(id) = found {
            match last {
                Some(last) => self.keys[last.0 as usize].after = id,
                None => self.keys[parent.0 as usize].inside = id,
            }
        }
        Ok(found.map(KeyId))
    }

    fn look_up(
        &mut self,
        plan: &LogPlan,
        parent: u32,
        key: JsonStr<'_>,
    ) -> Result<Option<u32>, JsonError> {
        let hash = xxh3_128_with_seed(key.raw.as_bytes(), u64::from(parent));
        if let Some(id) = self.known.get(&hash) {
            return Ok(Some(*id));
        }
        let mut meant = String::new();
        key.decode(&mut meant)?;
        let above = &self.keys[parent as usize].pointer;
        let bytes = 2 * above.len() + 3 * key.raw.len() + size_of::<Key>();
        if self.keys.len() > MAX_KEYS || self.bytes + bytes > MAX_BYTES {
            self.full = true;
            return Ok(None);
        }
        self.bytes += bytes;
        let pointer = format!("{above}/{}", meant.replace('~', "~0").replace('/', "~1"));
        let mut name = String::new();
        // Whatever the translation: a path's slashes could not be named in a rule.
        label_name(Translation::Underscore, &pointer[1..], &mut name);
        let id = self.keys.len() as u32;
        self.keys.push(Key {
            raw: key.raw.to_owned(),
            parent,
            slots: plan.slots_of(&pointer),
            nested: plan.is_nested(&pointer),
            pointer,
            name,
            inside: 0,
            after: 0,
        });
        self.known.insert(hash, id);
        Ok(Some(id))
    }

    /// Back to the keys that the mapping names.
    #[cold]
    fn forget(&mut self, plan: &LogPlan) {
        self.keys.clear();
        self.known.clear();
        self.bytes = 0;
        self.keys.push(Key::default());
        plan.each_own_key(|above, key| {
            let at = self.keys.iter().position(|known| known.pointer == above);
            let raw = JsonStr {
                raw: key,
                escaped: false,
            };
            // Text without escapes does not fail.
            let _ = self.look_up(plan, at.unwrap_or(0) as u32, raw);
        });
    }
}
