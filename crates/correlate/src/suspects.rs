//! Probable cause: a ranked list with evidence, which may abstain.
//!
//! A change is suspected only before the first onset, and only on a service that affected
//! services depend on (or that is affected itself): the latest deploy is usually innocent. Its
//! score is the product of four shares: how many affected services depend on its service, whether
//! that service is where trouble starts or itself a victim, how close in time, and what kind of
//! change. Below `blame_threshold` nothing is named.

use std::collections::BTreeMap;

use foghorn_model::incident::{AffectedService, Suspect};
use foghorn_model::time::span_text;
use foghorn_model::{Change, ChangeKind, Timestamp};

use crate::alert::Alert;
use crate::changes::{Changes, Observations, change_text};
use crate::config::Config;
use crate::topology::{Reach, Topology};
use crate::wording::count;

/// Affected services considered, the earliest.
const SERVICES_CONSIDERED: usize = 64;
/// Suspects listed.
const SUSPECTS_LISTED: usize = 5;
/// Score below which a suspect is not worth a line.
const WORTH_LISTING: f64 = 0.1;
/// Of a service that depends on another affected one that began no later.
const VICTIM: f64 = 0.4;
/// Of a service that shows no alert, which several affected services depend on.
const SILENT_HUB: f64 = 0.75;
/// The same for one affected service only.
const SILENT: f64 = 0.5;
/// What a change of its own telemetry adds to a silent service, of what is missing to 1.
const OBSERVED: f64 = 0.5;
/// Of a change in an environment that no alert names.
const ELSEWHERE: f64 = 0.2;
/// A service without a change is never more certain than this.
const WITHOUT_CHANGE: f64 = 0.6;
/// How long after the first onset a service's telemetry may change and still tell of the cause.
const OBSERVED_AFTER_MS: i64 = 300_000;
/// Difference of scores below which two changes fit about equally.
const ABOUT_EQUAL: f64 = 0.05;

/// What the verdict is drawn from.
pub(crate) struct Scene<'a> {
    pub(crate) members: &'a [&'a Alert],
    /// Affected services, earliest onset first.
    pub(crate) services: &'a [AffectedService],
    pub(crate) onset: Timestamp,
    pub(crate) config: &'a Config,
    pub(crate) topology: &'a Topology,
    pub(crate) changes: &'a Changes,
    pub(crate) observations: &'a Observations,
}

/// The ranked list, in words, and the change that is named, as in `deploy of payments v2.3.1`.
pub(crate) struct Verdict {
    pub(crate) suspects: Vec<Suspect>,
    pub(crate) words: String,
    pub(crate) blamed: Option<String>,
}

/// Where a service stands in the trouble.
struct Position {
    /// Affected services that depend on it or are it, of those considered.
    reached_by: usize,
    /// Its own onset, if it shows alerts.
    onset: Option<Timestamp>,
    /// An affected service that it depends on and that began no later.
    victim_of: Option<String>,
    /// Share that its place deserves, 0 to 1.
    share: f64,
    evidence: Vec<String>,
}

pub(crate) fn rank(scene: &Scene<'_>) -> Verdict {
    let positions = scene.positions();
    let mut suspects: Vec<Suspect> = positions
        .iter()
        .flat_map(|(service, position)| scene.changed(service, position))
        .collect();
    suspects.extend(
        positions
            .iter()
            .filter_map(|(service, position)| scene.began_at(service, position)),
    );
    let changed: BTreeMap<String, f64> = best_change_by_service(&suspects);
    suspects.retain(|suspect| {
        let told = changed
            .get(&suspect.service)
            .is_some_and(|best| *best >= suspect.score);
        suspect.score >= WORTH_LISTING && (suspect.change.is_some() || !told)
    });
    suspects.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| a.service.cmp(&b.service))
            .then_with(|| {
                let id = |suspect: &Suspect| suspect.change.as_ref().map(|change| change.id);
                id(a).cmp(&id(b))
            })
    });
    suspects.truncate(SUSPECTS_LISTED);
    scene.verdict(suspects)
}

