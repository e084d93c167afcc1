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
use foghorn_model::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::body::text;
use crate::config::{HttpConfig, HttpError};
use crate::hooks::Api;
use crate::meter::Meter;
use crate::reply::failure;
use crate::{incidents, operate, prometheus_api, prometheus_query, prometheus_status, receive};

/// What every handler sees.
pub(crate) struct Shared {
    pub(crate) api: Api,
    pub(crate) config: HttpConfig,
    pub(crate) meter: Meter,
    /// A permit for each body of telemetry in memory.
    pub(crate) receives: Arc<Semaphore>,
    /// A permit for each query that is being answered: ticks wait meanwhile.
    pub(crate) questions: Semaphore,
    /// When the door opened.
    pub(crate) started: Timestamp,
}

/// Queries at once.
const QUESTIONS: usize = 4;

/// All paths, to serve as one likes. Registers its metrics in the API's registry, so once only.
///
/// # Errors
/// Its metrics are registered already.
pub fn router(api: Api, config: HttpConfig) -> Result<Router, HttpError> {
    let shared = Arc::new(Shared {
        meter: Meter::register(&api.registry)?,
        receives: Arc::new(Semaphore::new(config.max_concurrent_receives)),
        questions: Semaphore::new(QUESTIONS),
        started: (api.now)(),
        api,
        config,
    });
    let query = get(prometheus_query::query).post(prometheus_query::query);
    let range = get(prometheus_query::query_range).post(prometheus_query::query_range);
    let series = get(prometheus_query::series).post(prometheus_query::series);
    let labels = get(prometheus_query::labels).post(prometheus_query::labels);
    let exemplars = get(prometheus_status::exemplars).post(prometheus_status::exemplars);
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
        .route("/api/v1/query", query)
        .route("/api/v1/query_range", range)
        .route("/api/v1/series", series)
        .route("/api/v1/labels", labels)
        .route(
            "/api/v1/label/{name}/values",
            get(prometheus_query::label_values),
        )
        .route("/api/v1/query_exemplars", exemplars)
        .route("/api/v1/metadata", get(prometheus_status::metadata))
        .route("/api/v1/targets", get(prometheus_status::targets))
        .route(
            "/api/v1/alertmanagers",
            get(prometheus_status::alertmanagers),
        )
        .route("/api/v1/status/config", get(prometheus_status::config))
        .route("/api/v1/status/flags", get(prometheus_status::flags))
        .route(
            "/api/v1/status/runtimeinfo",
            get(prometheus_status::runtime_info),
        )
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
