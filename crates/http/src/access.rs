//! Who may come in, and over what: Prometheus' web configuration (exporter-toolkit's
//! `web-configuration.md`), with two things of our own, tokens and roles.
//!
//! Reads no file: whoever reads the configuration hands the files' contents in. What is in force can be
//! replaced while the door is open; connections that are open stay.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use xxhash_rust::xxh3::xxh3_128;

/// A web configuration as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// TLS; without it requests come in the clear.
    pub tls_server_config: Option<TlsConfig>,
    /// Headers of every answer, and what is accepted for Prometheus' sake.
    pub http_server_config: HttpServerConfig,
    /// Hashes of passwords (bcrypt), by user.
    pub basic_auth_users: BTreeMap<String, String>,
    /// Files of bearer tokens, by the name of who holds them. Ours.
    pub bearer_token_files: BTreeMap<String, PathBuf>,
    /// Users and holders of tokens that may look and do nothing else; all others are operators. Ours.
    pub read_only: BTreeSet<String>,
}

/// The TLS part.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificate chain, PEM.
    pub cert_file: PathBuf,
    /// Its key, PEM.
    pub key_file: PathBuf,
    /// Whether clients show certificates.
    #[serde(default)]
    pub client_auth_type: ClientAuth,
    /// Authorities of clients' certificates, PEM.
    #[serde(default)]
    pub client_ca_file: Option<PathBuf>,
    /// The oldest version that is spoken.
    #[serde(default)]
    pub min_version: Option<TlsVersion>,
    /// The newest.
    #[serde(default)]
    pub max_version: Option<TlsVersion>,
}

/// Whether clients show certificates. Prometheus' two kinds that do not verify them are not offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ClientAuth {
    /// They need none.
    #[default]
    #[serde(alias = "")]
    NoClientCert,
    /// One that is shown must be good.
    VerifyClientCertIfGiven,
    /// They must.
    RequireAndVerifyClientCert,
}

/// Versions of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum TlsVersion {
    /// 1.2
    #[serde(rename = "TLS12")]
    Tls12,
    /// 1.3
    #[serde(rename = "TLS13")]
    Tls13,
}

/// The HTTP part.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpServerConfig {
    /// Accepted; HTTP/1.1 is what is spoken.
    pub http2: Option<bool>,
    /// Headers of every answer (`Strict-Transport-Security`, say).
    pub headers: BTreeMap<String, String>,
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    ReadOnly,
    /// Everything: send telemetry, acknowledge, reload.
    Operator,
}

