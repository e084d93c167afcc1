//! For operators: metrics, health, readiness, reload, build.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use prometheus::{Encoder, TextEncoder};
use serde_json::json;

use crate::hooks::ReloadError;
use crate::reply::{line, success, with_body};
use crate::server::Shared;

/// `GET /metrics`: Prometheus' text format 0.0.4.
pub(crate) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&shared.api.registry.gather(), &mut text) {
        Ok(()) => with_body(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            text,
        ),
        Err(error) => line(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// `GET /-/healthy`: whether a restart would help.
pub(crate) async fn healthy(State(shared): State<Arc<Shared>>) -> Response {
    match shared.api.alive.as_ref().map_or(Ok(()), |alive| alive()) {
        Ok(()) => line(StatusCode::OK, "Foghorn is healthy."),
        Err(reason) => line(
            StatusCode::SERVICE_UNAVAILABLE,
            &format!("Foghorn is not healthy: {reason}"),
        ),
    }
}

/// `GET /-/ready`: whether it is restored and running.
pub(crate) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    match shared.api.readiness.reason() {
        None => line(StatusCode::OK, "Foghorn is ready."),
        Some(reason) => line(
            StatusCode::SERVICE_UNAVAILABLE,
            &format!("Foghorn is not ready: {reason}"),
        ),
    }
}

/// `POST /-/reload`: all problems in the answer, one a line.
pub(crate) async fn reload(State(shared): State<Arc<Shared>>) -> Response {
    let Some(reload) = shared.api.reload.clone() else {
        return line(StatusCode::NOT_FOUND, "there is nothing to reload here");
    };
    match tokio::task::spawn_blocking(move || reload()).await {
        Ok(Ok(said)) => line(StatusCode::OK, &said),
        Ok(Err(ReloadError::Rejected(problems))) => {
            line(StatusCode::BAD_REQUEST, &problems.join("\n"))
        }
        Ok(Err(ReloadError::Failed(problems))) => {
            line(StatusCode::INTERNAL_SERVER_ERROR, &problems.join("\n"))
        }
        Err(error) => line(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("the reload broke off: {error}"),
        ),
    }
}

/// `GET /api/v1/status/buildinfo`, with the keys that Prometheus' clients look for.
pub(crate) async fn buildinfo(State(shared): State<Arc<Shared>>) -> Response {
    success(&json!({
        "version": shared.api.version,
        "revision": shared.api.revision,
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
        "application": "foghorn",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Door, api};

    #[tokio::test]
    async fn says_how_it_does() {
        let mut api = api();
        api.alive = Some(Arc::new(|| Ok(())));
        let readiness = api.readiness.clone();
        let door = Door::open(api).await;
        door.check("GET /-/healthy", 200, "Foghorn is healthy.")
            .await;
        door.check("GET /livez", 200, "Foghorn is healthy.").await;
        door.check("GET /-/ready", 503, "not ready: starting").await;
        readiness.set_ready();
        door.check("GET /-/ready", 200, "Foghorn is ready.").await;
        readiness.set_not_ready("stopping");
        door.check("GET /readyz", 503, "not ready: stopping").await;
        door.check(
            "GET /api/v1/status/buildinfo",
            200,
            "\"application\":\"foghorn\"",
        )
        .await;
    }

    #[tokio::test]
    async fn a_worker_that_stands_still_is_not_healthy() {
        let mut api = api();
        api.alive = Some(Arc::new(|| Err("worker 1 stands still".to_owned())));
        Door::open(api)
            .await
            .check("GET /-/healthy", 503, "worker 1 stands still")
            .await;
    }

    #[tokio::test]
    async fn shows_metrics() {
        let api = api();
        let counter = prometheus::IntCounter::new("foghorn_test_total", "A test's.").unwrap();
        api.registry.register(Box::new(counter.clone())).unwrap();
        counter.inc();
        let door = Door::open(api).await;
        door.check(
            "GET /metrics",
            200,
            "# TYPE foghorn_test_total counter\nfoghorn_test_total 1\n",
        )
        .await;
        door.check(
            "GET /metrics",
            200,
            "content-type: text/plain; version=0.0.4",
        )
        .await;
    }

    #[tokio::test]
    async fn a_reload_says_everything_that_is_wrong() {
        Door::open(api())
            .await
            .check("POST /-/reload", 404, "nothing to reload")
            .await;
        for (result, status, text) in [
            (Ok("3 groups".to_owned()), 200, "3 groups"),
            (
                Err(ReloadError::Rejected(vec![
                    "a.yml:1: x".into(),
                    "b.yml:2: y".into(),
                ])),
                400,
                "a.yml:1: x\nb.yml:2: y",
            ),
            (
                Err(ReloadError::Failed(vec!["no such directory".into()])),
                500,
                "no such directory",
            ),
        ] {
            let mut api = api();
            api.reload = Some(Arc::new(move || result.clone()));
            let door = Door::open(api).await;
            door.check("POST /-/reload", status, text).await;
            door.check("GET /-/reload", 405, "").await;
        }
    }

    #[tokio::test]
    async fn another_sites_page_cannot_give_orders() {
        let mut api = api();
        api.reload = Some(Arc::new(|| Ok("done".to_owned())));
        let door = Door::open(api).await;
        let cross = door
            .ask("POST /-/reload", "Origin: https://evil.example\r\n", b"")
            .await;
        assert_eq!(cross.status, 403);
        let own = door
            .ask("POST /-/reload", "Origin: http://door\r\n", b"")
            .await;
        assert_eq!(own.status, 200);
    }

    #[tokio::test]
    async fn what_is_not_there_is_said_in_json() {
        Door::open(api())
            .await
            .check("GET /api/v1/nothing", 404, "\"status\":\"error\"")
            .await;
    }
}
