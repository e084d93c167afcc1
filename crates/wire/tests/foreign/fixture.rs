//! Records as other programs write them.

use foghorn_wire::{Compression, Format, decompress};

/// One fixture: where it is from, and what it holds.
pub(crate) struct Fixture {
    pub(crate) file: &'static str,
    pub(crate) format: Format,
    pub(crate) compression: Compression,
    pub(crate) bytes: &'static [u8],
}

impl Fixture {
    /// Its bytes, unpacked.
    pub(crate) fn unpacked(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.compression == Compression::None {
            out.extend_from_slice(self.bytes);
        } else {
            decompress(self.compression, self.bytes, 1 << 20, &mut out).unwrap();
        }
        out
    }
}

macro_rules! fixtures {
    ($($file:literal, $format:literal, $compression:ident;)*) => {
        /// Every fixture whose format is read.
        pub(crate) fn fixtures() -> Vec<Fixture> {
            let all = [$((
                $file,
                $format,
                Compression::$compression,
                include_bytes!(concat!("../fixtures/", $file)) as &[u8],
            )),*];
            all.into_iter()
                .filter_map(|(file, format, compression, bytes)| {
                    let format = format.parse().ok()?;
                    Some(Fixture { file, format, compression, bytes })
                })
                .collect()
        }
    };
}

fixtures! {
    "alertmanager/events.ndjson", "alerts", None;
    "alertmanager/webhook_firing_and_resolved.json", "alerts", None;
    "documentation/cdevent.json", "changes", None;
    "documentation/filebeat.ndjson", "json_logs", None;
    "documentation/fluent_bit.ndjson", "json_logs", None;
    "documentation/json_metrics.ndjson", "json_metrics", None;
    "documentation/kubernetes_event.json", "changes", None;
    "documentation/otlp_logs.json", "otlp_logs_json", None;
    "documentation/otlp_metrics.json", "otlp_metrics_json", None;
    "documentation/otlp_traces.json", "otlp_traces_json", None;
    "documentation/prometheus_kafka_adapter.ndjson", "prometheus_kafka_adapter", None;
    "documentation/vector.ndjson", "json_logs", None;
    "ecs-logging/logs.ndjson", "json_logs", None;
    "fluent-bit/cri.ndjson", "json_logs", None;
    "otel-collector/logs.bin", "otlp_logs_proto", None;
    "otel-collector/logs.json", "otlp_logs_json", None;
    "otel-collector/metrics.bin", "otlp_metrics_proto", None;
    "otel-collector/metrics.json", "otlp_metrics_json", None;
    "otel-collector/traces.bin", "otlp_traces_proto", None;
    "otel-collector/traces.json", "otlp_traces_json", None;
    "otel-sdk/logs.bin", "otlp_logs_proto", None;
    "otel-sdk/metrics.bin", "otlp_metrics_proto", None;
    "otel-sdk/traces_checkout.bin", "otlp_traces_proto", None;
    "otel-sdk/traces_web.bin", "otlp_traces_proto", None;
    "prometheus/alerts_v2_firing.json", "alerts", None;
    "prometheus/alerts_v2_firing_and_ended.json", "alerts", None;
    "prometheus/remote_write_1.snappy", "remote_write_1", Snappy;
    "prometheus/remote_write_2.snappy", "remote_write_2", Snappy;
}
