//! Schemas: the names of a label set and its metric's name, once for all sets that share them.
//!
//! A table of weak references for the whole process, with a small cache of each thread's own before
//! it, since label sets that are built one after another mostly share a schema. What is in the table
//! shows in nothing but memory: equality and order go by contents.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use xxhash_rust::xxh3::xxh3_128;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Schema {
    /// Names in order, then the metric's name.
    text: Box<str>,
    /// End of each name in the text.
    ends: Box<[u32]>,
    /// Whether `__name__` is among the names, so that the text ends in the metric's name.
    named: bool,
}

impl Schema {
    fn of<'a>(names: impl Iterator<Item = &'a str>, metric: Option<&str>) -> Self {
        let (mut text, mut ends) = (String::new(), Vec::new());
        for name in names {
            text.push_str(name);
            ends.push(text.len() as u32);
        }
        text.push_str(metric.unwrap_or_default());
        Self {
            text: text.into(),
            ends: ends.into(),
            named: metric.is_some(),
        }
    }

    /// Number of names, `__name__` among them.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Names in order, `__name__` among them.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let name = &self.text[start..*end as usize];
            start = *end as usize;
            name
        })
    }

    /// The metric's name.
    pub(super) fn metric(&self) -> Option<&str> {
        let start = self.ends.last().copied().unwrap_or(0);
        self.named.then(|| &self.text[start as usize..])
    }
}

/// Schemas of the whole process, by a hash of their contents.
#[derive(Default)]
struct Table {
    schemas: HashMap<u128, Weak<Schema>>,
    /// At so many entries those that nobody uses any more go.
    prune_at: usize,
}

static TABLE: LazyLock<Mutex<Table>> = LazyLock::new(Mutex::default);

/// A schema and its hash.
type AtHand = Option<(u128, Arc<Schema>)>;

/// Schemas that a thread keeps at hand.
const AT_HAND: usize = 64;

thread_local! {
    static RECENT: RefCell<Vec<AtHand>> = const { RefCell::new(Vec::new()) };
}

/// The schema of some names, which are in order, and a metric's name.
pub(super) fn schema_of<'a>(
    names: &(impl Iterator<Item = &'a str> + Clone),
    metric: Option<&str>,
) -> Arc<Schema> {
    let mut hashed = Vec::with_capacity(256);
    for part in names.clone() {
        hashed.extend_from_slice(part.as_bytes());
        hashed.push(0xff);
    }
    hashed.push(0xfe);
    hashed.extend_from_slice(metric.unwrap_or_default().as_bytes());
    let hash = xxh3_128(&hashed);
    let build = || shared(hash, || Schema::of(names.clone(), metric));
    let recent = RECENT.try_with(|recent| {
        let mut recent = recent.borrow_mut();
        if recent.is_empty() {
            recent.resize(AT_HAND, None);
        }
        let place = &mut recent[hash as usize % AT_HAND];
        match place {
            Some((known, schema)) if *known == hash => Arc::clone(schema),
            _ => {
                let schema = build();
                *place = Some((hash, Arc::clone(&schema)));
                schema
            }
        }
    });
    // The thread is ending, and its cache is gone.
    recent.unwrap_or_else(|_| build())
}

/// The process' schema of this hash.
fn shared(hash: u128, build: impl FnOnce() -> Schema) -> Arc<Schema> {
    let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(schema) = table.schemas.get(&hash).and_then(Weak::upgrade) {
        return schema;
    }
    if table.schemas.len() >= table.prune_at {
        table.schemas.retain(|_, schema| schema.strong_count() > 0);
        table.prune_at = (2 * table.schemas.len()).max(1_024);
    }
    let schema = Arc::new(build());
    table.schemas.insert(hash, Arc::downgrade(&schema));
    schema
}
