//! Snapshots in a topic of one partition, so that whoever takes over has them without a disk in common.
//!
//! A file goes into records as it is, in order; its own checksums say whether it came back whole. Which
//! publication a record is of, and which part of how many, its headers say: those of two publishers may
//! stand mixed. Once two are whole, what stands before the older one is forgotten.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fail::fail_point;
use foghorn_kafka::{Admin, Outgoing, OwnedRecord, Producer, SendError};
use foghorn_model::Offset;
use tracing::{info, warn};

use crate::error::StoreError;
use crate::shared_log::{GivenUp, LogClients};
use crate::snapshots::Snapshots;

/// The version of the records.
const FORMAT: &str = "1";
const FORMAT_HEADER: &str = "foghorn-format";
/// Who published it, and where in the log it stands: `name/position`.
const SNAPSHOT_HEADER: &str = "foghorn-snapshot";
const PART_HEADER: &str = "foghorn-part";

/// A record's payload is at most so long, in bytes: below what a broker takes by default.
const PART_BYTES: usize = 768 << 10;
/// Snapshots that are kept in the topic.
const KEPT: usize = 2;
/// One wait for records, or for acks.
const WAIT: Duration = Duration::from_millis(20);
/// Of so many parts no ack has come yet, at most.
const IN_FLIGHT: usize = 32;

/// See the module's text.
pub struct SnapshotTopic {
    topic: String,
    name: String,
    producer: Box<dyn Producer>,
    admin: Box<dyn Admin + Send>,
    given_up: GivenUp,
    /// Whole ones: (position in the log, offset of the first record), as they were finished.
    whole: Vec<(u64, Offset)>,
    token: u64,
}

/// One that is being put together.
struct Coming {
    position: u64,
    first: Offset,
    parts: u64,
    has: u64,
    /// `None` where it is of no use here.
    file: Option<(PathBuf, BufWriter<File>)>,
}

/// What a record's headers say.
struct Heads<'a> {
    snapshot: &'a str,
    position: u64,
    part: u64,
    parts: u64,
}

impl Heads<'_> {
    fn of(record: &OwnedRecord) -> Option<Heads<'_>> {
        let text = |name: &str| record.header(name);
        text(FORMAT_HEADER).filter(|format| *format == FORMAT)?;
        let snapshot = text(SNAPSHOT_HEADER)?;
        let (part, parts) = text(PART_HEADER)?.split_once('/')?;
        Some(Heads {
            snapshot,
            position: snapshot.rsplit_once('/')?.1.parse().ok()?,
            part: part.parse().ok()?,
            parts: parts.parse().ok()?,
        })
    }
}

impl SnapshotTopic {
    /// Reads what is there: snapshots that are newer than those in `into` are put there. `name` is this
    /// start's own.
    ///
    /// # Errors
    /// [`StoreError::GivenUp`], and what the cluster or the system says.
    pub fn fetch(
        clients: LogClients,
        topic: &str,
        name: &str,
        given_up: GivenUp,
        into: &Snapshots,
    ) -> Result<Self, StoreError> {
        // Nobody reads any more after that: what is published later need not come back.
        let LogClients {
            producer,
            mut reader,
            admin,
        } = clients;
        let mut all = Self {
            topic: topic.to_owned(),
            name: name.to_owned(),
            producer,
            admin,
            given_up,
            whole: Vec::new(),
            token: 0,
        };
        let newest = into.newest()?;
        let (low, end) = reader.bounds()?;
        let mut coming: HashMap<String, Coming> = HashMap::new();
        let mut next = low;
        while next < end {
            all.go_on()?;
            for record in reader.read(WAIT)? {
                next = record.offset + 1;
                all.take(&record, &mut coming, newest, into)?;
            }
        }
        // Whatever is not whole never will be: its publisher was relieved, or killed.
        for (path, _) in coming.into_values().filter_map(|it| it.file) {
            into.give_up(&path);
        }
        Ok(all)
    }

