use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::Duration;

use foghorn_model::incident::Status::Open;
use tokio::runtime::Runtime;

use super::*;
use crate::fixtures::incident;

/// One request as it came in.
struct Request {
    head: String,
    body: String,
}

/// Answers one request for each of `answers` (status line and headers), then ends.
fn receiver(answers: Vec<String>) -> (String, JoinHandle<Vec<Request>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "http://{}/hook?token=hunter2",
        listener.local_addr().unwrap()
    );
    let answering = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            requests.push(Request {
                head: head.to_ascii_lowercase(),
                body: String::from_utf8(body).unwrap(),
            });
            let answer = format!("HTTP/1.1 {answer}\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
        }
        requests
    });
    (url, answering)
}

fn config(url: &str) -> WebhookConfig {
    serde_json::from_value(
        serde_json::json!({"name": "pager", "url": url, "timeout": "5s",
        "allow_networks": ["127.0.0.0/8"]}),
    )
    .unwrap()
}

/// What becomes of two revisions where the receiver answers the first like this.
fn check(answer: &str, count: usize, retryable: bool, retry_after: Option<u64>, text: &str) {
    let runtime = Runtime::new().unwrap();
    let answers = [answer, "204 No Content"]
        .map(str::to_owned)
        .into_iter()
        .take(count.max(1));
    let (url, answering) = receiver(answers.collect());
    let mut sink = WebhookSink::new(&config(&url), runtime.handle().clone()).unwrap();
    let incidents: Vec<_> = (1..=2).map(|n| Arc::new(incident(7, n, Open))).collect();
    let delivered = sink.deliver(&incidents);
    answering.join().unwrap();
    assert_eq!(delivered.count, count, "{answer}: {delivered:?}");
    let Some(error) = delivered.stopped else {
        assert_eq!(text, "");
        return;
    };
    assert_eq!(
        (error.retryable, error.retry_after),
        (retryable, retry_after.map(Duration::from_secs)),
        "{answer}"
    );
    assert!(
        error.text.contains(text) && !text.is_empty(),
        "{}",
        error.text
    );
    assert!(!error.text.contains("hunter2"), "{}", error.text);
}

#[test]
fn what_answers_mean() {
    check("202 Accepted\r\nContent-Length: 0", 2, false, None, "");
    check(
        "503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy",
        0,
        true,
        Some(7),
        "busy",
    );
    check(
        "429 Too Many Requests\r\nContent-Length: 0",
        0,
        true,
        None,
        "429",
    );
    check(
        "408 Request Timeout\r\nContent-Length: 0",
        0,
        true,
        None,
        "408",
    );
    check(
        "400 Bad Request\r\nContent-Length: 0",
        0,
        false,
        None,
        "400",
    );
    check(
        "401 Unauthorized\r\nContent-Length: 0",
        0,
        false,
        None,
        "401",
    );
    check(
        "302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0",
        0,
        false,
        None,
        "not followed",
    );
}

#[test]
fn carries_its_keys() {
    let runtime = Runtime::new().unwrap();
    let (url, answering) = receiver(vec!["200 OK\r\nContent-Length: 0".to_owned()]);
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name)
    };
    let config = WebhookConfig {
        url: None,
        url_file: Some(file("url", &format!("{url}\n"))),
        hmac_secret_file: Some(file("key", "Jefe")),
        header_files: [("Authorization".to_owned(), file("auth", "Bearer hunter2\n"))].into(),
        external_url: "https://foghorn.example".to_owned(),
        ..config(&url)
    };
    let mut sink = WebhookSink::new(&config, runtime.handle().clone()).unwrap();
    let incidents = [Arc::new(incident(7, 3, Open))];
    assert_eq!(sink.deliver(&incidents), Delivered::all(&incidents));
    let request = answering.join().unwrap().remove(0);
    for header in [
        "post /hook?token=hunter2 http/1.1",
        "content-type: application/json",
        "authorization: bearer hunter2",
        &format!("idempotency-key: {}.3", incidents[0].id),
        &format!(
            "x-foghorn-signature: sha256={}",
            hmac_sha256_hex(b"Jefe", request.body.as_bytes())
        ),
    ] {
        assert!(
            request.head.contains(header),
            "{header} in\n{}",
            request.head
        );
    }
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(
        (&body["version"], &body["receiver"]),
        (&"4".into(), &"pager".into())
    );
    assert_eq!(body["externalURL"], "https://foghorn.example");
}

#[test]
fn nobody_there_may_get_better() {
    let runtime = Runtime::new().unwrap();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let config = config(&format!("http://{free}/hunter2"));
    let mut sink = WebhookSink::new(&config, runtime.handle().clone()).unwrap();
    let error = sink
        .deliver(&[Arc::new(incident(7, 1, Open))])
        .stopped
        .unwrap();
    assert!(error.retryable && error.text.contains("refused"), "{error}");
    assert!(!error.text.contains("hunter2"), "{error}");
}

#[test]
fn settings_that_make_no_sense() {
    let runtime = Runtime::new().unwrap();
    let refused = |config: WebhookConfig| {
        WebhookSink::new(&config, runtime.handle().clone())
            .err()
            .unwrap()
    };
    assert!(refused(config("ftp://x/")).contains("ftp"));
    assert!(refused(config("not a url")).contains("URL"));
    assert!(
        refused(WebhookConfig {
            url: None,
            ..config("http://x/")
        })
        .contains("exactly one")
    );
    let bad = [("a b".to_owned(), Secret::new("x"))].into();
    assert!(
        refused(WebhookConfig {
            headers: bad,
            ..config("http://x/")
        })
        .contains("header")
    );
}
