//! The kinds of evidence, each judged by itself: a number, and on demand the words for it.
//!
//! A judgement takes the earlier and the later alert, in (onset, id) order, so that it is the same
//! from either side.

use foghorn_model::Change;
use foghorn_model::incident::{EdgeEvidence, EvidenceKind};
use foghorn_model::time::span_text;

use crate::alert::Alert;
use crate::changes::change_text;
use crate::config::Config;
use crate::rarity::{Rarity, pair_key};
use crate::text::jaccard;

/// Share of `weights.topology` that services one call apart keep.
const ONE_CALL: f64 = 0.85;
/// What each further call keeps.
const FURTHER_CALL: f64 = 0.7;
/// What is left when the caller began before the callee: trouble spreads the other way.
const AGAINST_THE_FLOW: f64 = 0.5;
/// How much earlier a caller's alert may begin: detection is not equally quick everywhere.
const FLOW_SLACK_MS: i64 = 120_000;
/// What a second shared label adds, relative to the rarest: labels of one thing go together, so
/// they are hardly independent.
const SECOND_LABEL: f64 = 0.15;
/// Rarity below which a label is not worth a word.
const WORTH_NAMING: f64 = 0.2;
/// Likeness below which texts are not alike.
const ALIKE: f64 = 0.3;
/// Callers from which on a service's change says less and less about any two of them.
const HUB: usize = 20;

/// Two alerts in (onset, id) order.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub(crate) earlier: &'a Alert,
    pub(crate) later: &'a Alert,
}

impl<'a> Pair<'a> {
    pub(crate) fn new(a: &'a Alert, b: &'a Alert) -> Self {
        if a.key() <= b.key() {
            Self {
                earlier: a,
                later: b,
            }
        } else {
            Self {
                earlier: b,
                later: a,
            }
        }
    }

    fn gap_ms(self) -> i64 {
        self.later.active_at - self.earlier.active_at
    }
}

/// One kind's judgement.
pub(crate) struct Judgement<'a> {
    pub(crate) kind: EvidenceKind,
    pub(crate) score: f64,
    why: Why<'a>,
}

enum Why<'a> {
    Labels(Vec<(&'a str, &'a str)>),
    SameAlert,
    SameService(&'a str),
    Calls {
        caller: &'a str,
        callee: &'a str,
        hops: u32,
        against: bool,
    },
    Gap(i64),
    Return(i64),
    Change {
        change: &'a Change,
        delay_ms: i64,
    },
    Words(Vec<&'a str>),
}

impl Judgement<'_> {
    pub(crate) fn tell(&self) -> EdgeEvidence {
        EdgeEvidence {
            kind: self.kind,
            score: (self.score * 1e3).round() / 1e3,
            why: self.why.text(),
        }
    }
}

impl Why<'_> {
    fn text(&self) -> String {
        match self {
            Self::Labels(pairs) => {
                let pairs: Vec<_> = pairs
                    .iter()
                    .map(|(name, value)| format!("{name}={value:?}"))
                    .collect();
                format!("both carry {}, which few alerts do", pairs.join(" and "))
            }
            Self::SameAlert => "the same rule and labels".to_owned(),
            Self::SameService(service) => format!("both are on {service}"),
            Self::Calls {
                caller,
                callee,
                hops,
                against,
            } => {
                let path = match hops {
                    1 => format!("{caller} calls {callee}"),
                    _ => format!("{caller} reaches {callee} in {hops} calls"),
                };
                if *against {
                    format!("{path}, though {caller} began first")
                } else {
                    path
                }
            }
            Self::Gap(0) => "they began at the same time".to_owned(),
            Self::Gap(gap_ms) => format!("they began {} apart", span_text(*gap_ms)),
            Self::Return(pause_ms) => {
                format!("it came back {} after it ended", span_text(*pause_ms))
            }
            Self::Change { change, delay_ms } => {
                format!(
                    "both depend on it and began within {} of the {}",
                    span_text(*delay_ms),
                    change_text(change)
                )
            }
            Self::Words(words) => format!("their summaries share {}", words.join(", ")),
        }
    }
}

/// Shared labels, weighed by the rarest.
pub(crate) fn labels<'a>(
    pair: Pair<'a>,
    rarity: &Rarity,
    config: &Config,
) -> Option<Judgement<'a>> {
    let mut shared: Vec<(f64, &str, &str)> = pair
        .earlier
        .labels
        .iter()
        .filter(|(name, value)| config.ties(name) && pair.later.labels.get(name) == Some(value))
        .map(|(name, value)| {
            (
                rarity.of(pair_key(name, value), config.share(name)),
                name,
                value,
            )
        })
        .filter(|(rare, ..)| *rare >= WORTH_NAMING)
        .collect();
    shared.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let rarest = shared.first()?.0;
    let second = shared.get(1).map_or(0.0, |(rare, ..)| *rare);
    let share = (rarest + SECOND_LABEL * second).min(1.0);
    let named = shared
        .into_iter()
        .take(2)
        .map(|(_, name, value)| (name, value))
        .collect();
    Some(Judgement {
        kind: EvidenceKind::SharedLabels,
        score: config.weights.shared_labels * share,
        why: Why::Labels(named),
    })
}

