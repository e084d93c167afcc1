//! Queries in the shape of Prometheus' HTTP API, over what the rules' windows hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{self, Form, FromRequest, Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use foghorn_engine::{Answer, Query, QueryError};
use foghorn_model::labels::NAME;
use foghorn_model::{Labels, Timestamp};
use serde_json::{Value, json};

use crate::body::text;
use crate::hooks::{Answers, Late};
use crate::prometheus_api::value_text;
use crate::reply::{bad_data, failure, success, with_warning};
use crate::server::Shared;

/// Parameters: those of a form in the body, then those of the path.
pub(crate) struct Pairs(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Pairs {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        type Listed = Vec<(String, String)>;
        let path = extract::Query::<Listed>::try_from_uri(request.uri());
        let extract::Query(path) = path.map_err(|error| bad_data(&error.to_string()))?;
        let content_type = text(request.headers(), &CONTENT_TYPE);
        let mut pairs = Vec::new();
        if request.method() == Method::POST
            && content_type.starts_with("application/x-www-form-urlencoded")
        {
            let form = Form::<Listed>::from_request(request, state).await;
            let Form(form) = form.map_err(|error| bad_data(&error.to_string()))?;
            pairs = form;
        }
        pairs.extend(path);
        Ok(Self(pairs))
    }
}

/// Most points a series of an answer has: Prometheus' bound.
const MAX_POINTS: i64 = 11_000;

/// `GET` and `POST /api/v1/query`.
pub(crate) async fn query(State(shared): State<Arc<Shared>>, Pairs(pairs): Pairs) -> Response {
    let asked = || -> Result<_, String> {
        let query = parsed(&pairs, "query")?;
        let at = instant(&pairs, "time")?.unwrap_or_else(shared.api.now);
        Ok((query, at))
    };
    match asked() {
        Err(problem) => bad_data(&problem),
        Ok((query, at)) => match answers(&shared, query, vec![at]).await {
            Err(response) => response,
            Ok(answers) => match answers.into_iter().next() {
                Some(Ok(answer)) => success(&shown(answer, at)),
                Some(Err(error)) => no_answer(&error),
                None => success(&Value::Null),
            },
        },
    }
}

/// `GET` and `POST /api/v1/query_range`.
pub(crate) async fn query_range(
    State(shared): State<Arc<Shared>>,
    Pairs(pairs): Pairs,
) -> Response {
    match range(&pairs) {
        Err(problem) => bad_data(&problem),
        Ok((query, at)) => match answers(&shared, query, at.clone()).await {
            Err(response) => response,
            Ok(answers) => shown_range(&at, answers),
        },
    }
}

fn range(pairs: &[(String, String)]) -> Result<(Query, Vec<Timestamp>), String> {
    let missing = |name: &str| invalid(name, "cannot parse \"\" to a valid timestamp");
    let start = instant(pairs, "start")?.ok_or_else(|| missing("start"))?;
    let end = instant(pairs, "end")?.ok_or_else(|| missing("end"))?;
    if end < start {
        return Err(invalid(
            "end",
            "end timestamp must not be before start time",
        ));
    }
    let step_ms = step(pairs)?;
    if (end - start) / step_ms >= MAX_POINTS {
        return Err(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"
                .to_owned(),
        );
    }
    let steps = (0..=(end - start) / step_ms).map(|step| start + step * step_ms);
    Ok((parsed(pairs, "query")?, steps.collect()))
}

/// `GET` and `POST /api/v1/series`.
pub(crate) async fn series(State(shared): State<Arc<Shared>>, Pairs(pairs): Pairs) -> Response {
    if all(&pairs, "match[]").next().is_none() {
        return bad_data("no match[] parameter provided");
    }
    match matching(&shared, &pairs).await {
        Ok(series) => {
            let series: Vec<_> = series.iter().map(metric).collect();
            success(&series)
        }
        Err(response) => response,
    }
}

/// `GET` and `POST /api/v1/labels`: of series that match, else the names that need no look at them.
pub(crate) async fn labels(State(shared): State<Arc<Shared>>, Pairs(pairs): Pairs) -> Response {
    match matching(&shared, &pairs).await {
        Ok(series) => {
            let names = series.iter().flat_map(Labels::iter);
            let mut names: BTreeSet<String> = names.map(|(name, _)| name.to_owned()).collect();
            names.insert(NAME.to_owned());
            success(&names)
        }
        Err(response) => response,
    }
}

