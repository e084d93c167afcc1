//! When a tick may close: the rules of DESIGN.md, "Time", as one pure function.
//!
//! The executable model of these rules is `time_model.py` of the design; the property test in
//! `tests/interleavings.rs` keeps this one under the same kind of test.

use std::collections::BTreeMap;

use foghorn_eval::shard::Progress;
use foghorn_model::{Offset, Partition, Timestamp};

/// The waiting times of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A partition at its log's end is idle after so long without a record, in milliseconds of
    /// wall time.
    pub idle_timeout_ms: i64,
    /// A partition that is unreachable, or trails the others in event time at its log's end, is
    /// left behind after so long, in milliseconds.
    pub max_stall_ms: i64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            idle_timeout_ms: 5_000,
            max_stall_ms: 120_000,
        }
    }
}

/// What is known of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Position and watermark that every shard has seen.
    pub progress: Progress,
    /// A recent successful fetch shows its position at the log's end, and it is neither paused
    /// nor restoring.
    pub at_end: bool,
    /// Whether fetches succeed.
    pub reachable: bool,
    /// The watermark that its records have made since it joined, pins aside; `None` where none had a time
    /// that is believed.
    pub own: Option<Timestamp>,
    /// Wall time of its last record (while it has shown no time: of its joining), or of its first failing
    /// fetch.
    pub quiet_since: Timestamp,
    /// Its source's allowed lateness, in milliseconds.
    pub allowed_lateness_ms: i64,
    /// The highest position that the log holds for it: no new pin names it before that.
    pub logged_offset: Offset,
}

/// Why a tick does not wait for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// It has nothing to say.
    Idle,
    /// It is left behind: what a tick says without it is not an all-clear.
    Blind,
}

/// What is to be done about a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Every watermark has passed it.
    Close,
    /// Pin these partitions at their positions (durably), then look again.
    Pin(BTreeMap<Partition, Skip>),
    /// Not yet; these partitions hold it back.
    Wait(Vec<Partition>),
}

/// Whether tick `tick` of a group that reads `partitions` may close at wall time `wall`.
/// `replayed` says that the log closed it before: then only what its pins say may be skipped, and
/// those are in the watermarks already.
pub fn decide(
    tick: Timestamp,
    partitions: &BTreeMap<Partition, PartitionState>,
    wall: Timestamp,
    replayed: bool,
    patience: Patience,
) -> Decision {
    let behind: Vec<_> = partitions
        .iter()
        .filter(|(_, state)| state.progress.watermark < tick)
        .collect();
    if behind.is_empty() {
        return Decision::Close;
    }
    let foremost = partitions
        .values()
        .map(|state| state.progress.watermark)
        .max()
        .unwrap_or(Timestamp::MIN);
    let mut skips: Vec<_> = behind
        .iter()
        .map(|(partition, state)| {
            (
                **partition,
                skip(tick, state, foremost, wall, patience).filter(|_| !replayed),
            )
        })
        .collect();
    // Where all are left behind nobody tells that time goes on: else it would run away.
    if foremost < tick && skips.iter().all(|(_, skip)| *skip != Some(Skip::Idle)) {
        skips.iter_mut().for_each(|(_, skip)| *skip = None);
    }
    if skips.iter().any(|(_, skip)| skip.is_none()) {
        return Decision::Wait(
            skips
                .iter()
                .filter(|(_, skip)| skip.is_none())
                .map(|(p, _)| *p)
                .collect(),
        );
    }
    Decision::Pin(
        skips
            .into_iter()
            .filter_map(|(p, skip)| skip.map(|skip| (p, skip)))
            .collect(),
    )
}

