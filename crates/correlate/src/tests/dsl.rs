//! A small language for scenarios: seconds since the start, alerts by name and service.

use crate::{Command, Config, Correlator, Input, ServiceSpec, Topology, TopologyFile};
use foghorn_model::incident::{Event, Status};
use foghorn_model::{
    AlertId, Change, ChangeId, ChangeKind, Incident, IncidentId, Labels, MatchKind, MatchSignal,
    OutsideAlert, Partition, Reason, RuleId, RuleRef, Signal, SignalId, Timestamp, Transition,
    TransitionKind,
};

/// Start of every scenario: 2026-11-24T12:00:00Z.
pub(crate) const START: Timestamp = Timestamp(1_795_521_600_000);

/// Seconds since the start.
pub(crate) fn s(seconds: i64) -> Timestamp {
    START + seconds * 1_000
}

/// web → checkout → payments → ledger; checkout → cart; web → search. `batch` stands alone.
pub(crate) fn shop() -> Topology {
    let spec = |name: &str, tier, depends_on: &[&str]| ServiceSpec {
        name: name.to_owned(),
        owner: format!("team-{name}"),
        tier: Some(tier),
        depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
    };
    Topology::new(&TopologyFile {
        services: vec![
            spec("web", 2, &["checkout", "search"]),
            spec("checkout", 1, &["payments", "cart"]),
            spec("payments", 2, &["ledger"]),
            spec("cart", 3, &[]),
            spec("search", 3, &[]),
            spec("ledger", 2, &[]),
            spec("batch", 4, &[]),
        ],
    })
}

/// One alert of a scenario.
#[derive(Clone, Debug)]
pub(crate) struct A {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) at: i64,
    pub(crate) summary: String,
}

/// An alert of a service, with its onset.
pub(crate) fn alert(name: &str, service: &str, at: i64) -> A {
    let labels = Labels::from_pairs([
        ("alertname", name),
        ("service", service),
        ("severity", "critical"),
    ]);
    A {
        name: name.to_owned(),
        labels: labels.with("cluster", "prod"),
        at,
        summary: String::new(),
    }
}

impl A {
    pub(crate) fn label(mut self, name: &str, value: &str) -> Self {
        self.labels = self.labels.with(name, value);
        self
    }

    pub(crate) fn says(mut self, summary: &str) -> Self {
        summary.clone_into(&mut self.summary);
        self
    }

    pub(crate) fn again(mut self, at: i64) -> Self {
        self.at = at;
        self
    }

    pub(crate) fn rule(&self) -> RuleRef {
        let id = RuleId::derive("shop", &self.name, "", &[]);
        RuleRef {
            id,
            group: "shop".into(),
            name: self.name.as_str().into(),
        }
    }

    pub(crate) fn id(&self) -> AlertId {
        AlertId::derive(self.rule().id, &self.labels, s(self.at))
    }

    pub(crate) fn signal(&self, kind: TransitionKind, at: i64, reason: Reason) -> Signal {
        Signal::Transition(Transition {
            id: SignalId::transition(self.id(), kind.code(), s(at)),
            alert: self.id(),
            rule: self.rule(),
            kind,
            at: s(at),
            active_at: s(self.at),
            fired_at: (kind != TransitionKind::Pending).then(|| s(self.at)),
            labels: self.labels.clone(),
            annotations: Labels::from_pairs([("summary", self.summary.as_str())]),
            value: 2.0,
            reason,
        })
    }

    pub(crate) fn firing(&self) -> Signal {
        let reason = Reason::ConditionTrue {
            value: 2.0,
            condition: format!("{} > 1", self.name),
        };
        self.signal(TransitionKind::Firing, self.at, reason)
    }

    pub(crate) fn matching(&self, kind: MatchKind, count: u64) -> Signal {
        Signal::Match(MatchSignal {
            id: SignalId::matched(
                self.rule().id,
                &self.labels,
                Partition::default(),
                s(0),
                "x",
            ),
            rule: self.rule(),
            kind,
            partition: Partition::default(),
            bucket: s(0),
            at: s(self.at),
            labels: self.labels.clone(),
            annotations: Labels::empty(),
            count,
            line: "payment refused".to_owned(),
            resolve_after_ms: 300_000,
        })
    }

