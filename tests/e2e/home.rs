//! A folder with a config, rules and state, and the process that runs on it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foghorn_runtime::clock::wall;
use serde_json::Value;

use crate::client::{Answer, ask};

/// Looks until there is something, for at most so many seconds.
pub(crate) fn until<T>(what: &str, seconds: i64, mut look: impl FnMut() -> Option<T>) -> T {
    let end = wall() + seconds * 1_000;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(wall() < end, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Says on the real stderr what this run does not prove: the harness keeps what passing tests print.
pub(crate) fn not_proven(why: &str) {
    // Where stderr is gone there is nobody to tell.
    drop(writeln!(std::io::stderr(), "*** e2e: {why}"));
}

/// Every home has these; a test adds its own.
const COMMON: &str = "
rules: {files: [rules.yaml]}
state_dir: state
receivers: {allowed_lateness: 500ms}
";

/// Those that say nothing of their own door have this one.
const DOOR: &str = "http: {listen: '127.0.0.1:0'}\n";

/// See the module's text. Ends the process when dropped.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    running: Option<Running>,
    /// What processes said on stderr, all runs.
    said: Arc<Mutex<Vec<String>>>,
}

struct Running {
    child: Child,
    /// Lines that earlier runs had said.
    since: usize,
}

impl Home {
    /// Writes config and rules; starts nothing.
    pub(crate) fn new(config: &str, rules: &str) -> Self {
        let home = Self {
            folder: tempfile::tempdir().unwrap(),
            running: None,
            said: Arc::default(),
        };
        let has_door = config.lines().any(|line| line.starts_with("http:"));
        let door = if has_door { "" } else { DOOR };
        home.write("foghorn.yaml", &format!("{COMMON}{door}{config}"));
        home.write("rules.yaml", rules);
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The files of a folder, with what they hold.
    pub(crate) fn save(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .map(|name| {
                let bytes = fs::read(self.path(folder).join(&name)).unwrap();
                (name, bytes)
            })
            .collect()
    }

    /// Puts a folder's files back as they were.
    pub(crate) fn put_back(&self, folder: &str, files: &BTreeMap<String, Vec<u8>>) {
        fs::remove_dir_all(self.path(folder)).unwrap();
        fs::create_dir_all(self.path(folder)).unwrap();
        for (name, bytes) in files {
            fs::write(self.path(folder).join(name), bytes).unwrap();
        }
    }

    /// Starts the process; waits for nothing.
    pub(crate) fn spawn(&mut self) {
        self.spawn_with(&[]);
    }

    /// With these in its environment.
    pub(crate) fn spawn_with(&mut self, environment: &[(&str, &str)]) {
        assert!(self.running.is_none(), "it runs already");
        let mut child = Command::new(env!("CARGO_BIN_EXE_foghorn"))
            .args(["run", "-c", "foghorn.yaml"])
            .current_dir(self.folder.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = Arc::clone(&self.said);
        let since = said.lock().unwrap().len();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                said.lock().unwrap().push(line);
            }
        });
        self.running = Some(Running { child, since });
    }

    /// Starts the process and waits until it is ready.
    pub(crate) fn start(&mut self) {
        self.spawn();
        self.await_ready();
    }

    pub(crate) fn await_ready(&mut self) {
        self.address();
        until("ready", 60, || self.is_ready().then_some(()));
    }

    /// Whether it is ready; one that does not answer is not.
    pub(crate) fn is_ready(&self) -> bool {
        let answer = self.try_get("/-/ready");
        answer.is_some_and(|answer| answer.status == 200)
    }

    /// What the present process said so far.
    pub(crate) fn said(&self) -> Vec<String> {
        let since = self.running.as_ref().map_or(0, |running| running.since);
        self.said.lock().unwrap()[since..].to_vec()
    }

    /// What all processes said so far.
    pub(crate) fn all_said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Whether the present process said something.
    pub(crate) fn has_said(&self, words: &str) -> bool {
        self.said().iter().any(|line| line.contains(words))
    }

    /// Where the API listens; waits for it.
    pub(crate) fn address(&mut self) -> SocketAddr {
        until("listening", 30, || {
            self.assert_alive();
            self.listens()
        })
    }

    /// Where the API listens at present: an instance that stood by opens another door when it is active.
    fn listens(&self) -> Option<SocketAddr> {
        let said = self.said();
        let line = said.iter().rfind(|line| line.contains("listening"))?;
        line.rsplit_once("address=")?.1.trim().parse().ok()
    }

    fn assert_alive(&mut self) {
        let ended = self.running.as_mut().unwrap().child.try_wait().unwrap();
        assert!(ended.is_none(), "it ended: {ended:?}");
    }

    /// A request to the API, with header lines.
    pub(crate) fn ask(&self, what: &str, headers: &[&str], body: &[u8]) -> Answer {
        let address = self.listens().expect("it listens already");
        ask(address, what, headers, body).unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], b"")
    }

    /// What the API has under `data`.
    pub(crate) fn data(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()["data"].clone()
    }

    /// The active alert of this name, as the API shows it.
    pub(crate) fn alert(&self, name: &str) -> Option<Value> {
        let alerts = self.data("/api/v1/alerts");
        let alerts = alerts["alerts"].as_array().unwrap();
        alerts
            .iter()
            .find(|alert| alert["labels"]["alertname"] == name)
            .cloned()
    }

    /// A request to a process that may not answer.
    pub(crate) fn try_get(&self, path: &str) -> Option<Answer> {
        self.try_ask(&format!("GET {path}"), &[], b"")
    }

    /// The same, with header lines and a body.
    pub(crate) fn try_ask(&self, what: &str, headers: &[&str], body: &[u8]) -> Option<Answer> {
        ask(self.listens()?, what, headers, body).ok()
    }

    /// A sample of `/metrics`, summed over its labels; 0 where there is none.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").body;
        let value = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let named = series.split('{').next() == Some(name);
            named.then(|| value.parse::<f64>().ok())?
        };
        text.lines().filter_map(value).sum()
    }

    /// A signal, by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap();
        assert!(sent.success(), "kill -{name}");
    }

    /// Bounds what the process may use from now on, as `prlimit` names it.
    pub(crate) fn limit(&self, what: &str) {
        let pid = self.pid().to_string();
        let set = Command::new("prlimit").args(["--pid", &pid, what]).status();
        assert!(set.unwrap().success(), "prlimit {what}");
    }

    /// The process' id.
    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().unwrap().child.id()
    }

    /// Bytes of memory that the process holds.
    pub(crate) fn resident(&self) -> u64 {
        let pid = self.pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kib.unwrap_or(0) << 10
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut running = self.running.take().unwrap();
        running.child.kill().unwrap();
        running.child.wait().unwrap();
    }

    /// How the process ended by itself, if it did. It can be asked what it said all the same.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.running.as_mut().unwrap().child.try_wait().unwrap()
    }

    /// It has ended by itself; another may be started.
    pub(crate) fn forget_run(&mut self) {
        self.running = None;
    }

    /// Waits for the process to end by itself.
    pub(crate) fn await_end(&mut self, seconds: i64) -> ExitStatus {
        let running = self.running.as_mut().unwrap();
        let ended = until("the end of the process", seconds, || {
            running.child.try_wait().unwrap()
        });
        self.running = None;
        ended
    }

    /// SIGTERM: ends with 0, within 15 s.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        let ended = self.await_end(15);
        assert_eq!(ended.code(), Some(0), "SIGTERM is a good end");
    }

    /// What the NDJSON sink wrote, in order.
    pub(crate) fn revisions(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("incidents.ndjson")).unwrap_or_default();
        let whole = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        whole
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The latest revision in which an alert of this name is in this state (`firing`, `resolved`).
    pub(crate) fn incident_with(&self, alert: &str, state: &str) -> Option<Value> {
        let mut revisions = self.revisions();
        revisions.retain(|incident| member(incident, alert).is_some());
        let latest = revisions.pop()?;
        (member(&latest, alert)?["state"] == state).then_some(latest)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            // It may have ended by itself.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
        if std::thread::panicking() {
            let said = self.said.lock().unwrap();
            let last = &said[said.len().saturating_sub(60)..];
            println!("the process said at last:\n{}", last.join("\n"));
            for incident in self.revisions() {
                println!("revision: {}", summary(&incident));
            }
        }
    }
}

