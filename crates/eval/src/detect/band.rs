//! One series' band: alarms made of novelty, held until the series is back, not learnt from.
//!
//! While it alarms, learning is frozen: an outage must not become normal. When it is over by
//! itself, the range is stretched by half of the overshoot, so that what recurs falls silent after
//! a few times, and speaks again when it has stayed away. An alarm older than [`REBASELINE_MS`]
//! (and than the learning phase) is taken for the new normal instead: everything is forgotten and
//! learnt anew.

use foghorn_model::{Reason, Timestamp};
use foghorn_rules::plan::{Band, Direction};
use serde::{Deserialize, Serialize};

use super::DAY_MS;
use super::cusum::{ALLOWANCE, Cusum};
use super::novelty::{Look, Novelty, View};
use super::tail::Tail;
use super::usable;

/// An alarm that lasts so long is the new normal.
pub(crate) const REBASELINE_MS: i64 = DAY_MS;
/// After an alarm of a smoothed view, such views neither alarm nor learn for so many samples:
/// they still hold the event.
const QUIET_SAMPLES: u8 = 40;
/// A shift is not judged in a series younger than this: a day may have its wave.
const CUSUM_FROM_MS: i64 = DAY_MS;
/// An alarm that is over teaches this share of its overshoot.
const LESSON: f64 = 0.5;
/// The least deviation that counts holds an alarm to this share of itself.
const HOLD: f64 = 0.5;

/// A rule's band with its sensitivity spelt out; the same for all series, made once a tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning<'a> {
    band: &'a Band,
    /// Least novelty score that alarms: 1 (never) at sensitivity 0, 0.1 at 0.5, 0.01 at 1.
    score: f64,
    /// Least deviation in standard deviations of the quantity: 8, 4, 2.
    sigmas: f64,
    /// Least CUSUM: 24, 12, 6.
    shift: f64,
}

impl<'a> Tuning<'a> {
    pub(crate) fn of(band: &'a Band) -> Self {
        let nervous = if band.sensitivity > 0.0 {
            band.sensitivity.min(1.0)
        } else {
            0.0
        };
        let octaves = 2.0_f64.powf(1.0 - 2.0 * nervous);
        let deaf = nervous == 0.0;
        Self {
            band,
            score: if deaf {
                f64::INFINITY
            } else {
                10.0_f64.powf(-2.0 * nervous)
            },
            sigmas: 4.0 * octaves,
            shift: if deaf { f64::INFINITY } else { 12.0 * octaves },
        }
    }

    /// How far from the centre a quantity must be.
    fn floor(&self, look: &Look) -> f64 {
        let sigmas = if look.view == View::Cusum {
            ALLOWANCE
        } else {
            self.sigmas
        };
        let relative = self.band.min_deviation_relative * look.magnitude;
        self.band
            .min_deviation_absolute
            .max(relative)
            .max(sigmas * look.noise)
    }

    fn allows(&self, up: bool) -> bool {
        match self.band.direction {
            Direction::Up => up,
            Direction::Down => !up,
            Direction::Both => true,
        }
    }
}

/// An alarm that is on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Alarm {
    view: View,
    /// Whether the quantity left its band upwards.
    up: bool,
    since: Timestamp,
    samples: u32,
    once_in: f64,
    /// The band that is shown.
    low: f64,
    high: f64,
    /// The quantity is back when it is on this edge's inner side. Since an alarm needs more than
    /// to pass the edge, a value that hovers there does not flap.
    edge: f64,
    /// End of the range that was left.
    end: f64,
    /// Farthest beyond it so far.
    overshoot: f64,
}

impl Alarm {
    fn new(look: &Look, at: Timestamp, once_in: f64) -> Self {
        let up = look.observed > look.centre;
        let (low, high) = (look.low, look.high);
        Self {
            view: look.view,
            up,
            since: at,
            samples: 1,
            once_in,
            low,
            high,
            edge: 0.0,
            end: 0.0,
            overshoot: 0.0,
        }
    }

    /// Band and edge from a look.
    fn draw(&mut self, look: &Look, tuning: &Tuning<'_>) {
        let floor = tuning.floor(look);
        self.end = if self.up { look.high } else { look.low };
        self.low = look.low.min(look.centre - floor);
        self.high = look.high.max(look.centre + floor);
        self.edge = if self.up {
            look.high.max(look.centre + HOLD * floor)
        } else {
            look.low.min(look.centre - HOLD * floor)
        };
    }

    fn note(&mut self, observed: f64) {
        let beyond = if self.up {
            observed - self.end
        } else {
            self.end - observed
        };
        self.overshoot = self.overshoot.max(beyond);
    }

    fn is_outside(&self, observed: f64) -> bool {
        if self.up {
            observed > self.edge
        } else {
            observed < self.edge
        }
    }

    fn reason(&self, observed: f64) -> Reason {
        Reason::Anomaly {
            observed,
            expected_low: self.low,
            expected_high: self.high,
            once_in: self.once_in,
            detector: self.view.word().to_owned(),
        }
    }
}

/// Everything that is kept for one series.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BandState {
    novelty: Novelty,
    cusum: Cusum,
    tail: Tail,
    alarm: Option<Alarm>,
    quiet: u8,
}

impl BandState {
    pub(crate) fn new(band: &Band) -> Self {
        Self {
            novelty: Novelty::new(band.season),
            cusum: Cusum::default(),
            tail: Tail::default(),
            alarm: None,
            quiet: 0,
        }
    }

