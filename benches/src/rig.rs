//! The hot path in one thread: bytes through a feeder and an intake into a shard. No broker, no
//! clock.

use std::sync::Arc;

use foghorn_eval::catalog::Catalog;
use foghorn_eval::clock::PartitionClock;
use foghorn_eval::intake::Intake;
use foghorn_eval::shard::Shard;
use foghorn_ingest::{Feeder, Raw, SourceConfig};
use foghorn_model::{Offset, Partition, Timestamp};
use foghorn_runtime::pipeline::time_rules;

use crate::Failure;

/// See the module's text.
pub(crate) struct Rig {
    feeder: Feeder,
    pub(crate) intake: Intake,
    pub(crate) shard: Shard,
    offset: Offset,
}

/// The one partition that it reads.
pub(crate) const PARTITION: Partition = Partition::new(0, 0);

impl Rig {
    /// A rig under these rules that reads one source.
    pub(crate) fn new(catalog: &Arc<Catalog>, source: &SourceConfig) -> Self {
        let mut intake = Intake::new(0, 1, Arc::clone(catalog));
        intake.join(
            PARTITION,
            PartitionClock::new(time_rules(source), 0, Vec::new()),
        );
        Self {
            feeder: Feeder::new(source),
            intake,
            shard: Shard::new(Arc::clone(catalog)),
            offset: 0,
        }
    }

    /// Feeds one record.
    pub(crate) fn feed(&mut self, payload: &[u8], at: Timestamp) -> Result<(), Failure> {
        let raw = Raw {
            partition: PARTITION,
            offset: self.offset,
            timestamp: Some(at),
            payload,
            ..Raw::default()
        };
        self.offset += 1;
        let fed = self.feeder.feed(&raw, None, &mut self.intake);
        fed.map_err(|refusal| format!("{}: {}", refusal.code, refusal.detail).into())
    }

    /// Moves what was fed into the shard, and its death marks back.
    pub(crate) fn settle(&mut self) {
        for batch in self.intake.batches() {
            self.shard.apply(batch);
            batch.clear();
        }
        for (_, number) in self.shard.take_deaths() {
            self.intake.forget(number);
        }
        // Whoever runs an intake writes these down.
        drop((self.intake.take_refused(), self.intake.take_turned_away()));
    }
}