/// The member of this name that began last.
pub(crate) fn member<'a>(incident: &'a Value, alert: &str) -> Option<&'a Value> {
    let members = incident["alerts"].as_array()?;
    members.iter().rfind(|member| member["name"] == alert)
}

/// An incident's revision in a line.
pub(crate) fn summary(incident: &Value) -> String {
    let members: Vec<_> = incident["alerts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|m| format!("{} {} since {}", m["name"], m["state"], m["active_at"]))
        .collect();
    format!(
        "{} r{} {} {}: {}",
        incident["id"],
        incident["revision"],
        incident["event"],
        incident["title"],
        members.join(", ")
    )
}

/// Checks that nothing was said twice, or after what came later.
pub(crate) fn assert_said_once(revisions: &[Value]) {
    let mut latest: BTreeMap<&str, u64> = BTreeMap::new();
    for incident in revisions {
        let revision = incident["revision"].as_u64().unwrap();
        let before = latest.insert(incident["id"].as_str().unwrap(), revision);
        assert!(before < Some(revision), "said twice: {}", summary(incident));
    }
}

/// Checks what must hold of everything that was ever said: for each incident, a revision has one
/// content, whoever says it how often; new revisions come in order, from 1, without a gap. Returns
/// the ids, sorted.
pub(crate) fn assert_consistent(revisions: &[Value]) -> Vec<String> {
    let mut known: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for incident in revisions {
        let id = incident["id"].as_str().unwrap().to_owned();
        let number = incident["revision"].as_u64().unwrap() as usize;
        let seen = known.entry(id).or_default();
        if let Some(earlier) = seen.get(number - 1) {
            assert_eq!(*earlier, incident, "one revision with two contents");
        } else {
            assert_eq!(number, seen.len() + 1, "a gap before {}", summary(incident));
            seen.push(incident);
        }
    }
    known.into_keys().collect()
}
