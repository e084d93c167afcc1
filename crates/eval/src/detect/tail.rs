//! How rare a score is on this series: counts of earlier scores by octave.

use serde::{Deserialize, Serialize};

const OCTAVES: usize = 8;

/// Counts of scores in (1/2, 1], (1/4, 1/2], … of all samples so far.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tail {
    octaves: [u32; OCTAVES],
    samples: u32,
}

impl Tail {
    /// Counts a sample's score, in [0, 1].
    pub(crate) fn count(&mut self, score: f64) {
        self.samples = self.samples.saturating_add(1);
        if let Some(octave) = octave(score) {
            self.octaves[octave] = self.octaves[octave].saturating_add(1);
        }
    }

    /// About once in so many samples a score as high as this was seen; the pseudo-count of one
    /// (Laplace) keeps it at most one more than the samples seen.
    pub(crate) fn once_in(&self, score: f64) -> f64 {
        let octave = octave(score).unwrap_or(OCTAVES - 1);
        let seen: u64 = self.octaves[..=octave]
            .iter()
            .map(|count| u64::from(*count))
            .sum();
        (f64::from(self.samples) + 1.0) / (seen as f64 + 1.0)
    }
}

/// Which octave below 1 a score lies in; `None` below the last.
fn octave(score: f64) -> Option<usize> {
    (0..OCTAVES).find(|k| score > 0.5_f64.powi(*k as i32 + 1))
}
