//! Beside real Prometheus pairs: two clusters with two replicas each scrape, evaluate rules and send
//! what they scraped on, through Kafka, to one Foghorn with the same rule file. Both sides send their
//! alerts to receivers, and those must be the same.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foghorn_runtime::clock::wall;
use foghorn_testkit::broker::Broker;
use serde_json::Value;

use crate::client::{Hook, ask};
use crate::feed::Feed;
use crate::home::{Home, until};

const RULES: &str = r#"
groups:
  - name: live
    interval: 5s
    query_offset: 12s
    rules:
      - record: queue:depth:max
        expr: max by (queue) (queue_depth)
      - alert: QueueDeep
        expr: queue:depth:max > 100
        for: 10s
        labels: {severity: page}
        annotations:
          summary: '{{ $labels.queue }} of {{ $externalLabels.cluster }} is {{ $value }} deep'
      - alert: Errors
        expr: |
          sum by (job) (rate(requests_total{code="500"}[20s]))
            / sum by (job) (rate(requests_total[20s])) > 0.1
        keep_firing_for: 10s
      - alert: TargetDown
        expr: up == 0
      - alert: JobGone
        expr: absent(up{job="api"} == 1)
        for: 5s
      - alert: SeesTwo
        expr: count by (job) (up) > 1
"#;

/// What the exporters of a cluster say; `None` where they fail.
#[derive(Clone, Copy)]
struct Health {
    depth: f64,
    errors: bool,
    up: bool,
}

const WELL: Health = Health {
    depth: 3.0,
    errors: false,
    up: true,
};

/// Both clusters' exporters: `/eu` and `/us`.
struct Exporters {
    address: SocketAddr,
    health: Arc<Mutex<BTreeMap<&'static str, Health>>>,
}

impl Exporters {
    fn listen() -> Self {
        let health = Arc::new(Mutex::new(BTreeMap::from([("eu", WELL), ("us", WELL)])));
        let (shown, begin) = (Arc::clone(&health), wall());
        let address = serve(move |path, _| {
            let health = shown.lock().unwrap()[path.get(1..3)?];
            health
                .up
                .then(|| metrics(health, (wall() - begin) as f64 / 1e3))
        });
        Self { address, health }
    }

    fn set(&self, cluster: &'static str, health: Health) {
        self.health.lock().unwrap().insert(cluster, health);
    }
}

/// Counters go by time, so that all who scrape see the same.
fn metrics(health: Health, seconds: f64) -> String {
    let failed = if health.errors { seconds * 4.0 } else { 0.0 };
    format!(
        "queue_depth{{queue=\"mail\"}} {}\nrequests_total{{code=\"200\"}} {}\nrequests_total{{code=\"500\"}} {failed}\n",
        health.depth,
        (seconds * 10.0).floor(),
    )
}

/// Answers requests with what a function gives for their path and body: 200, or 500 for nothing.
fn serve(mut answer: impl FnMut(&str, &[u8]) -> Option<String> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // A connection that breaks is the sender's to try again.
            let Ok((path, body)) = request(&mut stream) else {
                continue;
            };
            let (status, text) = match answer(&path, &body) {
                Some(text) => ("200 OK", text),
                None => ("500 Internal Server Error", String::new()),
            };
            let length = text.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            drop(stream.write_all((head + &text).as_bytes()));
        }
    });
    address
}

fn request(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16_384]);
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let named = name.eq_ignore_ascii_case("content-length");
                named.then(|| value.trim().parse::<usize>().ok())?
            });
            let body = &bytes[end + 4..];
            if body.len() >= length.unwrap_or(0) {
                let path = head.split(' ').nth(1).unwrap_or("").to_owned();
                return Ok((path, body.to_vec()));
            }
        }
        match stream.read(&mut chunk)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

/// A replica of a cluster's Prometheus.
struct Prometheus {
    child: Child,
    hook: Hook,
    log: std::path::PathBuf,
}

impl Prometheus {
    fn start(
        binary: &str,
        home: &Path,
        (cluster, replica): (&str, &str),
        exporters: SocketAddr,
        bridge: SocketAddr,
    ) -> Self {
        let hook = Hook::listen();
        let folder = home.join(format!("{cluster}-{replica}"));
        std::fs::create_dir_all(&folder).unwrap();
        let rules = home.join("rules.yaml").display().to_string();
        let config = serde_json::json!({
            "global": {
                "scrape_interval": "2s",
                "scrape_timeout": "1s",
                "evaluation_interval": "5s",
                "external_labels": {"cluster": cluster, "prometheus_replica": replica},
            },
            "rule_files": [rules],
            "scrape_configs": [{
                "job_name": "api",
                "metrics_path": format!("/{cluster}"),
                "static_configs": [{"targets": [exporters.to_string()]}],
            }],
            "remote_write": [{
                "url": format!("http://{bridge}/write"),
                "queue_config": {"batch_send_deadline": "1s", "max_shards": 1},
            }],
            "alerting": {
                "alert_relabel_configs": [{"regex": "prometheus_replica", "action": "labeldrop"}],
                "alertmanagers": [{"static_configs": [{"targets": [hook.address.to_string()]}]}],
            },
        });
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config.to_string()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let log = folder.join("log");
        let out = File::create(&log).unwrap();
        let child = Command::new(binary)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--rules.alert.resend-delay=2s")
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        until("Prometheus is ready", 60, || {
            let answer = ask(address, "GET /-/ready", &[], b"").ok()?;
            (answer.status == 200).then_some(())
        });
        Self { child, hook, log }
    }

    fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            let last: Vec<_> = said.lines().rev().take(5).collect();
            println!("{}: {last:#?}", self.log.display());
        }
    }
}

/// An alert's occurrence: its labels and when it began.
type Occurrence = (String, String);

/// The occurrences of a cluster that a receiver was told of, from some instant on, each with its
/// annotations and the end that it was given last.
fn occurrences(hook: &Hook, cluster: &str, from: &str) -> BTreeMap<Occurrence, (String, String)> {
    let mut told = BTreeMap::new();
    for alert in hook.taken().iter().filter_map(Value::as_array).flatten() {
        // Prometheus leaves trailing zeros out.
        let instant = |field: &Value| {
            let text = field.as_str().unwrap().trim_end_matches('Z');
            let (second, fraction) = text.split_once('.').unwrap_or((text, ""));
            format!("{second}.{fraction:0<3}Z")
        };
        let key = (alert["labels"].to_string(), instant(&alert["startsAt"]));
        if alert["labels"]["cluster"] == cluster && key.1.as_str() > from {
            // It leaves out what is empty, too.
            let annotations = alert["annotations"]
                .as_object()
                .cloned()
                .unwrap_or_default();
            let said = (
                Value::from(annotations).to_string(),
                instant(&alert["endsAt"]),
            );
            told.insert(key, said);
        }
    }
    told
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "which Prometheus is beside us is no setting of Foghorn's"
)]
#[ignore = "needs FOGHORN_PROMETHEUS, the path of a Prometheus 3.5, and four minutes"]
fn pairs_of_prometheus_and_foghorn_say_the_same() {
    let binary = std::env::var("FOGHORN_PROMETHEUS").expect("FOGHORN_PROMETHEUS is its path");
    let broker = Broker::start();
    let (topic, partitions) = (broker.topic("metrics", 2), 2);
    let foghorn = Hook::listen();
    let mut home = Home::new("", RULES);
    home.write(
        "foghorn.yaml",
        &format!(
            "
http: {{listen: '127.0.0.1:0'}}
state_dir: state
rules: {{files: ['{rules}'], slots: prometheus}}
kafka: {{brokers: '{brokers}', group: '{topic}'}}
sources:
  - name: metrics
    topics: ['{topic}']
    format: remote_write_1
    compression: snappy
    scope: [cluster]
    replica: prometheus_replica
sinks: [{{type: alertmanager, name: am, urls: ['http://{hook}'], resend_delay: 2s}}]
time: {{replica_timeout: 15s}}
receivers: {{enabled: false}}
",
            rules = home.path("rules.yaml").display(),
            brokers = broker.bootstrap(),
            hook = foghorn.address,
        ),
    );
    home.start();

    let exporters = Exporters::listen();
    let feed = Feed::to(&broker);
    let (into, mut round) = (topic.clone(), 0);
    let bridge = serve(move |_, body| {
        round += 1;
        feed.send(&into, round % partitions, body, None);
        Some(String::new())
    });
    let names = [("eu", "a"), ("eu", "b"), ("us", "a"), ("us", "b")];
    let folder = home.path("");
    let mut all: BTreeMap<_, _> = names
        .map(|name| {
            let started = Prometheus::start(&binary, &folder, name, exporters.address, bridge);
            (name, started)
        })
        .into();

    let begin = wall();
    let at = |second: i64| {
        while wall() < begin + second * 1_000 {
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let deep = Health {
        depth: 500.0,
        ..WELL
    };
    let failing = Health {
        errors: true,
        ..WELL
    };
    let down = Health { up: false, ..WELL };
    at(40);
    exporters.set("eu", deep);
    at(55);
    exporters.set("us", failing);
    at(75);
    exporters.set("eu", WELL);
    at(85);
    exporters.set("us", WELL);
    at(100);
    all.get_mut(&("eu", "a")).unwrap().kill();
    exporters.set("us", down);
    at(130);
    exporters.set("eu", deep);
    exporters.set("us", WELL);
    at(165);
    exporters.set("eu", WELL);
    at(210);
    let mut report = Vec::new();
    // At their first ticks they have no samples yet, which is a thing to say for one who knows what
    // there should be.
    let from = (begin + 30_000).to_string();
    for cluster in ["eu", "us"] {
        let told = |hook: &Hook| occurrences(hook, cluster, &from);
        let [a, b] = ["a", "b"].map(|replica| told(&all[&(cluster, replica)].hook));
        let ours = told(&foghorn);
        // Each replica scrapes at instants of its own, and may be a tick ahead of the other: what is
        // said must be what one of them said.
        for (occurrence, said) in &ours {
            let same = [&a, &b].map(|pair| pair.get(occurrence) == Some(said));
            report.push(format!("{occurrence:?} {said:?} as a, as b: {same:?}"));
            assert!(
                same.contains(&true),
                "{cluster}: {occurrence:?}: {said:?}\n{a:#?}\n{b:#?}"
            );
        }
        for occurrence in a.keys().filter(|key| b.contains_key(*key)) {
            assert!(
                ours.contains_key(occurrence),
                "{cluster}: only they said {occurrence:?}"
            );
        }
        let named = |name: &str| {
            ours.keys()
                .filter(|(labels, _)| labels.contains(name))
                .count()
        };
        let count = ["QueueDeep", "Errors", "TargetDown", "JobGone"].map(named);
        let expect = if cluster == "eu" {
            [2, 0, 0, 0]
        } else {
            [0, 1, 1, 1]
        };
        assert_eq!(count, expect, "{cluster}: {ours:#?}");
    }
    println!("{}", report.join("\n"));
    home.stop();
}
