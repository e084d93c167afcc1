//! A Kafka cluster for tests: a real one if it can be had, never one left behind.
//!
//! `FOGHORN_KAFKA=host:port` uses a running cluster. Otherwise `deploy/kafka/up` starts a real
//! broker, tied to this process by a pipe: it ends when the process does, however that ends. Where
//! there is no Java or no Maven, a loud line says so and librdkafka's mock brokers stand in, unless
//! `FOGHORN_REQUIRE_KAFKA=1` forbids that.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use foghorn_kafka::{Admin, Creation, MockBrokers, Properties, RdAdmin, TopicSpec};

/// A cluster to test against. Clones share it.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

/// What a [`Broker`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Apache Kafka, started for this process.
    Real,
    /// librdkafka's mock brokers: clients and groups, but no administration, no times, no restart.
    Mock,
    /// The cluster that `FOGHORN_KAFKA` names.
    External,
}

struct Inner {
    bootstrap: String,
    /// Where those who log in over TLS connect.
    secure: Option<String>,
    source: Source,
}

enum Source {
    /// One broker, or several.
    Real(Vec<Mutex<Tied>>),
    Mock(MockBrokers),
    External,
}

/// Where a broker answers.
#[derive(Debug, Default)]
struct Answered {
    bootstrap: String,
    secure: Option<String>,
    /// Where what a proxy passes on is taken.
    via: Option<String>,
}

/// The script that holds a broker, and the pipe whose end ends both.
struct Tied {
    script: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

const UP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/kafka/up");

impl Broker {
    /// The cluster that all tests of this process share. Use topics of [`Self::topic`] only.
    ///
    /// # Panics
    /// If `FOGHORN_REQUIRE_KAFKA=1` and there is no real cluster, with the reason.
    pub fn start() -> Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        let shared = || match setting("FOGHORN_KAFKA") {
            Some(bootstrap) => Self::of(bootstrap, Source::External),
            None => Self::dedicated().unwrap_or_else(|reason| Self::mock_instead(&reason)),
        };
        SHARED.get_or_init(shared).clone()
    }

    /// A real broker of one's own, which may be restarted; it ends with its last clone.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Panics
    /// If `FOGHORN_REQUIRE_KAFKA=1` and there is none.
    pub fn dedicated() -> Result<Self, String> {
        Self::started(Tied::start(&[]))
    }

    /// Several real brokers of one's own, each with a replica of everything; as [`Self::dedicated`].
    ///
    /// # Errors
    /// Why there are none.
    ///
    /// # Panics
    /// If `FOGHORN_REQUIRE_KAFKA=1` and there are none.
    pub fn several(count: usize) -> Result<Self, String> {
        let quorum: Vec<_> = (1..=count)
            .map(|node| format!("{node}@127.0.0.1:{}", free_port()))
            .collect();
        let (quorum, id) = (quorum.join(","), format!("k{:020}A", std::process::id()));
        let start = |node: usize| {
            let node = node.to_string();
            Tied::start(&["--node", &node, "--quorum", &quorum, "--cluster", &id])
        };
        // None of them answers before most of them do.
        let started: Result<Vec<_>, _> = std::thread::scope(|scope| {
            let all: Vec<_> = (1..=count)
                .map(|node| scope.spawn(move || start(node)))
                .collect();
            let joined = all.into_iter();
            joined
                .map(|one| one.join().expect("a start does not panic"))
                .collect()
        });
        let (tied, answered): (Vec<_>, Vec<_>) = required(started)?.into_iter().unzip();
        let bootstrap: Vec<_> = answered.into_iter().map(|it| it.bootstrap).collect();
        let tied = tied.into_iter().map(Mutex::new).collect();
        Ok(Self::of(bootstrap.join(","), Source::Real(tied)))
    }

