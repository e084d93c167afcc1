//! The outbound heartbeat, a dead man's switch: whoever gets it raises the alarm when it stays away.
//!
//! It is sent while Foghorn lives, is ready and is not behind, and at no other time: a process that
//! hangs, waits or lags must not say that all is well.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use prometheus::{IntCounterVec, Opts, Registry};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use serde::Deserialize;
use tracing::warn;

use crate::duration;
use crate::guard::Guard;
use crate::http;
use crate::secret::Secret;

/// Where the heartbeat goes, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatConfig {
    /// Where to; `http` or `https`. Exactly one of this and `url_file`.
    #[serde(default)]
    pub url: Option<Secret>,
    /// A file that holds the URL, where the URL is a secret.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Further headers whose values stand in files.
    #[serde(default)]
    pub header_files: BTreeMap<String, PathBuf>,
    /// From one to the next; default 1 m.
    #[serde(
        default = "default_interval",
        deserialize_with = "duration::deserialize"
    )]
    pub interval: Duration,
    /// None is sent while some partition is further behind; default 2 m.
    #[serde(
        default = "default_max_behind",
        deserialize_with = "duration::deserialize"
    )]
    pub max_behind: Duration,
    /// Networks that may be reached though their addresses are not public.
    #[serde(default)]
    pub allow_networks: Vec<IpNet>,
}

fn default_interval() -> Duration {
    Duration::from_mins(1)
}

fn default_max_behind() -> Duration {
    Duration::from_mins(2)
}

/// How Foghorn is, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// It works; the partition that is furthest behind is so by so much.
    Alive {
        /// How far.
        behind: Duration,
    },
    /// It does not, and why.
    Ill(String),
}

/// See the module's text.
pub struct Heartbeat {
    url: Url,
    client: Client,
    interval: Duration,
    max_behind: Duration,
    count: IntCounterVec,
}

/// A receiver that takes longer is not waited for.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Heartbeat {
    /// Sets it up; reads its secrets, and connects to nothing yet.
    ///
    /// # Errors
    /// In words: a file cannot be read, or a setting makes no sense.
    pub fn new(config: &HeartbeatConfig, registry: &Registry) -> Result<Self, String> {
        let text = match (&config.url, &config.url_file) {
            (Some(url), None) => url.clone(),
            (None, Some(path)) => Secret::read(path)?,
            _ => return Err("needs exactly one of `url` and `url_file`".to_owned()),
        };
        if config.interval < Duration::from_secs(1) {
            return Err("its `interval` is at least 1s".to_owned());
        }
        let (url, guard) = (
            http::url(text.reveal())?,
            Guard::new(&config.allow_networks),
        );
        guard.check(&url)?;
        let headers = http::headers(&config.headers, &config.header_files)?;
        let count = IntCounterVec::new(
            Opts::new(
                "foghorn_heartbeats_total",
                "Heartbeats that were sent, that could not be, and that were held back since not all is well.",
            ),
            &["outcome"],
        );
        let count = count.map_err(|error| error.to_string())?;
        let registered = registry.register(Box::new(count.clone()));
        registered.map_err(|error| error.to_string())?;
        Ok(Self {
            url,
            client: http::client(headers, TIMEOUT, None, Some(guard))?,
            interval: config.interval,
            max_behind: config.max_behind,
            count,
        })
    }

    /// From one to the next.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Sends one, if all is well.
    pub async fn beat(&self, pulse: &Pulse) {
        let outcome = match pulse {
            Pulse::Alive { behind } if *behind <= self.max_behind => self.send(*behind).await,
            Pulse::Alive { behind } => {
                warn!(behind_s = behind.as_secs(), "no heartbeat: behind");
                "held"
            }
            Pulse::Ill(why) => {
                warn!(why, "no heartbeat");
                "held"
            }
        };
        self.count.with_label_values(&[outcome]).inc();
    }

    async fn send(&self, behind: Duration) -> &'static str {
        let body = format!(
            r#"{{"status":"alive","behind_seconds":{}}}"#,
            behind.as_secs()
        );
        let request = self.client.post(self.url.clone());
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let sent = match request.send().await {
            Ok(response) => http::judge(response).await.map_err(|error| error.text),
            Err(error) => Err(http::describe(error, "send")),
        };
        match sent {
            Ok(()) => "sent",
            Err(error) => {
                warn!(error, "the heartbeat was not taken");
                "failed"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// What a receiver that answers `answer` gets of a beat, and what is counted.
    async fn check(pulse: Pulse, answer: &'static str, expect: Option<&str>, outcome: &str) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ping", listener.local_addr().unwrap());
        let config = serde_json::json!({"url": url, "allow_networks": ["127.0.0.0/8"]});
        let config = serde_json::from_value(config).unwrap();
        let heartbeat = Heartbeat::new(&config, &Registry::new()).unwrap();
        let receiver = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = vec![0; 4_096];
            let mut len = 0;
            while !got[..len].ends_with(b"}") {
                len += stream.read(&mut got[len..]).await.unwrap();
            }
            let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(got[..len].to_vec()).unwrap()
        });
        heartbeat.beat(&pulse).await;
        match expect {
            Some(body) => {
                let got = receiver.await.unwrap();
                assert!(
                    got.starts_with("POST /ping ") && got.ends_with(body),
                    "{got}"
                );
            }
            None => {
                assert!(!receiver.is_finished(), "nobody was to be told");
                receiver.abort();
            }
        }
        let counted = |outcome: &str| heartbeat.count.with_label_values(&[outcome]).get();
        let counts = ["sent", "failed", "held"].map(counted);
        let expect = ["sent", "failed", "held"].map(|known| u64::from(known == outcome));
        assert_eq!(counts, expect, "{pulse:?}");
    }

    fn behind(seconds: u64) -> Pulse {
        Pulse::Alive {
            behind: Duration::from_secs(seconds),
        }
    }

    #[tokio::test]
    async fn it_is_sent_while_all_is_well_and_at_no_other_time() {
        let body = r#"{"status":"alive","behind_seconds":120}"#;
        check(behind(120), "200 OK", Some(body), "sent").await;
        check(behind(120), "503 Busy", Some(body), "failed").await;
        check(behind(121), "200 OK", None, "held").await;
        check(Pulse::Ill("not ready".to_owned()), "200 OK", None, "held").await;
    }

    #[test]
    fn settings_that_make_no_sense() {
        let check = |config: serde_json::Value, expect: &str| {
            let config = serde_json::from_value(config).unwrap();
            let error = Heartbeat::new(&config, &Registry::new()).err().unwrap();
            assert!(error.contains(expect), "{error}");
        };
        check(serde_json::json!({}), "exactly one");
        check(serde_json::json!({"url": "ftp://x"}), "ftp:");
        check(
            serde_json::json!({"url": "http://10.0.0.1/"}),
            "allow_networks",
        );
        check(
            serde_json::json!({"url": "https://example.com", "interval": "1ms"}),
            "at least 1s",
        );
    }
}
