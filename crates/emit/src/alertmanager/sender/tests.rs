//! Against a small Alertmanager over real HTTP. Time is what a test says it is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use foghorn_model::{Labels, RuleId};
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::super::feed::Ended;
use super::super::{AlertmanagerConfig, HttpDoor};
use super::*;

/// Wall time when a test's clock shows 0.
const BEGIN: i64 = 1_700_000_000_000;

/// An Alertmanager as far as `POST /api/v2/alerts` goes.
#[derive(Default)]
struct Server {
    /// What it answers instead of doing its work.
    trouble: Option<&'static str>,
    /// Heads of all requests.
    heads: Vec<String>,
    /// Posts that it took.
    posts: Vec<Vec<Value>>,
}

/// Starts one; its URL.
fn alertmanager(server: &Arc<Mutex<Server>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Arc::clone(server);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), &server);
        }
    });
    url
}

fn answer(mut stream: TcpStream, server: &Mutex<Server>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        let line = line.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut server = server.lock().unwrap();
    let status = match (server.trouble, take(&head, &body)) {
        (Some(trouble), _) => trouble,
        (None, Err(status)) => status,
        (None, Ok(post)) => {
            server.posts.push(post);
            "200 OK"
        }
    };
    server.heads.push(head);
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).unwrap();
}

/// Whether an Alertmanager would take it.
fn take(head: &str, body: &[u8]) -> Result<Vec<Value>, &'static str> {
    if !head.starts_with("post /api/v2/alerts http/1.1") {
        return Err("404 Not Found");
    }
    if !head.contains("content-type: application/json") {
        return Err("415 Unsupported Media Type");
    }
    let post: Vec<Value> = serde_json::from_slice(body).map_err(|_| "400 Bad Request")?;
    let is_good = |alert: &Value| {
        let (starts, ends) = (alert["startsAt"].as_str(), alert["endsAt"].as_str());
        alert["labels"]["alertname"].is_string() && starts <= ends && starts.is_some()
    };
    if post.iter().all(is_good) {
        Ok(post)
    } else {
        Err("400 Bad Request")
    }
}

#[derive(Default)]
struct MemoryFeed(Mutex<Vec<RuleAlert>>);

impl AlertFeed for MemoryFeed {
    fn alerts(&self) -> Vec<RuleAlert> {
        self.0.lock().unwrap().clone()
    }
}

struct Desk {
    server: Arc<Mutex<Server>>,
    feed: Arc<MemoryFeed>,
    /// Milliseconds since the test began.
    now: Arc<AtomicI64>,
    sender: Sender,
    registry: Registry,
    _runtime: Runtime,
}

impl Desk {
    fn new(keys: &Value) -> Self {
        let server = Arc::default();
        let mut config = json!({"name": "am", "urls": [alertmanager(&server)], "timeout": "20s"});
        for (key, value) in keys.as_object().unwrap() {
            config[key] = value.clone();
        }
        let config: AlertmanagerConfig = serde_json::from_value(config).unwrap();
        let runtime = Runtime::new().unwrap();
        let door = HttpDoor::open_all(&config, runtime.handle())
            .unwrap()
            .remove(0);
        let (registry, now) = (Registry::new(), Arc::new(AtomicI64::new(0)));
        let feed = Arc::<MemoryFeed>::default();
        let fed: Arc<dyn AlertFeed> = Arc::<MemoryFeed>::clone(&feed);
        let wall = Arc::clone(&now);
        let sender = Sender::new(
            door,
            Arc::new(Terms::new(&config, &std::collections::BTreeMap::new())),
            fed,
            Box::new(move || Timestamp(BEGIN + wall.load(Ordering::Relaxed))),
            &NotificationMetrics::register(&registry).unwrap(),
        );
        Self {
            server,
            feed,
            now,
            sender,
            registry,
            _runtime: runtime,
        }
    }

    /// One round at this second.
    fn round(&mut self, second: i64) -> Next {
        self.now.store(second * 1_000, Ordering::Relaxed);
        let now = Arc::clone(&self.now);
        let clock = move || Duration::from_millis(now.load(Ordering::Relaxed) as u64);
        self.sender.round(&clock)
    }

    /// Rounds at this second until it wants to wait; until when, in seconds.
    fn settle(&mut self, second: i64) -> Option<f64> {
        loop {
            match self.round(second) {
                Next::Again => {}
                Next::At(at) => return Some(at.as_secs_f64()),
                Next::Idle => return None,
            }
        }
    }

