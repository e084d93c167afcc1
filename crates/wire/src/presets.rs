//! Layouts of JSON logs by the program that writes them: where each keeps time, message, level
//! and what makes a stream.
//!
//! Stream labels are named as Loki and the OpenTelemetry Collector name them: `service_name`,
//! `namespace`, `pod`, `container`, `host`, `level`. (The generic layout, which is older, says
//! `service`.) Owns places only; what a place holds is read by `json::logs`.

use serde::{Deserialize, Serialize};

use crate::options::{JsonLogMapping, LineSource, Names, StreamLabel};

/// Whose layout a JSON log has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// No program's in particular: the usual keys at the top level, the whole object as line.
    ///
    /// Labels: `service` (`service`, `service.name`, `app`), `host`, `namespace`, `pod`,
    /// `container`, `environment`, `cluster`, `level`.
    #[default]
    Generic,
    /// Elastic Common Schema, as Filebeat and Logstash write it; keys nested or dotted.
    ///
    /// Time `@timestamp`, line `message`, level `log.level`. Labels: `service_name`
    /// (`service.name`, else the pod's `app.kubernetes.io/name` or `app`), `namespace`, `pod`,
    /// `container`, `host`, `environment` (`service.environment`), `cluster`
    /// (`orchestrator.cluster.name`), `level`.
    Ecs,
    /// Fluent Bit's and Fluentd's records, with their Kubernetes filter's fields.
    ///
    /// Time `@timestamp` (a number or ISO text; `date` and `time` too), line `log`, which may hold
    /// JSON itself (`nested`). Labels: `service_name` (the pod's `app.kubernetes.io/name`, `app` or
    /// `k8s-app`, else a key `service` or the container), `namespace`, `pod`, `container`, `host`,
    /// `stream`, `level`.
    Fluentbit,
    /// Vector's log events.
    ///
    /// Time `timestamp`, line `message`. Labels: `service_name` (`service`, the pod's
    /// `app.kubernetes.io/name` or `app`, else syslog's `appname` or the container), `namespace`,
    /// `pod`, `container`, `host`, `source_type`, `stream`, `level`.
    Vector,
}

impl Preset {
    /// Every preset, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Generic, Self::Ecs, Self::Fluentbit, Self::Vector];

    /// Where this layout has what.
    pub fn mapping(self) -> JsonLogMapping {
        match self {
            Self::Generic => generic(),
            Self::Ecs => ecs(),
            Self::Fluentbit => fluentbit(),
            Self::Vector => vector(),
        }
    }
}

impl Default for JsonLogMapping {
    fn default() -> Self {
        Preset::default().mapping()
    }
}

/// What a config says of a JSON log: a preset, and whatever it wants otherwise.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PresetMapping {
    preset: Preset,
    timestamp: Option<Names>,
    message: Option<Names>,
    level: Option<Names>,
    stream: Option<Vec<StreamLabel>>,
    line: Option<LineSource>,
    nested: Option<Names>,
    max_attributes: Option<usize>,
}

impl From<PresetMapping> for JsonLogMapping {
    fn from(own: PresetMapping) -> Self {
        let base = own.preset.mapping();
        Self {
            preset: own.preset,
            timestamp: own.timestamp.unwrap_or(base.timestamp),
            message: own.message.unwrap_or(base.message),
            level: own.level.unwrap_or(base.level),
            stream: own.stream.unwrap_or(base.stream),
            line: own.line.unwrap_or(base.line),
            nested: own.nested.unwrap_or(base.nested),
            max_attributes: own.max_attributes.unwrap_or(base.max_attributes),
        }
    }
}

fn streams(labels: &[(&str, &[&str])], level: &Names) -> Vec<StreamLabel> {
    let label = |label: &str, from: Names| StreamLabel {
        label: label.to_owned(),
        from,
    };
    labels
        .iter()
        .map(|(name, from)| label(name, Names::of(from)))
        .chain([label("level", level.clone())])
        .collect()
}

fn generic() -> JsonLogMapping {
    let level = Names::of(&[
        "level",
        "severity",
        "/log/level",
        "log.level",
        "severity_text",
        "lvl",
    ]);
    let labels: &[(&str, &[&str])] = &[
        (
            "service",
            &[
                "service",
                "/service/name",
                "service.name",
                "service_name",
                "app",
            ],
        ),
        ("host", &["host", "/host/name", "host.name", "hostname"]),
        (
            "namespace",
            &[
                "namespace",
                "/kubernetes/namespace_name",
                "/kubernetes/namespace",
            ],
        ),
        (
            "pod",
            &["pod", "/kubernetes/pod_name", "/kubernetes/pod/name"],
        ),
        (
            "container",
            &[
                "container",
                "/kubernetes/container_name",
                "/kubernetes/container/name",
            ],
        ),
        ("environment", &["environment", "env"]),
        ("cluster", &["cluster"]),
    ];
    JsonLogMapping {
        preset: Preset::Generic,
        timestamp: Names::of(&["@timestamp", "timestamp", "time", "ts"]),
        message: Names::of(&["message", "msg", "log", "body"]),
        stream: streams(labels, &level),
        level,
        line: LineSource::Object,
        nested: Names::default(),
        max_attributes: 64,
    }
}

