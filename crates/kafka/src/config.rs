//! Client properties: librdkafka's own names passed through, our defaults beneath, and a short list
//! of what nobody may set.
//!
//! Refuses properties that load code, that change who decides about positions, or that would turn a
//! real client into a mock. Secrets are never shown.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use serde::Deserialize;

use crate::error::KafkaError;

/// librdkafka properties by name (`bootstrap.servers`, `security.protocol`, `sasl.*`, `ssl.*`, …).
/// `Debug` hides passwords, keys and tokens.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct Properties(BTreeMap<String, String>);

/// How a group agrees on its assignment (`group.protocol`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupProtocol {
    /// Members agree among themselves: `range`, so that equally partitioned topics land together.
    #[default]
    Classic,
    /// KIP-848, the broker decides. Opt-in: the bundled librdkafka has known stalls with it.
    Consumer,
}

/// What one member of a group needs to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// Properties, the cluster's address among them.
    pub properties: Properties,
    /// `group.id`.
    pub group: String,
    /// `group.instance.id`: a static member, unique in the group, keeps its partitions over a
    /// restart that is shorter than its session. `None` = a dynamic member.
    pub instance: Option<String>,
    /// How the group agrees.
    pub protocol: GroupProtocol,
    /// Topics to subscribe to: names, or regular expressions that begin with `^`.
    pub topics: Vec<String>,
}

/// Names, or beginnings of names (ending in `*`), that are refused, each with the reason.
const DENIED: &[(&str, &str)] = &[
    ("plugin.library.paths", "loads code"),
    ("ssl.engine.location", "loads code"),
    ("ssl.providers", "loads code"),
    ("sasl.kerberos.kinit.cmd", "runs a command"),
    ("test.mock.*", "would replace the cluster by a mock"),
    (
        "enable.auto.commit",
        "positions are committed by Foghorn, behind what is durable",
    ),
    ("enable.auto.offset.store", "positions are kept by Foghorn"),
    (
        "auto.offset.reset",
        "where to start is Foghorn's own setting",
    ),
    (
        "enable.partition.eof",
        "Foghorn needs the ends of partitions",
    ),
    ("group.id", "has a setting of its own"),
    ("group.instance.id", "has a setting of its own"),
    ("group.protocol", "has a setting of its own"),
    ("group.remote.assignor", "would break co-partitioning"),
    (
        "enable.idempotence",
        "Foghorn's producer must be idempotent",
    ),
    ("transactional.id", "a sink has `delivery: transactional`"),
    ("acks", "Foghorn waits for all in-sync replicas"),
    (
        "request.required.acks",
        "Foghorn waits for all in-sync replicas",
    ),
    ("partitioner", "keys must land where other clients put them"),
];

/// Parts of names whose values are secret.
const SECRET: &[&str] = &[
    "password",
    "secret",
    "ssl.key",
    "keystore",
    "token",
    "jaas",
    "oauthbearer",
];

/// As in [`CONSUMER_DEFAULTS`].
const SESSION_MS: u64 = 12_000;

const CONSUMER_DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "foghorn"),
    ("session.timeout.ms", "12000"),
    ("heartbeat.interval.ms", "2000"),
    // Evaluation may hold a worker up, and must not cost it its membership.
    ("max.poll.interval.ms", "300000"),
    ("partition.assignment.strategy", "range"),
    ("fetch.wait.max.ms", "50"),
    // A full queue of large records is empty again within a few milliseconds.
    ("fetch.queue.backoff.ms", "10"),
    ("queued.max.messages.kbytes", "32768"),
    // A broker hands out one record whatever its size; a client that cannot take it would ask for
    // it for ever.
    ("receive.message.max.bytes", "1000000000"),
    ("isolation.level", "read_committed"),
    ("statistics.interval.ms", "5000"),
    ("allow.auto.create.topics", "false"),
];

