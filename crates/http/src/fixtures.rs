//! A door on a free port, and how to knock, for this room's tests.

use std::net::SocketAddr;
use std::sync::Arc;

use foghorn_engine::View;
use foghorn_model::incident::{AffectedService, Event, Level, Priority, Status};
use foghorn_model::{Incident, IncidentId, Labels, Timestamp};
use prometheus::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::access::Access;
use crate::config::HttpConfig;
use crate::hooks::Api;
use crate::server::Server;

/// Wall time in these tests.
pub(crate) const NOW: Timestamp = Timestamp(1_000_000);

pub(crate) fn api() -> Api {
    Api::new(Arc::new(View::default()), Registry::new(), || NOW)
}

/// An incident that touches one service.
pub(crate) fn incident(id: u128, level: Level, status: Status, service: &str) -> Incident {
    let at = Timestamp(60_000);
    Incident {
        id: IncidentId(id),
        revision: 1,
        event: Event::Opened,
        status,
        title: String::new(),
        summary: String::new(),
        priority: Priority {
            level,
            score: 0.0,
            parts: Vec::new(),
        },
        services: vec![AffectedService {
            name: service.to_owned(),
            owner: String::new(),
            tier: None,
            onset: at,
            alerts: 1,
        }],
        shared_labels: Labels::empty(),
        onset: at,
        opened_at: at,
        updated_at: at,
        resolved_at: None,
        no_data: false,
        alerts: Vec::new(),
        alerts_total: 1,
        alerts_firing: 1,
        suspects: Vec::new(),
        probable_cause: String::new(),
        merged_into: None,
    }
}

/// A server on a free port of loopback; gone when this is.
pub(crate) struct Door {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Door {
    pub(crate) async fn open(api: Api) -> Self {
        Self::open_with(api, HttpConfig::default()).await
    }

    pub(crate) async fn open_with(api: Api, config: HttpConfig) -> Self {
        let config = HttpConfig {
            listen: "127.0.0.1:0".to_owned(),
            ..config
        };
        let server = Server::bind(config, api, Arc::new(Access::open()))
            .await
            .unwrap();
        let address = server.local_addr().unwrap();
        let serving =
            tokio::spawn(async move { server.serve(std::future::pending()).await.unwrap() });
        Self { address, serving }
    }

    /// Sends a request (method and path; header lines; body) and reads the whole answer.
    pub(crate) async fn ask(&self, request: &str, headers: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = if headers.contains("Transfer-Encoding") {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let head = format!(
            "{request} HTTP/1.1\r\nHost: door\r\nConnection: close\r\n{length}{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that has refused already may not read to the end.
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head,
            body: answer.split_off(end + 4),
        }
    }

    /// Asks without a body, and looks for `text` in the whole answer.
    pub(crate) async fn check(&self, request: &str, status: u16, text: &str) {
        let answer = self.ask(request, "", b"").await;
        let whole = format!("{}\n\n{}", answer.head, answer.text());
        assert_eq!(answer.status, status, "{request}: {whole}");
        assert!(whole.contains(text), "{request}: {text:?} in {whole}");
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| {
            line.split_once(':')
                .filter(|(n, _)| n.eq_ignore_ascii_case(name))
        });
        line.map_or("", |(_, value)| value.trim())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}
