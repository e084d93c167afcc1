use std::io::Write;
use std::sync::Mutex;

use foghorn_model::{Refusal, Timestamp};

use super::*;
use crate::config::HttpConfig;
use crate::fixtures::{Answer, Door, NOW, api};
use crate::hooks::Intake;

/// Answers every body alike, and keeps what it was offered.
struct Desk(
    Mutex<Vec<(Format, Vec<u8>, Timestamp)>>,
    Result<Accepted, Declined>,
);

impl Intake for Desk {
    fn offer(
        &self,
        format: Format,
        body: Vec<u8>,
        received: Timestamp,
    ) -> Result<Accepted, Declined> {
        self.0.lock().unwrap().push((format, body, received));
        self.1.clone()
    }
}

type Offered = Vec<(Format, Vec<u8>, Timestamp)>;

async fn send(
    intake: Result<Accepted, Declined>,
    request: &str,
    headers: &str,
    body: &[u8],
) -> (Answer, Offered) {
    let desk = Arc::new(Desk(Mutex::default(), intake));
    let mut api = api();
    let taken: Arc<dyn Intake> = Arc::<Desk>::clone(&desk);
    api.intake = Some(taken);
    let config = HttpConfig {
        max_body_bytes: 1000,
        max_decompressed_bytes: 2000,
        ..HttpConfig::default()
    };
    let answer = Door::open_with(api, config)
        .await
        .ask(request, headers, body)
        .await;
    let offered = std::mem::take(&mut *desk.0.lock().unwrap());
    (answer, offered)
}

