//! The rings between workers: batches on their way to other workers' shards, and the emptied
//! buffers on their way back.
//!
//! Owns both directions and what waits for room. Refuses to wait itself: whoever finds a ring full
//! decides what to do meanwhile. Buffers go round, so that a steady stream allocates nothing and
//! writes to memory that is warm.

use foghorn_eval::batch::Batch;
use foghorn_eval::shard::Shard;

/// Batches that one ring holds.
const RING: usize = 64;
/// A buffer that grew beyond so many cells (one large record) is not kept.
const KEPT_CELLS: usize = 65_536;

/// One worker's ends of all rings.
pub(crate) struct Rings {
    own: usize,
    outlets: Vec<Option<Outlet>>,
    inlets: Vec<Inlet>,
    /// Batches that found their ring full, oldest first.
    backlog: Vec<(usize, Batch)>,
}

struct Outlet {
    full: rtrb::Producer<Batch>,
    emptied: rtrb::Consumer<Batch>,
}

struct Inlet {
    full: rtrb::Consumer<Batch>,
    emptied: rtrb::Producer<Batch>,
}

impl Rings {
    /// Lays rings between so many workers, each way.
    pub(crate) fn lay(workers: usize) -> Vec<Self> {
        let mut all: Vec<_> = (0..workers)
            .map(|own| Self {
                own,
                outlets: (0..workers).map(|_| None).collect(),
                inlets: Vec::new(),
                backlog: Vec::new(),
            })
            .collect();
        for from in 0..workers {
            for to in (0..workers).filter(|to| *to != from) {
                let (full, full_end) = rtrb::RingBuffer::new(RING);
                let (emptied_end, emptied) = rtrb::RingBuffer::new(RING);
                all[from].outlets[to] = Some(Outlet { full, emptied });
                all[to].inlets.push(Inlet {
                    full: full_end,
                    emptied: emptied_end,
                });
            }
        }
        all
    }

    /// The worker whose ends these are.
    pub(crate) fn own(&self) -> usize {
        self.own
    }

    /// Sends a batch to another worker's shard, leaving an empty one in its place.
    pub(crate) fn send(&mut self, to: usize, batch: &mut Batch) {
        let spare = self.outlets[to]
            .as_mut()
            .and_then(|outlet| outlet.emptied.pop().ok());
        let mut empty = spare.unwrap_or_default();
        empty.intake = batch.intake;
        self.backlog.push((to, std::mem::replace(batch, empty)));
    }

    /// Pushes what waits for room; whether all of it is gone.
    pub(crate) fn push(&mut self) -> bool {
        if self.backlog.is_empty() {
            return true;
        }
        let mut waiting = Vec::new();
        for (to, batch) in self.backlog.drain(..) {
            // Later batches for a full ring wait behind the first.
            let behind = waiting.iter().any(|(other, _)| *other == to);
            match &mut self.outlets[to] {
                Some(outlet) if !behind => {
                    if let Err(rtrb::PushError::Full(batch)) = outlet.full.push(batch) {
                        waiting.push((to, batch));
                    }
                }
                _ => waiting.push((to, batch)),
            }
        }
        self.backlog.append(&mut waiting);
        self.backlog.is_empty()
    }

    /// Takes in what the other workers handed over.
    pub(crate) fn drain(&mut self, shard: &mut Shard) {
        for inlet in &mut self.inlets {
            while let Ok(mut batch) = inlet.full.pop() {
                shard.apply(&mut batch);
                if batch.capacity() > KEPT_CELLS {
                    continue;
                }
                batch.clear();
                // Where the way back is full, the sender has buffers enough.
                let _unneeded = inlet.emptied.push(batch);
            }
        }
    }

    /// Share of the fullest outbound ring that is in use.
    pub(crate) fn fill(&self) -> f64 {
        let used = self
            .outlets
            .iter()
            .flatten()
            .map(|outlet| RING - outlet.full.slots())
            .max()
            .unwrap_or(0);
        used as f64 / RING as f64
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use foghorn_eval::batch::Segment;
    use foghorn_eval::catalog::Catalog;
    use foghorn_model::{Partition, Timestamp};
    use foghorn_rules::LoadOptions;

    use super::*;

    fn shard() -> Shard {
        let (rules, _) = foghorn_rules::load(&[], &LoadOptions::default());
        Shard::new(Arc::new(Catalog::new(rules)))
    }

    /// A batch that says how far a partition was read.
    fn batch(next_offset: i64) -> Batch {
        Batch {
            segments: vec![Segment {
                partition: Partition::new(0, 0),
                cells_end: 0,
                next_offset,
                watermark: Timestamp(next_offset),
                furthest: Timestamp(next_offset),
            }],
            ..Batch::default()
        }
    }

    #[test]
    fn what_finds_a_ring_full_waits_and_arrives_in_its_order() {
        let mut rings = Rings::lay(2);
        let (mut to, mut from) = (rings.remove(1), rings.remove(0));
        for offset in 0..RING as i64 + 2 {
            from.send(1, &mut batch(offset));
        }
        assert!(!from.push());
        assert_eq!((from.backlog.len(), from.fill()), (2, 1.0));
        let mut shard = shard();
        to.drain(&mut shard);
        let progress = shard.progress_of(Partition::new(0, 0)).unwrap();
        assert_eq!(progress.next_offset, RING as i64 - 1);
        assert!(from.push());
        to.drain(&mut shard);
        let progress = shard.progress_of(Partition::new(0, 0)).unwrap();
        assert_eq!(progress.next_offset, RING as i64 + 1);
    }

    #[test]
    fn emptied_buffers_come_back_and_huge_ones_do_not() {
        let check = |cells: usize, expect: bool| {
            let mut rings = Rings::lay(2);
            let (mut to, mut from) = (rings.remove(1), rings.remove(0));
            let mut sent = batch(1);
            sent.cells.reserve_exact(cells);
            from.send(1, &mut sent);
            assert!(from.push());
            to.drain(&mut shard());
            let mut next = batch(2);
            from.send(1, &mut next);
            assert!(next.is_empty());
            assert_eq!(next.cells.capacity() >= cells, expect, "{cells}");
        };
        check(1_000, true);
        check(KEPT_CELLS + 1, false);
    }
}
