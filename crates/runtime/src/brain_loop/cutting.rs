//! Cuts for snapshots: when one is made, of what, and what the log forgets by it.

use std::collections::BTreeMap;
use std::time::Duration;

use foghorn_engine::LogState;
use foghorn_engine::core::CoreSnapshot;
use foghorn_ingest::{DedupState, Feeder};
use foghorn_model::{Partition, Timestamp};
use serde_bytes::ByteBuf;
use tokio::time::Instant;
use tracing::warn;

use super::BrainLoop;
use crate::hub::{Held, lock};
use crate::live::{LiveError, MAX_REACH_MS};
use crate::snapshot::Head;
use crate::snapshotter::Writing;

/// So long at most the end waits for a last snapshot.
const LAST_CUT: Duration = Duration::from_secs(20);
/// A snapshot whose series are not all captured after so long is given up, in milliseconds.
const SLOW_CUT_MS: i64 = 120_000;

impl BrainLoop {
    /// Before everybody stops: what is remembered now need not be read again. A short while at most.
    pub(super) fn last_cut(&mut self) -> Result<(), LiveError> {
        let began = Instant::now();
        if self.snapshot_interval_ms.is_none() || !self.speaks {
            return Ok(());
        }
        let waits = |writing: &Writing| writing.is_busy() && began.elapsed() < LAST_CUT;
        while waits(&self.cuts.writing) {
            self.hub.wait(Duration::from_millis(5));
        }
        // A look that closes ticks or pins is followed by another.
        self.next_cut = Timestamp::MIN;
        while self.next_cut == Timestamp::MIN && began.elapsed() < LAST_CUT && !self.hub.stopping()
        {
            self.hear()?;
            self.look()?;
        }
        while waits(&self.cuts.writing) {
            self.hub.wait(Duration::from_millis(5));
        }
        Ok(())
    }

    /// A cut through everything but the log, where one is due and nothing is still to be decided.
    pub(super) fn cut(
        &mut self,
        workers: &mut [Held<'_>],
        now: Timestamp,
    ) -> Option<(Head, CoreSnapshot)> {
        let interval_ms = self.snapshot_interval_ms?;
        if now < self.next_cut || self.cuts.writing.is_busy() {
            return None;
        }
        let began = Instant::now();
        let core = self.brain.snapshot()?;
        let mut clocks: BTreeMap<_, _> = lock(&self.hub.directory).parked().collect();
        let mut dedup: BTreeMap<Partition, DedupState> = BTreeMap::new();
        for worker in &mut *workers {
            clocks.extend(worker.intake.clocks());
            for state in worker.feeders.iter().flat_map(Feeder::dedup_state) {
                let known = dedup
                    .entry(state.partition)
                    .or_insert_with(|| state.clone());
                // Whoever read it last knows most.
                if state.next_offset > known.next_offset {
                    *known = state;
                }
            }
        }
        let shards = workers.iter_mut().map(|worker| worker.shard.cut());
        let head = Head {
            files: self.files.clone(),
            sources: self.source_names.clone(),
            clocks: clocks.into_iter().collect(),
            dedup: dedup.into_values().collect(),
            shards: shards.collect(),
            core: ByteBuf::new(),
        };
        (self.cut_at, self.next_cut) = (now, now + interval_ms);
        self.cut_took = began.elapsed();
        Some((head, core))
    }

    /// While series wait to be captured nothing is buried: a writer that does not get on is not waited
    /// for.
    pub(super) fn give_up_slow_cut(&self, workers: &mut [Held<'_>], now: Timestamp) {
        let slow = now - self.cut_at > SLOW_CUT_MS;
        if slow && self.cuts.writing.is_busy() && self.cuts.writing.give_up() {
            warn!("the snapshot that is being written takes too long and is given up");
            for worker in workers {
                worker.shard.give_up_capture();
            }
        }
    }

    /// What the log comes to at its end; it goes on in a new file, so that what came before can be
    /// forgotten.
    pub(super) fn log_state(&mut self) -> LogState {
        if let Err(error) = self.log.roll() {
            warn!(%error, "the signal log goes on in its old file");
        }
        let catalog = self.brain.core().catalog();
        let reach_ms = (catalog.longest_reach_ms() + self.dedup_ms).min(MAX_REACH_MS);
        let rules = &self.hub.rules;
        let lateness_ms = |of: Partition| rules[of.source as usize].allowed_lateness_ms;
        self.brain.log_state(self.log.len(), reach_ms, lateness_ms)
    }

    /// Forgets what of the log no snapshot that is kept needs.
    pub(super) fn trim_log(&mut self) {
        let oldest = self.cuts.writing.last().oldest;
        if oldest > self.log.first()
            && let Err(error) = self.log.forget_before(oldest)
        {
            warn!(%error, "the signal log's beginning could not be forgotten");
        }
    }
}
