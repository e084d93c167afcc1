//! What a user writes about an Alertmanager sink.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use crate::duration;
use crate::http;
use crate::secret::Secret;

/// Alertmanagers that are told of alerts, all of the same ones.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertmanagerConfig {
    /// Name of the sink.
    pub name: String,
    /// Where the Alertmanagers are (`http://host:9093`): every member of a cluster, since they do not
    /// tell each other of alerts.
    pub urls: Vec<String>,
    /// Before `/api/v2/alerts`, where they run under a path.
    #[serde(default)]
    pub path_prefix: String,
    /// The version of their API.
    #[serde(default)]
    pub api_version: ApiVersion,
    /// For a whole request; default 10 s.
    #[serde(
        default = "default_timeout",
        deserialize_with = "duration::deserialize"
    )]
    pub timeout: Duration,
    /// What fires, and what ended not long ago, is said again after so long; default 1 m.
    #[serde(
        default = "default_resend_delay",
        deserialize_with = "duration::deserialize"
    )]
    pub resend_delay: Duration,
    /// Labels that every alert gets, unless it has them; by default everybody's external labels.
    #[serde(default)]
    pub external_labels: Option<BTreeMap<String, String>>,
    /// Where rules can be looked at, for the alerts' links: `/graph?g0.expr=…` is added.
    #[serde(default)]
    pub external_url: String,
    /// User and password.
    #[serde(default)]
    pub basic_auth: Option<BasicAuth>,
    /// A file that holds a bearer token.
    #[serde(default)]
    pub bearer_token_file: Option<PathBuf>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Further headers whose values stand in files.
    #[serde(default)]
    pub header_files: BTreeMap<String, PathBuf>,
    /// An HTTP proxy. The environment's proxy settings are not used.
    #[serde(default)]
    pub proxy: Option<Secret>,
}

/// User and password.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// User.
    pub username: String,
    /// A file that holds the password.
    pub password_file: PathBuf,
}

/// A version of Alertmanager's API. There is one: v1 is gone since 0.27.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiVersion {
    /// `/api/v2/alerts`.
    #[default]
    V2,
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What to look for in the text: the value, or its key.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: &'static str,
}

fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

fn default_resend_delay() -> Duration {
    Duration::from_mins(1)
}

impl AlertmanagerConfig {
    /// Where alerts are posted to.
    pub(super) fn endpoints(&self) -> Result<Vec<Url>, Problem> {
        if self.urls.is_empty() {
            return Err(self.problem(
                "urls",
                "names no Alertmanager",
                "add `urls: ['http://alertmanager:9093']`",
            ));
        }
        let mut seen = BTreeSet::new();
        let endpoint = |text: &String| {
            let url = self.endpoint(text)?;
            if seen.insert(url.clone()) {
                return Ok(url);
            }
            Err(self.problem(
                text,
                &format!("names {text} twice"),
                "an Alertmanager is told once",
            ))
        };
        self.urls.iter().map(endpoint).collect()
    }

    fn endpoint(&self, text: &str) -> Result<Url, Problem> {
        let mut url = http::url(text).map_err(|why| {
            let message = format!("cannot send to {text:?}: {why}");
            self.problem(text, &message, "write it like http://alertmanager:9093")
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(self.problem(
                "urls",
                "has a URL with a password in it",
                "use `basic_auth: {username: .., password_file: ..}`",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            let message = format!("has a URL with more than a path: {text:?}");
            return Err(self.problem(text, &message, "leave out what begins with ? or #"));
        }
        let prefixes = [url.path(), &self.path_prefix].map(|path| path.trim_matches('/'));
        let mut path = prefixes
            .iter()
            .filter(|prefix| !prefix.is_empty())
            .fold(String::new(), |path, prefix| format!("{path}/{prefix}"));
        path.push_str(match self.api_version {
            ApiVersion::V2 => "/api/v2/alerts",
        });
        url.set_path(&path);
        Ok(url)
    }

    /// What types cannot say.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found: Vec<_> = self.endpoints().err().into_iter().collect();
        let names = self.headers.keys().chain(self.header_files.keys());
        let has_header = names
            .into_iter()
            .any(|name| name.eq_ignore_ascii_case("authorization"));
        let ways = [
            self.basic_auth.is_some(),
            self.bearer_token_file.is_some(),
            has_header,
        ];
        if ways.iter().filter(|way| **way).count() > 1 {
            found.push(self.problem(
                &self.name,
                "says twice who it is",
                "keep one of `basic_auth`, `bearer_token_file` and the header Authorization",
            ));
        }
        if !self.external_url.is_empty()
            && let Err(why) = http::url(&self.external_url)
        {
            let message = format!("has an external_url that is no link: {why}");
            found.push(self.problem(
                "external_url",
                &message,
                "write it like http://prometheus:9090",
            ));
        }
        found
    }

    fn problem(&self, place: &str, message: &str, hint: &'static str) -> Problem {
        Problem {
            place: place.to_owned(),
            message: format!("sink {:?} {message}", self.name),
            hint,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a config with these keys sends to, or what is wrong with it.
    fn check(keys: &str, expect: &str) {
        let config: AlertmanagerConfig =
            serde_json::from_str(&format!(r#"{{"name": "am", {keys}}}"#)).unwrap();
        let problems = config.problems();
        let told: Vec<String> = if problems.is_empty() {
            let urls = config.endpoints().unwrap();
            urls.into_iter().map(Into::into).collect()
        } else {
            problems.into_iter().map(|found| found.message).collect()
        };
        assert_eq!(told.join(" "), expect, "{keys}");
    }

    #[test]
    fn where_alerts_go() {
        check(
            r#""urls": ["http://a:9093", "https://b"]"#,
            "http://a:9093/api/v2/alerts https://b/api/v2/alerts",
        );
        check(
            r#""urls": ["http://a:9093/one/"], "path_prefix": "/two/three/""#,
            "http://a:9093/one/two/three/api/v2/alerts",
        );
    }

    #[test]
    fn settings_that_make_no_sense() {
        check(r#""urls": []"#, r#"sink "am" names no Alertmanager"#);
        check(
            r#""urls": ["a:9093"]"#,
            r#"sink "am" cannot send to "a:9093": its URL begins with a:, and only http: and https: are known"#,
        );
        check(
            r#""urls": ["http://a", "http://a/"]"#,
            r#"sink "am" names http://a/ twice"#,
        );
        check(
            r#""urls": ["http://ana:hunter2@a"]"#,
            r#"sink "am" has a URL with a password in it"#,
        );
        check(
            r#""urls": ["http://a/?x=1"]"#,
            r#"sink "am" has a URL with more than a path: "http://a/?x=1""#,
        );
        check(
            r#""urls": ["http://a"], "bearer_token_file": "t", "headers": {"authorization": "x"}"#,
            r#"sink "am" says twice who it is"#,
        );
        check(
            r#""urls": ["http://a"], "external_url": "prometheus""#,
            r#"sink "am" has an external_url that is no link: its URL is none: relative URL without a base"#,
        );
    }
}
