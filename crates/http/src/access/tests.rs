use std::collections::BTreeMap;
use std::net::SocketAddr;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;
use crate::config::{HttpConfig, HttpError};
use crate::fixtures::api;
use crate::server::Server;

/// Files by their paths, in place of a disk.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn read(files: &Files) -> impl Fn(&Path) -> io::Result<Vec<u8>> + '_ {
    |path| {
        let found = files.get(path).cloned();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

/// Ada operates, Bob looks; a collector has a token, and so has a dashboard that looks.
fn people() -> (WebConfig, Files) {
    let tokens = [("collector", "c"), ("dashboard", "d")];
    let files = tokens.map(|(_, name)| (name.into(), format!("{}\n", name.repeat(20)).into()));
    let config = WebConfig {
        basic_auth_users: [("ada", "a:b"), ("bob", "secret")]
            .map(|(user, password)| (user.to_owned(), hash(password)))
            .into(),
        bearer_token_files: tokens
            .map(|(who, path)| (who.to_owned(), path.into()))
            .into(),
        read_only: ["bob", "dashboard"].map(str::to_owned).into(),
        ..WebConfig::default()
    };
    (config, files.into())
}

fn basic(user: &str, password: &str) -> String {
    let both = BASE64_STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {both}\r\n")
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

struct Open {
    address: SocketAddr,
    access: Arc<Access>,
}

async fn open(access: Access, max_connections: usize) -> Open {
    let config = HttpConfig {
        listen: "127.0.0.1:0".to_owned(),
        max_connections,
        ..HttpConfig::default()
    };
    let access = Arc::new(access);
    let server = Server::bind(config, api(), Arc::clone(&access)).await;
    let server = server.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(async move { server.serve(std::future::pending()).await });
    Open { address, access }
}

async fn talk(
    mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    request: &str,
    headers: &str,
) -> io::Result<String> {
    let request = format!(
        "{request} HTTP/1.1\r\nHost: door\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn status(answer: &str) -> u16 {
    let code = answer.split(' ').nth(1);
    code.and_then(|code| code.parse().ok()).unwrap_or(0)
}

impl Open {
    async fn ask(&self, request: &str, headers: &str) -> String {
        let stream = TcpStream::connect(self.address).await.unwrap();
        talk(stream, request, headers).await.unwrap()
    }

    async fn check(&self, request: &str, headers: &str, expect: u16) {
        let answer = self.ask(request, headers).await;
        assert_eq!(status(&answer), expect, "{request} {headers}: {answer}");
    }
}

#[tokio::test]
async fn who_does_not_say_who_they_are_is_not_let_in() {
    let (config, files) = people();
    let door = open(Access::of(&config, &read(&files)).unwrap(), 16).await;
    for headers in [
        String::new(),
        basic("ada", "wrong"),
        basic("ada", "a"),
        basic("eve", "a:b"),
        basic("", ""),
        bearer("cccccccccccccccccccX"),
        bearer(""),
        "Authorization: Basic %%%\r\n".to_owned(),
        "Authorization: Digest x\r\n".to_owned(),
        "Authorization: Basic\r\n".to_owned(),
    ] {
        door.check("GET /api/v1/incidents", &headers, 401).await;
        door.check("POST /-/reload", &headers, 401).await;
        door.check("GET /metrics", &headers, 401).await;
    }
    let answer = door.ask("GET /metrics", "").await;
    assert!(
        answer
            .to_ascii_lowercase()
            .contains("www-authenticate: basic")
    );
    // Probes cannot say who they are, and are told nothing.
    door.check("GET /livez", "", 200).await;
}

#[tokio::test]
async fn who_may_only_look_changes_nothing() {
    let (config, files) = people();
    let door = open(Access::of(&config, &read(&files)).unwrap(), 16).await;
    for _ in 0..2 {
        for headers in [basic("bob", "secret"), bearer(&"d".repeat(20))] {
            door.check("GET /api/v1/incidents", &headers, 200).await;
            // Both have no backend here, which is not the guard's word.
            door.check("POST /api/v1/query", &headers, 400).await;
            for request in [
                "POST /-/reload",
                "PUT /-/reload",
                "POST /v1/metrics",
                "POST /api/v1/incidents/00/acknowledge",
            ] {
                door.check(request, &headers, 403).await;
            }
        }
        for headers in [basic("ada", "a:b"), bearer(&"c".repeat(20))] {
            door.check("GET /api/v1/incidents", &headers, 200).await;
            let answer = door.ask("POST /-/reload", &headers).await;
            assert!(!matches!(status(&answer), 401 | 403), "{answer}");
        }
    }
}

#[tokio::test]
async fn another_configuration_holds_at_once_and_a_bad_one_never() {
    let (mut config, files) = people();
    let door = open(Access::of(&config, &read(&files)).unwrap(), 16).await;
    let ada = basic("ada", "a:b");
    door.check("GET /metrics", &ada, 200).await;
    config
        .basic_auth_users
        .insert("ada".to_owned(), hash("new"));
    let other = Access::of(&config, &read(&files)).unwrap();
    door.access.replace(&other);
    door.check("GET /metrics", &ada, 401).await;
    door.check("GET /metrics", &basic("ada", "new"), 200).await;
    config
        .basic_auth_users
        .insert("ada".to_owned(), "new".to_owned());
    assert!(Access::of(&config, &read(&files)).is_err());
    door.check("GET /metrics", &basic("ada", "new"), 200).await;
}

#[tokio::test]
async fn open_to_others_only_where_somebody_asks_who_they_are() {
    let bind = async |access: Access, allow: bool| {
        let config = HttpConfig {
            listen: "0.0.0.0:0".to_owned(),
            allow_unauthenticated: allow,
            ..HttpConfig::default()
        };
        Server::bind(config, api(), Arc::new(access))
            .await
            .map(drop)
    };
    let refused = bind(Access::open(), false).await.unwrap_err();
    assert!(matches!(refused, HttpError::Open { .. }), "{refused}");
    assert!(refused.to_string().contains("web_config_file"), "{refused}");
    bind(Access::open(), true).await.unwrap();
    let (config, files) = people();
    bind(Access::of(&config, &read(&files)).unwrap(), false)
        .await
        .unwrap();
}

#[tokio::test]
async fn more_connections_than_there_may_be_are_closed() {
    let door = open(Access::open(), 1).await;
    let held = TcpStream::connect(door.address).await.unwrap();
    // The server has taken it when it answers on it; a second one is closed without a word.
    let mut one = held;
    one.write_all(b"GET /livez HTTP/1.1\r\nHost: door\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    one.read_exact(&mut answer).await.unwrap();
    let other = TcpStream::connect(door.address).await.unwrap();
    let refused = talk(other, "GET /livez", "").await;
    assert!(
        refused.as_ref().map_or(true, String::is_empty),
        "{refused:?}"
    );
    drop(one);
    let again = async || {
        let stream = TcpStream::connect(door.address).await.unwrap();
        talk(stream, "GET /livez", "")
            .await
            .is_ok_and(|it| status(&it) == 200)
    };
    let mut tries = 0;
    while !again().await {
        tries += 1;
        assert!(tries < 1_000, "its place is given to nobody");
        tokio::task::yield_now().await;
    }
}

/// An authority, and what it has signed for the door and for a client, as PEM.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn files(&self) -> Files {
        let (certificate, key) = self.sign("door");
        Files::from([
            ("cert.pem".into(), certificate.into()),
            ("key.pem".into(), key.into()),
            ("ca.pem".into(), self.0.pem().into()),
        ])
    }

    /// A client that trusts it, and shows what another has signed.
    fn client(&self, shows: Option<&Self>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let client = match shows.map(|signer| signer.sign("client")) {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        TlsConnector::from(Arc::new(client))
    }
}

fn tls(client_auth_type: ClientAuth) -> WebConfig {
    let asks = client_auth_type != ClientAuth::NoClientCert;
    WebConfig {
        tls_server_config: Some(TlsConfig {
            cert_file: "cert.pem".into(),
            key_file: "key.pem".into(),
            client_auth_type,
            client_ca_file: asks.then(|| "ca.pem".into()),
            min_version: None,
            max_version: None,
        }),
        http_server_config: HttpServerConfig {
            headers: [("X-Frame-Options".to_owned(), "deny".to_owned())].into(),
            ..HttpServerConfig::default()
        },
        ..WebConfig::default()
    }
}

/// The status of an answer over TLS; `None` where there was none.
async fn over_tls(door: &Open, client: &TlsConnector) -> Option<u16> {
    let stream = TcpStream::connect(door.address).await.unwrap();
    let name = ServerName::try_from("door").unwrap();
    let stream = client.connect(name, stream).await.ok()?;
    let answer = talk(stream, "GET /metrics", "").await.ok()?;
    assert!(answer.contains("x-frame-options: deny"), "{answer}");
    Some(status(&answer))
}

#[tokio::test]
async fn over_tls_and_with_certificates() {
    let (own, foreign) = (Authority::new(), Authority::new());
    let files = own.files();
    for (kind, none, good, bad) in [
        (ClientAuth::NoClientCert, Some(200), Some(200), Some(200)),
        (
            ClientAuth::VerifyClientCertIfGiven,
            Some(200),
            Some(200),
            None,
        ),
        (
            ClientAuth::RequireAndVerifyClientCert,
            None,
            Some(200),
            None,
        ),
    ] {
        let access = Access::of(&tls(kind), &read(&files)).unwrap();
        let required = kind == ClientAuth::RequireAndVerifyClientCert;
        assert_eq!(access.is_open(), !required);
        let door = open(access, 16).await;
        assert_eq!(over_tls(&door, &own.client(None)).await, none, "{kind:?}");
        assert_eq!(
            over_tls(&door, &own.client(Some(&own))).await,
            good,
            "{kind:?}"
        );
        assert_eq!(
            over_tls(&door, &own.client(Some(&foreign))).await,
            bad,
            "{kind:?}"
        );
        assert_eq!(
            over_tls(&door, &foreign.client(None)).await,
            None,
            "not who it should be"
        );
        // In the clear nobody is answered.
        let stream = TcpStream::connect(door.address).await.unwrap();
        let clear = talk(stream, "GET /metrics", "").await;
        assert!(clear.map_or(true, |it| !it.starts_with("HTTP")));
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    let files = Authority::new().files();
    let check = |change: &dyn Fn(&mut WebConfig), expect: &str| {
        let mut config = tls(ClientAuth::NoClientCert);
        change(&mut config);
        let error = Access::of(&config, &read(&files)).unwrap_err().to_string();
        assert!(error.contains(expect), "{error:?} has no {expect:?}");
    };
    let with_tls = |change: fn(&mut TlsConfig)| {
        move |config: &mut WebConfig| change(config.tls_server_config.as_mut().unwrap())
    };
    check(
        &with_tls(|tls| tls.cert_file = "gone.pem".into()),
        "cert_file gone.pem",
    );
    check(
        &with_tls(|tls| tls.cert_file = "key.pem".into()),
        "no certificate in it",
    );
    check(
        &with_tls(|tls| tls.key_file = "cert.pem".into()),
        "key_file cert.pem",
    );
    check(
        &with_tls(|tls| tls.client_ca_file = Some("ca.pem".into())),
        "asks for no certificate",
    );
    check(
        &with_tls(|tls| tls.client_auth_type = ClientAuth::RequireAndVerifyClientCert),
        "needs a client_ca_file",
    );
    check(
        &with_tls(|tls| {
            (tls.min_version, tls.max_version) = (Some(TlsVersion::Tls13), Some(TlsVersion::Tls12));
        }),
        "min_version",
    );
    check(
        &|config| {
            let user = ("ada".to_owned(), "secret".to_owned());
            config.basic_auth_users.extend([user]);
        },
        "ada: this is no bcrypt hash",
    );
    check(
        &|config| config.read_only.extend(["eve".to_owned()]),
        "read_only: eve",
    );
    check(
        &|config| {
            let holder = ("x".to_owned(), "gone".into());
            config.bearer_token_files.extend([holder]);
        },
        "bearer_token_files gone",
    );
    check(
        &|config| {
            let headers = &mut config.http_server_config.headers;
            headers.insert("a b".to_owned(), String::new());
        },
        "a b: this is no header",
    );
}