/// Why a web configuration is not used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file that it names.
    #[error("{what} {path}: {source}", path = path.display())]
    File {
        /// Which key names it.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Certificates or a key.
    #[error("{what} {path}: {why}", path = path.display())]
    Pem {
        /// Which key names it.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// TLS as a whole.
    #[error("tls_server_config: {0}")]
    Tls(String),
    /// Something else.
    #[error("{0}")]
    Invalid(String),
}

/// Rules of access, in force together.
#[derive(Debug, Default)]
struct Rules {
    tls: Option<Arc<ServerConfig>>,
    users: BTreeMap<String, (String, Role)>,
    /// Holder, token, role.
    tokens: Vec<(String, Vec<u8>, Role)>,
    needs_certificate: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Who may come in; cheap to ask, and replaced as a whole.
#[derive(Debug, Default)]
pub struct Access {
    rules: RwLock<Arc<Rules>>,
    /// Passwords that were found good under the rules in force: verifying one takes a tenth of a second.
    known: Mutex<BTreeSet<u128>>,
}

/// How the files that a configuration names are read.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// Passwords that are remembered; more than there are people.
const KNOWN: usize = 10_000;
/// Of nobody's password: verified for users that there are not, so that both take as long.
static NOBODY: LazyLock<String> =
    LazyLock::new(|| bcrypt::hash(NOBODYS, NOBODYS_COST).unwrap_or_default());
const NOBODYS: &str = "nobody";
/// What `htpasswd -B -C 10` makes, and most people have.
const NOBODYS_COST: u32 = 10;

impl Access {
    /// Everybody may do everything.
    pub fn open() -> Self {
        Self::default()
    }

    /// What a configuration says.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn of(config: &WebConfig, read: ReadFile<'_>) -> Result<Self, AccessError> {
        Ok(Self {
            rules: RwLock::new(Arc::new(Rules::of(config, read)?)),
            known: Mutex::default(),
        })
    }

    /// Puts what another says in force, for requests and connections to come.
    pub fn replace(&self, with: &Self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clear();
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = with.rules();
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether somebody who shows nothing is let in.
    pub fn is_open(&self) -> bool {
        let rules = self.rules();
        rules.users.is_empty() && rules.tokens.is_empty() && !rules.needs_certificate
    }

    /// How TLS is spoken, where it is.
    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.rules().tls.clone()
    }

    /// Adds the configured headers to an answer's.
    pub(crate) fn add_headers(&self, to: &mut HeaderMap) {
        for (name, value) in &self.rules().headers {
            to.insert(name.clone(), value.clone());
        }
    }

    /// What who shows this `Authorization` may do; `None` where nothing. May take a tenth of a second.
    pub(crate) fn role(&self, authorization: Option<&str>) -> Option<Role> {
        let rules = self.rules();
        if rules.users.is_empty() && rules.tokens.is_empty() {
            // A certificate was verified before anything was read.
            return Some(Role::Operator);
        }
        let (scheme, shown) = authorization?.split_once(' ')?;
        let shown = shown.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            let is_it = |token: &[u8]| bool::from(token.ct_eq(shown.as_bytes()));
            let mut tokens = rules.tokens.iter();
            return tokens
                .find(|(_, token, _)| is_it(token))
                .map(|known| known.2);
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(BASE64_STANDARD.decode(shown).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        let (hash, role) = match rules.users.get(user) {
            Some((hash, role)) => (hash.as_str(), Some(*role)),
            None => (NOBODY.as_str(), None),
        };
        let mark = xxh3_128(format!("{hash}\0{user}\0{password}").as_bytes());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if role.is_some() && known.contains(&mark) {
            return role;
        }
        drop(known);
        if !bcrypt::verify(password, hash).unwrap_or(false) {
            return None;
        }
        known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if role.is_some() && known.len() < KNOWN {
            known.insert(mark);
        }
        role
    }

    /// Whether some `Authorization` has to be looked at for longer than a request may block.
    pub(crate) fn is_slow(authorization: Option<&str>) -> bool {
        let scheme = authorization
            .and_then(|it| it.split_once(' '))
            .map(|it| it.0);
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic"))
    }
}

impl Rules {
    fn of(config: &WebConfig, read: ReadFile<'_>) -> Result<Self, AccessError> {
        let role = |name: &String| {
            if config.read_only.contains(name) {
                Role::ReadOnly
            } else {
                Role::Operator
            }
        };
        let (mut users, mut tokens) = (BTreeMap::new(), Vec::new());
        for (user, hash) in &config.basic_auth_users {
            if bcrypt::verify("", hash).is_err() {
                return Err(AccessError::Invalid(format!(
                    "basic_auth_users: {user}: this is no bcrypt hash (`htpasswd -nBC 10 \"\"` makes one)"
                )));
            }
            users.insert(user.clone(), (hash.clone(), role(user)));
        }
        for (holder, path) in &config.bearer_token_files {
            let token = contents("bearer_token_files", path, read)?;
            let token = token.trim_ascii().to_vec();
            if token.len() < LEAST_TOKEN {
                return Err(AccessError::Invalid(format!(
                    "bearer_token_files: {holder}: a token has {LEAST_TOKEN} characters at least"
                )));
            }
            tokens.push((holder.clone(), token, role(holder)));
        }
        let nobody = |name: &&String| {
            !config.basic_auth_users.contains_key(*name)
                && !config.bearer_token_files.contains_key(*name)
        };
        if let Some(name) = config.read_only.iter().find(nobody) {
            return Err(AccessError::Invalid(format!(
                "read_only: {name}: there is no such user or holder of a token"
            )));
        }
        let mut headers = Vec::new();
        for (name, value) in &config.http_server_config.headers {
            let both = (name.parse::<HeaderName>(), value.parse::<HeaderValue>());
            let (Ok(name), Ok(value)) = both else {
                return Err(AccessError::Invalid(format!(
                    "http_server_config.headers: {name}: this is no header"
                )));
            };
            headers.push((name, value));
        }
        let tls = config.tls_server_config.as_ref();
        let needs =
            |tls: &TlsConfig| tls.client_auth_type == ClientAuth::RequireAndVerifyClientCert;
        Ok(Self {
            needs_certificate: tls.is_some_and(needs),
            tls: tls.map(|tls| tls_of(tls, read)).transpose()?,
            users,
            tokens,
            headers,
        })
    }
}

/// Shorter tokens can be guessed.
const LEAST_TOKEN: usize = 16;

fn contents(what: &'static str, path: &Path, read: ReadFile<'_>) -> Result<Vec<u8>, AccessError> {
    read(path).map_err(|source| AccessError::File {
        what,
        path: path.to_owned(),
        source,
    })
}

fn certificates(
    what: &'static str,
    path: &Path,
    read: ReadFile<'_>,
) -> Result<Vec<CertificateDer<'static>>, AccessError> {
    let pem = contents(what, path, read)?;
    let bad = |why: String| AccessError::Pem {
        what,
        path: path.to_owned(),
        why,
    };
    let all = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|error| bad(error.to_string()))?;
    if all.is_empty() {
        return Err(bad("there is no certificate in it".to_owned()));
    }
    Ok(all)
}

