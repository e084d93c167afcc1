//! Paths, and the listener behind them.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::body::text;
use crate::config::{HttpConfig, HttpError};
use crate::hooks::Api;
use crate::meter::Meter;
use crate::reply::failure;
use crate::{incidents, operate, prometheus_api, receive};

/// What every handler sees.
pub(crate) struct Shared {
    pub(crate) api: Api,
    pub(crate) config: HttpConfig,
    pub(crate) meter: Meter,
    /// A permit for each body of telemetry in memory.
    pub(crate) receives: Arc<Semaphore>,
}

/// All paths, to serve as one likes. Registers its metrics in the API's registry, so once only.
///
/// # Errors
/// Its metrics are registered already.
pub fn router(api: Api, config: HttpConfig) -> Result<Router, HttpError> {
    let shared = Arc::new(Shared {
        meter: Meter::register(&api.registry)?,
        receives: Arc::new(Semaphore::new(config.max_concurrent_receives)),
        api,
        config,
    });
    Ok(Router::new()
        .route("/metrics", get(operate::metrics))
        .route("/-/healthy", get(operate::healthy))
        .route("/livez", get(operate::healthy))
        .route("/-/ready", get(operate::ready))
        .route("/readyz", get(operate::ready))
        .route("/-/reload", post(operate::reload).put(operate::reload))
        .route("/api/v1/status/buildinfo", get(operate::buildinfo))
        .route("/api/v1/incidents", get(incidents::list))
        .route("/api/v1/incidents/{id}", get(incidents::one))
        .route(
            "/api/v1/incidents/{id}/acknowledge",
            post(incidents::acknowledge),
        )
        .route("/api/v1/rules", get(prometheus_api::rules))
        .route("/api/v1/alerts", get(prometheus_api::alerts))
        .route("/v1/metrics", post(receive::otlp_metrics))
        .route("/v1/logs", post(receive::otlp_logs))
        .route("/v1/traces", post(receive::otlp_traces))
        .route("/api/v1/write", post(receive::remote_write))
        .route("/api/v1/changes", post(receive::changes))
        .route("/api/v2/alerts", post(receive::alerts))
        .fallback(nothing)
        .layer(middleware::from_fn(same_site))
        .with_state(shared))
}

/// The door, open on an address.
pub struct Server {
    listener: TcpListener,
    router: Router,
}

impl Server {
    /// Takes the address; nothing is answered before [`Self::serve`].
    ///
    /// # Errors
    /// The address cannot be had, or the metrics are registered already.
    pub async fn bind(config: HttpConfig, api: Api) -> Result<Self, HttpError> {
        let listen = config.listen.clone();
        let listener = TcpListener::bind(&listen).await;
        let listener = listener.map_err(|source| HttpError::Listen { listen, source })?;
        if listener
            .local_addr()
            .is_ok_and(|address| !address.ip().is_loopback())
        {
            tracing::warn!(
                listen = %config.listen,
                "open to other machines, and there is no authentication: put a proxy in front"
            );
        }
        Ok(Self {
            listener,
            router: router(api, config)?,
        })
    }

    /// Where it listens (the port that was chosen, where the config says 0).
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> Result<SocketAddr, HttpError> {
        self.listener.local_addr().map_err(HttpError::Serve)
    }

    /// Answers until `shutdown` is done, and then what has begun.
    ///
    /// # Errors
    /// Accepting failed for good.
    pub async fn serve(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), HttpError> {
        axum::serve(self.listener, self.router)
            .with_graceful_shutdown(shutdown)
            .await
            .map_err(HttpError::Serve)
    }
}

/// A page of another site may send simple requests here through somebody's browser; browsers then
/// say where it came from.
async fn same_site(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let (origin, host) = (text(headers, &ORIGIN), text(headers, &HOST));
    let same = origin
        .split_once("://")
        .is_some_and(|(_, from)| from.eq_ignore_ascii_case(host));
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if reads || origin.is_empty() || same {
        next.run(request).await
    } else {
        failure(
            StatusCode::FORBIDDEN,
            "forbidden",
            "this request comes from another site's page",
        )
    }
}

async fn nothing() -> Response {
    failure(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing at this path",
    )
}
