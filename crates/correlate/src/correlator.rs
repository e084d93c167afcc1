//! The fold itself: one input in, state changed; [`Correlator::flush`] says what is due.

use foghorn_model::{AlertState, Incident, Timestamp};

use crate::alert::Alert;
use crate::config::Config;
use crate::input::Input;
use crate::state::{Due, State};
use crate::stats::Stats;
use crate::topology::Topology;

/// How often what lies before every window is forgotten, in milliseconds of now.
const SWEEP_EVERY_MS: i64 = 60_000;

/// Correlation: settings, the service graph, and [`State`].
#[derive(Clone, Debug)]
pub struct Correlator {
    pub(crate) config: Config,
    pub(crate) topology: Topology,
    pub(crate) state: State,
}

impl Correlator {
    /// Correlation that has heard nothing yet, over the declared service graph.
    pub fn new(config: Config, topology: Topology) -> Self {
        Self::restore(config, topology, State::default())
    }

    /// Correlation as a snapshot left it. `topology` is the declared graph; edges learnt from
    /// traces come with the state.
    pub fn restore(config: Config, mut topology: Topology, state: State) -> Self {
        for (client, server) in &state.learnt {
            topology.observe_edge(client, server, config.bounds.services);
        }
        Self {
            config,
            topology,
            state,
        }
    }

    /// The same settings and declared graph over another state.
    #[must_use]
    pub fn with_state(self, state: State) -> Self {
        Self::restore(self.config, self.topology, state)
    }

    /// Takes one input. Only a command is answered at once, into `out`; everything else is
    /// remembered until [`Self::flush`].
    pub fn fold(&mut self, input: Input<'_>, out: &mut Vec<Incident>) {
        match input {
            Input::Signal(signal) => self.signal(signal),
            Input::Change(change) => self.change(change),
            Input::Outside(alert) => self.outside(alert),
            Input::ServiceEdge { client, server } => self.service_edge(client, server),
            Input::Timer(now) => self.timer(now),
            Input::Command(command) => self.command(&command, out),
        }
    }

    /// When the next timer is wanted; `None` while nothing waits for one. After a flush it lies
    /// after [`Self::now`].
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.state.due.first().map(|(at, _)| *at)
    }

    /// Correlation's now: the last timer. Before the first it is the latest signal's time.
    pub fn now(&self) -> Timestamp {
        self.state.now
    }

    /// Latest revision of each incident: closed and merged ones first (as many as
    /// `bounds.recent_incidents`), then the others by id.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        let open = self
            .state
            .cases
            .values()
            .filter_map(|case| case.latest.as_deref());
        self.state.recent.iter().map(|it| &**it).chain(open)
    }

    /// Alerts that are pending or firing, by id.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.state
            .alerts
            .values()
            .filter(|alert| alert.state != AlertState::Resolved)
    }

    /// Alerts that are remembered, those of open incidents that have ended among them, by id.
    pub fn remembered(&self) -> impl Iterator<Item = &Alert> {
        self.state.alerts.values()
    }

    /// Whether some occurrence of an alert that no rule over samples speaks of fires.
    pub fn is_open(&self, alert: &Alert) -> bool {
        let identity = alert.identity();
        self.state.open_by_identity.contains_key(&identity)
    }

    /// Counters and gauges.
    pub fn stats(&self) -> Stats {
        Stats {
            alerts: self.state.alerts.len() as u64,
            incidents: self.state.cases.len() as u64,
            waiting: self.state.waiting.len() as u64,
            changes: self.state.changes.len() as u64,
            services: self.topology.len() as u64,
            ..self.state.stats.clone()
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The service graph: declared and learnt.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// What a snapshot must hold.
    pub fn state(&self) -> &State {
        &self.state
    }

    fn timer(&mut self, now: Timestamp) {
        if now < self.state.horizon {
            return;
        }
        let before = std::mem::replace(&mut self.state.horizon, now);
        self.pass_deadlines();
        if before.ms().div_euclid(SWEEP_EVERY_MS) != now.ms().div_euclid(SWEEP_EVERY_MS) {
            self.sweep();
        }
    }

    /// Moves now to the last timer, deadline by deadline. Gives whether one passed.
    pub(crate) fn pass_deadlines(&mut self) -> bool {
        let mut passed = false;
        while let Some((at, due)) = self.state.due.first().copied()
            && at <= self.state.horizon
        {
            self.state.due.pop_first();
            self.state.now = self.state.now.max(at);
            passed = true;
            match due {
                Due::Alert(alert) => self.ends_by_itself(alert, at),
                Due::Case(case) => drop(self.state.dirty.insert(case)),
            }
        }
        if self.state.horizon < Timestamp::MAX {
            self.state.now = self.state.now.max(self.state.horizon);
        }
        passed
    }

    /// Forgets changes and evidence that no incident's window reaches any more.
    fn sweep(&mut self) {
        let onsets = self
            .state
            .cases
            .values()
            .filter_map(|case| case.members.first());
        let oldest = onsets
            .map(|(at, _)| *at)
            .min()
            .unwrap_or(self.state.now)
            .min(self.state.now);
        let window = self.config.change_window_ms
            + self.config.max_span_ms
            + self.config.max_incident_span_ms;
        self.state.changes.forget(oldest - window);
        self.state.observations.forget(oldest - window);
    }
}
