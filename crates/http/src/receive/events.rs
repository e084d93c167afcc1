//! Receivers of JSON events: changes, and alerts of other programs.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use foghorn_wire::{Compression, Format};

use super::{Outcome, packing, take};
use crate::body;
use crate::reply::{failure, retry_after, success, with_body};
use crate::server::Shared;

/// `POST /api/v1/changes`: change events, as JSON.
pub(crate) async fn changes(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match take(&shared, Format::Changes, json(&headers), &headers, body).await {
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

/// `POST /api/v2/alerts`: the array of postable alerts that Prometheus sends to Alertmanagers
/// (Alertmanager's `api/v2/openapi.yaml`), and the body of Alertmanager's webhook. Answered as
/// Alertmanager does: 200 and nothing, or an error's text as a JSON string; with some alerts that
/// cannot be used the answer is 400, and the others are taken all the same.
pub(crate) async fn alerts(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let said = |status, text: String| {
        with_body(
            status,
            "application/json",
            serde_json::Value::from(text).to_string(),
        )
    };
    match take(&shared, Format::Alerts, json(&headers), &headers, body).await {
        Outcome::Accepted(accepted) if accepted.rejected == 0 => {
            with_body(StatusCode::OK, "application/json", Body::empty())
        }
        Outcome::Accepted(accepted) => {
            let text = format!(
                "{} refused; the first: {}",
                accepted.rejected, accepted.message
            );
            said(StatusCode::BAD_REQUEST, text)
        }
        Outcome::Refused(status, error) => said(status, error),
        // Prometheus does not send these again by itself, but whatever fires is sent every minute.
        Outcome::Busy(seconds) => {
            let busy = said(
                StatusCode::SERVICE_UNAVAILABLE,
                "no room at the moment".to_owned(),
            );
            retry_after(busy, seconds)
        }
    }
}

/// How a body that has to be JSON is packed.
fn json(headers: &HeaderMap) -> Result<Compression, Outcome> {
    let media = body::media_type(headers).0;
    let json =
        media == "application/x-ndjson" || media == "application/json" || media.ends_with("+json");
    if json {
        packing(headers)
    } else {
        Err(Outcome::unsupported(format!(
            "content type {media:?} is not JSON"
        )))
    }
}
