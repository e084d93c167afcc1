//! Label sets that expressions derive from others, kept by fingerprint.
//!
//! In the steady state an aggregation, a join or a `label_replace` meets the same series at every
//! tick; what it made of their labels is found here, so that no label set is built twice. Nothing
//! depends on what is kept: it is dropped whole when it has grown past [`BOUND`].

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use foghorn_model::labels::NAME;
use foghorn_model::{Fingerprint, Labels};
use hashbrown::Equivalent;

use crate::vector::Rows;

/// Most entries kept, over all kinds.
pub(super) const BOUND: usize = 1 << 20;

/// Hashes fingerprints, which are hashes already.
#[derive(Default)]
pub(crate) struct FingerprintHasher(u64);

impl Hasher for FingerprintHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = self.0.rotate_left(23) ^ value as u64 ^ (value >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A map by fingerprint; never iterated.
pub(crate) type FingerprintMap<K, V> = HashMap<K, V, BuildHasherDefault<FingerprintHasher>>;

/// A set of fingerprints; never iterated.
pub(crate) type FingerprintSet = HashSet<Fingerprint, BuildHasherDefault<FingerprintHasher>>;

/// Which labels of a set are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ProjectionSpec {
    /// Keep the labels named; else all others.
    keep: bool,
    /// The metric's name goes in any case.
    drop_name: bool,
    labels: Vec<String>,
}

/// The same, borrowed from a plan.
#[derive(Hash)]
struct ProjectionRef<'a> {
    keep: bool,
    drop_name: bool,
    labels: &'a [String],
}

impl Equivalent<ProjectionSpec> for ProjectionRef<'_> {
    fn equivalent(&self, spec: &ProjectionSpec) -> bool {
        (self.keep, self.drop_name, self.labels)
            == (spec.keep, spec.drop_name, spec.labels.as_slice())
    }
}

/// A projection of label sets: sets that agree in what is kept share a group, which has a number.
///
/// Each group has a *seat* that one pass over a vector may give to one of its elements.
pub(super) struct Projection {
    spec: ProjectionSpec,
    members: FingerprintMap<Fingerprint, u32>,
    numbers: FingerprintMap<Fingerprint, u32>,
    groups: Vec<Labels>,
    seats: Vec<(u32, u32)>,
    round: u32,
}

impl Projection {
    fn new(spec: ProjectionSpec) -> Self {
        Self {
            spec,
            members: HashMap::default(),
            numbers: HashMap::default(),
            groups: Vec::new(),
            seats: Vec::new(),
            round: 0,
        }
    }

    /// The number of a label set's group.
    pub(super) fn number(&mut self, labels: &Labels) -> u32 {
        let fingerprint = labels.fingerprint();
        if let Some(number) = self.members.get(&fingerprint) {
            return *number;
        }
        let group = self.project(labels);
        let next = self.groups.len() as u32;
        let number = *self.numbers.entry(group.fingerprint()).or_insert(next);
        if number == next {
            self.groups.push(group);
            self.seats.push((0, 0));
        }
        self.members.insert(fingerprint, number);
        number
    }

    /// A group's labels.
    pub(super) fn labels(&self, number: u32) -> &Labels {
        &self.groups[number as usize]
    }

    /// A label set's projection.
    pub(super) fn of(&mut self, labels: &Labels) -> Labels {
        let number = self.number(labels);
        self.labels(number).clone()
    }

    fn project(&self, labels: &Labels) -> Labels {
        let ProjectionSpec {
            keep,
            drop_name,
            labels: named,
        } = &self.spec;
        if *drop_name && !keep && named.is_empty() {
            return labels.without_name();
        }
        labels.filtered(|name| {
            !(*drop_name && name == NAME) && named.iter().any(|n| n == name) == *keep
        })
    }

    /// Empties all seats.
    pub(super) fn begin(&mut self) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.seats.fill((0, 0));
            self.round = 1;
        }
    }

    /// Gives a group's seat to `occupant`, unless somebody has it: then that one.
    pub(super) fn sit(&mut self, number: u32, occupant: u32) -> Option<u32> {
        let seat = &mut self.seats[number as usize];
        if seat.0 == self.round {
            return Some(seat.1);
        }
        *seat = (self.round, occupant);
        None
    }

    /// Who has a group's seat.
    pub(super) fn occupant(&self, number: u32) -> Option<u32> {
        let seat = self.seats[number as usize];
        (seat.0 == self.round).then_some(seat.1)
    }
}

/// Labels of a many-to-one match: those of the "many" side, with some taken from the "one" side.
pub(super) struct Merge {
    drop_name: bool,
    include: Vec<String>,
    results: FingerprintMap<(Fingerprint, Fingerprint), Labels>,
}

impl Merge {
    /// The labels of a pair's result.
    pub(super) fn of(&mut self, many: &Labels, one: &Labels) -> Labels {
        let Self {
            drop_name,
            include,
            results,
        } = self;
        let key = (many.fingerprint(), one.fingerprint());
        let build = || {
            let mut builder = if *drop_name {
                many.without_name()
            } else {
                many.clone()
            }
            .to_builder();
            for name in include.iter() {
                builder.set(name, one.value(name));
            }
            builder.build()
        };
        results.entry(key).or_insert_with(build).clone()
    }
}

/// What [`Caches`] keeps of a function that rewrites labels by constant arguments.
pub(super) struct Rewrite {
    args: Vec<String>,
    /// `label_replace`'s, compiled.
    pub(super) regex: Option<regex::Regex>,
    /// Rewritten label sets.
    pub(super) results: FingerprintMap<Fingerprint, Labels>,
}

