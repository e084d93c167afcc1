//! Telemetry of a small shop, on its way into topics; and what stands in topics.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use foghorn_kafka::{Admin, Outgoing, OwnedRecord, Producer, RdAdmin, RdProducer};
use foghorn_model::{Labels, Timestamp};
use foghorn_runtime::clock::wall;
use foghorn_testkit::broker::Broker;
use foghorn_wire::encode::{MetricKind, OtlpMetrics, Point, RemoteWrite, json_log};

/// Wall time, but another millisecond at each call: of two samples of one instant one counts.
pub(crate) fn instant() -> Timestamp {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = wall().ms();
    let next = |last: i64| now.max(last + 1);
    let last = LAST.fetch_update(Relaxed, Relaxed, |last| Some(next(last)));
    Timestamp(next(last.unwrap()))
}

/// An OTLP request with one gauge of one service.
pub(crate) fn gauge(name: &str, service: &str, at: Timestamp, value: f64) -> Vec<u8> {
    let point = Point {
        attributes: &[("route", "/pay")],
        at,
        value,
    };
    let attributes = [("service.name", service), ("service.instance.id", "i-1")];
    let request = OtlpMetrics::new().resource(&attributes, |metrics| {
        metrics.numbers(name, "", MetricKind::Gauge, &[point]);
    });
    request.into_bytes()
}

/// A remote-write request with one sample, packed.
pub(crate) fn remote_write(name: &str, service: &str, at: Timestamp, value: f64) -> Vec<u8> {
    let labels = Labels::from_pairs([("__name__", name), ("service", service)]);
    RemoteWrite::new()
        .series(&labels, &[(at, value)])
        .into_snappy()
}

/// A log record in JSON.
pub(crate) fn log(service: &str, at: Timestamp, message: &str) -> Vec<u8> {
    json_log(at, message, &[("service", service), ("level", "error")]).into_bytes()
}

/// A deploy as a `CDEvent`.
pub(crate) fn deploy(service: &str, version: &str, at: Timestamp) -> Vec<u8> {
    let event = serde_json::json!({
        "context": {
            "version": "0.4.1",
            "id": format!("deploy-{service}-{version}"),
            "source": "/ci/release",
            "type": "dev.cdevents.service.deployed.0.2.0",
            "timestamp": at.to_string(),
        },
        "subject": {
            "id": service,
            "type": "service",
            "content": {
                "environment": {"id": "production"},
                "artifactId": format!("pkg:oci/{service}@sha256%3A0b31?tag={version}"),
            },
        },
    });
    event.to_string().into_bytes()
}

/// Writes to topics.
pub(crate) struct Feed {
    producer: RdProducer,
    admin: RdAdmin,
    round: u32,
}

impl Feed {
    pub(crate) fn to(broker: &Broker) -> Self {
        Self {
            producer: RdProducer::open(&broker.properties()).unwrap(),
            admin: RdAdmin::open(&broker.properties()).unwrap(),
            round: 0,
        }
    }

    /// Sends a record without a key and waits for its ack.
    pub(crate) fn send(&self, topic: &str, partition: u32, payload: &[u8], at: Option<Timestamp>) {
        let record = Outgoing {
            topic,
            partition: Some(partition),
            payload: Some(payload),
            timestamp_ms: at.map(Timestamp::ms),
            ..Outgoing::default()
        };
        self.producer.send(&record, 0).unwrap();
        self.producer.flush(Duration::from_secs(15)).unwrap();
        for ack in self.producer.poll_acks(Duration::ZERO) {
            ack.result.unwrap();
        }
    }

    /// One gauge of one service as it is now: each call in the topic's next partition, as the
    /// OpenTelemetry Collector spreads its exports.
    pub(crate) fn gauge(
        &mut self,
        (topic, partitions): (&str, u32),
        name: &str,
        service: &str,
        value: f64,
    ) {
        self.round += 1;
        let payload = gauge(name, service, wall(), value);
        self.send(topic, self.round % partitions, &payload, None);
    }

    /// Deletes what a topic's partition holds, as its retention would.
    pub(crate) fn forget(&self, topic: &str, partition: u32) {
        self.admin.delete_records(topic, partition).unwrap();
    }

    /// All that a topic holds.
    pub(crate) fn read(&self, topic: &str) -> Vec<OwnedRecord> {
        self.admin.read_to_end(topic, None).unwrap()
    }
}
