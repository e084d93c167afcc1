//! OTLP: one walk over protobuf for each signal; JSON is first rewritten as protobuf, so that
//! both encodings mean the same by construction.

mod any_value;
mod json;
mod logs;
mod metrics;
mod points;
mod resource;
mod schema;
mod spans;
mod traces;

pub(crate) use json::{to_logs_proto, to_metrics_proto, to_traces_proto};
pub(crate) use logs::{StreamLabels, decode as decode_logs, define as define_stream};
pub(crate) use metrics::decode as decode_metrics;
pub(crate) use resource::Resources;
pub(crate) use spans::SpanTable;
pub(crate) use traces::decode as decode_traces;
