//! A rule's detector over all of its series.

use foghorn_model::{Labels, Reason, Timestamp};
use foghorn_rules::plan::Detector;
use serde::{Deserialize, Serialize};

use super::DAY_MS;
use super::band::{BandState, Tuning};
use super::forecast::{Question, Trend};
use super::table::Table;
use crate::vector::Element;

/// A series that is gone for so long is forgotten.
const FORGET_MS: i64 = DAY_MS;
/// … one with a season only after so long: its week took a week to learn.
const FORGET_SEASON_MS: i64 = 7 * DAY_MS;
/// … and one whose absence is the alarm not before so many times the absence that alarms.
const FORGET_ABSENCES: i64 = 20;

/// An element that a detector picked.
#[derive(Clone, Debug, PartialEq)]
pub struct Pick {
    /// The element's labels.
    pub labels: Labels,
    /// Its value; of an absent series, the last one.
    pub value: f64,
    /// Why.
    pub reason: Reason,
}

/// What a rule's series have taught its detector: plain data, the same for the same inputs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DetectorBank {
    states: States,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum States {
    Band(Table<BandState>),
    /// The last value of each series.
    Absence(Table<f64>),
    Forecast(Table<Trend>),
}

impl DetectorBank {
    /// A bank that has seen nothing.
    pub fn new(detector: &Detector) -> Self {
        let states = match detector {
            Detector::Band(_) => States::Band(Table::default()),
            Detector::Absence { .. } => States::Absence(Table::default()),
            Detector::Forecast { .. } => States::Forecast(Table::default()),
        };
        Self { states }
    }

    /// One tick of a rule: takes in its whole vector as of `at` (in label order) and gives the
    /// anomalous elements in label order. Ticks come in the order of time, `interval_ms` apart.
    ///
    /// A detector of another kind than the bank was made for starts afresh.
    pub fn observe(
        &mut self,
        detector: &Detector,
        at: Timestamp,
        interval_ms: i64,
        vector: &[Element],
    ) -> Vec<Pick> {
        match (detector, &mut self.states) {
            (Detector::Band(band), States::Band(table)) => {
                let tuning = Tuning::of(band);
                let forget_ms = if band.season {
                    FORGET_SEASON_MS
                } else {
                    FORGET_MS
                };
                picks(
                    table,
                    at,
                    forget_ms,
                    vector,
                    || BandState::new(band),
                    |state, value| state.observe(&tuning, at, interval_ms, value),
                )
            }
            (Detector::Absence { after_ms }, States::Absence(table)) => {
                absent(table, at, *after_ms, vector)
            }
            (
                &Detector::Forecast {
                    limit,
                    within_ms,
                    over_ms,
                },
                States::Forecast(table),
            ) => {
                let question = Question {
                    limit,
                    within_ms,
                    over_ms,
                };
                picks(
                    table,
                    at,
                    FORGET_MS,
                    vector,
                    Trend::default,
                    |state, value| state.observe(&question, at, value),
                )
            }
            _ => {
                *self = Self::new(detector);
                self.observe(detector, at, interval_ms, vector)
            }
        }
    }

    /// Series that are kept.
    pub fn len(&self) -> usize {
        match &self.states {
            States::Band(table) => table.len(),
            States::Absence(table) => table.len(),
            States::Forecast(table) => table.len(),
        }
    }

    /// Whether no series is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that they take, label sets included (which other rooms may share).
    pub fn bytes(&self) -> usize {
        match &self.states {
            States::Band(table) => table.bytes(BandState::heap_bytes),
            States::Absence(table) => table.bytes(|_| 0),
            States::Forecast(table) => table.bytes(|_| 0),
        }
    }
}

/// Visits every element and collects what `judge` gives a reason for.
fn picks<S>(
    table: &mut Table<S>,
    at: Timestamp,
    forget_ms: i64,
    vector: &[Element],
    new: impl Fn() -> S,
    judge: impl Fn(&mut S, f64) -> Option<Reason>,
) -> Vec<Pick> {
    let mut picks = Vec::new();
    table.visit(at, forget_ms, vector, new, |state, element| {
        if let Some(reason) = judge(state, element.value) {
            picks.push(Pick {
                labels: element.labels.clone(),
                value: element.value,
                reason,
            });
        }
    });
    picks
}

/// The series that were seen before and have had no element for `after_ms`.
fn absent(table: &mut Table<f64>, at: Timestamp, after_ms: i64, vector: &[Element]) -> Vec<Pick> {
    let forget_ms = after_ms.saturating_mul(FORGET_ABSENCES).max(FORGET_MS);
    table.visit(
        at,
        forget_ms,
        vector,
        || 0.0,
        |last, element| *last = element.value,
    );
    let gone = |last_seen: Timestamp| at > last_seen && at - last_seen >= after_ms;
    let absent = table.iter().filter(|entry| gone(entry.last_seen));
    absent
        .map(|entry| Pick {
            labels: entry.labels.clone(),
            value: entry.state,
            reason: Reason::Absent {
                last_seen: Some(entry.last_seen),
            },
        })
        .collect()
}