/// What is answered to a body that the intake takes, and what the intake was offered.
async fn check(
    request: &str,
    headers: &str,
    body: &[u8],
    status: u16,
    offered: Option<(Format, &[u8])>,
) -> Answer {
    let (answer, got) = send(Ok(Accepted::default()), request, headers, body).await;
    assert_eq!(
        answer.status,
        status,
        "{request} {headers}: {}",
        answer.text()
    );
    let expect: Vec<_> = offered
        .into_iter()
        .map(|(format, body)| (format, body.to_vec(), NOW))
        .collect();
    assert_eq!(got, expect, "{request} {headers}");
    answer
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const PROTO: &str = "Content-Type: application/x-protobuf\r\n";
const JSON: &str = "Content-Type: application/json; charset=utf-8\r\n";

#[tokio::test]
async fn otlp_is_answered_in_its_own_encoding() {
    let answer = check(
        "POST /v1/metrics",
        PROTO,
        b"\x0a",
        200,
        Some((Format::OtlpMetricsProto, b"\x0a")),
    )
    .await;
    assert_eq!(
        (answer.header("content-type"), &answer.body[..]),
        ("application/x-protobuf", &b""[..])
    );
    let answer = check(
        "POST /v1/logs",
        JSON,
        b"{}",
        200,
        Some((Format::OtlpLogsJson, b"{}")),
    )
    .await;
    assert_eq!(
        (answer.header("content-type"), answer.text()),
        ("application/json", "{}".to_owned())
    );
    for (request, headers, format) in [
        ("POST /v1/logs", PROTO, Format::OtlpLogsProto),
        ("POST /v1/traces", PROTO, Format::OtlpTracesProto),
        ("POST /v1/traces", JSON, Format::OtlpTracesJson),
    ] {
        check(request, headers, b"", 200, Some((format, b""))).await;
    }
    check(
        "POST /v1/metrics",
        JSON,
        b"{}",
        200,
        Some((Format::OtlpMetricsJson, b"{}")),
    )
    .await;
}

#[tokio::test]
async fn gzip_is_unpacked() {
    let headers = format!("{JSON}Content-Encoding: gzip\r\n");
    check(
        "POST /v1/metrics",
        &headers,
        &gzip(b"{\"a\":1}"),
        200,
        Some((Format::OtlpMetricsJson, b"{\"a\":1}")),
    )
    .await;
    check("POST /v1/metrics", &headers, b"not gzip", 400, None).await;
    let answer = check("POST /v1/metrics", &headers, &gzip(&[0; 2001]), 413, None).await;
    assert!(
        answer.text().contains("2000 (http.max_decompressed_bytes)"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn what_is_called_wrongly_is_not_taken() {
    check(
        "POST /v1/metrics",
        "Content-Type: text/xml\r\n",
        b"<x/>",
        415,
        None,
    )
    .await;
    check("POST /v1/logs", "", b"{}", 415, None).await;
    check(
        "POST /v1/logs",
        &format!("{PROTO}Content-Encoding: br\r\n"),
        b"x",
        415,
        None,
    )
    .await;
    check(
        "POST /api/v1/changes",
        "Content-Type: text/plain\r\n",
        b"{}",
        415,
        None,
    )
    .await;
    check("GET /v1/metrics", "", b"", 405, None).await;
}

#[tokio::test]
async fn what_is_too_large_is_not_taken() {
    check("POST /v1/metrics", PROTO, &[0; 1001], 413, None).await;
    let chunked = format!("{PROTO}Transfer-Encoding: chunked\r\n");
    let body = [b"7d0\r\n".as_slice(), &[0; 2000], b"\r\n0\r\n\r\n"].concat();
    let answer = check("POST /v1/metrics", &chunked, &body, 413, None).await;
    assert!(
        answer.text().contains("1000 bytes (http.max_body_bytes)"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_partial_success_says_what_is_wrong() {
    let partial = Accepted {
        samples: 12,
        rejected: 300,
        message: "late".to_owned(),
    };
    let (answer, _) = send(Ok(partial.clone()), "POST /v1/metrics", PROTO, b"\x0a").await;
    assert_eq!(
        (answer.status, &answer.body[..]),
        (200, &b"\x0a\x09\x08\xac\x02\x12\x04late"[..])
    );
    for (path, key) in [
        ("/v1/metrics", "rejectedDataPoints"),
        ("/v1/logs", "rejectedLogRecords"),
        ("/v1/traces", "rejectedSpans"),
    ] {
        let (answer, _) = send(Ok(partial.clone()), &format!("POST {path}"), JSON, b"{}").await;
        let expect = serde_json::json!({"partialSuccess": {key: "300", "errorMessage": "late"}});
        assert_eq!(answer.json(), expect);
    }
}

#[tokio::test]
async fn what_the_intake_refuses_is_a_bad_request() {
    let refused = || {
        Err(Declined::Refused(Refusal::new(
            "truncated",
            "ends at byte 12",
        )))
    };
    let (answer, _) = send(refused(), "POST /v1/logs", JSON, b"{").await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json(),
        serde_json::json!({"code": 3, "message": "truncated: ends at byte 12"})
    );
    let (answer, _) = send(refused(), "POST /v1/logs", PROTO, b"{").await;
    assert_eq!(
        (answer.status, &answer.body[..4]),
        (400, &b"\x08\x03\x12\x1a"[..])
    );
    let (answer, _) = send(refused(), "POST /api/v1/changes", JSON, b"{").await;
    assert_eq!(
        (answer.status, &answer.json()["errorType"]),
        (400, &"bad_data".into())
    );
}

#[tokio::test]
async fn a_full_intake_says_when_to_come_again() {
    let busy = || Err(Declined::Busy { retry_after_s: 7 });
    for (request, headers, status) in [
        ("POST /v1/metrics", PROTO, 429),
        ("POST /v1/logs", JSON, 429),
        ("POST /api/v1/changes", JSON, 429),
    ] {
        let (answer, _) = send(busy(), request, headers, b"{}").await;
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (status, "7"),
            "{request}"
        );
    }
    let (answer, _) = send(busy(), "POST /api/v1/write", WRITE, &snappy(b"x")).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, "7"),
        "Prometheus retries 5xx only"
    );
}

const WRITE: &str = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n";

fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

#[tokio::test]
async fn the_content_type_tells_remote_writes_version() {
    let path = "POST /api/v1/write";
    let typed = |proto: &str| WRITE.replace("x-protobuf", &format!("x-protobuf;proto={proto}"));
    for (headers, format) in [
        (WRITE.to_owned(), Format::RemoteWrite1),
        (typed("prometheus.WriteRequest"), Format::RemoteWrite1),
        (
            typed("io.prometheus.write.v2.Request"),
            Format::RemoteWrite2,
        ),
        (
            typed("\"io.prometheus.write.v2.Request\""),
            Format::RemoteWrite2,
        ),
    ] {
        let offered = Some((format, &b"series"[..]));
        let answer = check(path, &headers, &snappy(b"series"), 204, offered).await;
        assert!(answer.body.is_empty());
    }
    check(
        path,
        &typed("io.prometheus.write.v3.Request"),
        &snappy(b"x"),
        415,
        None,
    )
    .await;
    check(
        path,
        &WRITE.replace("x-protobuf", "json"),
        &snappy(b"x"),
        415,
        None,
    )
    .await;
    check(path, PROTO, b"series", 415, None).await;
    check(path, WRITE, b"\xff\xff\xff\xff\xff", 400, None).await;
}

/// What remote write is told of a body, and how many samples were written.
async fn check_written(intake: Result<Accepted, Declined>, status: u16, text: &str, samples: &str) {
    let (answer, _) = send(intake, "POST /api/v1/write", WRITE, &snappy(b"x")).await;
    let counts = ["samples", "histograms", "exemplars"].map(|what| {
        answer
            .header(&format!("X-Prometheus-Remote-Write-{what}-Written"))
            .to_owned()
    });
    assert_eq!(
        (answer.status, answer.text(), counts),
        (
            status,
            text.to_owned(),
            [samples, "0", "0"].map(str::to_owned)
        )
    );
}

#[tokio::test]
async fn remote_write_hears_how_much_was_written() {
    let taken = |samples, rejected, message: &str| Accepted {
        samples,
        rejected,
        message: message.to_owned(),
    };
    check_written(Ok(taken(7, 0, "")), 204, "", "7").await;
    check_written(
        Ok(taken(7, 2, "a series without __name__")),
        400,
        "2 refused; the first: a series without __name__; the others were taken\n",
        "7",
    )
    .await;
    let refused = Declined::Refused(Refusal::new("truncated", "ends at byte 12"));
    check_written(Err(refused), 400, "truncated: ends at byte 12\n", "0").await;
}

#[tokio::test]
async fn alerts_are_answered_as_alertmanager_does() {
    let path = "POST /api/v2/alerts";
    let answer = check(path, JSON, b"[]", 200, Some((Format::Alerts, b"[]"))).await;
    assert!(answer.body.is_empty());
    check(path, PROTO, b"[]", 415, None).await;
    check("GET /api/v2/alerts", "", b"", 405, None).await;
    let partial = Accepted {
        rejected: 1,
        message: "an alert without the label alertname".to_owned(),
        ..Accepted::default()
    };
    let (answer, _) = send(Ok(partial), path, JSON, b"[]").await;
    assert_eq!(
        (answer.status, answer.json()),
        (
            400,
            "1 refused; the first: an alert without the label alertname".into()
        )
    );
    let refused = Err(Declined::Refused(Refusal::new("bad_json", "at byte 3")));
    let (answer, _) = send(refused, path, JSON, b"[").await;
    assert_eq!(
        (answer.status, answer.json()),
        (400, "bad_json: at byte 3".into())
    );
    let (answer, _) = send(Err(Declined::Busy { retry_after_s: 1 }), path, JSON, b"[]").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
}

#[tokio::test]
async fn changes_are_json() {
    for media in [
        "application/json",
        "application/cloudevents+json",
        "application/x-ndjson",
    ] {
        let headers = format!("Content-Type: {media}\r\n");
        check(
            "POST /api/v1/changes",
            &headers,
            b"{}",
            200,
            Some((Format::Changes, b"{}")),
        )
        .await;
    }
}

#[tokio::test]
async fn without_an_intake_there_is_no_receiver() {
    let answer = Door::open(api())
        .await
        .ask("POST /v1/metrics", PROTO, b"")
        .await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn what_came_is_counted() {
    let mut api = api();
    let registry = api.registry.clone();
    api.intake = Some(Arc::new(Desk(Mutex::default(), Ok(Accepted::default()))));
    let door = Door::open(api).await;
    door.ask("POST /v1/metrics", PROTO, b"12345").await;
    let large = format!("{PROTO}Content-Encoding: identity\r\n");
    door.ask("POST /v1/metrics", &large, &vec![0; (16 << 20) + 1])
        .await;
    door.ask("POST /v1/metrics", "Content-Type: text/xml\r\n", b"")
        .await;
    door.ask(
        "POST /v1/metrics",
        &format!("{PROTO}Content-Encoding: br\r\n"),
        b"",
    )
    .await;
    door.ask(
        "POST /v1/metrics",
        &format!("{PROTO}Content-Encoding: gzip\r\n"),
        b"12345",
    )
    .await;
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap();
    for line in [
        "foghorn_http_received_total{format=\"otlp_metrics_proto\",outcome=\"accepted\"} 1",
        "foghorn_http_received_total{format=\"otlp_metrics_proto\",outcome=\"refused\"} 3",
        "foghorn_http_received_total{format=\"otlp_metrics_proto\",outcome=\"too_large\"} 1",
        "foghorn_http_received_bytes_total{format=\"otlp_metrics_proto\"} 5",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}
