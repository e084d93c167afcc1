//! Incidents: a list, one of them, and the orders that people give about them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use foghorn_engine::Command;
use foghorn_model::incident::{Level, Status};
use foghorn_model::{Incident, IncidentId};
use serde::Deserialize;
use serde_json::json;

use crate::body;
use crate::reply::{bad_data, declined, failure, success};
use crate::server::Shared;

/// Incidents in one answer, unless the request says otherwise.
const LIMIT: usize = 100;
/// Incidents in one answer at most.
const LIMIT_BOUND: usize = 1000;
/// Bytes of an order.
const ORDER_BOUND: usize = 64 << 10;

/// What a list is narrowed to; an empty filter lets everything through.
#[derive(Debug, Default)]
struct Filter {
    statuses: Vec<Status>,
    levels: Vec<Level>,
    services: Vec<String>,
    limit: Option<usize>,
}

impl Filter {
    /// Reads the query: values of one key are alternatives, comma-separated or repeated.
    fn parse(pairs: &[(String, String)]) -> Result<Self, String> {
        let mut filter = Self::default();
        for (key, values) in pairs {
            for value in values.split(',') {
                filter.add(key, value)?;
            }
        }
        Ok(filter)
    }

    fn add(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "status" => self.statuses.push(match value {
                "open" => Status::Open,
                "acknowledged" => Status::Acknowledged,
                "resolved" => Status::Resolved,
                "closed" => Status::Closed,
                _ => {
                    return Err(format!(
                        "status {value:?} is none of open, acknowledged, resolved, closed"
                    ));
                }
            }),
            "priority" => self.levels.push(match value {
                "P1" => Level::P1,
                "P2" => Level::P2,
                "P3" => Level::P3,
                "P4" => Level::P4,
                "P5" => Level::P5,
                _ => return Err(format!("priority {value:?} is none of P1, P2, P3, P4, P5")),
            }),
            "service" => self.services.push(value.to_owned()),
            "limit" => {
                let limit = value
                    .parse()
                    .ok()
                    .filter(|limit| (1..=LIMIT_BOUND).contains(limit));
                self.limit = Some(limit.ok_or_else(|| {
                    format!("limit {value:?} is no number from 1 to {LIMIT_BOUND}")
                })?);
            }
            _ => {
                return Err(format!(
                    "unknown parameter {key:?}; known are status, priority, service, limit"
                ));
            }
        }
        Ok(())
    }

    fn lets(&self, incident: &Incident) -> bool {
        let touches = |name: &String| {
            incident
                .services
                .iter()
                .any(|service| service.name == *name)
        };
        (self.statuses.is_empty() || self.statuses.contains(&incident.status))
            && (self.levels.is_empty() || self.levels.contains(&incident.priority.level))
            && (self.services.is_empty() || self.services.iter().any(touches))
    }
}

/// `GET /api/v1/incidents`: the most urgent first; `total` counts all that the filter lets through.
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let filter = match Filter::parse(&pairs) {
        Ok(filter) => filter,
        Err(error) => return bad_data(&error),
    };
    let mut incidents = shared.api.view.incidents_by_urgency();
    incidents.retain(|incident| filter.lets(incident));
    let total = incidents.len();
    incidents.truncate(filter.limit.unwrap_or(LIMIT));
    success(&json!({"incidents": incidents, "total": total}))
}

