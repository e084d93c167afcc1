//! The state machine: what a tick's result makes of a rule's alerts.
//!
//! Prometheus' `AlertingRule.Eval`: a new label set is pending from its tick on and fires once the
//! condition has held for `for` (at once for 0); a missing one ends a pending alert at once and a
//! firing one after `keep_firing_for`. A label set that returns after its end is a new alert.

use std::collections::BTreeMap;

use foghorn_model::{
    AlertId, AlertState, Fingerprint, Labels, Reason, RuleRef, Signal, Timestamp, TransitionKind,
};
use foghorn_rules::plan::{Group, Rule, RuleKind};
use serde::{Deserialize, Serialize};

use super::active::{ActiveAlert, rule_ref};
use super::render::{Home, Renderer, Sees};
use super::world::World;
use crate::promql::EvalError;
use crate::promql::cache::{FingerprintMap, FingerprintSet};
use crate::vector::Element;

/// An element of a rule's result.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The element's labels, with the metric's name where it has one.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
    /// Why a detector picked it; `None` where the condition alone decides.
    pub reason: Option<Reason>,
}

/// The alerts of one rule that are pending or firing. Serialised as a list of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Image", into = "Image")]
pub struct RuleAlerts {
    /// By the fingerprint of the alert's labels.
    active: BTreeMap<Fingerprint, ActiveAlert>,
    /// From an element's labels to the alert's, for those that are rendered up to date.
    by_element: FingerprintMap<Fingerprint, Fingerprint>,
    /// Firing alerts that ended for want of data, with when: the first good value after that is
    /// their all-clear.
    doubtful: BTreeMap<Fingerprint, (Timestamp, ActiveAlert)>,
}

/// An alert that ended for want of data is forgotten after so long, in milliseconds.
const DOUBT_MS: i64 = 86_400_000;

/// A hit whose alert is known.
struct Found {
    key: Fingerprint,
    hit: Hit,
    fresh: Fresh,
}

/// What had to be rendered.
enum Fresh {
    Nothing,
    Annotations(Labels),
    /// Labels and annotations.
    Both(Labels, Labels),
}

/// Longest condition text in a reason, in bytes.
const CONDITION_MAX: usize = 120;

