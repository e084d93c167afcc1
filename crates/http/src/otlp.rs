//! OTLP/HTTP's answers (OTLP specification 1.x, "OTLP/HTTP Response"): an export response, or a
//! `google.rpc.Status`, in the encoding of the request.

use axum::http::StatusCode;
use axum::response::Response;
use foghorn_wire::Format;
use serde_json::json;

use crate::hooks::Accepted;
use crate::reply::with_body;

/// Whether a format's answers are JSON.
fn is_json(format: Format) -> bool {
    matches!(
        format,
        Format::OtlpMetricsJson | Format::OtlpLogsJson | Format::OtlpTracesJson
    )
}

/// The body was taken; what of it could not be used is a partial success.
pub(crate) fn accepted(format: Format, accepted: &Accepted) -> Response {
    let partial = accepted.rejected > 0 || !accepted.message.is_empty();
    if is_json(format) {
        let key = match format {
            Format::OtlpMetricsJson => "rejectedDataPoints",
            Format::OtlpLogsJson => "rejectedLogRecords",
            _ => "rejectedSpans",
        };
        let success = json!({key: accepted.rejected.to_string(), "errorMessage": accepted.message});
        let body = if partial {
            json!({"partialSuccess": success})
        } else {
            json!({})
        };
        return with_body(StatusCode::OK, "application/json", body.to_string());
    }
    // All three responses have the partial success in field 1, and in it the number and the message.
    let mut body = Vec::new();
    if partial {
        let mut success = Vec::new();
        number(&mut success, 1, accepted.rejected);
        bytes(&mut success, 2, accepted.message.as_bytes());
        bytes(&mut body, 1, &success);
    }
    with_body(StatusCode::OK, "application/x-protobuf", body)
}

/// The body was not taken.
pub(crate) fn failed(format: Option<Format>, status: StatusCode, message: &str) -> Response {
    // gRPC's codes: INVALID_ARGUMENT, RESOURCE_EXHAUSTED, INTERNAL.
    let code: u8 = match status {
        StatusCode::TOO_MANY_REQUESTS => 8,
        status if status.is_server_error() => 13,
        _ => 3,
    };
    if format.is_none_or(is_json) {
        return with_body(
            status,
            "application/json",
            json!({"code": code, "message": message}).to_string(),
        );
    }
    let mut body = Vec::new();
    number(&mut body, 1, u64::from(code));
    bytes(&mut body, 2, message.as_bytes());
    with_body(status, "application/x-protobuf", body)
}

/// A varint field; a zero is left out, as proto3 has it.
fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    if value > 0 {
        out.push(field << 3);
        varint(out, value);
    }
}

/// A length-delimited field; an empty one is left out.
fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    if !value.is_empty() {
        out.push(field << 3 | 2);
        varint(out, value.len() as u64);
        out.extend_from_slice(value);
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
