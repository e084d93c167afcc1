//! The configuration: one YAML file, `FOGHORN__SECTION__KEY` over it, `--set` over that.
//!
//! Unknown keys are errors that say what was meant; secrets stand in files of their own
//! (`*_file`). [`parse`] checks the file alone, with places; [`load`] layers.

mod layers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use foghorn_emit::{HeartbeatConfig, RecordedConfig, SinkConfig};
use foghorn_eval::intake::DEFAULT_MAX_WORLDS;
use foghorn_eval::scope::{DEFAULT_REPLICA_TIMEOUT_MS, DEFAULT_SCOPE_TTL_MS};
use foghorn_http::HttpConfig;
use foghorn_ingest::{KafkaConfig, SourceConfig, Span};
use foghorn_rules::{Diagnostic, LoadOptions, Slots, diagnostic};
use foghorn_runtime::{FailoverConfig, OnGap, StartFrom};
use foghorn_wire::{ChangeMapping, Format, JsonLogMapping, JsonMetricMapping};
use regex::Regex;
use serde::Deserialize;

pub(crate) use layers::load;

/// Everything that `foghorn run` can be told.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// The cluster that sources read from.
    pub(crate) kafka: KafkaConfig,
    /// What is read.
    pub(crate) sources: Vec<SourceConfig>,
    /// API and receivers.
    pub(crate) http: HttpConfig,
    /// Whether telemetry is taken by HTTP.
    pub(crate) receivers: ReceiverConfig,
    /// Rules.
    pub(crate) rules: RulesConfig,
    /// Service graph.
    pub(crate) topology: Option<PathBuf>,
    /// Correlation.
    pub(crate) correlate: foghorn_correlate::Config,
    /// Where incidents, and alerts, go.
    pub(crate) sinks: Vec<SinkConfig>,
    /// Who is told that all is well.
    pub(crate) heartbeat: Option<HeartbeatConfig>,
    /// Where recorded series go.
    pub(crate) recorded: RecordedConfig,
    /// Where a first start begins.
    pub(crate) start: StartFrom,
    /// Signal log, outbox, journal and snapshots.
    pub(crate) state_dir: PathBuf,
    /// Other instances that may take over.
    pub(crate) failover: FailoverConfig,
    /// Snapshots are so far apart; 0 for none.
    pub(crate) snapshot_interval: Span,
    /// What a start does where a source no longer keeps what it needs.
    pub(crate) on_gap: OnGap,
    /// Closed incidents are shown for so long.
    pub(crate) incident_retention: Span,
    /// Incidents that were over for longer before anybody was told become one summary.
    pub(crate) max_notification_age: Span,
    /// Consumer clients, each on a thread of its own.
    pub(crate) workers: usize,
    /// Bounds on what is kept.
    pub(crate) limits: LimitConfig,
    /// Waiting times.
    pub(crate) time: TimeConfig,
    /// Labels for templates, and for alerts that go to an Alertmanager.
    pub(crate) external_labels: BTreeMap<String, String>,
    /// Logs.
    pub(crate) log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kafka: KafkaConfig::default(),
            sources: Vec::new(),
            http: HttpConfig::default(),
            receivers: ReceiverConfig::default(),
            rules: RulesConfig::default(),
            topology: None,
            correlate: foghorn_correlate::Config::default(),
            sinks: Vec::new(),
            heartbeat: None,
            recorded: RecordedConfig::default(),
            start: StartFrom::default(),
            state_dir: PathBuf::from("foghorn-state"),
            failover: FailoverConfig::default(),
            snapshot_interval: Span(300_000),
            on_gap: OnGap::default(),
            incident_retention: Span(foghorn_engine::INCIDENT_RETENTION_MS),
            max_notification_age: Span(3_600_000),
            workers: 1,
            time: TimeConfig::default(),
            limits: LimitConfig::default(),
            external_labels: BTreeMap::new(),
            log: LogConfig::default(),
        }
    }
}

