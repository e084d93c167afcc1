//! What stands on the topic of incidents: so that nothing is said twice, and that what somebody said
//! late, who had been relieved, does not stand there last.

use std::collections::{BTreeMap, HashMap};

use foghorn_kafka::OwnedRecord;
use foghorn_model::Incident;
use serde::Deserialize;

/// Header: which revision of its incident a record is.
pub(super) const REVISION_HEADER: &str = "foghorn-revision";
/// Header: how often the work had been taken over when it was written. Readers who have seen a higher
/// one in a partition pass over what comes there with a lower one.
pub(super) const EPOCH_HEADER: &str = "foghorn-epoch";

/// Incidents that are remembered at most; the ones that were said longest ago are forgotten.
const MOST: usize = 10_000;

/// Bytes of their events that are kept at most, to be written again; as above.
const MOST_BYTES: usize = 64 << 20;

/// The latest revision of an incident on the topic.
#[derive(Debug)]
struct Said {
    revision: u32,
    /// Its event; empty where nobody else writes.
    payload: Vec<u8>,
    /// Rises with each record.
    at: u64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    latest: HashMap<Vec<u8>, Said>,
    by_age: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
    next: u64,
    /// The highest epoch in each partition.
    epochs: BTreeMap<u32, u64>,
}

/// What is to be written again: key, revision, payload.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overtaken {
    pub(super) key: Vec<u8>,
    pub(super) revision: u32,
    pub(super) payload: Vec<u8>,
}

impl Spoken {
    /// Takes in a record; what has to be written again, since an owner of an epoch before `epoch` has
    /// written over it. Without an epoch there is nobody else.
    pub(super) fn take(&mut self, record: &OwnedRecord, epoch: Option<u64>) -> Option<Overtaken> {
        let revision = revision_of(record)?;
        let (key, payload) = (record.key.clone()?, record.payload.as_deref()?);
        let theirs = header(record, EPOCH_HEADER).unwrap_or(0);
        if let Some(said) = self.latest.get(&key)
            && said.revision > revision
        {
            let is_late = epoch.is_some_and(|ours| theirs < ours);
            return is_late.then(|| Overtaken {
                key,
                revision: said.revision,
                payload: said.payload.clone(),
            });
        }
        let highest = self.epochs.entry(record.partition).or_default();
        if theirs < *highest {
            // Readers pass over it: it is not said yet, though it is new.
            return None;
        }
        *highest = theirs;
        self.next += 1;
        let said = Said {
            revision,
            payload: epoch.map(|_| payload.to_vec()).unwrap_or_default(),
            at: self.next,
        };
        self.bytes += said.payload.len();
        self.by_age.insert(said.at, key.clone());
        if let Some(before) = self.latest.insert(key, said) {
            self.by_age.remove(&before.at);
            self.bytes -= before.payload.len();
        }
        while self.by_age.len() > MOST || self.bytes > MOST_BYTES {
            let Some((_, key)) = self.by_age.pop_first() else {
                break;
            };
            let gone = self.latest.remove(&key);
            self.bytes -= gone.map_or(0, |gone| gone.payload.len());
        }
        None
    }

    /// Whether this revision, or a later one, stands there.
    pub(super) fn has(&self, incident: &Incident) -> bool {
        let said = self.latest.get(incident.id.to_string().as_bytes());
        said.is_some_and(|said| said.revision >= incident.revision)
    }
}

fn header(record: &OwnedRecord, name: &str) -> Option<u64> {
    record.header(name)?.parse().ok()
}

