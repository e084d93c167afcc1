//! Incidents to an HTTP receiver, in Alertmanager's webhook format.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use foghorn_model::Incident;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Proxy, Response, StatusCode, Url, redirect};
use tokio::runtime::Handle;

use crate::config::WebhookConfig;
use crate::hmac::hmac_sha256_hex;
use crate::retry_after;
use crate::secret::Secret;
use crate::sink::{Delivered, DeliveryError, Sink};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// So much of a refusal's body is shown.
const SHOWN_BODY: usize = 256;

/// Posts each revision. A receiver that follows its `Idempotency-Key` sees none of them twice.
pub struct WebhookSink {
    name: String,
    url: Url,
    external_url: String,
    key: Option<Secret>,
    client: Client,
    runtime: Handle,
}

impl WebhookSink {
    /// Sets the sink up; reads its secrets, and connects to nothing yet. Must not be used on a
    /// thread of `runtime` itself.
    ///
    /// # Errors
    /// In words: a file cannot be read, or a setting makes no sense.
    pub fn new(config: &WebhookConfig, runtime: Handle) -> Result<Self, String> {
        let mut client = Client::builder()
            .default_headers(headers(config)?)
            .user_agent(concat!("foghorn/", env!("CARGO_PKG_VERSION")))
            .timeout(config.timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(config.timeout))
            // A redirect could lead the secrets in the headers anywhere.
            .redirect(redirect::Policy::none())
            .no_proxy();
        if let Some(proxy) = &config.proxy {
            client =
                client.proxy(Proxy::all(proxy.reveal()).map_err(|error| describe(error, "proxy"))?);
        }
        Ok(Self {
            name: config.name.clone(),
            url: url(config)?,
            external_url: config.external_url.clone(),
            key: config
                .hmac_secret_file
                .as_deref()
                .map(Secret::read)
                .transpose()?,
            client: client.build().map_err(|error| describe(error, "set up"))?,
            runtime,
        })
    }

    async fn post(&self, incident: &Incident) -> Result<(), DeliveryError> {
        let body = foghorn_wire::out::webhook_v4(incident, &self.name, &self.external_url);
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(
                "Idempotency-Key",
                format!("{}.{}", incident.id, incident.revision),
            );
        if let Some(key) = &self.key {
            let signature = hmac_sha256_hex(key.reveal().as_bytes(), &body);
            request = request.header("X-Foghorn-Signature", format!("sha256={signature}"));
        }
        match request.body(body).send().await {
            Ok(response) => judge(response).await,
            Err(error) => Err(DeliveryError::retryable(describe(error, "send"))),
        }
    }
}

impl Sink for WebhookSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver(&mut self, incidents: &[Arc<Incident>]) -> Delivered {
        for (count, incident) in incidents.iter().enumerate() {
            if let Err(error) = self.runtime.block_on(self.post(incident)) {
                return Delivered::stopped(count, error);
            }
        }
        Delivered::all(incidents)
    }

    fn coalesces(&self) -> bool {
        true
    }
}

fn url(config: &WebhookConfig) -> Result<Url, String> {
    let text = match (&config.url, &config.url_file) {
        (Some(url), None) => url.clone(),
        (None, Some(path)) => Secret::read(path)?,
        _ => return Err("needs exactly one of `url` and `url_file`".to_owned()),
    };
    let url = Url::parse(text.reveal()).map_err(|error| format!("its URL is none: {error}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!(
            "its URL begins with {other}:, and only http: and https: are known"
        )),
    }
}

fn headers(config: &WebhookConfig) -> Result<HeaderMap, String> {
    let from_files = config
        .header_files
        .iter()
        .map(|(name, path)| Ok((name, Secret::read(path)?)));
    let plain = config
        .headers
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
async fn judge(mut response: Response) -> Result<(), DeliveryError> {
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
fn describe(error: reqwest::Error, doing: &str) -> String {
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

#[cfg(test)]
mod tests;
