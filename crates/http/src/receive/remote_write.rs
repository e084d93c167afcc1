//! Receiver of Prometheus remote write 1.0 and 2.0 (prometheus.io/docs/specs/prw).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use foghorn_wire::{Compression, Format};

use super::{Outcome, take};
use crate::body;
use crate::hooks::Accepted;
use crate::reply::{retry_after, with_body};
use crate::server::Shared;

const TEXT: &str = "text/plain; charset=utf-8";

/// `POST /api/v1/write`. Where there is no room the answer is 503, not 429: Prometheus tries again
/// after every 5xx, but after a 429 only with `retry_on_http_429`, which is off by default; without
/// it the samples would be lost. With samples that cannot be used the answer is 400, as both
/// versions ask: the sender does not repeat the request, and the others are taken.
pub(crate) async fn remote_write(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (format, packing) = match version(&headers) {
        Ok(format) => (format, packing(&headers)),
        Err(outcome) => (Format::RemoteWrite1, Err(outcome)),
    };
    match take(&shared, format, packing, &headers, body).await {
        Outcome::Accepted(accepted) => written(&accepted),
        Outcome::Refused(status, error) => {
            counted(with_body(status, TEXT, error + "\n"), &Accepted::default())
        }
        Outcome::Busy(seconds) => {
            let busy = with_body(
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                "no room at the moment\n",
            );
            retry_after(busy, seconds)
        }
    }
}

/// The message that the content type names; 1.0's where it names none.
fn version(headers: &HeaderMap) -> Result<Format, Outcome> {
    let (media, parameters) = body::media_type(headers);
    let proto = parameters
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix("proto="))
        .map(|name| name.trim_matches('"'));
    match (media.as_str(), proto) {
        ("application/x-protobuf", None | Some("prometheus.writerequest")) => {
            Ok(Format::RemoteWrite1)
        }
        ("application/x-protobuf", Some("io.prometheus.write.v2.request")) => {
            Ok(Format::RemoteWrite2)
        }
        _ => Err(Outcome::unsupported(
            "send application/x-protobuf, of prometheus.WriteRequest (1.0) or \
             io.prometheus.write.v2.Request (2.0)",
        )),
    }
}

/// Snappy's block format is the only one that both versions name; zstd and gzip are read as well,
/// bare bodies are not: a sender that forgot to pack is told so.
fn packing(headers: &HeaderMap) -> Result<Compression, Outcome> {
    match super::packing(headers)? {
        Compression::None => Err(Outcome::unsupported(
            "remote write is packed with snappy (its block format)",
        )),
        packed => Ok(packed),
    }
}

fn written(accepted: &Accepted) -> Response {
    if accepted.rejected == 0 {
        let mut done = Response::new(Body::empty());
        *done.status_mut() = StatusCode::NO_CONTENT;
        return counted(done, accepted);
    }
    let text = format!(
        "{} refused; the first: {}; the others were taken\n",
        accepted.rejected, accepted.message
    );
    counted(with_body(StatusCode::BAD_REQUEST, TEXT, text), accepted)
}

/// Says how much was written (2.0, "Required Written Response Headers"). Native histograms are
/// refused and exemplars stepped over, so there are none.
fn counted(mut response: Response, accepted: &Accepted) -> Response {
    for (name, count) in [
        (
            "x-prometheus-remote-write-samples-written",
            accepted.samples,
        ),
        ("x-prometheus-remote-write-histograms-written", 0),
        ("x-prometheus-remote-write-exemplars-written", 0),
    ] {
        let headers = response.headers_mut();
        headers.insert(HeaderName::from_static(name), HeaderValue::from(count));
    }
    response
}