/// What a record says; those of earlier versions say it only in the event itself.
fn revision_of(record: &OwnedRecord) -> Option<u32> {
    #[derive(Deserialize)]
    struct Event {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        revision: u32,
    }
    if let Some(revision) = header(record, REVISION_HEADER) {
        return u32::try_from(revision).ok();
    }
    let event: Event = serde_json::from_slice(record.payload.as_deref()?).ok()?;
    Some(event.data.revision)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use foghorn_model::incident::Status::Open;

    use super::*;
    use crate::fixtures::incident;

    fn record(id: u128, revision: u32, epoch: u64) -> OwnedRecord {
        let of = incident(id, revision, Open);
        OwnedRecord {
            topic: Arc::from("incidents"),
            partition: 0,
            offset: 0,
            timestamp_ms: None,
            log_append_time: false,
            key: Some(of.id.to_string().into_bytes()),
            payload: Some(format!("r{revision}").into_bytes()),
            headers: vec![
                (
                    REVISION_HEADER.to_owned(),
                    revision.to_string().into_bytes(),
                ),
                (EPOCH_HEADER.to_owned(), epoch.to_string().into_bytes()),
            ],
        }
    }

    /// What an owner of epoch 2 has to write again after these records of one incident: (revision,
    /// epoch).
    fn check(records: &[(u32, u64)], expect: &[u32]) {
        let mut spoken = Spoken::default();
        let records = records.iter();
        let again = records
            .filter_map(|&(revision, epoch)| spoken.take(&record(7, revision, epoch), Some(2)));
        let again: Vec<_> = again.map(|it| it.revision).collect();
        assert_eq!(again, expect);
    }

    #[test]
    fn what_an_older_owner_wrote_late_does_not_stand_last() {
        check(&[(1, 1), (2, 1), (3, 2)], &[]);
        check(&[(1, 1), (3, 2), (2, 1)], &[3]);
        check(&[(3, 2), (2, 1), (3, 2), (1, 1)], &[3, 3]);
        // The same revision says the same; and of a newer owner nobody need say anything.
        check(&[(3, 2), (3, 1)], &[]);
        check(&[(5, 2), (3, 3)], &[]);
    }

    #[test]
    fn what_readers_pass_over_is_not_said() {
        let mut spoken = Spoken::default();
        for (id, revision, epoch) in [(7, 1, 1), (7, 2, 1), (8, 1, 2), (7, 3, 1)] {
            assert_eq!(spoken.take(&record(id, revision, epoch), Some(2)), None);
        }
        let has = |revision| spoken.has(&incident(7, revision, Open));
        assert!(has(2) && !has(3), "the third came late");
        // Another partition has an order of its own.
        let elsewhere = OwnedRecord {
            partition: 1,
            ..record(9, 1, 1)
        };
        spoken.take(&elsewhere, Some(2));
        assert!(spoken.has(&incident(9, 1, Open)));
    }

    #[test]
    fn an_event_without_headers_says_its_revision_itself() {
        let of = Arc::new(incident(7, 4, Open));
        let mut spoken = Spoken::default();
        let record = OwnedRecord {
            headers: Vec::new(),
            payload: Some(foghorn_wire::out::cloudevent(&of, "test")),
            ..record(7, 4, 0)
        };
        assert_eq!(spoken.take(&record, None), None);
        assert!(spoken.has(&of) && !spoken.has(&incident(7, 5, Open)));
        assert!(!spoken.has(&incident(8, 1, Open)));
    }

    #[test]
    fn what_is_kept_to_be_written_again_is_bounded_in_bytes() {
        let mut spoken = Spoken::default();
        let large = |id, revision| OwnedRecord {
            payload: Some(vec![b' '; MOST_BYTES / 4]),
            ..record(id, revision, 1)
        };
        for id in [1, 2, 3, 1, 4] {
            let revision = 1 + u32::try_from(spoken.next).unwrap();
            spoken.take(&large(id, revision), Some(1));
            assert!(spoken.bytes <= MOST_BYTES);
        }
        assert_eq!(spoken.latest.len(), 4, "each counts once");
        spoken.take(&large(5, 1), Some(1));
        assert_eq!((spoken.latest.len(), spoken.bytes), (4, MOST_BYTES));
        assert!(!spoken.has(&incident(2, 1, Open)), "the oldest went");
    }

    #[test]
    fn the_number_of_incidents_that_are_remembered_is_bounded() {
        let mut spoken = Spoken::default();
        for id in 0..MOST as u128 + 10 {
            spoken.take(&record(id, 1, 1), None);
        }
        assert_eq!((spoken.latest.len(), spoken.by_age.len()), (MOST, MOST));
        assert_eq!(spoken.bytes, 0, "alone there is nothing to write again");
        assert!(!spoken.has(&incident(0, 1, Open)) && spoken.has(&incident(MOST as u128, 1, Open)));
    }
}