    pub(crate) fn outside(&self, ends_at: Option<i64>) -> OutsideAlert {
        OutsideAlert {
            labels: self.labels.clone(),
            annotations: Labels::empty(),
            starts_at: s(self.at),
            ends_at: ends_at.map(s),
            generator: String::new(),
        }
    }
}

pub(crate) fn deploy(service: &str, version: &str, at: i64) -> Change {
    Change {
        id: ChangeId::derive(&[service, version]),
        kind: ChangeKind::Deploy,
        at: s(at),
        service: service.to_owned(),
        environment: String::new(),
        version: version.to_owned(),
        author: "ann".to_owned(),
        summary: format!("{service} {version}"),
        link: String::new(),
        labels: Labels::empty(),
    }
}

/// A scenario under way.
pub(crate) struct Story {
    pub(crate) correlator: Correlator,
    pub(crate) said: Vec<Incident>,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        config.validate().unwrap();
        Self {
            correlator: Correlator::new(config, shop()),
            said: Vec::new(),
        }
    }

    fn fold(&mut self, input: Input<'_>) -> &mut Self {
        self.correlator.fold(input, &mut self.said);
        self
    }

    pub(crate) fn hears(&mut self, signal: &Signal) -> &mut Self {
        self.fold(Input::Signal(signal))
    }

    pub(crate) fn fires(&mut self, alert: &A) -> &mut Self {
        self.hears(&alert.firing())
    }

    pub(crate) fn fire_all(&mut self, alerts: &[A]) -> &mut Self {
        for alert in alerts {
            self.fires(alert);
        }
        self
    }

    pub(crate) fn change_all(&mut self, changes: &[Change]) -> &mut Self {
        for change in changes {
            self.changes(change);
        }
        self
    }

    pub(crate) fn ends(&mut self, alert: &A, at: i64) -> &mut Self {
        self.hears(&alert.signal(
            TransitionKind::Resolved,
            at,
            Reason::ConditionFalse { value: Some(0.5) },
        ))
    }

    pub(crate) fn goes_blind(&mut self, alert: &A, at: i64) -> &mut Self {
        self.hears(&alert.signal(TransitionKind::Resolved, at, Reason::NoData))
    }

    pub(crate) fn outside(&mut self, alert: &OutsideAlert) -> &mut Self {
        self.fold(Input::Outside(alert))
    }

    pub(crate) fn changes(&mut self, change: &Change) -> &mut Self {
        self.fold(Input::Change(change))
    }

    pub(crate) fn edge(&mut self, client: &str, server: &str) -> &mut Self {
        self.fold(Input::ServiceEdge { client, server })
    }

    pub(crate) fn takes(&mut self, incident: IncidentId, by: &str) -> &mut Self {
        let command = Command::Acknowledge {
            incident,
            by: by.to_owned(),
        };
        self.fold(Input::Command(command))
    }

    /// A timer and the flush after it.
    pub(crate) fn tick(&mut self, now: i64) -> &mut Self {
        self.timer(s(now))
    }

    pub(crate) fn timer(&mut self, now: Timestamp) -> &mut Self {
        self.fold(Input::Timer(now));
        self.correlator.flush(&mut self.said);
        self
    }

    /// The latest revisions that are neither closed nor merged away, by onset.
    pub(crate) fn live(&self) -> Vec<Incident> {
        let open = |incident: &&Incident| {
            incident.status != Status::Closed && incident.merged_into.is_none()
        };
        let mut all: Vec<_> = self.correlator.incidents().filter(open).cloned().collect();
        all.sort_by_key(|incident| (incident.onset, incident.id));
        all
    }

    /// The only live incident.
    pub(crate) fn only(&self) -> Incident {
        let live = self.live();
        assert_eq!(
            live.len(),
            1,
            "{:?}",
            live.iter()
                .map(|incident| &incident.title)
                .collect::<Vec<_>>()
        );
        live.into_iter().next().unwrap()
    }

    /// What was said, revision by revision.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.said.iter().map(|incident| incident.event).collect()
    }

    /// Names of the members of each live incident, sorted.
    pub(crate) fn groups(&self) -> Vec<Vec<String>> {
        let names = |incident: &Incident| {
            let name = |member: &foghorn_model::incident::Member| {
                format!("{}/{}", member.name, member.service)
            };
            let mut names: Vec<_> = incident.alerts.iter().map(name).collect();
            names.sort();
            names
        };
        let mut groups: Vec<_> = self.live().iter().map(names).collect();
        groups.sort();
        groups
    }
}