/// The groups of a list of rows under a projection.
#[derive(Default)]
struct Numbered {
    generation: u64,
    numbers: Vec<u32>,
}

/// All derived label sets of an evaluator.
#[derive(Default)]
pub(super) struct Caches {
    /// By projection, list of rows, and whether their metric's name counts.
    numbered: hashbrown::HashMap<(usize, (u32, u32), bool), Numbered>,
    projections: Vec<Projection>,
    projection_at: hashbrown::HashMap<ProjectionSpec, usize>,
    merges: Vec<Merge>,
    rewrites: Vec<Rewrite>,
}

impl Caches {
    /// Drops everything when there is too much of it. To be called between evaluations.
    pub(super) fn bound(&mut self) {
        let projections = self
            .projections
            .iter()
            .map(|p| p.members.len() + p.groups.len());
        let merges = self.merges.iter().map(|m| m.results.len());
        let rewrites = self.rewrites.iter().map(|r| r.results.len());
        let rows = self.numbered.values().map(|n| n.numbers.len());
        let rewrites = rewrites.chain(rows);
        if projections.chain(merges).chain(rewrites).sum::<usize>() > BOUND {
            *self = Self::default();
        }
    }

    /// Handle of a projection: the labels named (`keep`) or all others, `drop_name` also without
    /// the metric's name.
    pub(super) fn projection(&mut self, keep: bool, drop_name: bool, labels: &[String]) -> usize {
        if let Some(at) = self.projection_at.get(&ProjectionRef {
            keep,
            drop_name,
            labels,
        }) {
            return *at;
        }
        let spec = ProjectionSpec {
            keep,
            drop_name,
            labels: labels.to_vec(),
        };
        self.projections.push(Projection::new(spec.clone()));
        self.projection_at.insert(spec, self.projections.len() - 1);
        self.projections.len() - 1
    }

    /// A projection by its handle.
    pub(super) fn projected(&mut self, handle: usize) -> &mut Projection {
        &mut self.projections[handle]
    }

    /// The number of each row's group under a projection, and the projection.
    pub(super) fn numbered(&mut self, handle: usize, rows: &Rows<'_>) -> (&[u32], &mut Projection) {
        let key = (handle, rows.list, rows.keeps_name);
        let (kept, projection) = (
            self.numbered.entry(key).or_default(),
            &mut self.projections[handle],
        );
        if kept.generation != rows.generation {
            kept.generation = rows.generation;
            let numbers = rows.labels.iter().map(|labels| {
                if rows.keeps_name {
                    projection.number(labels)
                } else {
                    projection.number(&labels.without_name())
                }
            });
            kept.numbers.clear();
            kept.numbers.extend(numbers);
        }
        (&kept.numbers, projection)
    }

    /// Handle of a many-to-one match's result labels. (Few rules have one: a search will do.)
    pub(super) fn merge(&mut self, drop_name: bool, include: &[String]) -> usize {
        let known = self
            .merges
            .iter()
            .position(|m| m.drop_name == drop_name && m.include == include);
        known.unwrap_or_else(|| {
            self.merges.push(Merge {
                drop_name,
                include: include.to_vec(),
                results: HashMap::default(),
            });
            self.merges.len() - 1
        })
    }

    /// A merge by its handle.
    pub(super) fn merged(&mut self, handle: usize) -> &mut Merge {
        &mut self.merges[handle]
    }

    /// What is kept for a rewriting function with these arguments, its own name first.
    pub(super) fn rewrite(&mut self, args: &[&str]) -> &mut Rewrite {
        let known = self.rewrites.iter().position(|r| r.args == args);
        let at = known.unwrap_or_else(|| {
            let args = args.iter().map(|arg| (*arg).to_owned()).collect();
            self.rewrites.push(Rewrite {
                args,
                regex: None,
                results: HashMap::default(),
            });
            self.rewrites.len() - 1
        });
        &mut self.rewrites[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn check(keep: bool, drop_name: bool, names: &[&str], expect: &str) {
        let mut caches = Caches::default();
        let handle = caches.projection(keep, drop_name, &strings(names));
        let labels = Labels::from_pairs([(NAME, "up"), ("job", "a"), ("zone", "b")]);
        assert_eq!(caches.projected(handle).of(&labels).to_string(), expect);
        assert_eq!(
            caches.projected(handle).of(&labels).to_string(),
            expect,
            "once more, as kept"
        );
    }

    #[test]
    fn projects() {
        check(true, false, &["job", NAME], r#"up{job="a"}"#);
        check(true, true, &["job", NAME], r#"{job="a"}"#);
        check(false, true, &["job"], r#"{zone="b"}"#);
        check(false, false, &["job"], r#"up{zone="b"}"#);
        check(false, true, &[], r#"{job="a", zone="b"}"#);
        check(true, false, &[], "{}");
    }

    #[test]
    fn seats_last_one_round() {
        let mut caches = Caches::default();
        let handle = caches.projection(true, false, &strings(&["job"]));
        let projection = caches.projected(handle);
        let number = projection.number(&Labels::from_pairs([("job", "a"), ("i", "1")]));
        assert_eq!(
            number,
            projection.number(&Labels::from_pairs([("job", "a"), ("i", "2")]))
        );
        projection.begin();
        assert_eq!(
            (projection.occupant(number), projection.sit(number, 7)),
            (None, None)
        );
        assert_eq!(
            (projection.occupant(number), projection.sit(number, 8)),
            (Some(7), Some(7))
        );
        projection.begin();
        assert_eq!(projection.occupant(number), None);
    }
}