impl RuleAlerts {
    /// Takes in a tick's result and says what changed, in label order.
    ///
    /// # Errors
    /// [`EvalError::SameAlert`]: nothing changes. [`EvalError::Limit`]: all alerts of the rule end,
    /// as in Prometheus, and `out` says so (with the reason *no data*: it is no all-clear).
    #[expect(
        clippy::too_many_arguments,
        reason = "a tick is all of these, and no two of them belong together"
    )]
    pub fn advance(
        &mut self,
        rule: &Rule,
        group: &Group,
        at: Timestamp,
        hits: Vec<Hit>,
        world: &mut dyn World,
        home: Home<'_>,
        out: &mut Vec<Signal>,
    ) -> Result<(), EvalError> {
        let RuleKind::Alert {
            for_ms,
            keep_firing_ms,
            ..
        } = rule.kind
        else {
            return Ok(());
        };
        if hits.is_empty() && self.is_idle() {
            return Ok(());
        }
        let name = rule_ref(rule, group);
        let (found, keys) = self.find(Renderer::new(rule, home, at), hits, world)?;
        let kept = |alert: &ActiveAlert| keeps_firing(alert, at, keep_firing_ms);
        let count = || {
            let others = self.active.iter();
            keys.len()
                + others
                    .filter(|(key, a)| !keys.contains(*key) && kept(a))
                    .count()
        };
        let count = if group.limit > 0 { count() } else { 0 };
        if count > group.limit {
            self.end_all(&name, at, &Reason::NoData, out);
            return Err(EvalError::Limit {
                limit: group.limit,
                count,
            });
        }
        let mut changes = Vec::new();
        self.settle(&keys, at, world, |alert, reason| {
            changes.push(alert.ended(&name, at, reason));
        });
        let mut doubtful = Vec::new();
        self.end_missing(&keys, keep_firing_ms, at, world, |alert, reason| {
            if alert.is_firing() && reason == Reason::NoData {
                doubtful.push(alert.clone());
            }
            changes.push(alert.ended(&name, at, reason));
        });
        self.doubtful.extend(
            doubtful
                .into_iter()
                .map(|alert| (alert.labels.fingerprint(), (at, alert))),
        );
        for found in found {
            self.hold(found, rule, for_ms, at, |alert, kind| {
                changes.push(alert.transition(&name, kind, at, alert.reason.clone()));
            });
        }
        say(changes, out);
        Ok(())
    }

    /// Pending and firing alerts, in a fixed order (by the fingerprint of their labels).
    pub fn active(&self) -> impl Iterator<Item = &ActiveAlert> {
        self.active.values()
    }

    /// Whether nothing is pending or firing.
    pub fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// Whether a tick without a hit changes nothing.
    pub fn is_idle(&self) -> bool {
        self.active.is_empty() && self.doubtful.is_empty()
    }

    /// Ends all alerts because their rule is gone, or what it was evaluated over. Nothing of them is
    /// remembered.
    pub fn remove_all(
        &mut self,
        rule: &RuleRef,
        at: Timestamp,
        why: &Reason,
        out: &mut Vec<Signal>,
    ) {
        self.end_all(rule, at, why, out);
        self.doubtful.clear();
    }

    /// Puts an alert back as it was. Its annotations are rendered anew at the next tick.
    pub fn restore(&mut self, alert: ActiveAlert) {
        self.active.insert(alert.labels.fingerprint(), alert);
    }

    /// Firing alerts that ended for want of data, with when.
    pub fn all_doubtful(&self) -> impl Iterator<Item = (Timestamp, &ActiveAlert)> {
        self.doubtful.values().map(|(since, alert)| (*since, alert))
    }

    /// The firing alert of these labels that ended for want of data, with when.
    pub fn doubtful(&self, labels: &Labels) -> Option<(Timestamp, &ActiveAlert)> {
        self.doubtful
            .get(&labels.fingerprint())
            .map(|(since, alert)| (*since, alert))
    }

    /// An alert ended for want of data at `since`: the first good value after that is its all-clear.
    pub fn doubt(&mut self, since: Timestamp, alert: ActiveAlert) {
        self.doubtful
            .insert(alert.labels.fingerprint(), (since, alert));
    }

    /// The end of the alert of these labels was an all-clear after all.
    pub fn trust(&mut self, labels: &Labels) {
        self.doubtful.remove(&labels.fingerprint());
    }

    /// Has everything rendered anew at the next tick: to be called when the rule's annotations or
    /// the external labels may have changed (its identity does not cover them).
    pub fn forget_rendered(&mut self) {
        self.by_element.clear();
    }

    /// The alert of each hit. Changes nothing, so that an error leaves all as it was.
    fn find(
        &self,
        renderer: Renderer<'_>,
        hits: Vec<Hit>,
        world: &mut dyn World,
    ) -> Result<(Vec<Found>, FingerprintSet), EvalError> {
        let mut keys = FingerprintSet::default();
        keys.reserve(hits.len());
        let mut all = Vec::with_capacity(hits.len());
        let sees = renderer.sees();
        for hit in hits {
            let found = self.find_one(renderer, sees, hit, world);
            if !keys.insert(found.key) {
                return Err(EvalError::SameAlert);
            }
            all.push(found);
        }
        Ok((all, keys))
    }

    /// Most templates see an element's labels and value only: while both stay, so does what was
    /// rendered.
    fn find_one(
        &self,
        renderer: Renderer<'_>,
        sees: [Sees; 2],
        hit: Hit,
        world: &mut dyn World,
    ) -> Found {
        let known = self
            .by_element
            .get(&hit.labels.fingerprint())
            .and_then(|key| self.active.get_key_value(key));
        let known = known.filter(|(_, alert)| alert.element == hit.labels);
        if let Some((key, alert)) = known {
            let [labels, annotations] = sees.map(|sees| match sees {
                Sees::Labels => true,
                Sees::Value => alert.value.to_bits() == hit.value.to_bits(),
                Sees::Tick => false,
            });
            if labels {
                let fresh = if annotations {
                    Fresh::Nothing
                } else {
                    Fresh::Annotations(renderer.annotations(&hit.labels, hit.value, world))
                };
                let key = *key;
                return Found { key, hit, fresh };
            }
        }
        let labels = renderer.labels(&hit.labels, hit.value, world);
        let annotations = renderer.annotations(&hit.labels, hit.value, world);
        Found {
            key: labels.fingerprint(),
            hit,
            fresh: Fresh::Both(labels, annotations),
        }
    }

    /// Says the all-clear of alerts that ended for want of data and have a good value now.
    fn settle(
        &mut self,
        keys: &FingerprintSet,
        at: Timestamp,
        world: &mut dyn World,
        mut cleared: impl FnMut(&ActiveAlert, Reason),
    ) {
        self.doubtful.retain(|key, (since, alert)| {
            if keys.contains(key) || at - *since > DOUBT_MS {
                return false;
            }
            match end_of(world.base(&alert.element)) {
                Reason::NoData => true,
                reason => {
                    cleared(alert, reason);
                    false
                }
            }
        });
    }

    /// Ends what has no hit, unless it is kept firing.
    fn end_missing(
        &mut self,
        keys: &FingerprintSet,
        keep_firing_ms: i64,
        at: Timestamp,
        world: &mut dyn World,
        mut ended: impl FnMut(&ActiveAlert, Reason),
    ) {
        let by_element = &mut self.by_element;
        self.active.retain(|key, alert| {
            if keys.contains(key) {
                return true;
            }
            if keeps_firing(alert, at, keep_firing_ms) {
                alert.keep_firing_since.get_or_insert(at);
                return true;
            }
            by_element.remove(&alert.element.fingerprint());
            ended(alert, end_of(world.base(&alert.element)));
            false
        });
    }

    /// Takes in a hit: makes its alert, or keeps it up to date, and lets it fire when its time has
    /// come.
    fn hold(
        &mut self,
        found: Found,
        rule: &Rule,
        for_ms: i64,
        at: Timestamp,
        mut changed: impl FnMut(&ActiveAlert, TransitionKind),
    ) {
        let Found {
            key,
            hit:
                Hit {
                    labels: element,
                    value,
                    reason,
                },
            fresh,
        } = found;
        let is_new = matches!(fresh, Fresh::Both(..)) && !self.active.contains_key(&key);
        let holds = || Reason::ConditionTrue {
            value,
            condition: condition_text(&rule.text),
        };
        let mut anew = None;
        if let Fresh::Annotations(annotations) = fresh {
            anew = Some(annotations);
        } else if let Fresh::Both(labels, annotations) = fresh {
            self.by_element.insert(element.fingerprint(), key);
            let alert = self.active.entry(key).or_insert_with(|| ActiveAlert {
                id: AlertId::derive(rule.id, &labels, at),
                labels,
                annotations: Labels::empty(),
                element: element.clone(),
                state: AlertState::Pending,
                active_at: at,
                fired_at: None,
                value,
                reason: reason.clone().unwrap_or_else(holds),
                keep_firing_since: None,
            });
            if alert.element != element {
                self.by_element.remove(&alert.element.fingerprint());
                alert.element = element;
            }
            alert.annotations = annotations;
        }
        let Some(alert) = self.active.get_mut(&key) else {
            return;
        };
        if let Some(annotations) = anew {
            alert.annotations = annotations;
        }
        alert.value = value;
        alert.keep_firing_since = None;
        if alert.state == AlertState::Pending && at - alert.active_at >= for_ms {
            alert.state = AlertState::Firing;
            alert.fired_at = Some(at);
            alert.reason = reason.unwrap_or_else(|| {
                if for_ms > 0 {
                    Reason::HeldFor { for_ms, value }
                } else {
                    holds()
                }
            });
            changed(alert, TransitionKind::Firing);
        } else if is_new {
            changed(alert, TransitionKind::Pending);
        }
    }

    fn end_all(&mut self, rule: &RuleRef, at: Timestamp, reason: &Reason, out: &mut Vec<Signal>) {
        self.by_element.clear();
        let ended = std::mem::take(&mut self.active).into_values();
        say(
            ended
                .map(|alert| alert.ended(rule, at, reason.clone()))
                .collect(),
            out,
        );
    }
}

