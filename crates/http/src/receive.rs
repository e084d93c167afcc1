//! Receivers of telemetry: OTLP/HTTP, Prometheus remote write 1.0, change events.
//!
//! Only what a body is called and how it is packed is judged here; what is in it is the intake's
//! business. Success is said only after the intake has it for good.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use foghorn_wire::{Compression, Format};

use crate::body::{self, BodyError};
use crate::hooks::{Accepted, Declined};
use crate::otlp;
use crate::reply::{failure, retry_after, success, with_body};
use crate::server::Shared;

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
            return otlp::failed(None, StatusCode::UNSUPPORTED_MEDIA_TYPE, &error);
        }
    };
    let outcome = match plain_or_gzip(headers) {
        Ok(compression) => take(shared, format, compression, headers, body).await,
        Err(outcome) => outcome,
    };
    match outcome {
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

/// `POST /api/v1/write`: remote write 1.0. Where there is no room the answer is 503, not 429:
/// Prometheus tries again after every 5xx, but after a 429 only with `retry_on_http_429`, which is
/// off by default; without it the samples would be lost.
pub(crate) async fn remote_write(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (media, parameters) = body::media_type(&headers);
    let outcome =
        if media != "application/x-protobuf" || parameters.contains("io.prometheus.write.v2") {
            Outcome::unsupported("send remote write 1.0 (application/x-protobuf)")
        } else if body::encoding(&headers) != "snappy" {
            Outcome::unsupported("remote write 1.0 is packed with snappy (its block format)")
        } else {
            take(
                &shared,
                Format::RemoteWrite1,
                Compression::Snappy,
                &headers,
                body,
            )
            .await
        };
    match outcome {
        Outcome::Accepted(_) => {
            let mut done = Response::new(Body::empty());
            *done.status_mut() = StatusCode::NO_CONTENT;
            done
        }
        Outcome::Refused(status, error) => {
            with_body(status, "text/plain; charset=utf-8", error + "\n")
        }
        Outcome::Busy(seconds) => {
            let busy = with_body(
                StatusCode::SERVICE_UNAVAILABLE,
                "text/plain; charset=utf-8",
                "no room at the moment\n",
            );
            retry_after(busy, seconds)
        }
    }
}

/// `POST /api/v1/changes`: change events, as JSON.
pub(crate) async fn changes(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let media = body::media_type(&headers).0;
    let json =
        media == "application/x-ndjson" || media == "application/json" || media.ends_with("+json");
    let outcome = match plain_or_gzip(&headers) {
        _ if !json => Outcome::unsupported(format!("content type {media:?} is not JSON")),
        Ok(compression) => take(&shared, Format::Changes, compression, &headers, body).await,
        Err(outcome) => outcome,
    };
    match outcome {
        Outcome::Accepted(accepted) => success(
            &serde_json::json!({"rejected": accepted.rejected, "message": accepted.message}),
        ),
        Outcome::Refused(status, error) => failure(status, "bad_data", &error),
        Outcome::Busy(seconds) => {
            let busy = failure(
                StatusCode::TOO_MANY_REQUESTS,
                "busy",
                "no room at the moment; come again",
            );
            retry_after(busy, seconds)
        }
    }
}

fn plain_or_gzip(headers: &HeaderMap) -> Result<Compression, Outcome> {
    match body::encoding(headers).as_str() {
        "" | "identity" => Ok(Compression::None),
        "gzip" => Ok(Compression::Gzip),
        other => Err(Outcome::unsupported(format!(
            "content encoding {other:?} is neither gzip nor identity"
        ))),
    }
}

/// Reads, unpacks and hands over one body.
async fn take(
    shared: &Shared,
    format: Format,
    compression: Compression,
    headers: &HeaderMap,
    body: Body,
) -> Outcome {
    let outcome = hand_over(shared, format, compression, headers, body).await;
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
            Outcome::Refused(status, format!("{}: {}", refusal.code, refusal.detail))
        }
        Err(error) => Outcome::Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn unread(error: BodyError, bound: usize) -> Outcome {
    match error {
        BodyError::TooLarge => Outcome::Refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the bound is {bound} bytes"),
        ),
        BodyError::TooSlow => {
            Outcome::Refused(StatusCode::REQUEST_TIMEOUT, "it came too slowly".to_owned())
        }
        BodyError::Broken(error) => Outcome::Refused(StatusCode::BAD_REQUEST, error),
    }
}

#[cfg(test)]
mod tests;
