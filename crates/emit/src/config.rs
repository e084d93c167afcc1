//! What a user writes about sinks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use foghorn_kafka::Properties;
use ipnet::IpNet;
use serde::Deserialize;
use tokio::runtime::Handle;

use crate::alertmanager::{AlertmanagerConfig, AlertmanagerSink, Problem};
use crate::duration;
use crate::kafka::{KafkaSink, Owner};
use crate::ndjson::NdjsonSink;
use crate::secret::Secret;
use crate::sink::Sink;
use crate::webhook::WebhookSink;

/// One sink. Names must differ: a sink's place in the outbox is remembered by its name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum SinkConfig {
    /// A topic of `CloudEvents`.
    Kafka(KafkaSinkConfig),
    /// An HTTP receiver of Alertmanager's webhook, version 4.
    Webhook(WebhookConfig),
    /// Lines of JSON.
    Ndjson(NdjsonConfig),
    /// Alertmanagers: the one type that takes alerts, not incidents.
    Alertmanager(AlertmanagerConfig),
}

/// A topic of `CloudEvents`, one record a revision, keyed by the incident's id.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSinkConfig {
    /// Name of the sink.
    pub name: String,
    /// `host:port[,host:port…]`; short for the property `bootstrap.servers`.
    #[serde(default)]
    pub brokers: Option<String>,
    /// librdkafka's properties, by its names.
    #[serde(default)]
    pub properties: BTreeMap<String, Secret>,
    /// Properties whose values stand in files: secrets.
    #[serde(default)]
    pub property_files: BTreeMap<String, PathBuf>,
    /// Topic; best a compacted one.
    pub topic: String,
    /// The `source` of the events: which Foghorn this is.
    #[serde(default = "default_source")]
    pub source: String,
    /// What keeps an instance that was relieved from writing.
    #[serde(default)]
    pub delivery: Delivery,
}

/// What keeps an instance that was relieved from writing to a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// Records carry their owner's epoch; what comes late is written over.
    #[default]
    Idempotent,
    /// Brokers refuse it, for readers that know nothing of epochs: each delivery is a transaction, and
    /// `read_committed` readers see it a few round trips later.
    Transactional,
}

/// An HTTP receiver.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Name of the sink, and of the `receiver` in the body.
    pub name: String,
    /// Where to; `http` or `https`. Exactly one of this and `url_file`.
    #[serde(default)]
    pub url: Option<Secret>,
    /// A file that holds the URL, where the URL is a secret.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Further headers whose values stand in files (`Authorization`, say).
    #[serde(default)]
    pub header_files: BTreeMap<String, PathBuf>,
    /// For a whole request; default 10 s.
    #[serde(
        default = "default_timeout",
        deserialize_with = "duration::deserialize"
    )]
    pub timeout: Duration,
    /// A file with a key: bodies are signed, in the header `X-Foghorn-Signature: sha256=<hex>`
    /// (HMAC-SHA256 of the body).
    #[serde(default)]
    pub hmac_secret_file: Option<PathBuf>,
    /// Where people reach this Foghorn, for links.
    #[serde(default)]
    pub external_url: String,
    /// An HTTP proxy. The environment's proxy settings are not used.
    #[serde(default)]
    pub proxy: Option<Secret>,
    /// Networks (`10.0.0.0/8`) that may be reached though their addresses are not public. Where there is
    /// a proxy, that decides.
    #[serde(default)]
    pub allow_networks: Vec<IpNet>,
}

/// Lines of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NdjsonConfig {
    /// Name of the sink.
    pub name: String,
    /// A file to append to, or `-` for standard output.
    #[serde(default = "default_path")]
    pub path: PathBuf,
}

/// A sink cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("sink `{name}`: {why}")]
pub struct SinkError {
    /// Which sink.
    pub name: String,
    /// Why; holds no secret.
    pub why: String,
}

fn default_source() -> String {
    "foghorn".to_owned()
}

fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

fn default_path() -> PathBuf {
    PathBuf::from("-")
}

impl SinkConfig {
    /// The sink's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Kafka(config) => &config.name,
            Self::Webhook(config) => &config.name,
            Self::Ndjson(config) => &config.name,
            Self::Alertmanager(config) => &config.name,
        }
    }

    /// What types cannot say, as far as it can be told without opening a file.
    pub fn problems(&self) -> Vec<Problem> {
        match self {
            Self::Alertmanager(config) => config.problems(),
            Self::Kafka(_) | Self::Webhook(_) | Self::Ndjson(_) => Vec::new(),
        }
    }
}

/// Sinks that are set up, in the config's order.
pub struct Sinks {
    /// Those that take incidents.
    pub incidents: Vec<Box<dyn Sink>>,
    /// Those that take alerts.
    pub alerts: Vec<AlertmanagerSink>,
}