/// As they stand in a snapshot.
#[derive(Serialize, Deserialize)]
struct Image {
    active: Vec<ActiveAlert>,
    doubtful: Vec<(Timestamp, ActiveAlert)>,
}

impl From<Image> for RuleAlerts {
    fn from(image: Image) -> Self {
        let mut all = Self::default();
        for alert in image.active {
            let element = alert.element.fingerprint();
            all.by_element.insert(element, alert.labels.fingerprint());
            all.restore(alert);
        }
        for (since, alert) in image.doubtful {
            all.doubt(since, alert);
        }
        all
    }
}

impl From<RuleAlerts> for Image {
    fn from(alerts: RuleAlerts) -> Self {
        Self {
            active: alerts.active.into_values().collect(),
            doubtful: alerts.doubtful.into_values().collect(),
        }
    }
}

/// Whether an alert that has no hit at this tick goes on firing.
fn keeps_firing(alert: &ActiveAlert, at: Timestamp, keep_firing_ms: i64) -> bool {
    alert.is_firing() && at - alert.keep_firing_since.unwrap_or(at) < keep_firing_ms
}

/// Appends a tick's changes in label order.
fn say(mut changes: Vec<Signal>, out: &mut Vec<Signal>) {
    changes.sort_by(|a, b| match (a, b) {
        (Signal::Transition(a), Signal::Transition(b)) => a.labels.cmp(&b.labels),
        _ => std::cmp::Ordering::Equal,
    });
    out.append(&mut changes);
}

/// A rule's expression on one line, cut to a length that fits a page.
fn condition_text(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > CONDITION_MAX {
        let end = (0..=CONDITION_MAX)
            .rev()
            .find(|i| line.is_char_boundary(*i))
            .unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Why an alert ended whose element has this value in the base: false, or no data.
fn end_of(base: Option<f64>) -> Reason {
    match base {
        Some(value) => Reason::ConditionFalse {
            value: (!value.is_nan()).then_some(value),
        },
        None => Reason::NoData,
    }
}

/// A rule's base, by label set (the metric's name apart).
#[derive(Debug, Default)]
pub struct BaseValues(FingerprintMap<Fingerprint, f64>);

impl BaseValues {
    /// Of several elements that differ in the metric's name only the first counts.
    pub fn new(elements: &[Element]) -> Self {
        let mut values = FingerprintMap::default();
        for element in elements {
            values
                .entry(element.labels.without_name().fingerprint())
                .or_insert(element.value);
        }
        Self(values)
    }

    /// An element's value; `None` where the base does not have it.
    pub fn value(&self, element: &Labels) -> Option<f64> {
        let key = element.without_name().fingerprint();
        self.0.get(&key).copied()
    }
}
