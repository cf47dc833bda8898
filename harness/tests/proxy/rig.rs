//! A proxy as a process, a client of its API, and both ends of a connection through it.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

/// Whatever should come comes in this time, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// What should not come has not come after this.
pub(crate) const SILENCE: Duration = Duration::from_millis(150);

/// A proxy process. It ends with this.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) said: BufReader<ChildStdout>,
    pub(crate) api: SocketAddr,
}

impl Process {
    pub(crate) fn start(more: &[&str]) -> Self {
        let mut child = command(more).stderr(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let api = line.split(' ').nth(1).and_then(|url| url.strip_prefix("http://"));
        let api = api.unwrap_or_else(|| panic!("it said {line:?}")).parse().unwrap();
        Self { child, said, api }
    }

    /// Sends a request to the API: status, and what the body says as JSON.
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, text) = self.send(method, path, &body, "test");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// The same with any body, as text.
    pub(crate) fn send(&self, method: &str, path: &str, body: &str, agent: &str) -> (u16, String) {
        let mut stream = connect(self.api);
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: proxy\r\nuser-agent: {agent}\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let answer = read_all(&mut stream);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// A call that must succeed; what it says.
    pub(crate) fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, said) = self.call(method, path, body);
        assert!((200..300).contains(&status), "{method} {path} {body}: {status} {said}");
        said
    }

    /// What `/metrics` says of one series.
    pub(crate) fn metric(&self, series: &str) -> Option<u64> {
        let (_, text) = self.send("GET", "/metrics", "", "test");
        let line = text.lines().find(|line| line.starts_with(series))?;
        line.rsplit(' ').next().unwrap().parse().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command(more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relapse"));
    command.args(["proxy", "--listen", "127.0.0.1:0"]).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// A proxy named `p` before an upstream that the test itself is.
pub(crate) struct Rig {
    pub(crate) process: Process,
    pub(crate) upstream: TcpListener,
    pub(crate) proxy: SocketAddr,
}

impl Rig {
    /// Without toxics.
    pub(crate) fn new() -> Self {
        Self::with(&json!({}))
    }

    /// With some of its fields.
    pub(crate) fn with(fields: &Value) -> Self {
        let process = Process::start(&[]);
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut proxy = json!({
            "name": "p",
            "listen": "127.0.0.1:0",
            "upstream": upstream.local_addr().unwrap().to_string(),
        });
        proxy.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let made = process.ok("POST", "/proxies", &proxy);
        let proxy = made["listen"].as_str().unwrap().parse().unwrap();
        Self { process, upstream, proxy }
    }

    /// With one toxic.
    pub(crate) fn toxic(kind: &str, stream: &str, attributes: &Value) -> Self {
        let rig = Self::new();
        rig.add(kind, stream, attributes);
        rig
    }

    pub(crate) fn add(&self, kind: &str, stream: &str, attributes: &Value) -> Value {
        let toxic = json!({"type": kind, "stream": stream, "attributes": attributes});
        self.process.ok("POST", "/proxies/p/toxics", &toxic)
    }

    /// Both ends of a new connection: the client's and the server's.
    pub(crate) fn connect(&self) -> (TcpStream, TcpStream) {
        let client = connect(self.proxy);
        (client, self.accept())
    }

    pub(crate) fn accept(&self) -> TcpStream {
        let (server, _) = self.upstream.accept().unwrap();
        patient(server)
    }

    /// How many connections or messages a toxic has acted on.
    pub(crate) fn acted(&self, toxic: &str) -> u64 {
        let told = self.process.ok("GET", &format!("/proxies/p/toxics/{toxic}"), &Value::Null);
        told["acted"].as_u64().unwrap()
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(address).unwrap())
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads exactly what should come.
pub(crate) fn expect(stream: &mut TcpStream, wanted: &[u8]) {
    let mut read = vec![0; wanted.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(wanted));
}

/// Reads to the end, which is an orderly one.
pub(crate) fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    stream.read_to_end(&mut read).unwrap();
    read
}

/// Nothing comes, and the connection stays open.
pub(crate) fn expect_silence(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let error = stream.read(&mut [0; 16]).expect_err("something came");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
}

/// The connection is reset.
pub(crate) fn expect_reset(stream: &mut TcpStream) {
    let error = stream.read(&mut [0; 16]).expect_err("no reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

/// The sender says that nothing more comes.
pub(crate) fn finish(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

/// How long something takes.
pub(crate) fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let done = what();
    (done, begun.elapsed())
}

/// Reads what comes first from either of two; whether it was the first of them.
pub(crate) fn either(one: &mut TcpStream, other: &mut TcpStream, read: &mut [u8]) -> bool {
    let mut ends = [
        PollFd::new(one.as_fd(), PollFlags::POLLIN),
        PollFd::new(other.as_fd(), PollFlags::POLLIN),
    ];
    assert!(poll(&mut ends, PollTimeout::try_from(PATIENCE).unwrap()).unwrap() > 0, "nothing came");
    let first = ends[0].any().unwrap();
    let stream = if first { one } else { other };
    stream.read_exact(read).unwrap();
    first
}
