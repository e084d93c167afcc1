//! Programs under measurement: started on a free port, fed by remote write, their CPU time read from
//! the kernel's own counters.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::Failure;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running program; it ends with this.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    child: Child,
    port: u16,
    stream: Option<BufReader<TcpStream>>,
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Server {
    /// Starts a program whose output goes to a file, and waits until it is ready.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        port: u16,
        log: &Path,
    ) -> Result<Self, Failure> {
        let out = File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        let mut server = Self {
            name,
            child,
            port,
            stream: None,
        };
        let begin = Instant::now();
        loop {
            if server.child.try_wait()?.is_some() || begin.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{name} does not start: {said}").into());
            }
            if server
                .get("/-/healthy")
                .is_ok_and(|(status, _)| status == 200)
            {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// CPU-seconds so far, user and system, all threads.
    pub(crate) fn cpu_seconds(&self) -> Result<f64, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Fields after the command's name, which may hold blanks; `utime` and `stime` in hundredths.
        let (_, rest) = stat.rsplit_once(')').ok_or("no stat")?;
        let field = |at: usize| rest.split_whitespace().nth(at).and_then(|v| v.parse().ok());
        let ticks: f64 = field(11).unwrap_or(0.0) + field(12).unwrap_or(0.0);
        Ok(ticks / 100.0)
    }

    /// Bytes in memory.
    pub(crate) fn resident_mb(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .ok_or("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib >> 10)
    }

    /// Sends a remote write request, and reads the answer.
    pub(crate) fn write(&mut self, body: &[u8]) -> Result<(), Failure> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut().ok_or("no connection")?;
        let head = format!(
            "POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.get_mut().write_all(head.as_bytes())?;
        stream.get_mut().write_all(body)?;
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let status = status(&line)?;
        let mut length = 0;
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            let header = line.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut text = vec![0; length];
        stream.read_exact(&mut text)?;
        if status / 100 == 2 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&text);
        Err(format!("{} answers {status}: {text}", self.name).into())
    }

    /// What a path answers: status and body.
    pub(crate) fn get(&self, path: &str) -> Result<(u16, String), Failure> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // 1.0: the body is sent whole, and its end is the connection's.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
        Ok((status(head)?, body.to_owned()))
    }
}

fn status(line: &str) -> Result<u16, Failure> {
    let word = line.split_whitespace().nth(1).ok_or("no answer")?;
    Ok(word.parse()?)
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