    fn take(
        &mut self,
        record: &OwnedRecord,
        coming: &mut HashMap<String, Coming>,
        newest: Option<u64>,
        into: &Snapshots,
    ) -> Result<(), StoreError> {
        let Some(heads) = Heads::of(record) else {
            warn!(
                topic = self.topic,
                offset = record.offset,
                "not a snapshot's record"
            );
            return Ok(());
        };
        if heads.part == 1 {
            let wanted = newest.is_none_or(|newest| heads.position > newest);
            let fresh = Coming {
                position: heads.position,
                first: record.offset,
                parts: heads.parts,
                has: 0,
                file: wanted
                    .then(|| into.fetching(heads.position, record.offset))
                    .transpose()?,
            };
            if let Some((path, _)) = coming
                .insert(heads.snapshot.to_owned(), fresh)
                .and_then(|before| before.file)
            {
                into.give_up(&path);
            }
        }
        let Some(one) = coming.get_mut(heads.snapshot) else {
            // Its beginning is forgotten.
            return Ok(());
        };
        if heads.part != one.has + 1 || heads.parts != one.parts {
            // Sent twice.
            return Ok(());
        }
        one.has = heads.part;
        if let Some((path, file)) = &mut one.file {
            let written = file.write_all(record.payload.as_deref().unwrap_or_default());
            written.map_err(StoreError::io(path, "write"))?;
        }
        if one.has < one.parts {
            return Ok(());
        }
        if let Some(Coming {
            position,
            first,
            file,
            ..
        }) = coming.remove(heads.snapshot)
        {
            if let Some((path, file)) = file {
                into.fetched(position, &path, file)?;
                info!(topic = self.topic, position, "a snapshot was fetched");
            }
            self.whole.push((position, first));
        }
        Ok(())
    }

    fn go_on(&self) -> Result<(), StoreError> {
        (self.given_up)().map_or(Ok(()), |why| Err(StoreError::GivenUp { why }))
    }

    /// Publishes a snapshot's file, and forgets what is older than the one before it. The log's position
    /// at which the oldest stands that is kept, where as many are kept as may be.
    ///
    /// # Errors
    /// [`StoreError::GivenUp`], and what the cluster or the system says: those before it stay.
    pub fn publish(&mut self, path: &Path, position: u64) -> Result<Option<u64>, StoreError> {
        let io = |what| StoreError::io(path, what);
        let mut file = File::open(path).map_err(io("open"))?;
        let bytes = file.metadata().map_err(io("read"))?.len();
        let parts = bytes.div_ceil(PART_BYTES as u64).max(1);
        let snapshot = format!("{}/{position}", self.name);
        let (mut buffer, mut first, mut flying) = (Vec::new(), None, 0);
        // Parts of an earlier try that was given up have their acks, too.
        let before = self.token;
        for part in 1..=parts {
            buffer.clear();
            let whole = (&mut file).take(PART_BYTES as u64).read_to_end(&mut buffer);
            whole.map_err(io("read"))?;
            self.send(&snapshot, (part, parts), &buffer)?;
            fail_point!("topic-snapshot-sent", |_| std::process::abort());
            flying += 1;
            while flying > IN_FLIGHT || part == parts && flying > 0 {
                self.go_on()?;
                let acks = self.producer.poll_acks(WAIT).into_iter();
                for ack in acks.filter(|ack| ack.token > before) {
                    let (_, offset) = ack.result?;
                    let begins = first.map_or(offset, |first: Offset| first.min(offset));
                    first = Some(begins);
                    flying -= 1;
                }
            }
        }
        self.whole.push((position, first.unwrap_or_default()));
        let Some(oldest) = self.whole.len().checked_sub(KEPT) else {
            return Ok(None);
        };
        self.whole.drain(..oldest);
        let (position, first) = self.whole[0];
        self.admin.forget_before(&self.topic, 0, first)?;
        fail_point!("topic-snapshot-forgotten", |_| std::process::abort());
        Ok(Some(position))
    }

