//! HTTP/1.0 by hand: an answer ends with its connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Whatever takes longer has failed: a few scrapes, and a machine that builds beside it.
const DEADLINE: Duration = Duration::from_mins(2);
/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(200);

/// Status 0 where there was no answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

pub(crate) fn get(to: SocketAddr, path: &str) -> Answer {
    ask(to, "GET", path, "")
}

pub(crate) fn ask(to: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    answer(to, method, path, body).unwrap_or_default()
}

fn answer(to: SocketAddr, method: &str, path: &str, body: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(to).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    let length = body.len();
    let kind = if body.starts_with(['{', '[']) { "application/json" } else { "text/plain" };
    let head = format!(
        "{method} {path} HTTP/1.0\r\nhost: {to}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all([head.as_str(), body].concat().as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

/// Looks again until a condition holds.
pub(crate) fn until<T>(condition: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(since.elapsed() < DEADLINE, "not within {DEADLINE:?}: {condition}");
        std::thread::sleep(PAUSE);
    }
}
