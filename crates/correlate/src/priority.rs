//! Priority as a sum that a person can check: severity (45), blast radius (20), tier (15),
//! confidence (10) and burn (10), 100 points in all.
//!
//! From 75 points it is P1, from 55 P2, from 38 P3, from 20 P4, else P5. What is not known counts
//! as neither harmless nor the worst.

use std::collections::BTreeSet;

use foghorn_model::incident::{AffectedService, Level, Priority, PriorityPart};
use foghorn_model::reason::number_text;
use foghorn_model::{AlertState, Reason};

use crate::alert::Alert;
use crate::config::Config;
use crate::topology::Topology;
use crate::wording::count;

/// Services of an incident whose callers are counted.
const SERVICES_WALKED: usize = 64;

/// Priority of what fires (or, when nothing does, of what fired). `services` are the affected
/// ones.
pub(crate) fn judge(
    members: &[&Alert],
    services: &[AffectedService],
    topology: &Topology,
    config: &Config,
) -> Priority {
    let firing: Vec<&Alert> = members
        .iter()
        .copied()
        .filter(|alert| alert.state == AlertState::Firing)
        .collect();
    let judged = if firing.is_empty() { members } else { &firing };
    let parts = vec![
        severity(judged, config),
        blast_radius(services, topology, config),
        tier(services),
        confidence(judged),
        burn(judged),
    ];
    let score = (parts.iter().map(|part| part.points).sum::<f64>() * 10.0).round() / 10.0;
    Priority {
        level: level(score),
        score,
        parts,
    }
}

fn level(score: f64) -> Level {
    match score {
        s if s >= 75.0 => Level::P1,
        s if s >= 55.0 => Level::P2,
        s if s >= 38.0 => Level::P3,
        s if s >= 20.0 => Level::P4,
        _ => Level::P5,
    }
}

fn part(name: &str, points: f64, why: String) -> PriorityPart {
    PriorityPart {
        name: name.to_owned(),
        points: (points * 10.0).round() / 10.0,
        why,
    }
}

/// The worst severity among the alerts.
fn severity(alerts: &[&Alert], config: &Config) -> PriorityPart {
    let points = |word: &str| -> f64 {
        match word.to_ascii_lowercase().as_str() {
            "critical" | "crit" | "page" | "emergency" | "fatal" | "p1" | "sev1" => 45.0,
            "error" | "high" | "major" | "p2" | "sev2" => 32.0,
            "info" | "information" | "notice" | "low" | "none" | "debug" | "p4" | "p5" | "sev4"
            | "sev5" => 5.0,
            _ => 18.0,
        }
    };
    let words = alerts
        .iter()
        .map(|alert| alert.labels.value(&config.severity_label));
    match words.max_by(|a, b| points(a).total_cmp(&points(b)).then(b.cmp(a))) {
        None | Some("") => part(
            "severity",
            18.0,
            "no severity label: taken as a warning".to_owned(),
        ),
        Some(word) => part(
            "severity",
            points(word),
            format!("the worst severity is {word}"),
        ),
    }
}

/// 5 points for each service after the first, and 3 for each doubling of the callers that are
/// not affected yet.
fn blast_radius(
    services: &[AffectedService],
    topology: &Topology,
    config: &Config,
) -> PriorityPart {
    let affected: BTreeSet<&str> = services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    let callers: BTreeSet<&str> = services
        .iter()
        .take(SERVICES_WALKED)
        .flat_map(|service| {
            topology
                .callers(&service.name, config.max_hops, config.bounds.reach)
                .into_keys()
        })
        .filter(|caller| !affected.contains(caller))
        .collect();
    let spread = 5.0 * affected.len().saturating_sub(1) as f64;
    let points = spread + 3.0 * (1.0 + callers.len() as f64).log2();
    let why = format!(
        "{} affected, {} depend on {}",
        count(affected.len(), "service"),
        count(callers.len(), "further service"),
        if affected.len() == 1 { "it" } else { "them" },
    );
    part("blast_radius", points.min(20.0), why)
}

