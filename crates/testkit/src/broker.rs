//! A Kafka cluster for tests: a real one if it can be had, never one left behind.
//!
//! `FOGHORN_KAFKA=host:port` uses a running cluster. Otherwise `deploy/kafka/up` starts a real
//! broker, tied to this process by a pipe: it ends when the process does, however that ends. Where
//! there is no Java or no Maven, a loud line says so and librdkafka's mock brokers stand in, unless
//! `FOGHORN_REQUIRE_KAFKA=1` forbids that.

use std::io::{BufRead, BufReader, Write};
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
    Real(Mutex<Tied>),
    Mock(MockBrokers),
    External,
}

/// Where a broker answers.
#[derive(Debug)]
struct Answered {
    bootstrap: String,
    secure: Option<String>,
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
        Self::started(Tied::start(None))
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
        Self::started(Tied::start(Some(folder)))
    }

    fn started(started: Result<(Tied, Answered), String>) -> Result<Self, String> {
        if let Err(reason) = &started {
            let required = setting("FOGHORN_REQUIRE_KAFKA").is_some_and(|v| v != "0");
            assert!(
                !required,
                "FOGHORN_REQUIRE_KAFKA: there is no real Kafka: {reason}"
            );
        }
        let (tied, answered) = started?;
        Ok(Self(Arc::new(Inner {
            bootstrap: answered.bootstrap,
            secure: answered.secure,
            source: Source::Real(Mutex::new(tied)),
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
        let came_back = self.tied().tell_and_await("restart");
        assert_eq!(
            came_back.map(|it| it.bootstrap).as_deref(),
            Ok(self.bootstrap()),
            "the broker comes back as it was"
        );
    }

    /// Kills a dedicated broker (-9); [`Self::revive`] brings it back.
    ///
    /// # Panics
    /// If it is not a real broker of our own.
    pub fn kill(&self) {
        self.tied()
            .tell("kill")
            .expect("the broker's script takes commands");
    }

    /// Starts a killed broker again.
    ///
    /// # Panics
    /// If it does not come back.
    pub fn revive(&self) {
        let came_back = self.tied().tell_and_await("start");
        assert_eq!(
            came_back.map(|it| it.bootstrap).as_deref(),
            Ok(self.bootstrap()),
            "the broker comes back as it was"
        );
    }

    fn tied(&self) -> MutexGuard<'_, Tied> {
        let Source::Real(tied) = &self.0.source else {
            panic!(
                "only a real broker of our own is killed, not {:?}",
                self.kind()
            );
        };
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
    fn start(secure: Option<&Path>) -> Result<(Self, Answered), String> {
        let mut command = Command::new(UP);
        command.arg("--tied");
        if let Some(folder) = secure {
            command.arg("--secure").arg(folder);
        }
        let mut script = command
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
        let mut secure = None;
        loop {
            line.clear();
            match self.answers.read_line(&mut line) {
                Ok(0) => return Err(format!("{UP} gave up (its reasons are above)")),
                Ok(_) => {
                    let line = line.trim_end();
                    if let Some(address) = line.strip_prefix("SECURE=") {
                        secure = Some(address.to_owned());
                    }
                    if let Some(bootstrap) = line.strip_prefix("BOOTSTRAP=") {
                        return Ok(Answered {
                            bootstrap: bootstrap.to_owned(),
                            secure,
                        });
                    }
                }
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

fn setting(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests are told by the environment what to use"
    )]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
