//! Series written as functions of the sample's index, five minutes apart.

use foghorn_model::{Labels, Reason, Timestamp};
use foghorn_rules::plan::{Band, Detector, Direction};

use super::{DetectorBank, Pick};
use crate::vector::Element;

mod absence;
mod band;
mod forecast;
mod scorer;
mod season;

/// Samples of a day.
const DAY: usize = 288;
const STEP_MS: i64 = 300_000;

/// The default band without floors and season.
fn band() -> Band {
    Band {
        direction: Direction::Both,
        min_deviation_absolute: 0.0,
        min_deviation_relative: 0.0,
        sensitivity: 0.5,
        learn_samples: 100,
        season: false,
    }
}

fn at(i: usize) -> Timestamp {
    Timestamp(i as i64 * STEP_MS)
}

/// Repeatable noise in [-1, 1), roughly bell-shaped, in steps of 2^-11 (so that scaling by powers
/// of two and adding whole numbers is exact).
fn noise(i: usize) -> f64 {
    let mut x = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let parts = [
        x & 0x3ff,
        (x >> 16) & 0x3ff,
        (x >> 32) & 0x3ff,
        (x >> 48) & 0x3ff,
    ];
    (parts.iter().sum::<u64>() as f64 - 2_046.0) / 2_048.0
}

/// Noise for `n` samples, with something added.
fn series(n: usize, added: impl Fn(usize) -> f64) -> Vec<f64> {
    (0..n).map(|i| noise(i) + added(i)).collect()
}

fn element(series: &str, value: f64) -> Element {
    Element {
        labels: Labels::from_pairs([("series", series)]),
        value,
    }
}

/// What a detector says of one series, sample by sample.
fn reasons(detector: &Detector, values: &[f64]) -> Vec<Option<Reason>> {
    let mut bank = DetectorBank::new(detector);
    let mut one = |(i, value): (usize, &f64)| {
        let mut picks = bank.observe(detector, at(i), STEP_MS, &[element("a", *value)]);
        picks.pop().map(|Pick { reason, .. }| reason)
    };
    values.iter().enumerate().map(&mut one).collect()
}

/// An unbroken run of alarms: first sample, one past the last, and what started it.
#[derive(Clone, Debug, PartialEq)]
struct Episode {
    from: usize,
    to: usize,
    detector: String,
}

/// The episodes of a band rule over one series.
fn episodes(band: &Band, values: &[f64]) -> Vec<Episode> {
    let mut episodes: Vec<Episode> = Vec::new();
    for (i, reason) in reasons(&Detector::Band(band.clone()), values)
        .into_iter()
        .enumerate()
    {
        let Some(Reason::Anomaly { detector, .. }) = reason else {
            continue;
        };
        match episodes.last_mut() {
            Some(last) if last.to == i => last.to = i + 1,
            _ => episodes.push(Episode {
                from: i,
                to: i + 1,
                detector,
            }),
        }
    }
    episodes
}

/// Checks the episodes, written `detector from..to`.
fn check(band: &Band, values: &[f64], expect: &[&str]) {
    let said: Vec<String> = episodes(band, values)
        .iter()
        .map(|e| format!("{} {}..{}", e.detector, e.from, e.to))
        .collect();
    assert_eq!(said, expect);
}