/// Sessions are the broker's business under KIP-848; librdkafka refuses these there.
const CLASSIC_ONLY: &[&str] = &[
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "partition.assignment.strategy",
];

const CONSUMER_FIXED: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "true"),
];

const PRODUCER_DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "foghorn"),
    ("linger.ms", "2"),
    ("compression.type", "lz4"),
    // Below the consumer's session: a producer of a fenced owner gives up before a new one starts.
    ("delivery.timeout.ms", "10000"),
    ("queue.buffering.max.kbytes", "65536"),
];

const PRODUCER_FIXED: &[(&str, &str)] = &[
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("partitioner", "murmur2_random"),
];

impl Properties {
    /// Takes what the user wrote.
    ///
    /// # Errors
    /// [`KafkaError::Property`] for a name that is refused.
    pub fn new(properties: BTreeMap<String, String>) -> Result<Self, KafkaError> {
        for name in properties.keys() {
            if let Some((_, reason)) = DENIED.iter().find(|(denied, _)| is_denied(name, denied)) {
                return Err(KafkaError::Property {
                    name: name.clone(),
                    reason: (*reason).to_owned(),
                });
            }
        }
        Ok(Self(properties))
    }

    /// A plain-text cluster at `servers` (`host:port[,host:port…]`).
    pub fn bootstrap(servers: &str) -> Self {
        Self(BTreeMap::from([(
            "bootstrap.servers".to_owned(),
            servers.to_owned(),
        )]))
    }

    /// With this property, whatever it was.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Whether clients log in with a token.
    pub(crate) fn needs_token(&self) -> bool {
        let named = ["sasl.mechanism", "sasl.mechanisms"];
        let mut mechanisms = named.iter().filter_map(|name| self.get(name));
        mechanisms.any(|mechanism| mechanism.eq_ignore_ascii_case("OAUTHBEARER"))
    }

    /// How long the group waits for a member that it does not hear of.
    pub fn session_timeout(&self) -> Duration {
        let own = self.get("session.timeout.ms");
        let own = own.and_then(|ms| ms.parse().ok());
        Duration::from_millis(own.unwrap_or(SESSION_MS))
    }

    /// A property's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Names and values as they may be shown to people.
    pub fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| {
            (
                n.as_str(),
                if is_secret(n) { "<hidden>" } else { v.as_str() },
            )
        })
    }

    fn client(&self, layers: [&[(&str, &str)]; 2], without: &[&str]) -> ClientConfig {
        let [defaults, fixed] = layers;
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        for (name, value) in defaults.iter().filter(|(n, _)| !without.contains(n)) {
            config.set(*name, *value);
        }
        if self
            .get("security.protocol")
            .is_some_and(|p| p.to_ascii_lowercase().contains("ssl"))
            && !self.0.keys().any(|n| n.starts_with("ssl.ca."))
        {
            // The linked OpenSSL is our own build and knows no distribution's certificate paths.
            config.set("ssl.ca.location", "probe");
        }
        for (name, value) in &self.0 {
            config.set(name, value);
        }
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        config
    }

    pub(crate) fn producer(&self) -> ClientConfig {
        self.client([PRODUCER_DEFAULTS, PRODUCER_FIXED], &[])
    }

    pub(crate) fn admin(&self) -> ClientConfig {
        self.client([&[("client.id", "foghorn")], &[]], &[])
    }

    /// A reader without a membership. librdkafka wants a group's name even so; it is not joined.
    pub(crate) fn reader(&self) -> ClientConfig {
        let mut config = self.client([CONSUMER_DEFAULTS, CONSUMER_FIXED], &[]);
        config.set("group.id", "foghorn-reader");
        config.set("statistics.interval.ms", "0");
        config
    }
}

impl TryFrom<BTreeMap<String, String>> for Properties {
    type Error = KafkaError;

