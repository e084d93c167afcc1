//! Connections: how many, how they are secured, and how long somebody may keep one waiting.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::access::Access;
use crate::meter::Meter;

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The head of a request that takes longer to come is not waited for; so long a connection may be idle,
/// too.
const HEAD: Duration = Duration::from_mins(1);
/// Bytes of a request's head.
const MOST_HEAD: usize = 64 << 10;
/// So long what has begun may go on when the door closes.
const CLOSING: Duration = Duration::from_secs(10);

/// See the module's text.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) access: Arc<Access>,
    pub(crate) meter: Meter,
    pub(crate) connections: Arc<Semaphore>,
}

impl Door {
    /// Serves connections until `shutdown` is done, and then what has begun, for a while.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        router: Router,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let graceful = GracefulShutdown::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut shutdown => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) if is_theirs(&error) => continue,
                Err(error) => {
                    // No descriptor is left, say: others end, and then it goes on.
                    tracing::warn!(%error, "no connection can be accepted");
                    self.meter.dropped("accept");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
                self.meter.dropped("too_many");
                continue;
            };
            let (door, router, watcher) = (self.clone(), router.clone(), graceful.watcher());
            tokio::spawn(async move {
                door.connection(stream, router, watcher).await;
                drop(permit);
            });
        }
        drop(listener);
        if timeout(CLOSING, graceful.shutdown()).await.is_err() {
            self.meter.dropped("closing");
        }
        Ok(())
    }

    async fn connection(self, stream: TcpStream, router: Router, watcher: Watcher) {
        // Answers are short, and somebody waits for each.
        let _slower = stream.set_nodelay(true);
        let Some(tls) = self.access.tls() else {
            return self.requests(stream, router, watcher).await;
        };
        match timeout(HANDSHAKE, TlsAcceptor::from(tls).accept(stream)).await {
            Ok(Ok(stream)) => self.requests(stream, router, watcher).await,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a handshake failed");
                self.meter.dropped("handshake");
            }
            Err(_) => self.meter.dropped("handshake_timeout"),
        }
    }

    async fn requests(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        router: Router,
        watcher: Watcher,
    ) {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(MOST_HEAD)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection broke");
            let reason = if error.is_timeout() {
                "head_timeout"
            } else if error.is_parse() {
                "no_http"
            } else {
                "broken"
            };
            self.meter.dropped(reason);
        }
    }
}

/// Whether an error of accepting is about one connection alone.
fn is_theirs(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::HeaderMap;
    use axum::routing::post;
    use prometheus::Registry;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;
    use crate::body;

    /// Somebody sends this, and then a byte of that every ten seconds: what is answered, after how many
    /// seconds it is over, and what is counted.
    async fn check((sent, dripped): (&str, &str), answer: &str, seconds: u64, counted: &str) {
        let registry = Registry::new();
        let door = Door {
            access: Arc::new(Access::open()),
            meter: Meter::register(&registry).unwrap(),
            connections: Arc::new(Semaphore::new(1)),
        };
        let read =
            async |headers: HeaderMap, body: Body| match body::read(&headers, body, 100).await {
                Ok(bytes) => format!("{} bytes", bytes.len()),
                Err(error) => format!("{error:?}"),
            };
        let router = Router::new().route("/", post(read));
        let (client, server) = duplex(1_024);
        let (mut answers, mut sends) = tokio::io::split(client);
        let graceful = GracefulShutdown::new();
        let began = Instant::now();
        let drips = async {
            sends.write_all(sent.as_bytes()).await.unwrap();
            for byte in dripped.bytes() {
                sleep(Duration::from_secs(10)).await;
                if sends.write_all(&[byte]).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let served = async {
            door.requests(server, router, graceful.watcher()).await;
            began.elapsed().as_secs()
        };
        let mut text = String::new();
        let (took, _) = tokio::select! {
            both = async { tokio::join!(served, answers.read_to_string(&mut text)) } => both,
            () = drips => unreachable!("it never ends"),
        };
        assert!(text.ends_with(answer), "{text}");
        assert_eq!(took, seconds, "{sent}{dripped}");
        let families = registry.gather();
        let dropped = families
            .iter()
            .find(|it| it.name() == "foghorn_http_connections_dropped_total");
        let reason = dropped.map_or("", |it| it.get_metric()[0].get_label()[0].value());
        assert_eq!(reason, counted);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_sends_a_byte_at_a_time_is_not_waited_for() {
        let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\nConnection: close\r\n\r\n";
        check(("", head), "", 60, "head_timeout").await;
        check((&head[..40], &head[40..]), "", 60, "head_timeout").await;
        check((head, "never so many bytes"), "TooSlow", 30, "").await;
    }
}
