//! The novelty score: how far a sample lies outside of what its series did so far, in four views.
//!
//! Each view keeps a slowly shrinking [`Range`] of one quantity: the value, its quick mean, its
//! standard deviation, and its residual against the season. The score is the strongest view's.
//! Looking never changes anything; learning is a separate act, so that it can be withheld.

use foghorn_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::level::{Level, Smoothed, slow_weight};
use super::range::Range;
use super::season::Season;

/// A young series' scores are discounted as `n / (n + YOUTH)`: its records are no news yet.
const YOUTH: f64 = 100.0;
/// The deviation is not judged before so many samples.
const SPREAD_FROM: u32 = 20;
/// A seasonal residual counts half: what it is measured against is itself an estimate.
const SEASON_WEIGHT: f64 = 0.5;
/// Standard deviations in a mean absolute residual of Gaussian noise: sqrt(pi / 2).
pub(crate) const SIGMAS: f64 = 1.253_314_137_315_500_3;
/// Noise of the quick mean as a share of the value's noise: about sqrt(w / (2 - w)).
const MEAN_NOISE: f64 = 0.25;
/// … and of the deviation, where the value's noise is Gaussian, with a margin.
const SPREAD_NOISE: f64 = 0.125;

/// Which quantity was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum View {
    /// The value itself.
    Value,
    /// Its quick mean.
    Mean,
    /// Its standard deviation.
    Spread,
    /// The value against its season.
    Season,
    /// The quick mean against the slow level, accumulated.
    Cusum,
}

impl View {
    /// The word for it in a `Reason`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Value => "band",
            Self::Mean => "level",
            Self::Spread => "spread",
            Self::Season => "season",
            Self::Cusum => "cusum",
        }
    }

    /// Whether it sees more than the latest sample.
    pub(crate) fn is_smoothed(self) -> bool {
        matches!(self, Self::Mean | Self::Spread | Self::Cusum)
    }
}

/// One view's opinion of a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) view: View,
    /// In [0, 1).
    pub(crate) score: f64,
    /// The quantity now.
    pub(crate) observed: f64,
    /// Its usual value.
    pub(crate) centre: f64,
    /// Ends of its range.
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Standard deviation of the quantity.
    pub(crate) noise: f64,
    /// What relative deviations are relative to: the value's usual magnitude.
    pub(crate) magnitude: f64,
}

/// What a series has taught.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Novelty {
    pub(crate) level: Level,
    pub(crate) smoothed: Smoothed,
    value: Range,
    mean: Range,
    spread: Range,
    season: Option<Box<Season>>,
    /// First sample.
    since: Timestamp,
    /// Samples learnt.
    pub(crate) samples: u32,
    with_season: bool,
}

impl Novelty {
    pub(crate) fn new(with_season: bool) -> Self {
        Self {
            level: Level::default(),
            smoothed: Smoothed::default(),
            value: Range::new(),
            mean: Range::new(),
            spread: Range::new(),
            season: None,
            since: Timestamp::MIN,
            samples: 0,
            with_season,
        }
    }

    /// All views of `x`, where they have an opinion.
    pub(crate) fn looks(&self, at: Timestamp, x: f64) -> [Option<Look>; 4] {
        if self.samples == 0 {
            return [None; 4];
        }
        let next = self.smoothed.after(x, self.samples);
        [
            Some(self.value_look(x)),
            Some(self.mean_look(&next)),
            self.spread_look(&next),
            self.season_look(at, x),
        ]
    }

    /// The strongest view's score, in [0, 1).
    pub(crate) fn score(looks: &[Option<Look>; 4]) -> f64 {
        looks
            .iter()
            .flatten()
            .map(|look| look.score)
            .fold(0.0, f64::max)
    }

    fn value_look(&self, x: f64) -> Look {
        let (low, high) = self.value.ends();
        let centre = self.level.centre;
        Look {
            view: View::Value,
            score: self.aged(self.value.novelty(x)),
            observed: x,
            centre,
            low,
            high,
            noise: SIGMAS * self.level.spread,
            magnitude: centre.abs(),
        }
    }

    fn mean_look(&self, next: &Smoothed) -> Look {
        let (low, high) = self.mean.ends();
        let centre = self.level.centre;
        Look {
            view: View::Mean,
            score: self.aged(self.mean.novelty(next.mean)),
            observed: next.mean,
            centre,
            low,
            high,
            noise: MEAN_NOISE * SIGMAS * self.level.spread,
            magnitude: centre.abs(),
        }
    }

    fn spread_look(&self, next: &Smoothed) -> Option<Look> {
        if self.samples <= SPREAD_FROM {
            return None;
        }
        let observed = next.deviation();
        let (low, high) = self.spread.ends();
        let centre = SIGMAS * self.level.spread;
        Some(Look {
            view: View::Spread,
            score: self.aged(self.spread.novelty(observed)),
            observed,
            centre,
            low,
            high,
            noise: SPREAD_NOISE * centre,
            magnitude: self.level.centre.abs(),
        })
    }

    pub(crate) fn season_look(&self, at: Timestamp, x: f64) -> Option<Look> {
        let season = self
            .season
            .as_ref()?
            .look(at, at - self.since, x, self.level.spread)?;
        Some(Look {
            view: View::Season,
            score: self.aged(SEASON_WEIGHT * season.novelty),
            observed: x,
            centre: season.expected,
            low: season.low,
            high: season.high,
            noise: SIGMAS * season.spread,
            magnitude: season.expected.abs(),
        })
    }

    fn aged(&self, score: f64) -> f64 {
        let samples = f64::from(self.samples);
        score * (samples / (samples + YOUTH))
    }

    /// How long the series has been known at `at`, in milliseconds.
    pub(crate) fn age_ms(&self, at: Timestamp) -> i64 {
        at - self.since
    }

    /// Lets the smoothed quantities follow `x` without learning anything.
    pub(crate) fn follow(&mut self, x: f64) {
        self.smoothed = self.smoothed.after(x, self.samples);
    }

    /// Takes `x` in, `dt_ms` after the sample before it; with `smoothed` false the ranges of the
    /// smoothed quantities are left alone.
    pub(crate) fn learn(&mut self, at: Timestamp, dt_ms: i64, x: f64, smoothed: bool) {
        if self.samples == 0 {
            self.since = at;
            self.season = self.with_season.then(|| Box::new(Season::new(x)));
        }
        self.follow(x);
        self.value.learn(x, dt_ms);
        if smoothed {
            self.mean.learn(self.smoothed.mean, dt_ms);
            if self.samples > SPREAD_FROM {
                self.spread.learn(self.smoothed.deviation(), dt_ms);
            }
        }
        let weight = slow_weight(self.samples, dt_ms);
        let plain = self.level.spread;
        self.level
            .learn(x, self.samples, weight, self.value.width());
        if let Some(season) = &mut self.season {
            season.learn(at, at - self.since, dt_ms, x, weight, plain);
        }
        self.samples = self.samples.saturating_add(1);
    }

    /// Widens a view's range by `more` on one side.
    pub(crate) fn stretch(&mut self, view: View, up: bool, more: f64) {
        match view {
            View::Value => self.value.stretch(up, more),
            View::Mean => self.mean.stretch(up, more),
            View::Spread => self.spread.stretch(up, more),
            View::Season => self
                .season
                .iter_mut()
                .for_each(|season| season.stretch(up, more)),
            View::Cusum => {}
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.season.as_ref().map_or(0, |season| season.bytes())
    }
}