    /// Something happens to an alert at this second: `fires`, `ends` (said at once), `ends late`
    /// (half an hour ago), `ends unseen` (16 minutes ago, and known since then), `goes`; or to the
    /// Alertmanager: `503`, `400`, `works`.
    fn happens(&mut self, second: i64, who: &str, what: &str) {
        let at = Timestamp(BEGIN + second * 1_000);
        let labels = Labels::from_pairs([("alertname", who)]);
        let mut alerts = self.feed.0.lock().unwrap();
        let known = alerts.iter().position(|alert| alert.labels == labels);
        let ended = |at, known_at| Some(Ended { at, known_at });
        match (what, known) {
            ("503", _) => self.server.lock().unwrap().trouble = Some("503 Service Unavailable"),
            ("400", _) => self.server.lock().unwrap().trouble = Some("400 Bad Request"),
            ("works", _) => self.server.lock().unwrap().trouble = None,
            ("fires", known) => {
                if let Some(known) = known {
                    alerts.remove(known);
                }
                alerts.push(RuleAlert {
                    id: AlertId::derive(RuleId(1), &labels, at),
                    rule: RuleId(1),
                    labels,
                    annotations: Labels::empty(),
                    // An hour late.
                    fired_at: at - 3_600_000,
                    ended: None,
                    interval_ms: 15_000,
                    expr: "up == 0".into(),
                });
            }
            ("ends", Some(known)) => alerts[known].ended = ended(at, at),
            ("ends late", Some(known)) => alerts[known].ended = ended(at - 1_800_000, at),
            ("ends unseen", Some(known)) => {
                alerts[known].ended = ended(at - 960_000, at - 960_000);
            }
            ("goes", Some(known)) => drop(alerts.remove(known)),
            what => panic!("{what:?} happens to nobody"),
        }
    }

    /// What the server was posted since the last call: `name since until` (in seconds from the
    /// test's begin), posts apart by `|`.
    fn posted(&self) -> String {
        let seconds = |text: &Value| {
            let text = text.as_str().unwrap();
            (-10_000..100_000)
                .find(|second| Timestamp(BEGIN + second * 1_000).to_string() == text)
                .unwrap_or_else(|| panic!("when is {text}?"))
        };
        let alert = |alert: &Value| {
            let (starts, ends) = (seconds(&alert["startsAt"]), seconds(&alert["endsAt"]));
            let name = alert["labels"]["alertname"].as_str().unwrap();
            format!("{name} {starts} {ends}")
        };
        let posts = std::mem::take(&mut self.server.lock().unwrap().posts);
        let posts = posts.iter();
        let texts: Vec<String> = posts
            .map(|post| post.iter().map(alert).collect::<Vec<_>>().join(", "))
            .collect();
        texts.join(" | ")
    }

    /// A metric of this Alertmanager, whatever its reason.
    fn metric(&self, name: &str, reason: Option<&str>) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.unwrap_or_else(|| panic!("{name}?")).get_metric();
        let named = metrics.iter().filter(|metric| {
            let labels = metric.get_label();
            reason.is_none_or(|reason| labels.iter().any(|label| label.value() == reason))
        });
        let sum: f64 = named
            .map(|m| m.get_counter().get_value() + m.get_gauge().get_value())
            .sum();
        sum as u64
    }
}

/// At each second things happen (`who what`, `;` between them), and this is posted.
fn check(steps: &[(i64, &str, &str)]) -> Desk {
    let mut desk = Desk::new(&json!({}));
    for (second, happens, posted) in steps {
        for one in happens.split("; ").filter(|one| !one.is_empty()) {
            let (who, what) = one.split_once(' ').unwrap_or(("", one));
            desk.happens(*second, who, what);
        }
        desk.settle(*second);
        assert_eq!(desk.posted(), *posted, "at {second}: {happens}");
    }
    desk
}

#[test]
fn what_fires_is_said_again_each_minute() {
    let desk = check(&[
        (0, "", ""),
        (0, "a fires", "a -3600 240"),
        (1, "", ""),
        (30, "b fires", "b -3570 270"),
        (59, "", ""),
        (60, "", "a -3600 300"),
        (95, "", "b -3570 335"),
        (130, "", "a -3600 370"),
    ]);
    assert_eq!(desk.metric("foghorn_notifications_sent_total", None), 5);
}

#[test]
fn it_asks_to_be_called_when_something_is_due() {
    let mut desk = Desk::new(&json!({"resend_delay": "10s"}));
    assert_eq!(desk.settle(0), None);
    desk.happens(0, "a", "fires");
    assert_eq!(desk.settle(0), Some(10.0));
    desk.happens(4, "b", "fires");
    assert_eq!(desk.settle(4), Some(10.0));
    assert_eq!(desk.settle(10), Some(14.0));
    desk.happens(11, "a", "goes");
    desk.happens(11, "b", "goes");
    assert_eq!(desk.settle(11), None);
}

#[test]
fn an_end_is_said_at_once_and_for_a_quarter_of_an_hour() {
    check(&[
        (0, "a fires", "a -3600 240"),
        (20, "a ends", "a -3600 20"),
        (79, "", ""),
        (80, "", "a -3600 20"),
        (920, "", "a -3600 20"),
        (981, "", ""),
    ]);
}

#[test]
fn an_engine_that_is_late_tells_no_old_end_as_firing() {
    check(&[
        (0, "a fires; a ends late", "a -3600 -1800"),
        (10, "b fires", "b -3590 250"),
        (20, "b ends late", "b -3590 -1780"),
        (30, "c fires; c ends unseen", ""),
    ]);
}