/// Telemetry by HTTP.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ReceiverConfig {
    /// Whether it is taken.
    pub(crate) enabled: bool,
    /// Bytes that may wait to be decoded; beyond, senders are told to come back (429).
    pub(crate) queue_bytes: usize,
    /// Bytes that the journal may take on disk: what a restart reads again. Beyond, senders are told
    /// to come back (429).
    pub(crate) journal_bytes: u64,
    /// The watermark of what comes by HTTP trails by so much.
    pub(crate) allowed_lateness: Span,
    /// How bodies are decoded.
    pub(crate) decode: foghorn_wire::DecodeOptions,
    /// As a source's `scope`.
    pub(crate) scope: Vec<String>,
    /// As a source's `replica`.
    pub(crate) replica: Option<String>,
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            queue_bytes: 64 << 20,
            journal_bytes: 4 << 30,
            allowed_lateness: Span(10_000),
            decode: foghorn_wire::DecodeOptions::default(),
            scope: Vec::new(),
            replica: None,
        }
    }
}

/// Where rules are.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RulesConfig {
    /// Files, folders, or paths with a `*`.
    pub(crate) files: Vec<PathBuf>,
    /// Interval of groups that name none; default 1m.
    pub(crate) interval: Option<Span>,
    /// `query_offset` of groups that name none: Prometheus' `rule_query_offset`.
    pub(crate) query_offset: Span,
    /// What templates see as `$externalURL`.
    pub(crate) external_url: String,
    /// When in its interval a group ticks: `zero`, or `prometheus` for Prometheus' own hash.
    pub(crate) slots: SlotChoice,
}

/// When in its interval a group ticks.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SlotChoice {
    /// At whole multiples of its interval.
    #[default]
    Zero,
    /// Where Prometheus would.
    Prometheus,
}

impl RulesConfig {
    /// As the loader wants it.
    pub(crate) fn options(&self, external: &BTreeMap<String, String>) -> LoadOptions {
        let mut options = LoadOptions::default();
        if let Some(interval) = self.interval {
            options.default_interval_ms = interval.0;
        }
        options.default_query_offset_ms = self.query_offset.0;
        options.external_url.clone_from(&self.external_url);
        options.slots = match self.slots {
            SlotChoice::Zero => Slots::Zero,
            SlotChoice::Prometheus => Slots::Prometheus,
        };
        options.external_labels = external
            .iter()
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        options
    }
}

/// Waiting times of the sequencer.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TimeConfig {
    /// A partition at its end is idle after so long without a record.
    pub(crate) idle_timeout: Span,
    /// A partition that is out of reach, or trails the others, is left behind after so long.
    pub(crate) max_stall: Span,
    /// A partition so far ahead of its slowest reading group is paused.
    pub(crate) max_skew: Span,
    /// A start with some partition read by another instance is given up after so long.
    pub(crate) settle: Span,
    /// A replica that was not heard for so long gives way to another of its scope.
    pub(crate) replica_timeout: Span,
    /// A scope that was not heard for so long is no more: its alerts end.
    pub(crate) scope_ttl: Span,
}

impl Default for TimeConfig {
    fn default() -> Self {
        Self {
            idle_timeout: Span(5_000),
            max_stall: Span(120_000),
            max_skew: Span(600_000),
            settle: Span(20_000),
            replica_timeout: Span(DEFAULT_REPLICA_TIMEOUT_MS),
            scope_ttl: Span(DEFAULT_SCOPE_TTL_MS),
        }
    }
}

/// Bounds on what is kept.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_field_names,
    reason = "each is a bound, and is named so in files"
)]
pub(crate) struct LimitConfig {
    /// Series that one worker may know; further ones are turned away.
    pub(crate) max_series: usize,
    /// Scopes and replicas that one worker may see since its start; series of further ones are turned
    /// away.
    pub(crate) max_scopes: usize,
    /// Elements that a rule's result may have; a rule with more fails, and its alerts stay as they are.
    pub(crate) max_rule_elements: usize,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            max_series: 2_000_000,
            max_scopes: DEFAULT_MAX_WORLDS,
            max_rule_elements: 500_000,
        }
    }
}

/// How logs are written.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogConfig {
    /// Text or JSON.
    pub(crate) format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter by module.
    pub(crate) level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            level: "info".to_owned(),
        }
    }
}