/// `GET /api/v1/label/{name}/values`.
pub(crate) async fn label_values(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Pairs(pairs): Pairs,
) -> Response {
    if name == NAME && all(&pairs, "match[]").next().is_none() {
        return match shared.api.queries.clone() {
            None => success(&Vec::<String>::new()),
            Some(queries) => match tokio::task::spawn_blocking(move || queries.metrics()).await {
                Ok(metrics) => success(&metrics),
                Err(_) => broke_off(),
            },
        };
    }
    match matching(&shared, &pairs).await {
        Ok(series) => {
            let values: BTreeSet<_> = series
                .iter()
                .filter_map(|labels| labels.get(&name))
                .collect();
            success(&values)
        }
        Err(response) => response,
    }
}

/// Series that one of the selectors lets through, as they are now (or at `end`).
async fn matching(
    shared: &Arc<Shared>,
    pairs: &[(String, String)],
) -> Result<BTreeSet<Labels>, Response> {
    let at = instant(pairs, "end").map_err(|problem| bad_data(&problem))?;
    // Who asks for a day is shown what there is.
    let now = (shared.api.now)();
    let at = at.unwrap_or(now).min(now);
    let mut found = BTreeSet::new();
    for text in all(pairs, "match[]") {
        let selector = Query::parse(text).map_err(|error| bad_data(&invalid("match[]", &error)))?;
        if selector.selector().is_none() {
            return Err(bad_data(&invalid("match[]", "it is not a selector")));
        }
        for answer in answers(shared, selector, vec![at]).await? {
            match answer {
                Ok(Answer::Vector(elements)) => {
                    found.extend(elements.into_iter().map(|(labels, _)| labels));
                }
                // There are none, whatever the reason.
                Ok(Answer::Scalar(_))
                | Err(QueryError::NotNamed { .. } | QueryError::NotKept { .. }) => {}
                Err(error) => return Err(no_answer(&error)),
            }
        }
    }
    Ok(found)
}

/// Asks off the threads that serve connections.
async fn answers(
    shared: &Arc<Shared>,
    query: Query,
    at: Vec<Timestamp>,
) -> Result<Answers, Response> {
    let unavailable = |why| failure(StatusCode::SERVICE_UNAVAILABLE, "unavailable", why);
    let Some(queries) = shared.api.queries.clone() else {
        return Err(unavailable("this instance answers no queries"));
    };
    // Ticks wait while a question is answered.
    let Ok(_permit) = shared.questions.try_acquire() else {
        return Err(unavailable("another query is being answered; come again"));
    };
    match tokio::task::spawn_blocking(move || queries.query(&query, &at)).await {
        Ok(Ok(answers)) => Ok(answers),
        Ok(Err(Late)) => Err(failure(
            StatusCode::SERVICE_UNAVAILABLE,
            "timeout",
            "query timed out",
        )),
        Err(_) => Err(broke_off()),
    }
}

fn broke_off() -> Response {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    failure(status, "internal", "the query broke off")
}

fn no_answer(error: &QueryError) -> Response {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    failure(status, "execution", &error.to_string())
}

/// A range begins where there are samples: of the instants before it there is a warning.
fn shown_range(at: &[Timestamp], answers: Answers) -> Response {
    let (mut kept, mut gone) = (Vec::new(), None);
    for (at, answer) in at.iter().zip(answers) {
        match answer {
            Ok(answer) => kept.push((*at, answer)),
            Err(error @ QueryError::NotKept { .. }) => {
                gone.get_or_insert(error);
            }
            Err(error) => return no_answer(&error),
        }
    }
    match gone {
        Some(error) if kept.is_empty() => no_answer(&error),
        Some(error) => with_warning(&matrix(kept), &error.to_string()),
        None => success(&matrix(kept)),
    }
}

fn shown(answer: Answer, at: Timestamp) -> Value {
    match answer {
        Answer::Scalar(value) => json!({"resultType": "scalar", "result": point(at, value)}),
        Answer::Vector(elements) => {
            let result = elements.iter().map(
                |(labels, value)| json!({"metric": metric(labels), "value": point(at, *value)}),
            );
            json!({"resultType": "vector", "result": result.collect::<Vec<_>>()})
        }
    }
}

fn matrix(answers: Vec<(Timestamp, Answer)>) -> Value {
    let mut series: BTreeMap<Labels, Vec<Value>> = BTreeMap::new();
    for (at, answer) in answers {
        let elements = match answer {
            Answer::Scalar(value) => vec![(Labels::empty(), value)],
            Answer::Vector(elements) => elements,
        };
        for (labels, value) in elements {
            series.entry(labels).or_default().push(point(at, value));
        }
    }
    let result = series
        .into_iter()
        .map(|(labels, values)| json!({"metric": metric(&labels), "values": values}));
    json!({"resultType": "matrix", "result": result.collect::<Vec<_>>()})
}