fn skip(
    tick: Timestamp,
    state: &PartitionState,
    foremost: Timestamp,
    wall: Timestamp,
    patience: Patience,
) -> Option<Skip> {
    if state.progress.next_offset < state.logged_offset {
        return None;
    }
    let quiet_ms = wall - state.quiet_since;
    let due = tick + state.allowed_lateness_ms + patience.idle_timeout_ms;
    if state.reachable && state.at_end && quiet_ms >= patience.idle_timeout_ms && wall >= due {
        return Some(Skip::Idle);
    }
    // One that has shown no event time yet trails nobody: it may be new, or have nothing to say, which
    // shows soon. What it was pinned to says nothing about it: it would hold back each tick anew.
    let trails = state.reachable
        && state.at_end
        && state
            .own
            .is_some_and(|own| own + patience.max_stall_ms < foremost);
    let gone = !state.reachable && quiet_ms >= patience.max_stall_ms;
    (trails || gone).then_some(Skip::Blind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        idle_timeout_ms: 6,
        max_stall_ms: 30,
    };

    fn state(watermark: i64) -> PartitionState {
        PartitionState {
            progress: Progress {
                next_offset: 7,
                watermark: Timestamp(watermark),
            },
            at_end: true,
            reachable: true,
            own: Some(Timestamp(watermark)),
            quiet_since: Timestamp(0),
            allowed_lateness_ms: 4,
            logged_offset: 0,
        }
    }

    fn check(states: &[PartitionState], wall: i64, replayed: bool, expect: &str) {
        let partitions = states
            .iter()
            .enumerate()
            .map(|(i, s)| (Partition::new(0, i as u32), *s))
            .collect();
        let decision = match decide(
            Timestamp(100),
            &partitions,
            Timestamp(wall),
            replayed,
            PATIENCE,
        ) {
            Decision::Close => "close".to_owned(),
            Decision::Pin(skips) => skips
                .iter()
                .map(|(p, skip)| format!("{p} {skip:?}"))
                .collect::<Vec<_>>()
                .join(" "),
            Decision::Wait(on) => on
                .iter()
                .map(|p| format!("wait {p}"))
                .collect::<Vec<_>>()
                .join(" "),
        };
        assert_eq!(decision, expect);
    }

    #[test]
    fn closes_when_every_watermark_has_passed() {
        check(&[state(100), state(101)], 0, false, "close");
        check(&[], 0, false, "close");
    }

    #[test]
    fn idle_needs_quiet_and_wall_time() {
        check(&[state(100), state(75)], 109, false, "wait 0.0/1");
        check(&[state(100), state(75)], 110, false, "0.0/1 Idle");
        check(&[state(100), state(75)], 110, true, "wait 0.0/1");
    }

    #[test]
    fn a_backlog_holds_the_tick_back_however_long() {
        let backlog = PartitionState {
            at_end: false,
            ..state(50)
        };
        check(&[state(100), backlog], 1_000_000, false, "wait 0.0/1");
    }

    #[test]
    fn left_behind_after_max_stall() {
        let busy = PartitionState {
            quiet_since: Timestamp(108),
            ..state(100)
        };
        let trailing = PartitionState {
            quiet_since: Timestamp(108),
            ..state(69)
        };
        check(&[busy, trailing], 109, false, "0.0/1 Blind");
        // It is left behind still, though the last tick was pinned for it.
        let pinned = PartitionState {
            own: Some(Timestamp(69)),
            ..state(99)
        };
        check(&[busy, pinned], 100, false, "0.0/1 Blind");
        let silent = PartitionState {
            own: None,
            ..trailing
        };
        check(&[busy, silent], 109, false, "wait 0.0/1");
        check(&[busy, silent], 114, false, "0.0/1 Idle");
        let gone = PartitionState {
            reachable: false,
            at_end: false,
            ..state(99)
        };
        check(&[busy, gone], 29, false, "wait 0.0/1");
        check(&[busy, gone], 30, false, "0.0/1 Blind");
        check(&[gone, gone], 1_000, false, "wait 0.0/0 wait 0.0/1");
        check(&[state(50), gone], 1_000, false, "0.0/0 Idle 0.0/1 Blind");
    }

    #[test]
    fn no_new_pin_before_it_is_read_again_to_where_the_log_saw_it() {
        let restoring = PartitionState {
            logged_offset: 8,
            ..state(50)
        };
        check(&[state(100), restoring], 1_000, false, "wait 0.0/1");
    }
}
