//! The band's novelty as a continuous score, for outside benchmarks.

use foghorn_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::novelty::Novelty;
use super::usable;

/// A score must exceed this decaying maximum of earlier ones to be said: one event, one alarm.
const REST_DECAY: f64 = 0.99;
/// Samples that are only learnt.
const LEARN_SAMPLES: u32 = 50;
/// A first sample's distance to the one before it: unknown, so the shortest.
const STEP_MS_MIN: i64 = 1;

/// Scores one series sample by sample, strictly causally, with the one default configuration.
///
/// It keeps learning whatever it sees: what a rule does about an alarm (hold it, freeze learning)
/// is replaced by a rest, in which only a stronger score speaks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scorer {
    novelty: Novelty,
    last: Option<Timestamp>,
    rest: f64,
}

impl Scorer {
    /// A scorer that has seen nothing.
    pub fn new() -> Self {
        Self {
            novelty: Novelty::new(true),
            last: None,
            rest: 0.0,
        }
    }

    /// How anomalous `value` is, in [0, 1]; 0 for values that are not finite (which teach nothing)
    /// and during the learning phase.
    pub fn score(&mut self, at: Timestamp, value: f64) -> f64 {
        if !usable(value) {
            return 0.0;
        }
        let dt_ms = self
            .last
            .map_or(STEP_MS_MIN, |last| (at - last).max(STEP_MS_MIN));
        self.last = Some(at);
        let learning = self.novelty.samples < LEARN_SAMPLES;
        let score = if learning {
            0.0
        } else {
            Novelty::score(&self.novelty.looks(at, value))
        };
        self.novelty.learn(at, dt_ms, value, true);
        let said = if score > self.rest { score } else { 0.0 };
        self.rest = (self.rest * REST_DECAY).max(score);
        said
    }
}

impl Default for Scorer {
    fn default() -> Self {
        Self::new()
    }
}
