//! Writers of the formats that [`crate::Decoder`] reads, for demos, drills, tests and benches.
//!
//! Times are milliseconds on our side and become nanoseconds where a format wants them.

mod json;
mod otlp;
mod remote_write;

pub use json::{json_log, json_metric};
pub use otlp::{
    HistogramPoint, LogLine, LogsResource, MetricKind, MetricsResource, OtlpLogs, OtlpMetrics,
    Point,
};
pub use remote_write::{RemoteWrite, snappy};

/// Names and values, in the order in which they are to stand in the bytes.
pub type Pairs<'a> = &'a [(&'a str, &'a str)];
