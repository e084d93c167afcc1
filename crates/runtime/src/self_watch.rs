//! What Foghorn says about itself: alerts of its own, raised from its own counters.
//!
//! Looks at counters once a second and takes the time as input. An alert begins when its sign is
//! seen and ends when the sign was not seen for [`HOLD_MS`]. The brain's thread writes what is said
//! to the signal log like any other decision, so that a replay says it again.

use std::collections::{BTreeMap, VecDeque};

use foghorn_model::{Labels, OutsideAlert, Timestamp};

/// An alert ends when its sign was not seen for so long, in milliseconds.
pub(crate) const HOLD_MS: i64 = 300_000;
/// Refusals of one reason within a minute that are worth a word. Below it they are counted, sent to
/// the dead letters, and that is all: a single bad record wakes nobody.
pub(crate) const MANY: u64 = 10;
/// A partition with a backlog whose watermark is older than this is said to lag, in milliseconds.
pub(crate) const LAG_MS: i64 = 300_000;
/// Reasons that name a bound of ours: one refusal is worth a word, since it will happen again.
const BOUNDS: [&str; 9] = [
    "series_limit",
    "too_large",
    "bomb",
    "too_deep",
    "too_many_labels",
    "name_too_long",
    "value_too_long",
    "too_many_services",
    "too_many_edges",
];