    fn try_from(properties: BTreeMap<String, String>) -> Result<Self, KafkaError> {
        Self::new(properties)
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl ConsumerConfig {
    /// A dynamic member under the classic protocol.
    pub fn new(properties: Properties, group: &str, topics: &[&str]) -> Self {
        Self {
            properties,
            group: group.to_owned(),
            instance: None,
            protocol: GroupProtocol::Classic,
            topics: topics.iter().map(|&t| t.to_owned()).collect(),
        }
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let without = match self.protocol {
            GroupProtocol::Classic => &[][..],
            GroupProtocol::Consumer => CLASSIC_ONLY,
        };
        let mut config = self
            .properties
            .client([CONSUMER_DEFAULTS, CONSUMER_FIXED], without);
        config.set("group.id", &self.group);
        if let Some(instance) = &self.instance {
            config.set("group.instance.id", instance);
        }
        if self.protocol == GroupProtocol::Consumer {
            config.set("group.protocol", "consumer");
        }
        config
    }
}

fn is_denied(name: &str, denied: &str) -> bool {
    match denied.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == denied,
    }
}

fn is_secret(name: &str) -> bool {
    SECRET.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Properties, KafkaError> {
        Properties::new(
            pairs
                .iter()
                .map(|&(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
        )
    }

    #[test]
    fn what_would_load_code_or_move_positions_is_refused_with_its_reason() {
        for name in [
            "plugin.library.paths",
            "test.mock.num.brokers",
            "enable.auto.commit",
            "acks",
        ] {
            let refused = of(&[(name, "x")]).unwrap_err();
            assert!(
                matches!(&refused, KafkaError::Property { name: n, .. } if n == name),
                "{refused}"
            );
        }
        assert!(of(&[("acks.unknown", "x"), ("sasl.mechanism", "PLAIN")]).is_ok());
    }

    #[test]
    fn debug_hides_secrets_and_nothing_else() {
        let properties = of(&[
            ("bootstrap.servers", "kafka:9092"),
            ("sasl.password", "hunter2"),
            ("ssl.key.pem", "hunter2"),
            ("ssl.keystore.location", "hunter2"),
            ("sasl.oauthbearer.client.secret", "hunter2"),
        ])
        .unwrap();
        let shown = format!("{properties:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(
            shown.contains("kafka:9092") && shown.contains("sasl.password"),
            "{shown}"
        );
    }

    #[test]
    fn the_users_value_wins_over_a_default_but_not_over_what_is_fixed() {
        let properties = of(&[("linger.ms", "7")]).unwrap();
        let producer = properties.producer();
        assert_eq!(producer.get("linger.ms"), Some("7"));
        assert_eq!(producer.get("enable.idempotence"), Some("true"));
        assert_eq!(producer.get("partitioner"), Some("murmur2_random"));
    }

    #[test]
    fn certificates_are_looked_for_only_under_tls_and_only_if_not_given() {
        let check = |pairs: &[(&str, &str)], expect: Option<&str>| {
            let config = of(pairs).unwrap().admin();
            assert_eq!(config.get("ssl.ca.location"), expect, "{pairs:?}");
        };
        check(&[], None);
        check(&[("security.protocol", "SASL_SSL")], Some("probe"));
        check(
            &[("security.protocol", "ssl"), ("ssl.ca.location", "/ca.pem")],
            Some("/ca.pem"),
        );
        check(
            &[("security.protocol", "ssl"), ("ssl.ca.pem", "-----")],
            None,
        );
    }

    #[test]
    fn under_kip_848_sessions_are_left_to_the_broker() {
        let mut config = ConsumerConfig::new(Properties::bootstrap("x:1"), "g", &["t"]);
        config.instance = Some("pod-0".into());
        assert_eq!(config.client().get("session.timeout.ms"), Some("12000"));
        assert_eq!(config.client().get("group.instance.id"), Some("pod-0"));
        config.protocol = GroupProtocol::Consumer;
        assert_eq!(config.client().get("session.timeout.ms"), None);
        assert_eq!(config.client().get("group.protocol"), Some("consumer"));
    }
}