#[test]
fn a_new_occurrence_is_said_at_once() {
    check(&[
        (0, "a fires", "a -3600 240"),
        (10, "a ends", "a -3600 10"),
        (20, "a fires", "a -3580 260"),
        (30, "a fires", "a -3570 270"),
        (31, "", ""),
    ]);
}

#[test]
fn after_a_restart_all_is_said_again() {
    let desk = check(&[
        (0, "a fires; b fires", "a -3600 240, b -3600 240"),
        (10, "b ends", "b -3600 10"),
    ]);
    let mut again = Desk::new(&json!({}));
    again.feed.0.lock().unwrap().extend(desk.feed.alerts());
    again.settle(12);
    assert_eq!(again.posted(), "a -3600 252, b -3600 10");
}

#[test]
fn what_waits_for_a_dead_alertmanager_is_what_stands_when_it_is_back() {
    let desk = check(&[
        (0, "503; a fires; b fires; c fires", ""),
        (20, "b ends", ""),
        (40, "c goes", ""),
        // However often it failed: no later than what fires is said again.
        (200, "works", "a -3600 440, b -3600 20"),
    ]);
    let metric = |name, reason| desk.metric(name, reason);
    assert_eq!(
        metric("foghorn_notifications_dropped_total", Some("over")),
        1
    );
    assert_eq!(metric("foghorn_notifications_dropped_total", None), 1);
    assert_eq!(metric("foghorn_notifications_sent_total", None), 2);
    assert_eq!(metric("foghorn_notifications_errors_total", None), 8);
    assert_eq!(metric("foghorn_notifications_queue_length", None), 0);
    assert!(desk.sender.status().up && desk.sender.status().retries == 3);
}

#[test]
fn backs_off_but_never_for_longer_than_it_is_said_again() {
    let mut desk = Desk::new(&json!({"resend_delay": "5s"}));
    desk.happens(0, "", "503");
    desk.happens(0, "a", "fires");
    let mut now = 0.0_f64;
    for _ in 0..20 {
        let Some(next) = desk.settle(now.ceil() as i64) else {
            panic!("gave up")
        };
        assert!(desk.sender.waits_to_retry());
        assert!(next - now <= 6.0, "{now} to {next}");
        now = next;
    }
    assert_eq!(desk.metric("foghorn_notifications_queue_length", None), 1);
}

#[test]
fn what_is_refused_stands_in_nobodys_way() {
    let desk = check(&[
        (0, "400; a fires", ""),
        (1, "works; b fires", "b -3599 241"),
        (60, "", "a -3600 300"),
    ]);
    let name = "foghorn_notifications_dropped_total";
    assert_eq!(desk.metric(name, Some("refused")), 1);
}

#[test]
fn a_storm_goes_in_batches_and_the_oldest_give_way() {
    let mut desk = Desk::new(&json!({}));
    let alert = |number: i64| RuleAlert {
        id: AlertId(number as u128),
        rule: RuleId(1),
        labels: Labels::from_pairs([("alertname", format!("a{number}"))]),
        annotations: Labels::empty(),
        fired_at: Timestamp(BEGIN - 100_000 + number),
        ended: None,
        interval_ms: 15_000,
        expr: "".into(),
    };
    let storm = (0..10_300).rev().map(alert);
    desk.feed.0.lock().unwrap().extend(storm);
    desk.settle(0);
    let posts = std::mem::take(&mut desk.server.lock().unwrap().posts);
    let sizes: Vec<_> = posts.iter().map(Vec::len).collect();
    assert_eq!(sizes[..39], [256; 39]);
    assert_eq!(sizes[39..], [10_000 - 39 * 256]);
    assert_eq!(posts[0][0]["labels"]["alertname"], "a300");
    let name = "foghorn_notifications_dropped_total";
    assert_eq!(desk.metric(name, Some("full")), 300);
}

#[test]
fn says_who_it_is_and_finds_its_way() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "hunter2\n").unwrap();
    let heads = |keys: &Value| {
        let mut desk = Desk::new(keys);
        desk.happens(0, "a", "fires");
        desk.round(0);
        let mut server = desk.server.lock().unwrap();
        (server.heads.remove(0), server.posts.len())
    };
    let (head, took) = heads(&json!({"basic_auth": {"username": "ana", "password_file": file}}));
    // `ana:hunter2`, in lower case as the server notes heads.
    assert!(
        head.contains("authorization: basic yw5homh1bnrlcji="),
        "{head}"
    );
    assert_eq!(took, 1);
    let (head, _) = heads(&json!({"bearer_token_file": file}));
    assert!(head.contains("authorization: bearer hunter2"), "{head}");
    let (head, _) = heads(&json!({"header_files": {"X-Scope-OrgID": file}}));
    assert!(head.contains("x-scope-orgid: hunter2"), "{head}");
    let (head, took) = heads(&json!({"path_prefix": "/am"}));
    assert!(head.starts_with("post /am/api/v2/alerts "), "{head}");
    assert_eq!(took, 0, "nobody is there");
}