    /// Judges `x` at `at`, `dt_ms` after the value before it, and learns it unless it alarms.
    pub(crate) fn observe(
        &mut self,
        tuning: &Tuning<'_>,
        at: Timestamp,
        dt_ms: i64,
        x: f64,
    ) -> Option<Reason> {
        if !usable(x) {
            return None;
        }
        if let Some(alarm) = self.alarm.take() {
            if let Some(reason) = self.hold(alarm, tuning, at, x) {
                return Some(reason);
            }
        } else if let Some(reason) = self.begin(tuning, at, x) {
            return Some(reason);
        }
        self.novelty.learn(at, dt_ms, x, self.quiet == 0);
        self.quiet = self.quiet.saturating_sub(1);
        None
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.novelty.heap_bytes()
    }

    /// Starts an alarm where the sample calls for one; counts its score in any case.
    fn begin(&mut self, tuning: &Tuning<'_>, at: Timestamp, x: f64) -> Option<Reason> {
        let looks = self.novelty.looks(at, x);
        let is_learnt = self.novelty.samples >= tuning.band.learn_samples.max(1);
        let found = if is_learnt {
            self.find(tuning, at, x, &looks)
        } else {
            None
        };
        // A shift is made of samples that are nothing special; it is as rare as the rarest.
        let score = match found {
            Some(Look {
                view: View::Cusum, ..
            }) => 1.0,
            _ => Novelty::score(&looks),
        };
        let once_in = self.tail.once_in(score);
        self.tail.count(score);
        let look = found?;
        let mut alarm = Alarm::new(&look, at, once_in);
        alarm.draw(&look, tuning);
        alarm.note(look.observed);
        if look.view.is_smoothed() {
            self.novelty.follow(x);
        }
        self.alarm = Some(alarm);
        Some(alarm.reason(look.observed))
    }

    /// The first look that the rule wants to hear of. The views that see only this sample come
    /// first: they say plainly what is wrong and know at once when it is over. A shift comes last.
    fn find(
        &mut self,
        tuning: &Tuning<'_>,
        at: Timestamp,
        x: f64,
        looks: &[Option<Look>; 4],
    ) -> Option<Look> {
        let shift = self.shift(at, x, looks);
        let [value, mean, spread, season] = *looks;
        [value, season, mean, spread, shift]
            .into_iter()
            .flatten()
            .find(|look| {
                (self.quiet == 0 || !look.view.is_smoothed()) && self.counts(tuning, x, look)
            })
    }

    fn counts(&self, tuning: &Tuning<'_>, x: f64, look: &Look) -> bool {
        let deviation = look.observed - look.centre;
        let least = if look.view == View::Cusum {
            tuning.shift
        } else {
            tuning.score
        };
        let wanted = match (look.view, tuning.band.direction) {
            (View::Spread, Direction::Both) => true,
            // A spread has no side of its own: it must grow, by values on the side asked for.
            (View::Spread, _) => deviation > 0.0 && tuning.allows(x > self.novelty.level.centre),
            _ => tuning.allows(deviation > 0.0),
        };
        wanted && look.score >= least && deviation.abs() >= tuning.floor(look)
    }

    /// Feeds the CUSUM and tells what it says; its score is the sum, in standard deviations.
    fn shift(&mut self, at: Timestamp, x: f64, looks: &[Option<Look>; 4]) -> Option<Look> {
        let [value, mean, _, season] = *looks;
        let residual = season.or(value)?;
        if residual.noise <= 0.0 || self.novelty.age_ms(at) < CUSUM_FROM_MS {
            return None;
        }
        self.cusum.add((x - residual.centre) / residual.noise);
        let (score, up) = self.cusum.excess();
        let observed = season.map_or(mean?.observed, |season| season.observed);
        if (observed > residual.centre) != up {
            return None;
        }
        let (low, high) = (residual.centre, residual.centre);
        Some(Look {
            view: View::Cusum,
            score,
            observed,
            low,
            high,
            ..residual
        })
    }

    /// Goes on with an alarm, or ends it (`None`).
    fn hold(
        &mut self,
        mut alarm: Alarm,
        tuning: &Tuning<'_>,
        at: Timestamp,
        x: f64,
    ) -> Option<Reason> {
        alarm.samples = alarm.samples.saturating_add(1);
        if at - alarm.since >= REBASELINE_MS && alarm.samples >= tuning.band.learn_samples {
            *self = Self::new(tuning.band);
            return None;
        }
        if alarm.view.is_smoothed() {
            self.novelty.follow(x);
        }
        let observed = match alarm.view {
            View::Value => x,
            View::Mean | View::Cusum => self.novelty.smoothed.mean,
            View::Spread => self.novelty.smoothed.deviation(),
            // The band moves with the hour although nothing is learnt.
            View::Season => {
                let look = self.novelty.season_look(at, x)?;
                alarm.draw(&look, tuning);
                x
            }
        };
        alarm.note(observed);
        if alarm.is_outside(observed) {
            self.alarm = Some(alarm);
            return Some(alarm.reason(observed));
        }
        let lesson = if alarm.view == View::Cusum {
            tuning.shift
        } else {
            0.0
        };
        self.cusum.restart(lesson);
        self.novelty
            .stretch(alarm.view, alarm.up, LESSON * alarm.overshoot);
        if alarm.view.is_smoothed() {
            self.quiet = QUIET_SAMPLES;
        }
        None
    }
}
