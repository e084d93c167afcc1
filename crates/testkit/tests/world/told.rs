//! What a run has said, byte for byte, and where two runs differ.

use std::collections::BTreeMap;

use foghorn_engine::{Entry, GroupKey};
use foghorn_model::{Offset, Partition, Timestamp};

/// Everything that was said, as text.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) ticks: BTreeMap<(GroupKey, Timestamp), String>,
    pub(crate) arrivals: BTreeMap<(Partition, Offset), String>,
    /// What must never be: something was said twice.
    pub(crate) twice: Vec<String>,
}

impl Told {
    pub(crate) fn of(log: &[Entry]) -> Self {
        let mut told = Self::default();
        for entry in log {
            match entry {
                Entry::Tick {
                    group,
                    tick,
                    signals,
                } => {
                    let text = serde_json::to_string(signals).expect("signals are JSON");
                    if told.ticks.insert((group.clone(), *tick), text).is_some() {
                        told.twice
                            .push(format!("tick {tick} of {:?} closed twice", group.name));
                    }
                }
                Entry::Arrival {
                    partition,
                    offset,
                    signals,
                    ..
                } => {
                    let text = serde_json::to_string(signals).expect("signals are JSON");
                    if told.arrivals.insert((*partition, *offset), text).is_some() {
                        told.twice
                            .push(format!("record {offset} of {partition} spoke twice"));
                    }
                }
                _ => {}
            }
        }
        told
    }

    /// How many ticks and arrivals said something.
    pub(crate) fn words(&self) -> usize {
        self.ticks.values().filter(|text| *text != "[]").count() + self.arrivals.len()
    }

    /// The first difference, for people.
    pub(crate) fn differs(&self, other: &Self) -> Option<String> {
        if let Some(twice) = self.twice.first().or(other.twice.first()) {
            return Some(twice.clone());
        }
        let ticks = first_difference(&self.ticks, &other.ticks).map(|((group, tick), a, b)| {
            (
                *tick,
                format!("group {:?}, tick {tick}:\n  {a}\n  {b}", group.name),
            )
        });
        let arrivals =
            first_difference(&self.arrivals, &other.arrivals).map(|((partition, offset), a, b)| {
                format!("record {offset} of {partition}:\n  {a}\n  {b}")
            });
        ticks.map(|(_, text)| text).or(arrivals)
    }
}

fn first_difference<'a, K: Ord>(
    a: &'a BTreeMap<K, String>,
    b: &'a BTreeMap<K, String>,
) -> Option<(&'a K, &'a str, &'a str)> {
    let get = |of: &'a BTreeMap<K, String>, key| of.get(key).map_or("(nothing)", String::as_str);
    a.keys()
        .chain(b.keys())
        .map(|key| (key, get(a, key), get(b, key)))
        .find(|(_, a, b)| a != b)
}