    fn send(
        &mut self,
        snapshot: &str,
        (part, parts): (u64, u64),
        payload: &[u8],
    ) -> Result<(), StoreError> {
        let part = format!("{part}/{parts}");
        let headers = [
            (FORMAT_HEADER, FORMAT.as_bytes()),
            (SNAPSHOT_HEADER, snapshot.as_bytes()),
            (PART_HEADER, part.as_bytes()),
        ];
        let record = Outgoing {
            topic: &self.topic,
            partition: Some(0),
            payload: Some(payload),
            headers: &headers,
            ..Outgoing::default()
        };
        loop {
            self.go_on()?;
            self.token += 1;
            match self.producer.send(&record, self.token) {
                Ok(()) => return Ok(()),
                // Acks stay where they are.
                Err(SendError::Full) => drop(self.producer.flush(WAIT)),
                Err(SendError::Refused(error)) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use foghorn_kafka::{ModelCluster, TopicSpec};

    use super::*;
    use crate::snapshots::PartKind;

    const TOPIC: &str = "state";

    fn clients(cluster: &ModelCluster) -> LogClients {
        LogClients {
            producer: Box::new(cluster.producer()),
            reader: Box::new(cluster.reader(TOPIC, 0, None)),
            admin: Box::new(cluster.clone()),
        }
    }

    struct Instance {
        folder: tempfile::TempDir,
        topic: SnapshotTopic,
        all: Snapshots,
    }

    fn instance(cluster: &ModelCluster, name: &str, folder: tempfile::TempDir) -> Instance {
        let all = Snapshots::open(folder.path()).unwrap();
        let nobody: GivenUp = Arc::new(|| None);
        let topic = SnapshotTopic::fetch(clients(cluster), TOPIC, name, nobody, &all).unwrap();
        Instance { folder, topic, all }
    }

    fn fresh(cluster: &ModelCluster, name: &str) -> Instance {
        instance(cluster, name, tempfile::tempdir().unwrap())
    }

    fn cluster() -> ModelCluster {
        let cluster = ModelCluster::new();
        cluster.create_topic(&TopicSpec::new(TOPIC, 1)).unwrap();
        cluster
    }

    impl Instance {
        /// Writes and publishes a snapshot of several records' length.
        fn snapshot(&mut self, position: u64) -> Option<u64> {
            let mut writer = self.all.begin(position).unwrap();
            // Nothing that could be packed.
            let mut state = position + 1;
            let noise = (0..2_000_000).map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 33) as u8
            });
            writer
                .put(PartKind::Log, &noise.collect::<Vec<_>>())
                .unwrap();
            writer.finish().unwrap();
            let newest = self.all.newest_first().unwrap();
            self.topic.publish(&newest[0], position).unwrap()
        }

        /// Positions of the snapshots that are whole.
        fn has(&self) -> Vec<u64> {
            let mut has = Vec::new();
            for path in self.all.newest_first().unwrap() {
                Snapshots::read(&path, &mut |_, _| Ok(())).unwrap();
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                has.push(name.parse().unwrap());
            }
            has
        }
    }

    #[test]
    fn an_instance_without_a_disk_has_the_last_two() {
        let cluster = cluster();
        let mut first = fresh(&cluster, "a");
        assert_eq!(
            first.snapshot(10),
            None,
            "one is not enough to forget anything by"
        );
        assert_eq!(first.snapshot(20), Some(10));
        assert_eq!(first.snapshot(30), Some(20));
        let mut second = fresh(&cluster, "b");
        assert_eq!(second.has(), [30, 20]);
        // Whoever took over knows what stands there.
        assert_eq!(second.snapshot(40), Some(30));
        // The first one comes back to its disk.
        drop((first.topic, first.all));
        let again = instance(&cluster, "c", first.folder);
        assert_eq!(again.has(), [40, 30, 20]);
    }

    #[test]
    fn one_that_is_not_whole_is_no_snapshot_and_mixed_ones_are_told_apart() {
        let cluster = cluster();
        let (mut first, mut second) = (fresh(&cluster, "a"), fresh(&cluster, "b"));
        let path = |of: &Instance| of.all.newest_first().unwrap()[0].clone();
        first.snapshot(10);
        second.snapshot(20);
        // Two at once, and one of them gets only so far.
        let bytes: Vec<Vec<u8>> = [&first, &second]
            .map(|of| std::fs::read(path(of)).unwrap())
            .to_vec();
        for part in 1..=3 {
            let chunk = |of: usize| bytes[of].chunks(PART_BYTES).nth(part - 1).unwrap();
            first
                .topic
                .send("a/30", (part as u64, 3), chunk(0))
                .unwrap();
            if part < 3 {
                second
                    .topic
                    .send("b/40", (part as u64, 3), chunk(1))
                    .unwrap();
            }
        }
        let third = fresh(&cluster, "c");
        assert_eq!(third.has(), [30, 20, 10]);
        let left = std::fs::read_dir(third.folder.path()).unwrap();
        let left = left.filter(|it| {
            let path = it.as_ref().unwrap().path();
            path.extension().is_some_and(|it| it == "part")
        });
        assert_eq!(left.count(), 0, "what is not whole leaves nothing");
    }

    #[test]
    fn an_instance_that_was_relieved_publishes_no_more() {
        let cluster = cluster();
        let mut first = fresh(&cluster, "a");
        first.snapshot(10);
        first.topic.given_up = Arc::new(|| Some("the lease is over".to_owned()));
        let path = first.all.newest_first().unwrap().remove(0);
        let error = first.topic.publish(&path, 20).unwrap_err();
        assert!(error.to_string().contains("the lease is over"), "{error}");
    }
}