fn tier(services: &[AffectedService]) -> PriorityPart {
    let known = services
        .iter()
        .filter_map(|service| Some((service.tier?, service.name.as_str())));
    match known.min() {
        None => part(
            "tier",
            8.0,
            "no tier is known: taken as the middle".to_owned(),
        ),
        Some((tier, name)) => {
            let points = match tier {
                0 | 1 => 15.0,
                2 => 10.0,
                3 => 5.0,
                _ => 2.0,
            };
            part("tier", points, format!("{name} is of tier {tier}"))
        }
    }
}

/// One alert alone may be wrong: 2 points. More of them, well tied, are hardly so.
fn confidence(alerts: &[&Alert]) -> PriorityPart {
    let best: Vec<f64> = alerts
        .iter()
        .filter_map(|alert| alert.edges.first())
        .map(|edge| edge.score)
        .collect();
    if alerts.len() < 2 || best.is_empty() {
        return part("confidence", 2.0, "a single alert speaks for it".to_owned());
    }
    let mean = best.iter().sum::<f64>() / best.len() as f64;
    let points = 2.0 + 8.0 * (1.0 - 1.0 / alerts.len() as f64) * (mean / 2.0).min(1.0);
    let why = format!(
        "{} agree, tied with {} on average",
        count(alerts.len(), "alert"),
        number_text(mean)
    );
    part("confidence", points, why)
}

/// How many times over its limit the worst alert is, 3 points for each doubling: a burn rate that
/// the alert carries, or value over threshold of its condition.
fn burn(alerts: &[&Alert]) -> PriorityPart {
    let worst = alerts
        .iter()
        .filter_map(|alert| Some((ratio(alert)?, &alert.rule.name)));
    match worst.max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1))) {
        Some((ratio, name)) if ratio > 1.0 => {
            let why = format!("{name} is at {} times its limit", number_text(ratio));
            part("burn", (3.0 * ratio.log2()).clamp(0.0, 10.0), why)
        }
        _ => part("burn", 0.0, "no burn rate or excess is known".to_owned()),
    }
}

fn ratio(alert: &Alert) -> Option<f64> {
    let said = ["burn_rate", "burnrate", "slo_burn_rate"]
        .iter()
        .find_map(|name| {
            let text = alert
                .labels
                .get(name)
                .or_else(|| alert.annotations.get(name))?;
            text.trim_end_matches('x').parse::<f64>().ok()
        });
    said.or_else(|| excess(&alert.fired_because))
        .filter(|ratio| ratio.is_finite())
}

/// Value over threshold, of a condition that ends in a comparison with a number.
fn excess(reason: &Reason) -> Option<f64> {
    let Reason::ConditionTrue { value, condition } = reason else {
        return None;
    };
    let at = condition.rfind(['>', '<'])?;
    let limit: f64 = condition[at + 1..]
        .trim_start_matches('=')
        .trim()
        .parse()
        .ok()?;
    let above = condition[at..].starts_with('>');
    let (over, under) = if above {
        (*value, limit)
    } else {
        (limit, *value)
    };
    (over > 0.0 && under > 0.0).then(|| over / under)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: f64, condition: &str, expect: Option<f64>) {
        let reason = Reason::ConditionTrue {
            value,
            condition: condition.to_owned(),
        };
        assert_eq!(excess(&reason), expect, "{condition}");
    }

    #[test]
    fn excess_is_value_over_threshold() {
        check(0.2, "error_ratio > 0.05", Some(4.0));
        check(2.0, "free_disks <= 8", Some(4.0));
        check(1.0, "up == 0", None);
        check(3.0, "a > b", None);
    }

    #[test]
    fn levels_have_fixed_borders() {
        let levels: Vec<Level> = [75.0, 74.9, 55.0, 38.0, 20.0, 0.0]
            .into_iter()
            .map(level)
            .collect();
        assert_eq!(
            levels,
            [
                Level::P1,
                Level::P2,
                Level::P2,
                Level::P3,
                Level::P4,
                Level::P5
            ]
        );
    }
}
