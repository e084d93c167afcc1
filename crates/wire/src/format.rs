//! The names of formats and compressions, as configs write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a record's bytes mean. Protobuf signals cannot be told apart by looking, so a source's
/// config names its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// OTLP `ExportMetricsServiceRequest`, protobuf.
    OtlpMetricsProto,
    /// OTLP `ExportMetricsServiceRequest`, JSON.
    OtlpMetricsJson,
    /// OTLP `ExportLogsServiceRequest`, protobuf.
    OtlpLogsProto,
    /// OTLP `ExportLogsServiceRequest`, JSON.
    OtlpLogsJson,
    /// OTLP `ExportTraceServiceRequest`, protobuf: which service calls which, and no more.
    OtlpTracesProto,
    /// OTLP `ExportTraceServiceRequest`, JSON: which service calls which, and no more.
    OtlpTracesJson,
    /// Prometheus remote write 1.0 `WriteRequest`, protobuf; snappy is the source's compression.
    RemoteWrite1,
    /// Prometheus remote write 2.0 `io.prometheus.write.v2.Request`, protobuf.
    RemoteWrite2,
    /// Records of Mimir's ingest storage: remote write 1.0, by the record's header `Version`.
    Mimir,
    /// Samples as prometheus-kafka-adapter writes them, JSON or Avro-JSON.
    PrometheusKafkaAdapter,
    /// One sample a JSON object, keys by mapping.
    JsonMetrics,
    /// One log record a JSON object, keys by mapping.
    JsonLogs,
    /// Change events: `CDEvents`, CloudEvents, or JSON by mapping.
    Changes,
    /// Alerts: Alertmanager's webhook v4 and its v2 array.
    Alerts,
}

impl Format {
    /// Every format, in the order of the documentation.
    pub const ALL: [Self; 14] = [
        Self::OtlpMetricsProto,
        Self::OtlpMetricsJson,
        Self::OtlpLogsProto,
        Self::OtlpLogsJson,
        Self::OtlpTracesProto,
        Self::OtlpTracesJson,
        Self::RemoteWrite1,
        Self::RemoteWrite2,
        Self::Mimir,
        Self::PrometheusKafkaAdapter,
        Self::JsonMetrics,
        Self::JsonLogs,
        Self::Changes,
        Self::Alerts,
    ];

    /// Whether records hold samples of series.
    pub const fn has_series(self) -> bool {
        match self {
            Self::OtlpMetricsProto
            | Self::OtlpMetricsJson
            | Self::RemoteWrite1
            | Self::RemoteWrite2
            | Self::Mimir
            | Self::PrometheusKafkaAdapter
            | Self::JsonMetrics => true,
            Self::OtlpLogsProto
            | Self::OtlpLogsJson
            | Self::OtlpTracesProto
            | Self::OtlpTracesJson
            | Self::JsonLogs
            | Self::Changes
            | Self::Alerts => false,
        }
    }

    /// The name in configs, and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OtlpMetricsProto => "otlp_metrics_proto",
            Self::OtlpMetricsJson => "otlp_metrics_json",
            Self::OtlpLogsProto => "otlp_logs_proto",
            Self::OtlpLogsJson => "otlp_logs_json",
            Self::OtlpTracesProto => "otlp_traces_proto",
            Self::OtlpTracesJson => "otlp_traces_json",
            Self::RemoteWrite1 => "remote_write_1",
            Self::RemoteWrite2 => "remote_write_2",
            Self::Mimir => "mimir",
            Self::PrometheusKafkaAdapter => "prometheus_kafka_adapter",
            Self::JsonMetrics => "json_metrics",
            Self::JsonLogs => "json_logs",
            Self::Changes => "changes",
            Self::Alerts => "alerts",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A format's name that means nothing, or too much.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown format {name:?}: {hint}")]
pub struct UnknownFormat {
    /// What was written.
    pub name: String,
    /// What to write instead.
    pub hint: String,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        if let Some(format) = Self::ALL.into_iter().find(|format| format.name() == name) {
            return Ok(format);
        }
        let hint = match name {
            "remote_write" | "remote_write1" | "prometheus_remote_write" => return Ok(Self::RemoteWrite1),
            "otlp" | "otlp_proto" | "otlp_json" | "otlp_metrics" | "otlp_logs" => {
                "the signal and the encoding cannot be told from the bytes; write otlp_metrics_proto, \
                 otlp_metrics_json, otlp_logs_proto or otlp_logs_json"
                    .to_owned()
            }
            "otlp_spans" | "otlp_traces" => {
                "the encoding cannot be told from the bytes; write otlp_traces_proto or \
                 otlp_traces_json"
                    .to_owned()
            }
            "remote_write2" => return Ok(Self::RemoteWrite2),
            "json" => "write json_metrics, json_logs, changes or alerts".to_owned(),
            _ => format!("one of {}", Self::ALL.map(Self::name).join(", ")),
        };
        Err(UnknownFormat {
            name: name.to_owned(),
            hint,
        })
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// How a record's bytes were packed by their sender, beside Kafka's own compression.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// Snappy's block format (remote write's), not its framed one.
    Snappy,
    /// Gzip, one member or several.
    Gzip,
    /// Zstandard, one frame or several.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Snappy => "snappy",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

impl FromStr for Compression {
    type Err = UnknownFormat;

    /// Reads a config's word or an HTTP `content-encoding`.
    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        match name {
            "" | "none" | "identity" => Ok(Self::None),
            "snappy" => Ok(Self::Snappy),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(UnknownFormat {
                name: name.to_owned(),
                hint: "one of none, snappy, gzip, zstd".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
    }

    #[test]
    fn ambiguous_names_are_refused_with_a_hint() {
        for name in ["otlp_proto", "otlp_json", "otlp_metrics"] {
            let error = name.parse::<Format>().unwrap_err();
            assert!(error.hint.contains("otlp_metrics_proto"), "{error}");
        }
        assert!(
            "avro"
                .parse::<Format>()
                .unwrap_err()
                .to_string()
                .contains("remote_write_1")
        );
    }
}