fn tls_of(config: &TlsConfig, read: ReadFile<'_>) -> Result<Arc<ServerConfig>, AccessError> {
    let invalid = |error: &dyn std::fmt::Display| AccessError::Tls(error.to_string());
    let chain = certificates("cert_file", &config.cert_file, read)?;
    let key = contents("key_file", &config.key_file, read)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| AccessError::Pem {
        what: "key_file",
        path: config.key_file.clone(),
        why: error.to_string(),
    })?;
    let (least, most) = (config.min_version, config.max_version);
    let spoken = |version: TlsVersion| {
        least.is_none_or(|least| version >= least) && most.is_none_or(|most| version <= most)
    };
    let mut versions: Vec<&SupportedProtocolVersion> = Vec::new();
    versions.extend(spoken(TlsVersion::Tls12).then_some(&rustls::version::TLS12));
    versions.extend(spoken(TlsVersion::Tls13).then_some(&rustls::version::TLS13));
    if versions.is_empty() {
        return Err(invalid(&"min_version is after max_version"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| invalid(&error))?;
    let builder = match (config.client_auth_type, &config.client_ca_file) {
        (ClientAuth::NoClientCert, None) => builder.with_no_client_auth(),
        (ClientAuth::NoClientCert, Some(_)) => {
            return Err(invalid(
                &"client_ca_file is given, and client_auth_type asks for no certificate",
            ));
        }
        (_, None) => return Err(invalid(&"client_auth_type needs a client_ca_file")),
        (kind, Some(path)) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates("client_ca_file", path, read)? {
                roots.add(authority).map_err(|error| invalid(&error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if kind == ClientAuth::VerifyClientCertIfGiven {
                verifier.allow_unauthenticated()
            } else {
                verifier
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| invalid(&error))?)
        }
    };
    let mut server = builder
        .with_single_cert(chain, key)
        .map_err(|error| invalid(&error))?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(server))
}

#[cfg(test)]
mod tests;
