//! Detectors: which elements of a rule's vector are unusual *for their own series*, and why.
//!
//! Owns what each series has taught ([`DetectorBank`]) and the one novelty score that both rules
//! and [`Scorer`] use. Every detector takes O(1) time for a sample and a fixed number of bytes for
//! a series. It sees samples in the order of time, and never a length, a range or a future. It
//! refuses to judge values that are not finite, and anything before a series' learning phase is
//! over.
//!
//! - *Band*: novelty against slowly shrinking ranges of the value, its smoothed level and its
//!   spread (`novelty`), against the hour of the day and week (`season`), and a two-sided
//!   CUSUM for small lasting shifts (`cusum`); `band` makes alarms of them.
//! - *Absence*: a series that was there is gone.
//! - *Forecast*: a trend that reaches a limit soon (`forecast`).

mod band;
mod bank;
mod cusum;
mod forecast;
mod level;
mod novelty;
mod range;
mod scorer;
mod season;
mod table;
mod tail;

pub use bank::{DetectorBank, Pick};
pub use scorer::Scorer;

/// Values beyond this magnitude are not judged: their squares would overflow.
const MAGNITUDE_MAX: f64 = 1e150;

/// Whether a value can be judged and learnt: neither NaN nor (nearly) infinite.
fn usable(value: f64) -> bool {
    value.abs() <= MAGNITUDE_MAX
}

/// One day, in milliseconds.
const DAY_MS: i64 = 86_400_000;

#[cfg(test)]
mod tests;
