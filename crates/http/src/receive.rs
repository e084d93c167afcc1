//! Receivers of telemetry: OTLP/HTTP here, Prometheus remote write, change events and alerts in
//! files of their own.
//!
//! Only what a body is called and how it is packed is judged here; what is in it is the intake's
//! business. Success is said only after the intake has it for good.

mod events;
mod remote_write;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use foghorn_wire::{Compression, Format};

use crate::body::{self, BodyError};
use crate::hooks::{Accepted, Declined};
use crate::otlp;
use crate::reply::retry_after;
use crate::server::Shared;

pub(crate) use events::{alerts, changes};
pub(crate) use remote_write::remote_write;

/// What became of a body.
enum Outcome {
    Accepted(Accepted),
    Busy(u32),
    Refused(StatusCode, String),
}

impl Outcome {
    fn unsupported(text: impl Into<String>) -> Self {
        Self::Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, text.into())
    }

    /// For the metric.
    fn name(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Busy(_) => "busy",
            Self::Refused(StatusCode::PAYLOAD_TOO_LARGE, _) => "too_large",
            Self::Refused(status, _) if status.is_server_error() => "failed",
            Self::Refused(..) => "refused",
        }
    }
}

/// `POST /v1/metrics`.
pub(crate) async fn otlp_metrics(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    otlp(
        &shared,
        [Format::OtlpMetricsProto, Format::OtlpMetricsJson],
        &headers,
        body,
    )
    .await
}

/// `POST /v1/logs`.
pub(crate) async fn otlp_logs(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    otlp(
        &shared,
        [Format::OtlpLogsProto, Format::OtlpLogsJson],
        &headers,
        body,
    )
    .await
}

/// `POST /v1/traces`: of traces, who calls whom.
pub(crate) async fn otlp_traces(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    otlp(
        &shared,
        [Format::OtlpTracesProto, Format::OtlpTracesJson],
        &headers,
        body,
    )
    .await
}

async fn otlp(
    shared: &Shared,
    [proto, json]: [Format; 2],
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let format = match body::media_type(headers).0.as_str() {
        "application/x-protobuf" => proto,
        "application/json" => json,
        other => {
            let error = format!(
                "content type {other:?} is neither application/x-protobuf nor application/json"
            );
            shared.meter.outcome(proto, "refused");
            return otlp::failed(None, StatusCode::UNSUPPORTED_MEDIA_TYPE, &error);
        }
    };
    match take(shared, format, packing(headers), headers, body).await {
        Outcome::Accepted(accepted) => otlp::accepted(format, &accepted),
        Outcome::Refused(status, error) => otlp::failed(Some(format), status, &error),
        Outcome::Busy(seconds) => {
            let busy = otlp::failed(
                Some(format),
                StatusCode::TOO_MANY_REQUESTS,
                "no room at the moment",
            );
            retry_after(busy, seconds)
        }
    }
}

/// How a body is packed; how it may be.
fn packing(headers: &HeaderMap) -> Result<Compression, Outcome> {
    let name = body::encoding(headers);
    name.parse()
        .map_err(|error| Outcome::unsupported(format!("content encoding: {error}")))
}

/// Reads, unpacks and hands over one body, and counts what became of it.
async fn take(
    shared: &Shared,
    format: Format,
    packing: Result<Compression, Outcome>,
    headers: &HeaderMap,
    body: Body,
) -> Outcome {
    let outcome = match packing {
        Ok(compression) => hand_over(shared, format, compression, headers, body).await,
        Err(outcome) => outcome,
    };
    shared.meter.outcome(format, outcome.name());
    outcome
}

async fn hand_over(
    shared: &Shared,
    format: Format,
    compression: Compression,
    headers: &HeaderMap,
    body: Body,
) -> Outcome {
    let Some(intake) = shared.api.intake.clone() else {
        return Outcome::Refused(
            StatusCode::NOT_FOUND,
            "this instance receives nothing by HTTP".to_owned(),
        );
    };
    let Ok(permit) = Arc::clone(&shared.receives).try_acquire_owned() else {
        return Outcome::Busy(1);
    };
    let packed = match body::read(headers, body, shared.config.max_body_bytes).await {
        Ok(packed) => packed,
        Err(error) => return unread(error, shared.config.max_body_bytes),
    };
    let (received, bound, meter) = (
        (shared.api.now)(),
        shared.config.max_decompressed_bytes,
        shared.meter.clone(),
    );
    let work = move || {
        let _permit = permit;
        let mut plain = Vec::new();
        foghorn_wire::decompress(compression, &packed, bound, &mut plain)
            .map_err(Declined::Refused)?;
        drop(packed);
        let bytes = plain.len();
        let accepted = intake.offer(format, plain, received)?;
        meter.taken(format, bytes);
        Ok::<_, Declined>(accepted)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(accepted)) => Outcome::Accepted(accepted),
        Ok(Err(Declined::Busy { retry_after_s })) => Outcome::Busy(retry_after_s),
        Ok(Err(Declined::Refused(refusal))) => {
            let large = matches!(refusal.code, "bomb" | "too_large");
            let status = if large {
                StatusCode::PAYLOAD_TOO_LARGE
            } else {
                StatusCode::BAD_REQUEST
            };
            let named = if large {
                " (http.max_decompressed_bytes)"
            } else {
                ""
            };
            Outcome::Refused(
                status,
                format!("{}: {}{named}", refusal.code, refusal.detail),
            )
        }
        Err(error) => Outcome::Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn unread(error: BodyError, bound: usize) -> Outcome {
    match error {
        BodyError::TooLarge => Outcome::Refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the bound is {bound} bytes (http.max_body_bytes)"),
        ),
        BodyError::TooSlow => {
            Outcome::Refused(StatusCode::REQUEST_TIMEOUT, "it came too slowly".to_owned())
        }
        BodyError::Broken(error) => Outcome::Refused(StatusCode::BAD_REQUEST, error),
    }
}

#[cfg(test)]
mod tests;
