//! The way into one Alertmanager.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url};
use tokio::runtime::Handle;

use super::config::AlertmanagerConfig;
use crate::http;
use crate::secret::Secret;
use crate::sink::DeliveryError;

/// Takes alerts to one Alertmanager. Lives on a thread of its own, so it may block.
pub(super) trait Door: Send {
    /// Where it leads.
    fn url(&self) -> &str;

    /// Posts a body of alerts.
    fn post(&mut self, body: Vec<u8>) -> Result<(), DeliveryError>;
}

/// Over HTTP.
pub(super) struct HttpDoor {
    url: Url,
    login: Option<(String, Secret)>,
    client: Client,
    runtime: Handle,
}

impl HttpDoor {
    /// One for each Alertmanager. Errors are in words.
    pub(super) fn open_all(
        config: &AlertmanagerConfig,
        runtime: &Handle,
    ) -> Result<Vec<Box<dyn Door>>, String> {
        if let Some(problem) = config.problems().into_iter().next() {
            return Err(format!("{}; {}", problem.message, problem.hint));
        }
        let mut headers = http::headers(&config.headers, &config.header_files)?;
        if let Some(path) = &config.bearer_token_file {
            let token = Secret::read(path)?;
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
                .map_err(|_| format!("the token in {} is none", path.display()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let login = match &config.basic_auth {
            Some(auth) => Some((auth.username.clone(), Secret::read(&auth.password_file)?)),
            None => None,
        };
        let client = http::client(headers, config.timeout, config.proxy.as_ref(), None)?;
        let endpoints = config.endpoints().map_err(|problem| problem.message)?;
        let door = |url| -> Box<dyn Door> {
            Box::new(Self {
                url,
                login: login.clone(),
                client: client.clone(),
                runtime: runtime.clone(),
            })
        };
        Ok(endpoints.into_iter().map(door).collect())
    }
}

impl Door for HttpDoor {
    fn url(&self) -> &str {
        self.url.as_str()
    }

    fn post(&mut self, body: Vec<u8>) -> Result<(), DeliveryError> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json");
        if let Some((user, password)) = &self.login {
            request = request.basic_auth(user, Some(password.reveal()));
        }
        self.runtime.block_on(async {
            match request.body(body).send().await {
                Ok(response) => http::judge(response).await,
                Err(error) => Err(DeliveryError::retryable(http::describe(error, "send"))),
            }
        })
    }
}