fn metric(labels: &Labels) -> Value {
    json!(labels)
}

fn point(at: Timestamp, value: f64) -> Value {
    let (seconds, ms) = (at.ms().div_euclid(1_000), at.ms().rem_euclid(1_000));
    let seconds = if ms == 0 {
        json!(seconds)
    } else {
        json!(at.ms() as f64 / 1e3)
    };
    json!([seconds, sample_text(value)])
}

/// A value as Prometheus' JSON has it: plain digits but for the very small and the very large.
fn sample_text(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() || size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = value_text(value);
        return text.replacen("e-0", "e-", 1);
    }
    format!("{value}")
}

fn all<'a>(pairs: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    let named = pairs.iter().filter(move |(key, _)| key == name);
    named.map(|(_, value)| value.as_str())
}

fn one<'a>(pairs: &'a [(String, String)], name: &'a str) -> &'a str {
    all(pairs, name).next().unwrap_or("")
}

fn invalid(name: &str, why: &str) -> String {
    format!("invalid parameter {name:?}: {why}")
}

fn parsed(pairs: &[(String, String)], name: &str) -> Result<Query, String> {
    let text = one(pairs, name);
    if text.trim().is_empty() {
        return Err(invalid(
            name,
            "unknown position: parse error: no expression found in input",
        ));
    }
    Query::parse(text).map_err(|error| invalid(name, &error))
}

/// Seconds since the epoch, or RFC 3339; `None` where there is none.
fn instant(pairs: &[(String, String)], name: &str) -> Result<Option<Timestamp>, String> {
    let text = one(pairs, name);
    if text.is_empty() {
        return Ok(None);
    }
    let seconds = text
        .parse::<f64>()
        .ok()
        .filter(|seconds| seconds.abs() < 1e15);
    let parsed = seconds.map(|seconds| Timestamp((seconds * 1e3).round() as i64));
    let parsed = parsed.or_else(|| {
        let at: jiff::Timestamp = text.parse().ok()?;
        Some(Timestamp(at.as_millisecond()))
    });
    match parsed {
        Some(at) => Ok(Some(at)),
        None => Err(invalid(
            name,
            &format!("cannot parse {text:?} to a valid timestamp"),
        )),
    }
}

