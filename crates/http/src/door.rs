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
