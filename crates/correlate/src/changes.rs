//! Changes and evidence signals within their windows: the usual suspects.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_model::{Change, ChangeId, ChangeKind, Evidence, SignalId, Timestamp};
use serde::{Deserialize, Serialize};

/// Changes by service and time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Changes {
    all: BTreeMap<ChangeId, Change>,
    by_service: BTreeMap<String, BTreeSet<(Timestamp, ChangeId)>>,
}

/// What became of something that was to be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    New,
    Known,
    Refused,
}

impl Changes {
    pub(crate) fn insert(&mut self, change: &Change, bound: usize) -> Kept {
        if self.all.contains_key(&change.id) {
            return Kept::Known;
        }
        if self.all.len() >= bound {
            return Kept::Refused;
        }
        self.by_service
            .entry(change.service.clone())
            .or_default()
            .insert((change.at, change.id));
        self.all.insert(change.id, change.clone());
        Kept::New
    }

    /// Changes of a service in `from..=to`, earliest first.
    pub(crate) fn between(
        &self,
        service: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = &Change> {
        let range = (from, ChangeId(0))..=(to, ChangeId(u128::MAX));
        let posting = self.by_service.get(service);
        let ids = posting
            .into_iter()
            .flat_map(move |all| all.range(range.clone()));
        ids.filter_map(|(_, id)| self.all.get(id))
    }

    /// Forgets what lies before `horizon`.
    pub(crate) fn forget(&mut self, horizon: Timestamp) {
        self.all.retain(|_, change| change.at >= horizon);
        self.by_service.retain(|_, posting| {
            posting.retain(|(at, _)| *at >= horizon);
            !posting.is_empty()
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }
}

/// `deploy of payments v2.3.1`.
pub(crate) fn change_text(change: &Change) -> String {
    let version = if change.version.is_empty() {
        String::new()
    } else {
        format!(" {}", change.version)
    };
    let what = match change.kind {
        ChangeKind::Deploy => "deploy of",
        ChangeKind::Rollback => "rollback of",
        ChangeKind::Remove => "removal of",
        ChangeKind::Config => "config change of",
        ChangeKind::Flag => "flag change of",
        ChangeKind::Scale => "scaling of",
        ChangeKind::Migration => "migration of",
        ChangeKind::Other => "change of",
    };
    let service = if change.service.is_empty() {
        "an unnamed service"
    } else {
        &change.service
    };
    format!("{what} {service}{version}")
}

/// Evidence signals by service and onset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Observations {
    by_service: BTreeMap<String, BTreeMap<SignalId, Evidence>>,
    len: usize,
}

impl Observations {
    pub(crate) fn insert(&mut self, service: &str, evidence: &Evidence, bound: usize) -> Kept {
        if self
            .by_service
            .get(service)
            .is_some_and(|all| all.contains_key(&evidence.id))
        {
            return Kept::Known;
        }
        if service.is_empty() || self.len >= bound {
            return Kept::Refused;
        }
        self.by_service
            .entry(service.to_owned())
            .or_default()
            .insert(evidence.id, evidence.clone());
        self.len += 1;
        Kept::New
    }

    /// The strongest that began in `from..=to`.
    pub(crate) fn strongest(
        &self,
        service: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Option<&Evidence> {
        let all = self.by_service.get(service)?.values();
        all.filter(|seen| (from..=to).contains(&seen.onset))
            .max_by(|a, b| {
                a.magnitude
                    .abs()
                    .total_cmp(&b.magnitude.abs())
                    .then(b.id.cmp(&a.id))
            })
    }

    pub(crate) fn forget(&mut self, horizon: Timestamp) {
        self.by_service.retain(|_, all| {
            all.retain(|_, seen| seen.onset >= horizon);
            !all.is_empty()
        });
        self.len = self.by_service.values().map(BTreeMap::len).sum();
    }
}
