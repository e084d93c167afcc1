//! What a source's config may say about decoding.

use std::collections::BTreeMap;
use std::fmt;

use foghorn_model::ChangeKind;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::presets::{Preset, PresetMapping};

/// How OTLP names become Prometheus names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Translation {
    /// As they are, dots and all.
    None,
    /// Characters that Prometheus did not allow become `_`.
    Underscore,
    /// `Underscore`, and units and `_total` as suffixes.
    #[default]
    Prometheus,
}

/// Everything that decoding depends on beside the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeOptions {
    /// How names are translated (OTLP, and the names of JSON metrics).
    pub translation: Translation,
    /// Resource attributes that become labels of every metric of the resource, beside `job`
    /// (`service.namespace/service.name`) and `instance` (`service.instance.id`).
    pub promote_resource_attributes: Vec<String>,
    /// A label that is to hold a hash of all resource attributes (16 hex digits), so that
    /// resources which differ only in attributes that are no labels stay apart. Empty: no such
    /// label; such resources share series, and each record that holds two of them counts one
    /// `merged_resources` refusal.
    pub resource_hash_label: String,
    /// Attributes that become labels of a log stream; the others become fields of its records.
    /// They are looked for in the resource, and then in the record: a record's attribute moves
    /// that record alone to a stream of its own, and stays a field where the resource has a label
    /// of this name already. `severity_text` and `event_name` may be named too, and `level`, which
    /// is the severity as a word (`trace`, `debug`, `info`, `warn`, `error`, `fatal`) where no
    /// attribute is called so.
    pub stream_labels: Vec<String>,
    /// JSON logs: what is where.
    pub json_logs: JsonLogMapping,
    /// JSON metrics: what is where.
    pub json_metrics: JsonMetricMapping,
    /// Change events: what is where.
    pub change: ChangeMapping,
    /// Traces: how much is remembered to find who calls whom.
    pub traces: TraceOptions,
    /// Labels for every series, stream, alert and change that does not have them yet.
    pub extra_labels: Vec<(String, String)>,
    /// Most labels of one series; one with more is refused as `too_many_labels`.
    pub max_labels: usize,
    /// Longest name of a metric or of a label, in bytes; its series is refused as
    /// `name_too_long`.
    pub max_name_bytes: usize,
    /// Longest value of a label, in bytes; its series is refused as `value_too_long`.
    pub max_value_bytes: usize,
    /// Longest record as it arrives, in bytes.
    pub max_record_bytes: usize,
    /// Longest record once unpacked, in bytes.
    pub max_decompressed_bytes: usize,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            translation: Translation::default(),
            promote_resource_attributes: owned(&[
                "service.name",
                "host.name",
                "k8s.cluster.name",
                "k8s.namespace.name",
                "k8s.pod.name",
                "k8s.deployment.name",
                "k8s.node.name",
                "deployment.environment",
                "deployment.environment.name",
            ]),
            resource_hash_label: String::new(),
            stream_labels: owned(&[
                "service.name",
                "service.namespace",
                "service.instance.id",
                "k8s.cluster.name",
                "k8s.namespace.name",
                "k8s.pod.name",
                "k8s.container.name",
                "k8s.deployment.name",
                "k8s.statefulset.name",
                "k8s.daemonset.name",
                "k8s.cronjob.name",
                "k8s.job.name",
                "deployment.environment",
                "deployment.environment.name",
            ]),
            json_logs: JsonLogMapping::default(),
            json_metrics: JsonMetricMapping::default(),
            change: ChangeMapping::default(),
            traces: TraceOptions::default(),
            extra_labels: Vec::new(),
            max_labels: 256,
            max_name_bytes: 1_024,
            max_value_bytes: 64 << 10,
            max_record_bytes: 16 << 20,
            max_decompressed_bytes: 100 << 20,
        }
    }
}

/// How much of a partition's spans is remembered, so that a call's two sides find each other in
/// different records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceOptions {
    /// Spans of one partition that are remembered; the oldest by arrival goes first.
    pub max_spans: usize,
    /// Different services of one partition; spans of further ones are refused as
    /// `too_many_services`.
    pub max_services: usize,
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self {
            max_spans: 50_000,
            max_services: 10_000,
        }
    }
}

/// Keys to try in turn; the first that the object has is used. A key that begins with `/` is a
/// JSON pointer (RFC 6901), another is a key of the object itself. In a config, one key may be
/// written without a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Names(pub Vec<String>);

impl Names {
    /// From fixed keys.
    pub fn of(keys: &[&str]) -> Self {
        Self(owned(keys))
    }

    /// The keys, each as a JSON pointer.
    pub(crate) fn pointers(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|key| {
            if key.starts_with('/') {
                key.clone()
            } else {
                format!("/{}", escape_pointer(key))
            }
        })
    }
}