    /// A real broker of one's own with a second place to connect to, which it says is at `port` of the
    /// loopback interface: a proxy there passes on what comes. [`Self::bootstrap`] goes past it. Also
    /// where that second place really is.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Panics
    /// If `FOGHORN_REQUIRE_KAFKA=1` and there is none.
    pub fn behind(port: u16) -> Result<(Self, SocketAddr), String> {
        let (tied, answered) = required(Tied::start(&["--via", &port.to_string()]))?;
        let via = answered.via.and_then(|via| via.parse().ok());
        let via = via.ok_or("the script does not say where it takes what is passed on")?;
        let tied = vec![Mutex::new(tied)];
        Ok((Self::of(answered.bootstrap, Source::Real(tied)), via))
    }

    /// As [`Self::dedicated`], with a second listener for those who log in over TLS: see
    /// `deploy/kafka/up --secure`. `folder` has to be absolute.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Panics
    /// If `FOGHORN_REQUIRE_KAFKA=1` and there is none.
    pub fn secured(folder: &Path) -> Result<Self, String> {
        let folder = folder.to_string_lossy();
        Self::started(Tied::start(&["--secure", &folder]))
    }

    fn started(started: Result<(Tied, Answered), String>) -> Result<Self, String> {
        let (tied, answered) = required(started)?;
        Ok(Self(Arc::new(Inner {
            bootstrap: answered.bootstrap,
            secure: answered.secure,
            source: Source::Real(vec![Mutex::new(tied)]),
        })))
    }

    /// Mock brokers, whatever else could be had.
    ///
    /// # Panics
    /// If this process cannot even listen on the loopback interface.
    pub fn mock() -> Self {
        let mock = MockBrokers::start(1).expect("mock brokers start");
        let bootstrap = mock.bootstrap().expect("mock brokers have addresses");
        Self::of(bootstrap, Source::Mock(mock))
    }

    /// `host:port,…` to connect to.
    pub fn bootstrap(&self) -> &str {
        &self.0.bootstrap
    }

    /// `host:port` for those who log in over TLS, where there is such a listener.
    pub fn secure(&self) -> Option<&str> {
        self.0.secure.as_deref()
    }

    /// Client properties to connect with.
    pub fn properties(&self) -> Properties {
        Properties::bootstrap(self.bootstrap())
    }

    /// What this is. Tests of what only Kafka can do ask first.
    pub fn kind(&self) -> Kind {
        match self.0.source {
            Source::Real(_) => Kind::Real,
            Source::Mock(_) => Kind::Mock,
            Source::External => Kind::External,
        }
    }

    /// Creates a topic with a name of its own (`purpose`, process, number) and gives the name.
    ///
    /// # Panics
    /// If the cluster refuses.
    pub fn topic(&self, purpose: &str, partitions: u32) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{purpose}-{}-{number}", std::process::id());
        self.create_topic(&name, partitions);
        name
    }

    /// Creates a topic.
    ///
    /// # Panics
    /// If it exists, or the cluster refuses.
    pub fn create_topic(&self, name: &str, partitions: u32) {
        if let Source::Mock(mock) = &self.0.source {
            return mock
                .create_topic(name, partitions)
                .expect("the mock brokers take a new topic");
        }
        let admin = RdAdmin::open(&self.properties()).expect("an admin client opens");
        let created = admin.create_topic(&TopicSpec::new(name, partitions));
        assert_eq!(created, Ok(Creation::Created), "topic {name}");
    }

    /// Kills a dedicated broker (-9) and starts it again, on the same port with the same data.
    ///
    /// # Panics
    /// If it is not a real broker of our own, or does not come back.
    pub fn restart(&self) {
        self.kill();
        self.revive();
    }

    /// Kills a dedicated broker, or all of several (-9); [`Self::revive`] brings it back.
    ///
    /// # Panics
    /// If it is not a real broker of our own.
    pub fn kill(&self) {
        (0..self.nodes().len()).for_each(|node| self.kill_one(node));
    }

    /// Starts a killed broker again.
    ///
    /// # Panics
    /// If it does not come back.
    pub fn revive(&self) {
        (0..self.nodes().len()).for_each(|node| self.revive_one(node));
    }

    /// Kills one of several brokers (-9), counted from 0.
    ///
    /// # Panics
    /// If it is not a real broker of our own.
    pub fn kill_one(&self, node: usize) {
        self.tied(node)
            .tell("kill")
            .expect("the broker's script takes commands");
    }

    /// Starts one of several brokers again.
    ///
    /// # Panics
    /// If it does not come back.
    pub fn revive_one(&self, node: usize) {
        let came_back = self.tied(node).tell_and_await("start");
        let is_known = |at: &str| self.bootstrap().split(',').any(|known| known == at);
        assert!(
            came_back.as_ref().is_ok_and(|it| is_known(&it.bootstrap)),
            "the broker comes back as it was: {came_back:?}"
        );
    }

    fn nodes(&self) -> &[Mutex<Tied>] {
        let Source::Real(nodes) = &self.0.source else {
            panic!(
                "only a real broker of our own is killed, not {:?}",
                self.kind()
            );
        };
        nodes
    }

    fn tied(&self, node: usize) -> MutexGuard<'_, Tied> {
        let tied = &self.nodes()[node];
        tied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(bootstrap: String, source: Source) -> Self {
        Self(Arc::new(Inner {
            bootstrap,
            secure: None,
            source,
        }))
    }

    fn mock_instead(reason: &str) -> Self {
        let loud = format!(
            "*** NO REAL KAFKA: {reason}\n\
             *** MOCK BROKERS stand in; FOGHORN_REQUIRE_KAFKA=1 makes this a failure.\n"
        );
        // Not `eprintln!`, which the test harness keeps to itself when a test passes: a run must not
        // silently prove less. If standard error is closed, there is nobody to tell.
        let _ = std::io::stderr().write_all(loud.as_bytes());
        Self::mock()
    }
}

