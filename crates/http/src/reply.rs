//! Answers in the shape of Prometheus' HTTP API, version 1.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

use crate::hooks::Declined;

/// `{"status":"success","data":…}`.
pub(crate) fn success(data: &impl Serialize) -> Response {
    match serde_json::to_vec(&json!({"status": "success", "data": data})) {
        Ok(body) => with_body(StatusCode::OK, "application/json", body),
        Err(error) => failure(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            &error.to_string(),
        ),
    }
}

/// `{"status":"success","data":…,"warnings":[…]}`.
pub(crate) fn with_warning(data: &Value, warning: &str) -> Response {
    let body = json!({"status": "success", "data": data, "warnings": [warning]});
    with_body(StatusCode::OK, "application/json", body.to_string())
}

/// `{"status":"error","errorType":…,"error":…}`.
pub(crate) fn failure(status: StatusCode, kind: &str, error: &str) -> Response {
    let body = json!({"status": "error", "errorType": kind, "error": error}).to_string();
    with_body(status, "application/json", body)
}

/// The request makes no sense.
pub(crate) fn bad_data(error: &str) -> Response {
    failure(StatusCode::BAD_REQUEST, "bad_data", error)
}

/// A hook declined.
pub(crate) fn declined(declined: &Declined) -> Response {
    match declined {
        Declined::Busy { retry_after_s } => {
            let busy = failure(
                StatusCode::TOO_MANY_REQUESTS,
                "busy",
                "no room at the moment; come again",
            );
            retry_after(busy, *retry_after_s)
        }
        Declined::Refused(refusal) => bad_data(&format!("{}: {}", refusal.code, refusal.detail)),
    }
}

/// One line for people.
pub(crate) fn line(status: StatusCode, text: &str) -> Response {
    with_body(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

/// Any body.
pub(crate) fn with_body(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Says when to come again.
pub(crate) fn retry_after(mut response: Response, seconds: u32) -> Response {
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}