/// Sets sinks up and reads their secrets. `external_labels` are those of the whole configuration.
/// `owner` says who this is, where other instances may take over: then topics are checked, else nothing
/// is connected to yet. `runtime` (a multi-threaded one) drives what is
/// asynchronous.
///
/// # Errors
/// A file cannot be read, or a setting is refused.
pub fn build(
    configs: &[SinkConfig],
    external_labels: &BTreeMap<String, String>,
    owner: Option<&Owner>,
    runtime: &Handle,
) -> Result<Sinks, SinkError> {
    let mut sinks = Sinks {
        incidents: Vec::new(),
        alerts: Vec::new(),
    };
    for config in configs {
        match build_one(config, external_labels, owner, runtime) {
            Ok(Built::Incidents(sink)) => sinks.incidents.push(sink),
            Ok(Built::Alerts(sink)) => sinks.alerts.push(sink),
            Err(why) => {
                let name = config.name().to_owned();
                return Err(SinkError { name, why });
            }
        }
    }
    Ok(sinks)
}

enum Built {
    Incidents(Box<dyn Sink>),
    Alerts(AlertmanagerSink),
}

fn build_one(
    config: &SinkConfig,
    external_labels: &BTreeMap<String, String>,
    owner: Option<&Owner>,
    runtime: &Handle,
) -> Result<Built, String> {
    if config.name().is_empty() {
        return Err("a sink needs a name".to_owned());
    }
    Ok(match config {
        SinkConfig::Kafka(config) => {
            Built::Incidents(Box::new(KafkaSink::open(config, owner.cloned())?))
        }
        SinkConfig::Webhook(config) => {
            let sink = WebhookSink::new(config, runtime.clone())?;
            Built::Incidents(Box::new(sink))
        }
        SinkConfig::Ndjson(config) => {
            let sink = NdjsonSink::open(&config.name, &config.path);
            let sink = sink.map_err(|io| format!("{}: {io}", config.path.display()))?;
            Built::Incidents(Box::new(sink))
        }
        SinkConfig::Alertmanager(config) => {
            let sink = AlertmanagerSink::open(config, external_labels, runtime)?;
            Built::Alerts(sink)
        }
    })
}

/// Properties as librdkafka gets them: with the brokers, and with secrets from files.
pub(crate) fn properties(
    brokers: Option<&str>,
    plain: &BTreeMap<String, Secret>,
    files: &BTreeMap<String, PathBuf>,
) -> Result<Properties, String> {
    let mut all: BTreeMap<_, _> = plain
        .iter()
        .map(|(name, value)| (name.clone(), value.reveal().to_owned()))
        .collect();
    if let Some(brokers) = brokers {
        all.insert("bootstrap.servers".to_owned(), brokers.to_owned());
    }
    for (name, path) in files {
        all.insert(name.clone(), Secret::read(path)?.reveal().to_owned());
    }
    if !all.contains_key("bootstrap.servers") {
        return Err("says neither `brokers` nor the property `bootstrap.servers`".to_owned());
    }
    Properties::new(all).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expect: Result<&str, &str>) {
        match (serde_json::from_str::<SinkConfig>(json), expect) {
            (Ok(config), Ok(name)) => {
                assert_eq!(config.name(), name);
                assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
            }
            (Err(error), Err(word)) => assert!(error.to_string().contains(word), "{error}"),
            (got, expect) => panic!("{got:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn reads_each_type_and_hides_secrets() {
        check(r#"{"type":"ndjson","name":"out"}"#, Ok("out"));
        check(
            r#"{"type":"webhook","name":"pager","url":"https://x/hunter2","headers":{"X-Key":"hunter2"},"timeout":"3s"}"#,
            Ok("pager"),
        );
        check(
            r#"{"type":"kafka","name":"bus","topic":"incidents","properties":{"sasl.password":"hunter2"}}"#,
            Ok("bus"),
        );
        check(
            r#"{"type":"alertmanager","name":"am","urls":["http://am:9093"],"proxy":"http://x:hunter2@y","resend_delay":"2m","api_version":"v2"}"#,
            Ok("am"),
        );
    }

    #[test]
    fn a_misspelt_key_is_an_error() {
        check(r#"{"type":"ndjson","name":"out","pth":"x"}"#, Err("pth"));
        check(
            r#"{"type":"webhook","name":"pager","timeout":"3"}"#,
            Err("not a duration"),
        );
        check(
            r#"{"type":"alertmanager","name":"am","urls":[],"api_version":"v1"}"#,
            Err("v1"),
        );
        check(r#"{"type":"alertmanager","name":"am"}"#, Err("urls"));
        check(r#"{"type":"pigeon","name":"x"}"#, Err("pigeon"));
    }

    #[test]
    fn properties_come_together_from_three_places() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2\n").unwrap();
        let plain = BTreeMap::from([("linger.ms".to_owned(), Secret::new("5"))]);
        let files = BTreeMap::from([("sasl.password".to_owned(), file.path().to_owned())]);
        let all = properties(Some("localhost:9092"), &plain, &files).unwrap();
        assert_eq!(all.get("bootstrap.servers"), Some("localhost:9092"));
        assert_eq!(all.get("sasl.password"), Some("hunter2"));
        assert!(
            properties(None, &plain, &files)
                .unwrap_err()
                .contains("brokers")
        );
        let denied = BTreeMap::from([("acks".to_owned(), Secret::new("0"))]);
        assert!(
            properties(Some("localhost:9092"), &denied, &BTreeMap::new())
                .unwrap_err()
                .contains("acks")
        );
    }
}