/// Text or JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Checks a configuration file by itself; problems point at it.
pub(crate) fn parse(path: &str, text: &str) -> (Option<Config>, Vec<Diagnostic>) {
    match serde_saphyr::from_str::<Config>(text) {
        Ok(config) => {
            let problems = problems(&config, path, text);
            (Some(config), problems)
        }
        Err(error) => {
            let start = error
                .location()
                .map(|location| offset(text, location.line() as usize, location.column() as usize));
            let error = error.without_snippet().to_string();
            let place = start.map_or(0..0, |start| {
                // Where a `type:` decides what follows, the parser knows only where that begins.
                let given = unknown_name(&error).and_then(|given| text.get(start..)?.find(given));
                let start = start + given.unwrap_or(0);
                start..word_end(text, start)
            });
            let (message, hint) = explain(&error);
            let problem = Diagnostic::error("config", path, text, place, message).with_hint(hint);
            (None, vec![problem])
        }
    }
}

/// What types cannot say.
fn problems(config: &Config, path: &str, text: &str) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut problem = |needle: &str, message: String, hint: &str| {
        let at = text.find(needle).unwrap_or(0);
        found.push(
            Diagnostic::error("config", path, text, at..word_end(text, at), message)
                .with_hint(Some(hint)),
        );
    };
    let reads_kafka = config
        .sources
        .iter()
        .any(|source| !source.topics.is_empty() || source.topic_regex.is_some());
    if reads_kafka
        && config.kafka.brokers.is_empty()
        && !config.kafka.properties.contains_key("bootstrap.servers")
    {
        problem(
            "sources",
            "sources read topics, but no cluster is named".to_owned(),
            "add `kafka: {brokers: host:9092, group: foghorn}`",
        );
    }
    if reads_kafka && config.kafka.group.is_empty() {
        problem(
            "kafka",
            "the cluster needs a consumer group".to_owned(),
            "add `group: foghorn` under `kafka:`",
        );
    }
    if !config.failover.topics.is_empty() {
        if config.kafka.brokers.is_empty() || config.kafka.group.is_empty() {
            problem(
                "failover",
                "instances that relieve each other share topics, and no cluster and group are named"
                    .to_owned(),
                "add `kafka: {brokers: host:9092, group: foghorn}`",
            );
        }
        if config.snapshot_interval.0 <= 0 {
            problem(
                "snapshot_interval",
                "without snapshots the log that instances share would grow for ever".to_owned(),
                "leave it at 5m, or make it shorter: whoever takes over reads what came since",
            );
        }
    }
    for source in &config.sources {
        if source.topics.is_empty() && source.topic_regex.is_none() {
            problem(
                &source.name,
                format!("source {:?} names no topic", source.name),
                "add `topics: [..]` or `topic_regex: ^..`",
            );
        }
        let mappings = [
            (
                "json_logs",
                source.format == Format::JsonLogs,
                source.decode.json_logs != JsonLogMapping::default(),
            ),
            (
                "json_metrics",
                source.format == Format::JsonMetrics,
                source.decode.json_metrics != JsonMetricMapping::default(),
            ),
            (
                "change",
                source.format == Format::Changes,
                source.decode.change != ChangeMapping::default(),
            ),
        ];
        for (key, _, _) in mappings.iter().filter(|(_, used, set)| *set && !used) {
            problem(
                key,
                format!(
                    "source {:?} is {}, and never looks at decode.{key}",
                    source.name, source.format
                ),
                "give the source the format that its records have",
            );
        }
        if source
            .topic_regex
            .as_ref()
            .is_some_and(|regex| !regex.starts_with('^'))
        {
            problem(
                "topic_regex",
                format!("topic_regex of source {:?} must begin with ^", source.name),
                "librdkafka takes a pattern only with a leading ^",
            );
        }
    }
    for source in config.sources.iter().filter(|source| source.is_scoped()) {
        if !source.format.has_series() {
            let name = &source.name;
            problem(
                if source.scope.is_empty() {
                    "replica"
                } else {
                    "scope"
                },
                format!("source {name:?} is {}, which has no scope", source.format),
                "scope and replica are for sources of metrics: logs, changes and alerts are read whole",
            );
        }
    }
    let receivers = (&config.receivers.scope, &config.receivers.replica);
    let sources = config
        .sources
        .iter()
        .map(|source| (&source.scope, &source.replica));
    for (scope, replica) in sources.chain([receivers]) {
        for (i, name) in scope.iter().chain(replica).enumerate() {
            if scope[..i].contains(name) {
                let hint = "scope tells clusters apart, replica the copies of one Prometheus";
                problem(name, format!("{name:?} is named twice"), hint);
            }
            if matches!(name.as_str(), "" | "__name__" | "alertname" | "le") {
                problem(
                    name,
                    format!("{name:?} cannot be scope or replica"),
                    "name a label that tells clusters or replicas apart, such as `cluster`",
                );
            }
        }
    }
    if config.time.scope_ttl <= config.time.replica_timeout {
        problem(
            "scope_ttl",
            "scope_ttl is not longer than replica_timeout".to_owned(),
            "a scope outlives the silence of its replicas: 24h and 1m by default",
        );
    }
    for sink in &config.sinks {
        for found in sink.problems() {
            problem(&found.place, found.message, found.hint);
        }
    }
    if config.sources.is_empty() && !config.receivers.enabled {
        problem(
            "",
            "nothing is read: no sources, and receivers are off".to_owned(),
            "add a source, or set `receivers: {enabled: true}`",
        );
    }
    if let Err(error) = config.correlate.validate() {
        problem(
            "correlate",
            error.to_string(),
            "see the defaults in the README",
        );
    }
    found
}

