//! Taking in series of a snapshot.

use foghorn_model::{Fingerprint, Labels, SeriesKind};
use serde::Deserialize;

use super::capture::{LENGTH, More};
use super::{Shard, ShardState};
use crate::batch::Holds;
use crate::catalog::{ReadId, Target};
use crate::scope::World;
use crate::series::{GroupTotal, Kind, LatePoint, PartitionRank};
use crate::vector::Point;
use crate::window::Window;

/// A series that a shard packed.
#[derive(Deserialize)]
pub struct Image {
    labels: Labels,
    window: Window,
    kind: Kind,
    source: u16,
    home: PartitionRank,
    recorder: Option<u32>,
    read: Option<u32>,
    stale: bool,
    more: Option<More>,
}

/// Why a series of a snapshot cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// Its bytes are not a series'.
    #[error("a series cannot be unpacked: {0}")]
    Unpack(#[from] rmp_serde::decode::Error),
    /// It ends in its midst.
    #[error("a series ends in its midst")]
    Torn,
    /// It speaks of what is not there under the rules in force.
    #[error("series {labels} names {what} that is not there")]
    Unknown {
        /// Its labels.
        labels: Labels,
        /// What is missing.
        what: &'static str,
    },
}

/// This shard's ranks of another's partitions.
#[derive(Debug)]
pub struct Ranks(Vec<PartitionRank>);

/// The series of a [`super::Block`].
pub fn unpack(bytes: &[u8]) -> impl Iterator<Item = Result<Image, AdoptError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((series, after)) = split(rest) else {
            rest = &[];
            return Some(Err(AdoptError::Torn));
        };
        rest = after;
        Some(rmp_serde::from_slice(series).map_err(AdoptError::Unpack))
    })
}

/// The first series' bytes, and those behind it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<LENGTH>()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

impl Image {
    /// Its labels' identity: it tells which shard owns the series.
    pub fn fingerprint(&self) -> Fingerprint {
        self.labels.fingerprint()
    }

    #[cfg(test)]
    pub(super) fn has_more(&self) -> bool {
        let more = self.more.as_ref();
        more.is_some_and(|more| !more.late.is_empty() || !more.totals.is_empty())
    }

    fn holds(&self) -> Option<Holds> {
        Some(match self.kind {
            Kind::Absolute => Holds::Samples(SeriesKind::Absolute),
            Kind::Delta => Holds::Samples(SeriesKind::Delta),
            Kind::Records => Holds::Records(ReadId(self.read?)),
        })
    }
}

impl Shard {
    /// Takes in what a shard of the snapshot knew beside its series, in the same world; how its
    /// partitions are ranked here.
    pub fn learn(&mut self, state: &ShardState) -> Ranks {
        let mut ranks = Vec::new();
        let mut learn = |shard: &mut Self| {
            for (partition, progress, furthest) in &state.partitions {
                let rank = shard.rank(*partition);
                let known = (rank, *progress, *furthest);
                shard.progress.entry(*partition).or_insert(known);
                ranks.push(rank);
            }
            if shard.closed.len() == state.closed.len() {
                shard.closed.clone_from(&state.closed);
            }
            // Of several shards' series each gets its share.
            shard.reserve(state.series);
            if let (Some(heard), Some(other)) = (&mut shard.heard, &state.heard) {
                heard.merge(other);
            }
        };
        match &state.world {
            None => learn(self),
            Some(world) => self.in_world(world, learn),
        }
        Ranks(ranks)
    }

    /// Room for so many series, if there were none yet: growing tables look at every series again.
    fn reserve(&mut self, series: usize) {
        let known = &self.series;
        let hash = |slot: &u32| {
            let series = known[*slot as usize].as_ref();
            series.map_or(0, |series| super::hash_of(series.labels.fingerprint()))
        };
        self.by_identity.reserve(series, hash);
        self.series.reserve(series);
    }

    /// Takes in a series of the world.
    ///
    /// # Errors
    /// It cannot live here.
    pub fn adopt(
        &mut self,
        world: Option<&World>,
        image: Image,
        ranks: &Ranks,
    ) -> Result<(), AdoptError> {
        let mut adopted = Ok(());
        match world {
            None => adopted = self.adopt_own(image, ranks),
            Some(world) => self.in_world(world, |shard| adopted = shard.adopt_own(image, ranks)),
        }
        adopted
    }

    fn adopt_own(&mut self, image: Image, ranks: &Ranks) -> Result<(), AdoptError> {
        let unknown = |what| AdoptError::Unknown {
            labels: image.labels.clone(),
            what,
        };
        let holds = image.holds().ok_or_else(|| unknown("a log query"))?;
        if let Holds::Records(read) = holds {
            let spec = self.catalog.reads.get(read.0 as usize);
            spec.filter(|spec| matches!(spec.target, Target::Log(_)))
                .ok_or_else(|| unknown("a log query"))?;
        }
        let groups = self.catalog.rules.groups.len();
        let totals = image.more.iter().flat_map(|more| &more.totals);
        let mut named = totals.map(|(group, _)| *group).chain(image.recorder);
        if named.any(|group| group as usize >= groups) {
            return Err(unknown("a group"));
        }
        let rank = |rank: PartitionRank| {
            let known = ranks.0.get(rank as usize).copied();
            known.ok_or_else(|| unknown("a partition"))
        };
        // Nobody's partition is where none was ever known: what rules record, say.
        let home = if ranks.0.is_empty() {
            image.home
        } else {
            rank(image.home)?
        };
        let (mut late, mut origins) = (Vec::new(), None);
        if let Some(more) = &image.more {
            for (t, v, from, hidden) in &more.late {
                late.push(LatePoint {
                    point: Point { t: *t, v: *v },
                    from: rank(*from)?,
                    hidden: *hidden,
                });
            }
            let ranked = more.origins.as_ref();
            let ranked = ranked.map(|origins| origins.iter().map(|of| rank(*of)).collect());
            origins = ranked.transpose()?;
        }
        if origins
            .as_ref()
            .is_some_and(|origins: &Vec<_>| origins.len() != image.window.len())
        {
            return Err(unknown("a point"));
        }
        let recorder = image.recorder.map(|group| group as usize);
        let slot = self.create(image.labels, holds, image.source, recorder);
        let Some(series) = &mut self.series[slot as usize] else {
            return Ok(());
        };
        (series.window, series.home) = (image.window, home);
        if let Some(more) = image.more {
            if !late.is_empty() {
                self.lately.push(slot);
            }
            let extra = series.extra.get_or_insert_default();
            (extra.late, extra.origins) = (late, origins);
            let totals = more.totals.into_iter();
            extra.totals = totals
                .map(|(group, sum)| GroupTotal {
                    group: group as usize,
                    sum,
                })
                .collect();
            series.slim();
        }
        series.stale = image.stale;
        Ok(())
    }
}
