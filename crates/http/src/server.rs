//! Paths, and the listener behind them.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use foghorn_model::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::access::{Access, Role};
use crate::body::text;
use crate::config::{HttpConfig, HttpError};
use crate::door::Door;
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

/// All paths, to serve as one likes, for whom `access` lets in. Registers its metrics in the API's registry, so once only.
///
/// # Errors
/// Its metrics are registered already.
pub fn router(api: Api, config: HttpConfig, access: Arc<Access>) -> Result<Router, HttpError> {
    let meter = Meter::register(&api.registry)?;
    Ok(build(meter, api, config, access))
}

fn build(meter: Meter, api: Api, config: HttpConfig, access: Arc<Access>) -> Router {
    let guard = Guard {
        access,
        meter: meter.clone(),
    };
    let shared = Arc::new(Shared {
        meter,
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
    Router::new()
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
        .layer(middleware::from_fn_with_state(guard, known))
        .with_state(shared)
}

/// The door, open on an address.
pub struct Server {
    listener: TcpListener,
    router: Router,
    door: Door,
}

impl Server {
    /// Takes the address; nothing is answered before [`Self::serve`].
    ///
    /// # Errors
    /// The address cannot be had, it is open to other machines and nobody is asked who they are, or the
    /// metrics are registered already.
    pub async fn bind(
        config: HttpConfig,
        api: Api,
        access: Arc<Access>,
    ) -> Result<Self, HttpError> {
        let listen = config.listen.clone();
        let listener = TcpListener::bind(&listen).await;
        let listener = listener.map_err(|source| HttpError::Listen {
            listen: listen.clone(),
            source,
        })?;
        let address = listener.local_addr().map_err(HttpError::Serve)?;
        if !address.ip().is_loopback() && access.is_open() {
            if !config.allow_unauthenticated {
                return Err(HttpError::Open { listen });
            }
            tracing::warn!(
                listen,
                "open to other machines, and nobody is asked who they are"
            );
        }
        let meter = Meter::register(&api.registry)?;
        let door = Door {
            access: Arc::clone(&access),
            meter: meter.clone(),
            connections: Arc::new(Semaphore::new(config.max_connections)),
        };
        Ok(Self {
            listener,
            router: build(meter, api, config, access),
            door,
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
        self.door
            .serve(self.listener, self.router, shutdown)
            .await
            .map_err(HttpError::Serve)
    }
}

/// Asks who is there.
#[derive(Clone)]
struct Guard {
    access: Arc<Access>,
    meter: Meter,
}

/// What probes ask for, who cannot say who they are: it tells nothing.
const FOR_ALL: [&str; 4] = ["/-/healthy", "/livez", "/-/ready", "/readyz"];
/// What is asked for by POST, too, and changes nothing.
const QUESTIONS_BY_POST: [&str; 5] = [
    "/api/v1/query",
    "/api/v1/query_range",
    "/api/v1/series",
    "/api/v1/labels",
    "/api/v1/query_exemplars",
];

/// Lets in who may do what they ask for.
async fn known(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    let needs = if reads || QUESTIONS_BY_POST.contains(&path) {
        Role::ReadOnly
    } else {
        Role::Operator
    };
    let mut response = if FOR_ALL.contains(&path) && reads {
        next.run(request).await
    } else {
        match guard.role(request.headers()).await {
            None => {
                guard.meter.denied("unauthenticated");
                let mut response = failure(
                    StatusCode::UNAUTHORIZED,
                    "unauthorized",
                    "say who you are: basic or bearer authentication",
                );
                let realm = HeaderValue::from_static("Basic realm=\"foghorn\", charset=\"UTF-8\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, realm);
                response
            }
            Some(role) if role < needs => {
                guard.meter.denied("forbidden");
                failure(
                    StatusCode::FORBIDDEN,
                    "forbidden",
                    "whoever may only look may not do this",
                )
            }
            Some(_) => next.run(request).await,
        }
    };
    guard.access.add_headers(response.headers_mut());
    response
}

impl Guard {
    async fn role(&self, headers: &HeaderMap) -> Option<Role> {
        let shown = headers.get(AUTHORIZATION);
        let shown = shown.and_then(|value| value.to_str().ok());
        if !Access::is_slow(shown) {
            return self.access.role(shown);
        }
        let (access, shown) = (Arc::clone(&self.access), shown.map(str::to_owned));
        // A hash takes long on purpose: others are not to wait for it.
        let role = tokio::task::spawn_blocking(move || access.role(shown.as_deref()));
        role.await.ok().flatten()
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
