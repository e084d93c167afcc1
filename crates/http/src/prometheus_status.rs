//! What Prometheus' clients ask of a server beside its data. Where Foghorn has no such thing, the
//! answer is an empty one of the right shape.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use crate::reply::success;
use crate::server::Shared;

/// `GET /api/v1/status/config`: the configuration file as it was read.
pub(crate) async fn config(State(shared): State<Arc<Shared>>) -> Response {
    success(&json!({"yaml": &*shared.api.config_text}))
}

/// `GET /api/v1/status/flags`: everything is in the configuration file.
pub(crate) async fn flags() -> Response {
    success(&json!({}))
}

/// `GET /api/v1/status/runtimeinfo`: of Prometheus' keys those that mean something here.
pub(crate) async fn runtime_info(State(shared): State<Arc<Shared>>) -> Response {
    success(&json!({
        "startTime": shared.started.to_string(),
        "serverTime": (shared.api.now)().to_string(),
    }))
}

/// `GET /api/v1/targets`: nothing is scraped.
pub(crate) async fn targets() -> Response {
    success(&json!({"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}}))
}

/// `GET /api/v1/alertmanagers`.
pub(crate) async fn alertmanagers() -> Response {
    success(&json!({"activeAlertmanagers": [], "droppedAlertmanagers": []}))
}

/// `GET /api/v1/metadata`: types and help texts are not kept.
pub(crate) async fn metadata() -> Response {
    success(&json!({}))
}

/// `GET` and `POST /api/v1/query_exemplars`: exemplars are not kept.
pub(crate) async fn exemplars() -> Response {
    success(&json!([]))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::fixtures::{Door, api};

    #[tokio::test]
    async fn each_answers_in_its_shape() {
        let mut api = api();
        api.config_text = "sources: []\n".into();
        let door = Door::open(api).await;
        let all = [
            ("status/config", json!({"yaml": "sources: []\n"})),
            ("status/flags", json!({})),
            (
                "targets",
                json!({"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}}),
            ),
            (
                "alertmanagers",
                json!({"activeAlertmanagers": [], "droppedAlertmanagers": []}),
            ),
            ("metadata", json!({})),
            ("query_exemplars", json!([])),
        ];
        for (path, expect) in all {
            let answer = door
                .ask(&format!("GET /api/v1/{path}"), "", b"")
                .await
                .json();
            assert_eq!(
                (&answer["status"], &answer["data"]),
                (&json!("success"), &expect),
                "{path}"
            );
        }
        let info = door
            .ask("GET /api/v1/status/runtimeinfo", "", b"")
            .await
            .json();
        assert!(matches!(&info["data"]["startTime"], Value::String(_)));
    }
}
