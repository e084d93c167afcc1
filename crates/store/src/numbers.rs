//! Records as JSON, with the numbers that JSON does not have.
//!
//! An alert's value may be NaN or infinite (`x / 0 > 5` fires with +Inf), and JSON would make
//! `null` of it, which no longer reads as a number. So a record is stored as
//! `{"record": …, "not_finite": [[n, bits], …]}`: the n-th number of the record, in the order of
//! [`Numbers::numbers`], has those IEEE 754 bits.

use foghorn_engine::Entry;
use foghorn_model::incident::{Edge, EdgeEvidence, Member, Priority, PriorityPart, Suspect};
use foghorn_model::{Evidence, Incident, Reason, Signal, Transition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Shows every `f64` that a record holds, always in the same order.
///
/// Implementations take structs apart field by field, so that a new field cannot be forgotten.
pub(crate) trait Numbers {
    fn numbers(&mut self, visit: &mut dyn FnMut(&mut f64));
}

#[derive(Serialize)]
struct Written<'a, T> {
    record: &'a T,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_finite: Vec<(usize, u64)>,
}

#[derive(Deserialize)]
struct Read<T> {
    record: T,
    #[serde(default)]
    not_finite: Vec<(usize, u64)>,
}

/// A record as JSON.
pub(crate) fn encode<T: Serialize + Numbers>(mut record: T) -> Result<Vec<u8>, serde_json::Error> {
    let (mut index, mut not_finite) = (0, Vec::new());
    record.numbers(&mut |number| {
        if !number.is_finite() {
            not_finite.push((index, number.to_bits()));
            *number = 0.0;
        }
        index += 1;
    });
    serde_json::to_vec(&Written {
        record: &record,
        not_finite,
    })
}

/// The record that [`encode`] wrote.
pub(crate) fn decode<T: DeserializeOwned + Numbers>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let Read {
        mut record,
        not_finite,
    } = serde_json::from_slice::<Read<T>>(bytes)?;
    if !not_finite.is_empty() {
        let (mut index, mut rest) = (0, not_finite.iter().peekable());
        record.numbers(&mut |number| {
            if let Some((_, bits)) = rest.next_if(|(at, _)| *at == index) {
                *number = f64::from_bits(*bits);
            }
            index += 1;
        });
    }
    Ok(record)
}

impl Numbers for Entry {
    fn numbers(&mut self, visit: &mut dyn FnMut(&mut f64)) {
        match self {
            Self::Tick { signals, .. } | Self::Arrival { signals, .. } => {
                for signal in signals {
                    signal.numbers(visit);
                }
            }
            // Signals are all that carries numbers.
            _ => {}
        }
    }
}

impl Numbers for Signal {
    fn numbers(&mut self, visit: &mut dyn FnMut(&mut f64)) {
        match self {
            Self::Transition(Transition {
                value,
                reason,
                id: _,
                alert: _,
                rule: _,
                kind: _,
                at: _,
                active_at: _,
                fired_at: _,
                labels: _,
                annotations: _,
            }) => {
                visit(value);
                reason.numbers(visit);
            }
            Self::Evidence(Evidence {
                magnitude,
                id: _,
                labels: _,
                onset: _,
                why: _,
            }) => visit(magnitude),
            Self::Match(_) => {}
        }
    }
}

impl Numbers for Reason {
    fn numbers(&mut self, visit: &mut dyn FnMut(&mut f64)) {
        match self {
            Self::ConditionTrue {
                value,
                condition: _,
            }
            | Self::HeldFor { value, for_ms: _ }
            | Self::ConditionFalse { value: Some(value) } => visit(value),
            Self::Anomaly {
                observed,
                expected_low,
                expected_high,
                once_in,
                detector: _,
            } => {
                [observed, expected_low, expected_high, once_in]
                    .into_iter()
                    .for_each(visit);
            }
            Self::Forecast {
                observed,
                limit,
                reached_in_ms: _,
            } => {
                [observed, limit].into_iter().for_each(visit);
            }
            Self::ConditionFalse { value: None }
            | Self::NoData
            | Self::RuleRemoved
            | Self::Matched { .. }
            | Self::Quiet { .. }
            | Self::Absent { .. }
            | Self::Outside => {}
        }
    }
}

impl Numbers for Incident {
    fn numbers(&mut self, visit: &mut dyn FnMut(&mut f64)) {
        let Priority {
            score,
            parts,
            level: _,
        } = &mut self.priority;
        visit(score);
        for PriorityPart {
            points,
            name: _,
            why: _,
        } in parts
        {
            visit(points);
        }
        self.alerts
            .iter_mut()
            .for_each(|member| member.numbers(visit));
        for Suspect {
            score,
            service: _,
            change: _,
            evidence: _,
        } in &mut self.suspects
        {
            visit(score);
        }
    }
}

impl Numbers for Member {
    fn numbers(&mut self, visit: &mut dyn FnMut(&mut f64)) {
        visit(&mut self.value);
        self.reason.numbers(visit);
        for Edge {
            score,
            evidence,
            with: _,
            with_name: _,
        } in &mut self.edges
        {
            visit(score);
            for EdgeEvidence {
                score,
                kind: _,
                why: _,
            } in evidence
            {
                visit(score);
            }
        }
    }
}