impl Tied {
    fn start(more: &[&str]) -> Result<(Self, Answered), String> {
        let mut script = Command::new(UP)
            .arg("--tied")
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{UP}: {e}"))?;
        let (commands, answers) = (script.stdin.take(), script.stdout.take());
        let answers = BufReader::new(answers.ok_or("the script has no output")?);
        let mut tied = Self {
            script,
            commands,
            answers,
        };
        let answered = tied.await_ready()?;
        Ok((tied, answered))
    }

    /// Reads until the script says that the broker answers, and where.
    fn await_ready(&mut self) -> Result<Answered, String> {
        let mut line = String::new();
        let mut answered = Answered::default();
        loop {
            line.clear();
            match self.answers.read_line(&mut line) {
                Ok(0) => return Err(format!("{UP} gave up (its reasons are above)")),
                Ok(_) => match line.trim_end().split_once('=') {
                    Some(("SECURE", address)) => answered.secure = Some(address.to_owned()),
                    Some(("VIA", address)) => answered.via = Some(address.to_owned()),
                    Some(("BOOTSTRAP", address)) => {
                        address.clone_into(&mut answered.bootstrap);
                        return Ok(answered);
                    }
                    _ => {}
                },
                Err(e) => return Err(e.to_string()),
            }
        }
    }

    fn tell_and_await(&mut self, command: &str) -> Result<Answered, String> {
        self.tell(command)?;
        self.await_ready()
    }

    fn tell(&mut self, command: &str) -> Result<(), String> {
        let pipe = self.commands.as_mut().ok_or("the pipe is closed")?;
        writeln!(pipe, "{command}").map_err(|e| e.to_string())
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        // The end of the pipe ends the broker; wait, so that its folder is gone when we are.
        drop(self.commands.take());
        // Whether the script was well at its end is of no use to anybody now.
        let _ = self.script.wait();
    }
}

/// Where there has to be a real one, that there is none is a failure.
fn required<T>(started: Result<T, String>) -> Result<T, String> {
    if let Err(reason) = &started {
        let required = setting("FOGHORN_REQUIRE_KAFKA").is_some_and(|v| v != "0");
        assert!(
            !required,
            "FOGHORN_REQUIRE_KAFKA: there is no real Kafka: {reason}"
        );
    }
    started
}

/// A port that nobody listens on, below those that the kernel hands out by itself.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (std::process::id() * 7 + next) % 12_000;
        let port = u16::try_from(port).expect("a port is below 65536");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn setting(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests are told by the environment what to use"
    )]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