/// What is looked at, at one moment. Counters only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signs {
    /// Refusals so far, by (source, reason).
    pub(crate) refusals: BTreeMap<(String, &'static str), u64>,
    /// Failed rule evaluations so far.
    pub(crate) failures: u64,
    /// Partitions with a backlog: (topic, partition) and how old their watermark is, in
    /// milliseconds.
    pub(crate) backlogs: BTreeMap<(String, u32), i64>,
    /// Partitions that ticks are closed without, though they may have data.
    pub(crate) blind: Vec<(String, u32)>,
    /// Partitions of which a restart needed more than their source keeps, while that shows.
    pub(crate) gaps: Vec<(String, u32)>,
    /// Snapshots so far that could not be written.
    pub(crate) snapshots_failed: u64,
    /// Why nothing could be decided until now, and for how long; told once.
    pub(crate) outage: Option<String>,
    /// Recorded samples so far that found no room on their way to Kafka.
    pub(crate) recorded_dropped: u64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct SelfWatch {
    /// Refusals of the last minute: (when, (source, reason), how many).
    recent: VecDeque<(Timestamp, (String, &'static str), u64)>,
    before: Signs,
    /// What is said to fire: labels, since when, when last seen.
    firing: BTreeMap<Labels, (Timestamp, Timestamp)>,
}

impl SelfWatch {
    /// Goes on after a restart at `now`: alerts that fired before end unless their signs are seen
    /// again.
    pub(crate) fn resume(firing: &BTreeMap<Labels, Timestamp>, now: Timestamp) -> Self {
        let firing = firing
            .iter()
            .map(|(labels, since)| (labels.clone(), (*since, now)));
        Self {
            firing: firing.collect(),
            ..Self::default()
        }
    }

    /// Looks; alerts that begin or end at `now`.
    pub(crate) fn look(&mut self, now: Timestamp, signs: Signs) -> Vec<OutsideAlert> {
        let mut said = Vec::new();
        for (labels, summary) in self.seen(now, &signs) {
            let known = self.firing.contains_key(&labels);
            let (since, last) = self.firing.entry(labels.clone()).or_insert((now, now));
            *last = now;
            if !known {
                said.push(alert(labels, &summary, *since, None));
            }
        }
        let over = |(_, (_, last)): &(&Labels, &mut (Timestamp, Timestamp))| now - *last >= HOLD_MS;
        let ended: Vec<_> = self
            .firing
            .iter_mut()
            .filter(over)
            .map(|(labels, (since, _))| (labels.clone(), *since))
            .collect();
        for (labels, since) in ended {
            self.firing.remove(&labels);
            said.push(alert(labels, "", since, Some(now)));
        }
        self.before = signs;
        said
    }

    fn seen(&mut self, now: Timestamp, signs: &Signs) -> Vec<(Labels, String)> {
        let mut seen = self.refusing(now, signs);
        if signs.failures > self.before.failures {
            seen.push((
                labels("FoghornRuleEvaluationFailing", &[]),
                "Rules fail to evaluate; /api/v1/rules says which and why.".to_owned(),
            ));
        }
        for ((topic, partition), age_ms) in &signs.backlogs {
            if *age_ms >= LAG_MS {
                seen.push((
                    labels("FoghornLagging", &[("topic", topic)]),
                    format!(
                        "Partition {partition} of {topic} has a backlog and is {} s behind: alerts are late, not wrong.",
                        age_ms / 1_000
                    ),
                ));
            }
        }
        for (topic, partition) in &signs.blind {
            seen.push((
                labels(
                    "FoghornBlind",
                    &[("topic", topic), ("partition", &partition.to_string())],
                ),
                format!(
                    "Rules are evaluated without partition {partition} of {topic}: it is out of reach or far behind the others."
                ),
            ));
        }
        for (topic, partition) in &signs.gaps {
            seen.push((
                labels(
                    "FoghornGap",
                    &[("topic", topic), ("partition", &partition.to_string())],
                ),
                format!(
                    "Records of partition {partition} of {topic} were gone before a restart had read them again: windows over that time hold less than they should."
                ),
            ));
        }
        if signs.snapshots_failed > self.before.snapshots_failed {
            seen.push((
                labels("FoghornSnapshotFailing", &[]),
                "No snapshot could be written; a restart reads its sources from further back. The log says why.".to_owned(),
            ));
        }
        if let Some(why) = &signs.outage {
            seen.push((labels("FoghornStateUnwritable", &[]), why.clone()));
        }
        if signs.recorded_dropped > self.before.recorded_dropped {
            seen.push((
                labels("FoghornRecordedDropped", &[]),
                "Recorded samples found no room on their way to Kafka and were dropped.".to_owned(),
            ));
        }
        seen
    }

    fn refusing(&mut self, now: Timestamp, signs: &Signs) -> Vec<(Labels, String)> {
        for (key, count) in &signs.refusals {
            let more = count
                - self
                    .before
                    .refusals
                    .get(key)
                    .copied()
                    .unwrap_or(0)
                    .min(*count);
            if more > 0 {
                self.recent.push_back((now, key.clone(), more));
            }
        }
        while self
            .recent
            .front()
            .is_some_and(|(at, ..)| now - *at >= 60_000)
        {
            self.recent.pop_front();
        }
        let mut within: BTreeMap<&(String, &'static str), u64> = BTreeMap::new();
        for (_, key, more) in &self.recent {
            *within.entry(key).or_default() += more;
        }
        within
            .into_iter()
            .filter(|((_, reason), count)| *count >= MANY || BOUNDS.contains(reason))
            .map(|((source, reason), count)| {
                (
                    labels(
                        "FoghornRefusing",
                        &[("source", source), ("reason", reason)],
                    ),
                    format!(
                        "Source {source}: {count} refusals within a minute, reason {reason}. What was refused counts in no rule."
                    ),
                )
            })
            .collect()
    }
}

fn labels(name: &str, more: &[(&str, &str)]) -> Labels {
    let own = [
        ("alertname", name),
        ("service", "foghorn"),
        ("severity", "warning"),
    ];
    Labels::from_pairs(own.into_iter().chain(more.iter().copied()))
}

fn alert(
    labels: Labels,
    summary: &str,
    starts_at: Timestamp,
    ends_at: Option<Timestamp>,
) -> OutsideAlert {
    OutsideAlert {
        labels,
        annotations: Labels::from_pairs([("summary", summary)]),
        starts_at,
        ends_at,
        generator: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: seconds, then signs; what is said by then, one alert a line.
    fn check(looks: &[(i64, &[&str])], expect: &[&str]) {
        let mut watch = SelfWatch::default();
        let mut signs = Signs::default();
        let mut said = Vec::new();
        for (second, seen) in looks {
            (signs.backlogs, signs.blind) = (BTreeMap::new(), Vec::new());
            signs.outage = None;
            for sign in *seen {
                match sign.split(' ').collect::<Vec<_>>()[..] {
                    ["refused", "series_limit"] => bump(&mut signs, "series_limit", 1),
                    ["refused", "bad_json", n] => bump(&mut signs, "bad_json", n.parse().unwrap()),
                    ["failed"] => signs.failures += 1,
                    ["behind", s] => {
                        let age_ms = s.parse::<i64>().unwrap() * 1_000;
                        signs.backlogs.insert(("logs".to_owned(), 3), age_ms);
                    }
                    ["outage"] => signs.outage = Some("the disk was full".to_owned()),
                    ["blind"] => signs.blind.push(("logs".to_owned(), 3)),
                    _ => panic!("unknown sign {sign}"),
                }
            }
            for alert in watch.look(Timestamp(second * 1_000), signs.clone()) {
                let word = if alert.ends_at.is_some() {
                    "ends"
                } else {
                    "begins"
                };
                let reason = alert.labels.value("reason");
                let name = alert.labels.value("alertname");
                said.push(
                    format!("{second} {name} {word} {reason}")
                        .trim_end()
                        .to_owned(),
                );
            }
        }
        assert_eq!(said, expect);
    }

    fn bump(signs: &mut Signs, reason: &'static str, by: u64) {
        *signs
            .refusals
            .entry(("metrics".to_owned(), reason))
            .or_default() += by;
    }

    #[test]
    fn a_bound_is_worth_a_word_at_once() {
        check(
            &[(0, &[]), (1, &["refused series_limit"]), (2, &[])],
            &["1 FoghornRefusing begins series_limit"],
        );
    }

    #[test]
    fn bad_records_are_worth_a_word_when_they_are_many() {
        check(
            &[
                (0, &["refused bad_json 5"]),
                (59, &["refused bad_json 4"]),
                (61, &["refused bad_json 6"]),
            ],
            &["61 FoghornRefusing begins bad_json"],
        );
        check(
            &[(0, &["refused bad_json 9"]), (60, &["refused bad_json 9"])],
            &[],
        );
    }

    #[test]
    fn an_alert_ends_when_its_sign_is_gone_for_five_minutes() {
        check(
            &[
                (0, &["failed"]),
                (200, &["failed"]),
                (499, &[]),
                (500, &[]),
                (501, &["failed"]),
            ],
            &[
                "0 FoghornRuleEvaluationFailing begins",
                "500 FoghornRuleEvaluationFailing ends",
                "501 FoghornRuleEvaluationFailing begins",
            ],
        );
    }

    #[test]
    fn what_fired_before_a_restart_ends_after_it() {
        let own = labels("FoghornRuleEvaluationFailing", &[]);
        let firing = BTreeMap::from([(own.clone(), Timestamp(5))]);
        let mut watch = SelfWatch::resume(&firing, Timestamp(1_000));
        assert_eq!(watch.look(Timestamp(300_999), Signs::default()), []);
        let ended = alert(own, "", Timestamp(5), Some(Timestamp(301_000)));
        assert_eq!(watch.look(Timestamp(301_000), Signs::default()), [ended]);
    }

    #[test]
    fn a_backlog_is_said_when_it_is_old() {
        check(
            &[
                (0, &["behind 299"]),
                (1, &["behind 300"]),
                (2, &["behind 301"]),
            ],
            &["1 FoghornLagging begins"],
        );
    }

    #[test]
    fn a_partition_left_behind_is_said() {
        check(
            &[(7, &["blind"]), (8, &["blind"])],
            &["7 FoghornBlind begins"],
        );
    }

    #[test]
    fn an_outage_that_is_over_is_said_for_a_while() {
        check(
            &[(7, &["outage"]), (8, &[]), (307, &[])],
            &[
                "7 FoghornStateUnwritable begins",
                "307 FoghornStateUnwritable ends",
            ],
        );
    }
}