fn ecs() -> JsonLogMapping {
    let level = Names::of(&["/log/level", "log.level", "level"]);
    // Filebeat writes dots in the names of Kubernetes labels as underscores, Logstash leaves them.
    let labels: &[(&str, &[&str])] = &[
        (
            "service_name",
            &[
                "/service/name",
                "service.name",
                "/kubernetes/labels/app_kubernetes_io~1name",
                "/kubernetes/labels/app.kubernetes.io~1name",
                "/kubernetes/labels/app",
            ],
        ),
        (
            "namespace",
            &["/kubernetes/namespace", "kubernetes.namespace"],
        ),
        ("pod", &["/kubernetes/pod/name", "kubernetes.pod.name"]),
        (
            "container",
            &[
                "/kubernetes/container/name",
                "kubernetes.container.name",
                "/container/name",
                "container.name",
            ],
        ),
        (
            "host",
            &["/host/name", "host.name", "/host/hostname", "host"],
        ),
        (
            "environment",
            &["/service/environment", "service.environment"],
        ),
        (
            "cluster",
            &["/orchestrator/cluster/name", "orchestrator.cluster.name"],
        ),
    ];
    JsonLogMapping {
        preset: Preset::Ecs,
        timestamp: Names::of(&["@timestamp"]),
        message: Names::of(&["message"]),
        stream: streams(labels, &level),
        level,
        line: LineSource::Message,
        nested: Names::default(),
        max_attributes: 128,
    }
}

fn fluentbit() -> JsonLogMapping {
    let level = Names::of(&[
        "level",
        "severity",
        "/log/level",
        "/log/severity",
        "/log/log.level",
    ]);
    let labels: &[(&str, &[&str])] = &[
        (
            "service_name",
            &[
                "/kubernetes/labels/app.kubernetes.io~1name",
                "/kubernetes/labels/app",
                "/kubernetes/labels/k8s-app",
                "service",
                "/kubernetes/container_name",
                "container_name",
            ],
        ),
        ("namespace", &["/kubernetes/namespace_name"]),
        ("pod", &["/kubernetes/pod_name"]),
        (
            "container",
            &["/kubernetes/container_name", "container_name"],
        ),
        (
            "host",
            &["/kubernetes/host", "host", "hostname", "_HOSTNAME"],
        ),
        ("stream", &["stream"]),
    ];
    JsonLogMapping {
        preset: Preset::Fluentbit,
        timestamp: Names::of(&["@timestamp", "date", "time"]),
        message: Names::of(&["log", "message", "msg", "MESSAGE"]),
        stream: streams(labels, &level),
        level,
        line: LineSource::Message,
        nested: Names::of(&["log"]),
        max_attributes: 64,
    }
}

fn vector() -> JsonLogMapping {
    let level = Names::of(&["level", "severity", "/log/level"]);
    let labels: &[(&str, &[&str])] = &[
        (
            "service_name",
            &[
                "service",
                "service_name",
                "/kubernetes/pod_labels/app.kubernetes.io~1name",
                "/kubernetes/pod_labels/app",
                "appname",
                "/kubernetes/container_name",
                "container_name",
            ],
        ),
        ("namespace", &["/kubernetes/pod_namespace"]),
        ("pod", &["/kubernetes/pod_name"]),
        (
            "container",
            &["/kubernetes/container_name", "container_name"],
        ),
        ("host", &["host", "/kubernetes/pod_node_name", "hostname"]),
        ("source_type", &["source_type"]),
        ("stream", &["stream"]),
    ];
    JsonLogMapping {
        preset: Preset::Vector,
        timestamp: Names::of(&["timestamp", "@timestamp"]),
        message: Names::of(&["message"]),
        stream: streams(labels, &level),
        level,
        line: LineSource::Message,
        nested: Names::default(),
        max_attributes: 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str) -> JsonLogMapping {
        serde_json::from_str(config).unwrap()
    }

    #[test]
    fn a_config_overrides_its_preset_key_by_key() {
        let mapping = read(r#"{"preset":"fluentbit","message":"text","nested":[]}"#);
        let expect = JsonLogMapping {
            message: Names::of(&["text"]),
            nested: Names::default(),
            ..Preset::Fluentbit.mapping()
        };
        assert_eq!(mapping, expect);
        assert_eq!(read("{}"), JsonLogMapping::default());
        assert!(serde_json::from_str::<JsonLogMapping>(r#"{"preset":"splunk"}"#).is_err());
        assert!(serde_json::from_str::<JsonLogMapping>(r#"{"mesage":"text"}"#).is_err());
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        for preset in Preset::ALL {
            let text = serde_json::to_string(&preset.mapping()).unwrap();
            assert_eq!(read(&text), preset.mapping());
        }
    }
}
