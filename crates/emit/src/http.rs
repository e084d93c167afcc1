//! What sinks that speak HTTP have in common.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Proxy, Response, StatusCode, Url, redirect};

use crate::guard::Guard;
use crate::retry_after;
use crate::secret::Secret;
use crate::sink::DeliveryError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// So much of a refusal's body is shown.
const SHOWN_BODY: usize = 256;

/// A client that follows no redirect and heeds no proxy of the environment; without a proxy it goes where
/// the guard lets it. Errors are in words.
pub(crate) fn client(
    headers: HeaderMap,
    timeout: Duration,
    proxy: Option<&Secret>,
    guard: Option<Guard>,
) -> Result<Client, String> {
    let mut client = Client::builder()
        .default_headers(headers)
        .user_agent(concat!("foghorn/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        // A redirect could lead the secrets in the headers anywhere.
        .redirect(redirect::Policy::none())
        .no_proxy();
    if let Some(guard) = guard.filter(|_| proxy.is_none()) {
        client = client.dns_resolver(Arc::new(guard));
    }
    if let Some(proxy) = proxy {
        client =
            client.proxy(Proxy::all(proxy.reveal()).map_err(|error| describe(error, "proxy"))?);
    }
    client.build().map_err(|error| describe(error, "set up"))
}

pub(crate) fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("its URL is none: {error}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!(
            "its URL begins with {other}:, and only http: and https: are known"
        )),
    }
}

/// Headers as they stand, and those whose values stand in files.
pub(crate) fn headers(
    plain: &BTreeMap<String, Secret>,
    files: &BTreeMap<String, PathBuf>,
) -> Result<HeaderMap, String> {
    let from_files = files
        .iter()
        .map(|(name, path)| Ok((name, Secret::read(path)?)));
    let plain = plain
        .iter()
        .map(|(name, value)| Ok::<_, String>((name, value.clone())));
    let mut headers = HeaderMap::new();
    for header in plain.chain(from_files) {
        let (name, value) = header?;
        let key: HeaderName = name
            .parse()
            .map_err(|_| format!("`{name}` is no header's name"))?;
        let mut value = HeaderValue::from_str(value.reveal())
            .map_err(|_| format!("the value of the header `{name}` holds what no header may"))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

/// What an answer means: 2xx is delivered; 408, 429 and 5xx may get better; anything else will not.
pub(crate) async fn judge(mut response: Response) -> Result<(), DeliveryError> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let retryable = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        );
    let header = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let retry_after = header(RETRY_AFTER).and_then(|wait| retry_after::parse(wait, header(DATE)));
    let mut text = format!("HTTP {status}");
    if status.is_redirection() {
        text.push_str(" (redirects are not followed; name the final URL)");
    } else if let Ok(Some(body)) = response.chunk().await {
        let shown = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BODY)]);
        text.push_str(": ");
        text.extend(
            shown
                .trim()
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c }),
        );
    }
    Err(DeliveryError {
        retryable,
        retry_after,
        text,
    })
}

/// An error with its causes, and without the URL, which may be secret.
pub(crate) fn describe(error: reqwest::Error, doing: &str) -> String {
    let error = error.without_url();
    let mut text = format!("cannot {doing}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
