//! Typed ids. Every id is derived, not drawn: the same input always gives the same id.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_128;

use crate::labels::Labels;
use crate::source::Partition;
use crate::time::Timestamp;

/// Hashes parts with unambiguous borders (each is preceded by its length).
fn derive(kind: &str, parts: &[&[u8]]) -> u128 {
    let mut bytes = Vec::with_capacity(64);
    for part in std::iter::once(kind.as_bytes()).chain(parts.iter().copied()) {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    xxh3_128(&bytes)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:032x})"), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                u128::from_str_radix(text, 16).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

id!(
    /// A rule: (group, name, expression, static labels); never its position in a file.
    RuleId
);
id!(
    /// An alert: (rule, labels, when its condition became true).
    AlertId
);
id!(
    /// A signal: (alert, kind, transition time), or of a match (rule, labels, partition, bucket, kind).
    SignalId
);
id!(
    /// A change event.
    ChangeId
);
id!(
    /// An incident: (first alert), or of a split-off (parent, split revision).
    IncidentId
);

impl RuleId {
    /// Identity of a rule; `labels` are the static ones as written.
    pub fn derive(group: &str, name: &str, expr: &str, labels: &[(String, String)]) -> Self {
        let mut sorted: Vec<_> = labels.iter().collect();
        sorted.sort();
        let mut parts = vec![group.as_bytes(), name.as_bytes(), expr.as_bytes()];
        parts.extend(
            sorted
                .iter()
                .flat_map(|(n, v)| [n.as_bytes(), v.as_bytes()]),
        );
        Self(derive("rule", &parts))
    }
}

impl AlertId {
    /// Identity of one occurrence of an alert.
    pub fn derive(rule: RuleId, labels: &Labels, active_at: Timestamp) -> Self {
        let fingerprint = labels.fingerprint().0.to_le_bytes();
        Self(derive(
            "alert",
            &[
                &rule.0.to_le_bytes(),
                &fingerprint,
                &active_at.0.to_le_bytes(),
            ],
        ))
    }
}

impl SignalId {
    /// Identity of a transition.
    pub fn transition(alert: AlertId, kind: &str, at: Timestamp) -> Self {
        Self(derive(
            "signal",
            &[&alert.0.to_le_bytes(), kind.as_bytes(), &at.0.to_le_bytes()],
        ))
    }

    /// Identity of a match signal.
    pub fn matched(
        rule: RuleId,
        labels: &Labels,
        from: Partition,
        bucket: Timestamp,
        kind: &str,
    ) -> Self {
        let fingerprint = labels.fingerprint().0.to_le_bytes();
        let place = [from.source.to_le_bytes(), from.topic.to_le_bytes()].concat();
        Self(derive(
            "match",
            &[
                &rule.0.to_le_bytes(),
                &fingerprint,
                &place,
                &from.index.to_le_bytes(),
                &bucket.0.to_le_bytes(),
                kind.as_bytes(),
            ],
        ))
    }
}

impl ChangeId {
    /// Identity of a change from whatever makes it unique (its source and its own id, say).
    pub fn derive(parts: &[&str]) -> Self {
        let parts: Vec<_> = parts.iter().map(|part| part.as_bytes()).collect();
        Self(derive("change", &parts))
    }
}

impl IncidentId {
    /// Identity of an incident that began with this alert.
    pub fn first(alert: AlertId) -> Self {
        Self(derive("incident", &[&alert.0.to_le_bytes()]))
    }

    /// Identity of a summary of several, in this order.
    pub fn summary(of: impl Iterator<Item = Self>) -> Self {
        let ids: Vec<_> = of.map(|id| id.0.to_le_bytes()).collect();
        let ids: Vec<_> = ids.iter().map(|id| &id[..]).collect();
        Self(derive("summary", &ids))
    }

    /// Identity of what was split off `parent` in its revision `revision`.
    pub fn split(parent: Self, revision: u32) -> Self {
        Self(derive(
            "split",
            &[&parent.0.to_le_bytes(), &revision.to_le_bytes()],
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_between_parts_count() {
        let a = RuleId::derive("ab", "c", "", &[]);
        let b = RuleId::derive("a", "bc", "", &[]);
        assert_ne!(a, b);
    }

    #[test]
    fn text_round_trip() {
        let id = IncidentId::first(AlertId(7));
        assert_eq!(id.to_string().parse::<IncidentId>().unwrap(), id);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<IncidentId>(&json).unwrap(), id);
    }
}