/// Seconds, or a duration as Prometheus writes it; in milliseconds.
fn step(pairs: &[(String, String)]) -> Result<i64, String> {
    let text = one(pairs, "step");
    let seconds = text
        .parse::<f64>()
        .ok()
        .filter(|seconds| seconds.is_finite());
    let ms = seconds.map(|seconds| (seconds * 1e3) as i64);
    let ms = ms.or_else(|| foghorn_rules::duration::parse(text).ok());
    match ms {
        None => Err(invalid(
            "step",
            &format!("cannot parse {text:?} to a valid duration"),
        )),
        Some(..=0) => Err(invalid(
            "step",
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        )),
        Some(ms) => Ok(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Door, api};
    use crate::hooks::Queries;

    /// Knows one metric, `up`, which is the instant's second.
    struct Clock;

    impl Queries for Clock {
        fn query(&self, query: &Query, at: &[Timestamp]) -> Result<Answers, Late> {
            let named = |metric: &str| {
                let selector = query.selector();
                selector.is_some_and(|matchers| matchers.iter().any(|m| *m.value == *metric))
            };
            if named("late") {
                return Err(Late);
            }
            let labels = Labels::from_pairs([(NAME, "up"), ("job", "api")]);
            let metric = || "up".to_owned();
            let answer = |at: &Timestamp| match query.selector() {
                None => Ok(Answer::Scalar(2.0)),
                Some(_) if named("other") => Err(QueryError::NotNamed { metric: metric() }),
                Some(_) if *at < Timestamp(0) => Err(QueryError::NotKept {
                    metric: metric(),
                    since: Timestamp(0),
                    needed: *at,
                }),
                Some(_) => Ok(Answer::Vector(vec![(labels.clone(), at.ms() as f64 / 1e3)])),
            };
            Ok(at.iter().map(answer).collect())
        }

        fn metrics(&self) -> Vec<String> {
            vec!["up".to_owned()]
        }
    }

    async fn door() -> Door {
        let mut api = api();
        api.queries = Some(Arc::new(Clock));
        Door::open(api).await
    }

    async fn check(request: &str, body: &str, expect: Value) {
        let headers = "content-type: application/x-www-form-urlencoded\r\n";
        let headers = if body.is_empty() { "" } else { headers };
        let answer = door().await.ask(request, headers, body.as_bytes()).await;
        assert_eq!(answer.json()["data"], expect, "{request} {body}");
    }

    #[tokio::test]
    async fn queries_at_an_instant() {
        // As Grafana asks whether there is somebody.
        check(
            "POST /api/v1/query",
            "query=1%2B1&time=4",
            json!({"resultType": "scalar", "result": [4, "2"]}),
        )
        .await;
        // Some put a part into the path.
        check(
            "POST /api/v1/query?query=2",
            "time=4",
            json!({"resultType": "scalar", "result": [4, "2"]}),
        )
        .await;
        let metric = json!({"__name__": "up", "job": "api"});
        check(
            "GET /api/v1/query?query=up&time=1.5",
            "",
            json!({"resultType": "vector", "result": [{"metric": metric, "value": [1.5, "1.5"]}]}),
        )
        .await;
        check(
            "GET /api/v1/query?query=up&time=1970-01-01T00:00:07Z",
            "",
            json!({"resultType": "vector", "result": [{"metric": metric, "value": [7, "7"]}]}),
        )
        .await;
    }

    #[tokio::test]
    async fn queries_over_a_range() {
        let metric = json!({"__name__": "up", "job": "api"});
        check(
            "GET /api/v1/query_range?query=up&start=0&end=10&step=5s",
            "",
            json!({"resultType": "matrix", "result": [
                {"metric": metric, "values": [[0, "0"], [5, "5"], [10, "10"]]},
            ]}),
        )
        .await;
    }

    #[tokio::test]
    async fn a_range_begins_where_there_are_samples() {
        let path = "GET /api/v1/query_range?query=up&start=-5&end=5&step=5";
        let answer = door().await.ask(path, "", b"").await.json();
        let values = &answer["data"]["result"][0]["values"];
        assert_eq!(values, &json!([[0, "0"], [5, "5"]]));
        let warning = answer["warnings"][0].as_str().unwrap();
        assert!(warning.starts_with("up is kept since"), "{warning}");
    }

    #[tokio::test]
    async fn series_and_their_labels() {
        let metric = json!({"__name__": "up", "job": "api"});
        check("GET /api/v1/series?match[]=up", "", json!([metric])).await;
        check(
            "POST /api/v1/labels",
            "match[]=up",
            json!(["__name__", "job"]),
        )
        .await;
        check(
            "GET /api/v1/label/job/values?match[]=up",
            "",
            json!(["api"]),
        )
        .await;
        check("GET /api/v1/label/__name__/values", "", json!(["up"])).await;
    }

    #[tokio::test]
    async fn what_cannot_be_answered_says_why() {
        let door = door().await;
        let all = [
            (
                "query?query=up%28",
                400,
                "invalid parameter \\\"query\\\": 1:3: parse error",
            ),
            ("query", 400, "no expression found in input"),
            (
                "query?query=up&time=noon",
                400,
                "cannot parse \\\"noon\\\" to a valid timestamp",
            ),
            ("query?query=other", 422, "\"errorType\":\"execution\""),
            ("query?query=up&time=-1", 422, "up is kept since"),
            (
                "query_range?query=up&start=-9&end=-1&step=1",
                422,
                "up is kept since",
            ),
            ("query?query=late", 503, "query timed out"),
            (
                "query_range?query=up&start=9&end=1&step=1",
                400,
                "end timestamp must not be before start",
            ),
            (
                "query_range?query=up&start=0&end=1&step=0",
                400,
                "zero or negative query resolution",
            ),
            (
                "query_range?query=up&start=0&end=11000&step=1",
                400,
                "exceeded maximum resolution",
            ),
            ("series", 400, "no match[] parameter provided"),
            ("series?match[]=1%2B1", 400, "it is not a selector"),
        ];
        for (path, status, words) in all {
            door.check(&format!("GET /api/v1/{path}"), status, words)
                .await;
        }
    }

    #[test]
    fn values_as_prometheus_writes_them() {
        for (value, expect) in [
            (0.1, "0.1"),
            (-1e20, "-100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-7"),
            (1e-12, "1e-12"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(sample_text(value), expect);
        }
    }
}