/// Nearness in the service graph. `hops_down` is the number of calls from the earlier alert's
/// service to the later one's, `hops_up` the way back.
pub(crate) fn topology<'a>(
    pair: Pair<'a>,
    hops_down: Option<u32>,
    hops_up: Option<u32>,
    config: &Config,
) -> Option<Judgement<'a>> {
    let (earlier, later) = (pair.earlier.service.as_str(), pair.later.service.as_str());
    if earlier.is_empty() || later.is_empty() {
        return None;
    }
    let weight = config.weights.topology;
    if earlier == later {
        let why = Why::SameService(earlier);
        return Some(Judgement {
            kind: EvidenceKind::Topology,
            score: weight,
            why,
        });
    }
    let near = |hops: u32| weight * ONE_CALL * FURTHER_CALL.powi(hops as i32 - 1);
    let with_flow = hops_up.map(|hops| (near(hops), later, earlier, hops, false));
    let against = pair.gap_ms() > FLOW_SLACK_MS;
    let counter = if against { AGAINST_THE_FLOW } else { 1.0 };
    let against_flow = hops_down.map(|hops| (near(hops) * counter, earlier, later, hops, against));
    let best = with_flow
        .into_iter()
        .chain(against_flow)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let (score, caller, callee, hops, against) = best?;
    let why = Why::Calls {
        caller,
        callee,
        hops,
        against,
    };
    Some(Judgement {
        kind: EvidenceKind::Topology,
        score,
        why,
    })
}

/// Closeness of onsets; `None` beyond the span.
pub(crate) fn onset<'a>(pair: Pair<'a>, config: &Config) -> Option<Judgement<'a>> {
    let gap_ms = pair.gap_ms();
    let closeness = 1.0 - gap_ms as f64 / config.max_span_ms as f64;
    (closeness > 0.0).then_some(Judgement {
        kind: EvidenceKind::Onset,
        score: config.weights.onset * closeness,
        why: Why::Gap(gap_ms),
    })
}

/// A change on a service that both depend on, which `callers` services depend on in all.
pub(crate) fn change<'a>(
    pair: Pair<'a>,
    change: &'a Change,
    callers: usize,
    config: &Config,
) -> Option<Judgement<'a>> {
    let before_ms = pair.earlier.active_at - change.at;
    if before_ms < 0 || before_ms > config.change_window_ms {
        return None;
    }
    let delay_ms = pair.later.active_at - change.at;
    let closeness = (1.0 - delay_ms as f64 / config.change_window_ms as f64).max(0.0);
    let crowd = (HUB as f64 / callers.max(1) as f64).min(1.0);
    Some(Judgement {
        kind: EvidenceKind::SharedChange,
        score: config.weights.shared_change * closeness * crowd,
        why: Why::Change { change, delay_ms },
    })
}

/// Likeness of summaries; of one rule's own template it would say nothing.
pub(crate) fn text<'a>(pair: Pair<'a>, config: &Config) -> Option<Judgement<'a>> {
    if pair.earlier.rule.id == pair.later.rule.id {
        return None;
    }
    let (alike, shared) = jaccard(&pair.earlier.words, &pair.later.words);
    (alike >= ALIKE).then(|| Judgement {
        kind: EvidenceKind::Text,
        score: config.weights.text * alike,
        why: Why::Words(shared.into_iter().take(5).collect()),
    })
}

/// The same rule and labels, back soon after they ended.
pub(crate) fn recurrence<'a>(pair: Pair<'a>, config: &Config) -> Option<[Judgement<'a>; 2]> {
    let same =
        pair.earlier.rule.id == pair.later.rule.id && pair.earlier.labels == pair.later.labels;
    let pause_ms = pair.later.active_at - pair.earlier.resolved_at?;
    if !same || pause_ms > config.reopen_window_ms {
        return None;
    }
    let closeness = 1.0 - pause_ms.max(0) as f64 / config.reopen_window_ms.max(1) as f64;
    Some([
        Judgement {
            kind: EvidenceKind::SharedLabels,
            score: config.weights.recurrence,
            why: Why::SameAlert,
        },
        Judgement {
            kind: EvidenceKind::Onset,
            score: config.weights.onset * closeness.max(0.01),
            why: Why::Return(pause_ms.max(0)),
        },
    ])
}
