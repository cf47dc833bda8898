//! HTTP by hand, so that it can also be wrong.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Whatever takes longer has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The namespace of `kv-node dev`, in some account.
pub(crate) fn value_path(key: &str) -> String {
    format!(
        "/client/v4/accounts/a/storage/kv/namespaces/0f2ac74b498b48028cb68387c421e279/values/{key}"
    )
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) fn connect(to: SocketAddr) -> TcpStream {
    try_connect(to).unwrap()
}

/// `None` where nobody listens.
pub(crate) fn try_connect(to: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect(to).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    Some(stream)
}

/// One request with a body on a connection of its own.
pub(crate) fn ask(to: SocketAddr, method: &str, path: &str, body: &[u8]) -> Answer {
    let mut stream = connect(to);
    try_ask(&mut stream, method, path, body).unwrap_or_else(|| panic!("closed within an answer"))
}

/// The same on a connection; `None` where that breaks.
pub(crate) fn try_ask(
    stream: &mut TcpStream,
    method: &str,
    path: &str,
    body: &[u8],
) -> Option<Answer> {
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n");
    // In one piece: a second one would wait until the first is acknowledged.
    stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    try_read(stream)
}

/// Reads an answer that has a length.
pub(crate) fn read(stream: &mut TcpStream) -> Answer {
    try_read(stream).unwrap_or_else(|| panic!("closed within an answer"))
}

/// The same; `None` where the connection ends before the answer does.
pub(crate) fn try_read(stream: &mut TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 64 << 10];
    let (head, begins) = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break (String::from_utf8(bytes[..end].to_vec()).unwrap(), end + 4);
        }
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
    };
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = |line: &str| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok();
    let length: usize = head.lines().find_map(length).unwrap_or(0);
    while bytes.len() < begins + length {
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
    }
    Some(Answer { status, head, body: bytes[begins..].to_vec() })
}

/// Whether the other end closes the connection without a word.
pub(crate) fn closes(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// Everything until the other end closes; `None` where it does not within the deadline.
pub(crate) fn read_all(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return Some(bytes),
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Some(bytes),
            Err(_) => return None,
        }
    }
}