/// `GET /api/v1/incidents/{id}`.
pub(crate) async fn one(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    match find(&shared, &id) {
        Some(incident) => success(&*incident),
        None => unknown(&id),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledge {
    by: String,
}

/// `POST /api/v1/incidents/{id}/acknowledge` with `{"by": "…"}`: 200 once the order is durable.
pub(crate) async fn acknowledge(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(incident) = find(&shared, &id) else {
        return unknown(&id);
    };
    let Some(commands) = shared.api.commands.clone() else {
        return failure(
            StatusCode::NOT_FOUND,
            "unavailable",
            "this instance takes no orders",
        );
    };
    // A form of another site's page cannot be sent as JSON.
    if body::media_type(&headers).0 != "application/json" {
        let error = "send the order as application/json";
        return failure(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_data", error);
    }
    let Ok(bytes) = body::read(&headers, body, ORDER_BOUND).await else {
        return bad_data("the order could not be read, or is too large");
    };
    let by = match serde_json::from_slice::<Acknowledge>(&bytes) {
        Ok(order) if !order.by.trim().is_empty() => order.by.trim().to_owned(),
        Ok(_) => return bad_data("`by` is empty: say who takes it"),
        Err(error) => return bad_data(&format!("expected {{\"by\": \"…\"}}: {error}")),
    };
    let command = Command::Acknowledge {
        incident: incident.id,
        by,
    };
    match tokio::task::spawn_blocking(move || commands.command(command)).await {
        Ok(Ok(())) => success(&json!({"id": incident.id})),
        Ok(Err(reason)) => declined(&reason),
        Err(error) => failure(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            &error.to_string(),
        ),
    }
}

fn find(shared: &Shared, id: &str) -> Option<Arc<Incident>> {
    let id: IncidentId = id.parse().ok()?;
    shared
        .api
        .view
        .incidents
        .get(&id)
        .map(|incident| Arc::clone(&incident))
}

fn unknown(id: &str) -> Response {
    failure(
        StatusCode::NOT_FOUND,
        "not_found",
        &format!("there is no incident {id:?}, or no longer"),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use foghorn_model::Refusal;

    use super::*;
    use crate::fixtures::{Door, api, incident};
    use crate::hooks::{Commands, Declined};

    async fn door() -> Door {
        let api = api();
        for (id, level, status, service) in [
            (1, Level::P3, Status::Open, "checkout"),
            (2, Level::P1, Status::Open, "web"),
            (3, Level::P1, Status::Resolved, "web"),
        ] {
            let incident = incident(id, level, status, service);
            api.view.incidents.insert(incident.id, Arc::new(incident));
        }
        Door::open(api).await
    }

    /// The ids that a list shows for this query, and how many there are in all.
    async fn check(query: &str, ids: &[u128], total: u64) {
        let answer = door()
            .await
            .ask(&format!("GET /api/v1/incidents{query}"), "", b"")
            .await;
        assert_eq!(answer.status, 200, "{query}");
        let data = &answer.json()["data"];
        let shown: Vec<IncidentId> = data["incidents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|incident| serde_json::from_value(incident["id"].clone()).unwrap())
            .collect();
        assert_eq!(
            shown,
            ids.iter().map(|id| IncidentId(*id)).collect::<Vec<_>>(),
            "{query}"
        );
        assert_eq!(data["total"], total, "{query}");
    }

    #[tokio::test]
    async fn lists_the_most_urgent_first() {
        check("", &[2, 1, 3], 3).await;
        check("?limit=1", &[2], 3).await;
        check("?status=open", &[2, 1], 2).await;
        check("?status=open,resolved&priority=P1", &[2, 3], 2).await;
        check("?service=checkout&service=web&status=resolved", &[3], 1).await;
        check("?service=nobody", &[], 0).await;
    }

    #[tokio::test]
    async fn a_filter_that_makes_no_sense_is_an_error() {
        let door = door().await;
        for (query, word) in [
            ("status=opne", "opne"),
            ("priority=1", "P1, P2"),
            ("limit=0", "1 to 1000"),
            ("stat=open", "unknown parameter"),
        ] {
            door.check(&format!("GET /api/v1/incidents?{query}"), 400, word)
                .await;
        }
    }

    #[tokio::test]
    async fn shows_one() {
        let door = door().await;
        door.check(
            &format!("GET /api/v1/incidents/{}", IncidentId(2)),
            200,
            "\"level\":\"P1\"",
        )
        .await;
        door.check(
            &format!("GET /api/v1/incidents/{}", IncidentId(9)),
            404,
            "no incident",
        )
        .await;
        door.check("GET /api/v1/incidents/pizza", 404, "no incident")
            .await;
    }

    struct Orders(Mutex<Vec<Command>>, Result<(), Declined>);

    impl Commands for Orders {
        fn command(&self, command: Command) -> Result<(), Declined> {
            self.0.lock().unwrap().push(command);
            self.1.clone()
        }
    }

    /// What becomes of an order with this body, where the engine answers so.
    async fn order(
        body: &str,
        content_type: &str,
        answer: Result<(), Declined>,
        status: u16,
    ) -> Vec<Command> {
        let orders = Arc::new(Orders(Mutex::default(), answer));
        let mut api = api();
        let taken: Arc<dyn Commands> = Arc::<Orders>::clone(&orders);
        api.commands = Some(taken);
        let incident = incident(1, Level::P1, Status::Open, "web");
        let path = format!("POST /api/v1/incidents/{}/acknowledge", incident.id);
        api.view.incidents.insert(incident.id, Arc::new(incident));
        let headers = format!("Content-Type: {content_type}\r\n");
        let answer = Door::open(api)
            .await
            .ask(&path, &headers, body.as_bytes())
            .await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        orders.0.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn somebody_takes_it() {
        let json = "application/json";
        let taken = order(r#"{"by":" ana "}"#, json, Ok(()), 200).await;
        assert_eq!(
            taken,
            [Command::Acknowledge {
                incident: IncidentId(1),
                by: "ana".to_owned()
            }]
        );
        assert!(order(r#"{"by":""}"#, json, Ok(()), 400).await.is_empty());
        assert!(order("{}", json, Ok(()), 400).await.is_empty());
        assert!(
            order(r#"{"by":"ana"}"#, "text/plain", Ok(()), 415)
                .await
                .is_empty()
        );
        order(
            r#"{"by":"ana"}"#,
            json,
            Err(Declined::Busy { retry_after_s: 2 }),
            429,
        )
        .await;
        order(
            r#"{"by":"ana"}"#,
            json,
            Err(Declined::Refused(Refusal::new("closed", "too late"))),
            400,
        )
        .await;
    }
}
