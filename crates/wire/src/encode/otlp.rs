//! OTLP export requests in protobuf.

use foghorn_model::Timestamp;

use crate::encode::Pairs;
use crate::proto::Writer;

/// What sort of metric a set of number points is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A value as it stands.
    Gauge,
    /// A monotonic sum since a start.
    Counter,
    /// A monotonic sum since the previous point.
    DeltaCounter,
    /// A sum since a start that may fall.
    UpDownCounter,
}

/// One number point.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// Attributes.
    pub attributes: Pairs<'a>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub value: f64,
}

/// One point of a cumulative histogram.
#[derive(Clone, Copy, Debug)]
pub struct HistogramPoint<'a> {
    /// Attributes.
    pub attributes: Pairs<'a>,
    /// When.
    pub at: Timestamp,
    /// Upper bounds of all buckets but the last.
    pub bounds: &'a [f64],
    /// Observations in each bucket, one more than bounds.
    pub counts: &'a [u64],
    /// Sum of the observations.
    pub sum: f64,
}

/// An `ExportMetricsServiceRequest`.
#[derive(Clone, Debug, Default)]
pub struct OtlpMetrics {
    writer: Writer,
}

impl OtlpMetrics {
    /// An empty request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a resource, whose metrics `fill` writes.
    #[must_use]
    pub fn resource(
        mut self,
        attributes: Pairs<'_>,
        fill: impl FnOnce(&mut MetricsResource<'_>),
    ) -> Self {
        self.writer.message(1, |w| {
            w.message(1, |w| write_attributes(w, 1, attributes));
            w.message(2, |w| fill(&mut MetricsResource { writer: w }));
        });
        self
    }

    /// The request's bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.writer.into_bytes()
    }
}

/// The metrics of one resource.
#[derive(Debug)]
pub struct MetricsResource<'w> {
    writer: &'w mut Writer,
}

impl MetricsResource<'_> {
    /// Adds a metric of numbers.
    pub fn numbers(
        &mut self,
        name: &str,
        unit: &str,
        kind: MetricKind,
        points: &[Point<'_>],
    ) -> &mut Self {
        let (field, temporality, monotonic) = match kind {
            MetricKind::Gauge => (5, 0, false),
            MetricKind::Counter => (7, 2, true),
            MetricKind::DeltaCounter => (7, 1, true),
            MetricKind::UpDownCounter => (7, 2, false),
        };
        self.writer.message(2, |w| {
            w.text(1, name);
            w.text(3, unit);
            w.message(field, |w| {
                for point in points {
                    w.message(1, |w| {
                        write_attributes(w, 7, point.attributes);
                        w.fixed64(3, nanos(point.at));
                        w.double(4, point.value);
                    });
                }
                if field == 7 {
                    w.varint(2, temporality);
                    w.varint(3, u64::from(monotonic));
                }
            });
        });
        self
    }

    /// Adds a cumulative histogram.
    pub fn histogram(
        &mut self,
        name: &str,
        unit: &str,
        points: &[HistogramPoint<'_>],
    ) -> &mut Self {
        self.writer.message(2, |w| {
            w.text(1, name);
            w.text(3, unit);
            w.message(9, |w| {
                for point in points {
                    w.message(1, |w| write_histogram_point(w, point));
                }
                w.varint(2, 2);
            });
        });
        self
    }
}

fn write_histogram_point(w: &mut Writer, point: &HistogramPoint<'_>) {
    w.fixed64(3, nanos(point.at));
    w.fixed64(4, point.counts.iter().sum());
    w.double(5, point.sum);
    w.message(6, |w| {
        point
            .counts
            .iter()
            .for_each(|count| w.packed_fixed64(*count));
    });
    w.message(7, |w| {
        point
            .bounds
            .iter()
            .for_each(|bound| w.packed_fixed64(bound.to_bits()));
    });
    write_attributes(w, 9, point.attributes);
}

/// One log record.
#[derive(Clone, Copy, Debug)]
pub struct LogLine<'a> {
    /// When.
    pub at: Timestamp,
    /// OTLP severity number, 1–24; 0 where unknown.
    pub severity: u8,
    /// The body.
    pub line: &'a str,
    /// Attributes.
    pub attributes: Pairs<'a>,
}

/// An `ExportLogsServiceRequest`.
#[derive(Clone, Debug, Default)]
pub struct OtlpLogs {
    writer: Writer,
}

impl OtlpLogs {
    /// An empty request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a resource, whose records `fill` writes.
    #[must_use]
    pub fn resource(
        mut self,
        attributes: Pairs<'_>,
        fill: impl FnOnce(&mut LogsResource<'_>),
    ) -> Self {
        self.writer.message(1, |w| {
            w.message(1, |w| write_attributes(w, 1, attributes));
            w.message(2, |w| fill(&mut LogsResource { writer: w }));
        });
        self
    }

    /// The request's bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.writer.into_bytes()
    }
}

/// The log records of one resource.
#[derive(Debug)]
pub struct LogsResource<'w> {
    writer: &'w mut Writer,
}

impl LogsResource<'_> {
    /// Adds a record.
    pub fn line(&mut self, line: &LogLine<'_>) -> &mut Self {
        self.writer.message(2, |w| {
            w.fixed64(1, nanos(line.at));
            w.varint(2, u64::from(line.severity));
            w.message(5, |w| w.text(1, line.line));
            write_attributes(w, 6, line.attributes);
            w.fixed64(11, nanos(line.at));
        });
        self
    }
}

fn write_attributes(w: &mut Writer, field: u32, attributes: Pairs<'_>) {
    for (key, value) in attributes {
        w.message(field, |w| {
            w.text(1, key);
            w.message(2, |w| w.text(1, value));
        });
    }
}

fn nanos(at: Timestamp) -> u64 {
    (at.ms().max(0) as u64).saturating_mul(1_000_000)
}
