//! Incidents to an HTTP receiver, in Alertmanager's webhook format.

use std::sync::Arc;

use foghorn_model::Incident;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use tokio::runtime::Handle;

use crate::config::WebhookConfig;
use crate::guard::Guard;
use crate::hmac::hmac_sha256_hex;
use crate::http;
use crate::secret::Secret;
use crate::sink::{Delivered, DeliveryError, Sink};

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
        let headers = http::headers(&config.headers, &config.header_files)?;
        let (url, guard) = (url(config)?, Guard::new(&config.allow_networks));
        if config.proxy.is_none() {
            guard.check(&url)?;
        }
        Ok(Self {
            name: config.name.clone(),
            url,
            external_url: config.external_url.clone(),
            key: config
                .hmac_secret_file
                .as_deref()
                .map(Secret::read)
                .transpose()?,
            client: http::client(headers, config.timeout, config.proxy.as_ref(), Some(guard))?,
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
            Ok(response) => http::judge(response).await,
            Err(error) => Err(DeliveryError::retryable(http::describe(error, "send"))),
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
    http::url(text.reveal())
}

#[cfg(test)]
mod tests;