/// A service whose change is the better explanation needs no second line.
fn best_change_by_service(suspects: &[Suspect]) -> BTreeMap<String, f64> {
    let mut best = BTreeMap::new();
    for suspect in suspects.iter().filter(|suspect| suspect.change.is_some()) {
        let score: &mut f64 = best.entry(suspect.service.clone()).or_default();
        *score = score.max(suspect.score);
    }
    best
}

impl Scene<'_> {
    fn considered(&self) -> &[AffectedService] {
        &self.services[..self.services.len().min(SERVICES_CONSIDERED)]
    }

    /// Every affected service and everything that one depends on.
    fn positions(&self) -> BTreeMap<&str, Position> {
        let reaches: Vec<(&AffectedService, Reach<'_>)> = self
            .considered()
            .iter()
            .map(|service| {
                let bound = self.config.bounds.reach;
                (
                    service,
                    self.topology
                        .callees(&service.name, self.config.max_hops, bound),
                )
            })
            .collect();
        let mut reached_by: BTreeMap<&str, usize> = BTreeMap::new();
        for service in reaches.iter().flat_map(|(_, reach)| reach.keys()) {
            *reached_by.entry(service).or_default() += 1;
        }
        let own: BTreeMap<&str, &(&AffectedService, Reach<'_>)> = reaches
            .iter()
            .map(|entry| (entry.0.name.as_str(), entry))
            .collect();
        let place = |(service, reached_by)| (service, self.position(service, reached_by, &own));
        reached_by.into_iter().map(place).collect()
    }

    fn position(
        &self,
        service: &str,
        reached_by: usize,
        affected: &BTreeMap<&str, &(&AffectedService, Reach<'_>)>,
    ) -> Position {
        let all = affected.len();
        let own = affected.get(service);
        let onset = own.map(|(own, _)| own.onset);
        // In a cycle of calls both depend on each other: then only the earlier one is no victim.
        let victim_of = own.and_then(|(own, reach)| {
            let below = reach
                .keys()
                .filter(|callee| **callee != service)
                .filter_map(|callee| affected.get(callee));
            let earlier = below.filter(|(callee, back)| {
                callee.onset < own.onset
                    || (callee.onset == own.onset && !back.contains_key(service))
            });
            earlier
                .map(|(callee, _)| callee)
                .min_by_key(|callee| callee.onset)
                .map(|callee| callee.name.clone())
        });
        let coverage = reached_by as f64 / all.max(1) as f64;
        let mut evidence = Vec::new();
        if all > 1 {
            evidence.push(match onset {
                Some(_) => format!(
                    "{reached_by} of {} are {service} or depend on it",
                    count(all, "affected service")
                ),
                None => format!(
                    "{reached_by} of {} depend on {service}",
                    count(all, "affected service")
                ),
            });
        } else if onset.is_none() {
            evidence.push(format!("{} depends on {service}", self.services[0].name));
        }
        let mut place = match (&victim_of, onset) {
            (Some(other), _) => {
                evidence.push(format!("but it depends on {other}, which began no later"));
                VICTIM
            }
            (None, Some(_)) => 1.0,
            (None, None) => {
                evidence.push(format!("but {service} itself shows no alert"));
                if reached_by > 1 { SILENT_HUB } else { SILENT }
            }
        };
        let from = self.onset - self.config.change_window_ms;
        if let Some(seen) =
            self.observations
                .strongest(service, from, self.onset + OBSERVED_AFTER_MS)
        {
            evidence.push(format!(
                "its telemetry changed at {}: {}",
                seen.onset, seen.why
            ));
            if onset.is_none() {
                place += (1.0 - place) * OBSERVED;
            }
        }
        Position {
            reached_by,
            onset,
            victim_of,
            share: coverage * place,
            evidence,
        }
    }

    /// The changes of a service that may have caused it, scored.
    fn changed<'a>(
        &'a self,
        service: &'a str,
        position: &'a Position,
    ) -> impl Iterator<Item = Suspect> + 'a {
        let from = self.onset - self.config.change_window_ms;
        self.changes
            .between(service, from, self.onset)
            .map(move |change| {
                let delay_ms = self.onset - change.at;
                // A third of the window halves the suspicion.
                let halvings = delay_ms as f64 / (self.config.change_window_ms as f64 / 3.0);
                let here = self.is_here(change);
                let score = position.share
                    * (-halvings).exp2()
                    * kind_share(change.kind)
                    * if here { 1.0 } else { ELSEWHERE };
                let mut evidence = vec![when_text(change, delay_ms)];
                evidence.extend(position.evidence.iter().cloned());
                if !here {
                    evidence.push(format!(
                        "but it was made in {}, which no alert names",
                        change.environment
                    ));
                }
                Suspect {
                    service: service.to_owned(),
                    change: Some(change.clone()),
                    score: rounded(score),
                    evidence,
                }
            })
    }

    /// A service that is affected, suspected for where it stands and when it began.
    fn began_at(&self, service: &str, position: &Position) -> Option<Suspect> {
        let onset = position.onset.filter(|_| position.victim_of.is_none())?;
        let earliest = onset == self.onset;
        let score = position.share * WITHOUT_CHANGE * if earliest { 1.0 } else { 0.7 };
        let mut evidence = vec![if earliest {
            format!("{service} is where the first alert began")
        } else {
            format!(
                "{service} began {} after the first alert",
                span_text(onset - self.onset)
            )
        }];
        evidence.extend(position.evidence.iter().cloned());
        if position.reached_by > 1 {
            evidence.push("nothing that it depends on is affected".to_owned());
        }
        Some(Suspect {
            service: service.to_owned(),
            change: None,
            score: rounded(score),
            evidence,
        })
    }

    /// Whether a change may concern these alerts: one of them names its environment, or none
    /// names any, or the change names none.
    fn is_here(&self, change: &Change) -> bool {
        let names = &self.config.environment_labels;
        let mut named = self
            .members
            .iter()
            .flat_map(|alert| names.iter().filter_map(|name| alert.labels.get(name)));
        let Some(first) = named.next() else {
            return true;
        };
        change.environment.is_empty()
            || first == change.environment
            || named.any(|name| name == change.environment)
    }

    fn verdict(&self, suspects: Vec<Suspect>) -> Verdict {
        let mut changes = suspects
            .iter()
            .filter_map(|suspect| Some((suspect, suspect.change.as_ref()?)));
        let best = changes
            .next()
            .filter(|(suspect, _)| suspect.score >= self.config.blame_threshold);
        let rival = changes.next();
        let (words, blamed) = match (best, rival) {
            (None, _) => (self.abstention(&suspects), None),
            (Some((best, a)), Some((rival, b))) if best.score - rival.score < ABOUT_EQUAL => {
                let words = format!(
                    "Two changes fit about equally: {} and {}.",
                    change_text(a),
                    change_text(b)
                );
                (words, None)
            }
            (Some((best, change)), _) => {
                let words = format!(
                    "Probably the {}: {}.",
                    change_text(change),
                    best.evidence.join("; ")
                );
                (words, Some(change_text(change)))
            }
        };
        Verdict {
            suspects,
            words,
            blamed,
        }
    }

    fn abstention(&self, suspects: &[Suspect]) -> String {
        match suspects.iter().find(|suspect| suspect.change.is_none()) {
            Some(start) => format!(
                "No change explains this; it seems to begin at {}: {}.",
                start.service,
                start.evidence.join("; ")
            ),
            None if self.services.is_empty() => {
                "No change explains this, and no label names a service where it could begin."
                    .to_owned()
            }
            None => {
                "No change explains this, and no service stands out as its beginning.".to_owned()
            }
        }
    }
}

/// How often such changes turn out to be causes, relative to deploys.
fn kind_share(kind: ChangeKind) -> f64 {
    match kind {
        ChangeKind::Deploy => 1.0,
        ChangeKind::Config | ChangeKind::Flag => 0.95,
        ChangeKind::Migration => 0.9,
        ChangeKind::Rollback | ChangeKind::Remove => 0.8,
        ChangeKind::Scale => 0.6,
        ChangeKind::Other => 0.5,
    }
}

fn when_text(change: &Change, delay_ms: i64) -> String {
    match delay_ms {
        0 => format!(
            "it took effect at {}, just when the first alert began",
            change.at
        ),
        _ => format!(
            "it took effect at {}, {} before the first alert began",
            change.at,
            span_text(delay_ms)
        ),
    }
}

fn rounded(score: f64) -> f64 {
    (score * 1e3).round() / 1e3
}