fn escape_pointer(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Names;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key or a list of keys")
            }
            fn visit_str<E>(self, key: &str) -> Result<Names, E> {
                Ok(Names(vec![key.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Names, A::Error> {
                let mut keys = Vec::new();
                while let Some(key) = seq.next_element()? {
                    keys.push(key);
                }
                Ok(Names(keys))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

/// Where a JSON metric's parts are. The keys here are keys of the object itself, not pointers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonMetricMapping {
    /// The metric's name; a label `__name__` will do instead.
    pub name: Names,
    /// Seconds (a number below 1e11), milliseconds, or RFC 3339; the record's time where missing.
    pub timestamp: Names,
    /// A number, or a number as a string (`"NaN"`, `"+Inf"`).
    pub value: Names,
    /// An object of labels.
    pub labels: Names,
    /// Whether all other strings of the object are labels too.
    pub top_level_labels: bool,
}

impl Default for JsonMetricMapping {
    fn default() -> Self {
        Self {
            name: Names::of(&["name", "metric", "__name__"]),
            timestamp: Names::of(&["ts", "timestamp", "time"]),
            value: Names::of(&["value"]),
            labels: Names::of(&["labels", "tags"]),
            top_level_labels: false,
        }
    }
}

/// What becomes a JSON log's line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineSource {
    /// The whole object as it came, so that `| json` works in rules.
    #[default]
    Object,
    /// The message alone (the whole object where it has none).
    Message,
}

/// One label of a log stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamLabel {
    /// The label's name.
    pub label: String,
    /// Where its value is.
    pub from: Names,
}

/// Where a JSON log's parts are: a [`Preset`]'s places, and in their stead those that the config
/// names itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "PresetMapping")]
pub struct JsonLogMapping {
    /// Which program's layout the other places are taken from.
    pub preset: Preset,
    /// Seconds (a number below 1e11), milliseconds, or RFC 3339; the record's time where missing.
    pub timestamp: Names,
    /// The message.
    pub message: Names,
    /// The level: a word, or OTLP's severity number.
    pub level: Names,
    /// What makes the stream.
    pub stream: Vec<StreamLabel>,
    /// What becomes the line.
    pub line: LineSource,
    /// Texts that may hold a JSON object of their own (a container's `log`): its fields are read
    /// as if they stood in place of the text (`/log/level`). The text itself stays what it is.
    pub nested: Names,
    /// Most further fields that are kept of one record.
    pub max_attributes: usize,
}

/// Where a change event's parts are, for events that are no `CDEvents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeMapping {
    /// The event's own id.
    pub id: Names,
    /// The service.
    pub service: Names,
    /// The version that went out, the flag's new value.
    pub version: Names,
    /// Environment, cluster or namespace.
    pub environment: Names,
    /// What sort of change, in words.
    pub kind: Names,
    /// One line for people.
    pub summary: Names,
    /// Who did it.
    pub author: Names,
    /// When; the envelope's or the record's time where missing.
    pub timestamp: Names,
    /// A link.
    pub link: Names,
    /// Words of `kind` that mean something particular here, before the usual ones.
    pub kinds: BTreeMap<String, ChangeKind>,
}

impl Default for ChangeMapping {
    fn default() -> Self {
        Self {
            id: Names::of(&["id", "event_id"]),
            service: Names::of(&[
                "service",
                "/service/name",
                "service_name",
                "app",
                "application",
            ]),
            version: Names::of(&["version", "revision", "tag", "/service/version"]),
            environment: Names::of(&["environment", "env", "cluster", "namespace"]),
            kind: Names::of(&["kind", "type", "event", "action"]),
            summary: Names::of(&["summary", "title", "message", "description"]),
            author: Names::of(&["author", "user", "actor", "/author/name", "/user/name"]),
            timestamp: Names::of(&["timestamp", "time", "at", "created_at"]),
            link: Names::of(&["link", "url", "html_url"]),
            kinds: BTreeMap::new(),
        }
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_text_is_read_strictly() {
        let options: DecodeOptions = serde_json::from_str(
            r#"{"translation":"underscore","json_metrics":{"timestamp":"ts","labels":["tags"]},
                "extra_labels":[["cluster","eu1"]],"change":{"kinds":{"promote":"deploy"}}}"#,
        )
        .unwrap();
        assert_eq!(options.translation, Translation::Underscore);
        assert_eq!(options.json_metrics.timestamp, Names::of(&["ts"]));
        assert_eq!(options.change.kinds["promote"], ChangeKind::Deploy);
        assert!(serde_json::from_str::<DecodeOptions>(r#"{"tranlation":"none"}"#).is_err());
    }

    #[test]
    fn keys_become_pointers() {
        let names = Names::of(&["a/b", "/a/b", "log.level"]);
        assert_eq!(
            names.pointers().collect::<Vec<_>>(),
            ["/a~1b", "/a/b", "/log.level"]
        );
    }
}
