//! Reads what strangers send, within bounds.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};

/// A body that takes longer to arrive is not waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a body could not be had.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    TooLarge,
    TooSlow,
    Broken(String),
}

/// The whole body, of at most `limit` bytes.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Vec<u8>, BodyError> {
    let announced = text(headers, &CONTENT_LENGTH).parse::<u64>().ok();
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(BodyError::TooLarge);
    }
    match tokio::time::timeout(PATIENCE, to_bytes(body, limit)).await {
        Err(_) => Err(BodyError::TooSlow),
        Ok(Ok(bytes)) => Ok(bytes.into()),
        // The error's type is a crate's that this room does not import; its words are all there is.
        Ok(Err(error)) if format!("{error:?}").contains("LengthLimit") => Err(BodyError::TooLarge),
        Ok(Err(error)) => Err(BodyError::Broken(error.to_string())),
    }
}

/// A header as text; empty where it is missing or no text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &axum::http::HeaderName) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("")
}

/// The media type, in lower case and without parameters; and the parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> (String, String) {
    let all = text(headers, &CONTENT_TYPE).to_ascii_lowercase();
    let (media, parameters) = all.split_once(';').unwrap_or((&all, ""));
    (media.trim().to_owned(), parameters.to_owned())
}

/// The content encoding, in lower case; empty for none.
pub(crate) fn encoding(headers: &HeaderMap) -> String {
    text(headers, &CONTENT_ENCODING).trim().to_ascii_lowercase()
}