/// An unknown name's error says what was meant.
pub(crate) fn explain(error: &str) -> (String, Option<String>) {
    // The place is shown otherwise.
    let error = error.split(" at line ").next().unwrap_or(error);
    if let Some((given, hint)) = unknown_format(error) {
        let meant = hint
            .strip_prefix("one of ")
            .and_then(|names| diagnostic::did_you_mean(given, names.split(", ")));
        return (
            format!("unknown format `{given}`"),
            Some(meant.unwrap_or_else(|| hint.to_owned())),
        );
    }
    if let Some(given) = unknown_name(error) {
        let known = known_names(error);
        let hint = diagnostic::did_you_mean(given, known.iter().copied())
            .unwrap_or_else(|| format!("known here: {}", known.join(", ")));
        let what = if error.contains("variant") {
            "value"
        } else {
            "key"
        };
        return (format!("unknown {what} `{given}`"), Some(hint));
    }
    (error.to_owned(), None)
}

/// The name that an error says is unknown.
fn unknown_name(error: &str) -> Option<&str> {
    let is_unknown = error.contains("unknown field") || error.contains("unknown variant");
    error.split('`').nth(1).filter(|_| is_unknown)
}

/// The name and the hint of `unknown format "…": …`.
fn unknown_format(error: &str) -> Option<(&str, &str)> {
    let (_, rest) = error.split_once("unknown format \"")?;
    rest.split_once("\": ")
}

/// The names that an error says were expected: parsers differ in how they quote them.
fn known_names(error: &str) -> Vec<&str> {
    let expected = error.split_once("expected ").map_or("", |(_, names)| names);
    let names = expected.strip_prefix("one of ").unwrap_or(expected);
    names
        .split([',', ' ', '`'])
        .filter(|name| !name.is_empty() && *name != "or")
        .collect()
}

fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let rest = &text[start.min(text.len())..];
    start
        + rest
            .char_indices()
            .nth(column.saturating_sub(1))
            .map_or(0, |(at, _)| at)
}

fn word_end(text: &str, start: usize) -> usize {
    let rest = &text[start.min(text.len())..];
    start
        + rest
            .find(|c: char| c.is_whitespace() || c == ':' || c == ',')
            .unwrap_or(rest.len())
            .max(1)
            .min(rest.len())
}

/// A configuration file as it may be shown: what a password, secret or token is set to is left out.
pub(crate) fn without_secrets(text: &str) -> String {
    static SECRET: LazyLock<Regex> = LazyLock::new(|| {
        let key = r"(?i)([\w.-]*(?:password|passphrase|secret|token|credential)[\w.-]*)";
        let value = r#"(["']?\s*:\s*)("[^"]*"|'[^']*'|[^,}\s#]+)"#;
        Regex::new(&format!("{key}{value}"))
            .unwrap_or_else(|_| unreachable!("a pattern that compiles"))
    });
    let shown = SECRET.replace_all(text, |found: &regex::Captures<'_>| {
        let key = found[1].to_ascii_lowercase();
        if key.ends_with("_file") || key.ends_with(".location") {
            found[0].to_owned()
        } else {
            format!("{}{}<secret>", &found[1], &found[2])
        }
    });
    shown.into_owned()
}

/// Paths in a config are relative to the file that names them.
pub(crate) fn beside(config: &Path, path: &Path) -> PathBuf {
    match config.parent() {
        Some(folder) if path.is_relative() => folder.join(path),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
