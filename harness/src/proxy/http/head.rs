//! What a head says, and heads with something changed.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use http::StatusCode;

use super::exchange::Asked;
use super::framing::{Body, trimmed};

/// What a request's head says of the messages that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestHead {
    pub(super) asked: Asked,
    pub(super) body: Body,
    /// The client wants the connection closed after the answer, or may not know that it stays open.
    pub(super) closes: bool,
    /// The client waits before it sends the body.
    pub(super) waits: bool,
}

/// What an answer's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnswerHead {
    pub(super) status: u16,
    /// What follows; none where the connection is a tunnel from here on.
    pub(super) body: Option<Body>,
}

impl AnswerHead {
    /// Whether the answer proper is still to come.
    pub(super) fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

/// Reads a request's head; `None` where nobody can tell what it means.
pub(super) fn request(head: &[u8]) -> Option<RequestHead> {
    let (start, fields) = parts(head);
    let line = trimmed(head[start].strip_suffix(b"\n")?);
    let asked = match line.split(|byte| *byte == b' ').next()? {
        b"HEAD" => Asked::Head,
        b"CONNECT" => Asked::Tunnel,
        _ => Asked::Other,
    };
    let facts = Facts::read(head, fields)?;
    let body = match (facts.coded, facts.length) {
        (Some(true), _) => Body::Chunked,
        (Some(false), _) => return None,
        (None, length) => Body::Length(length.unwrap_or(0)),
    };
    let closes = facts.closes || line.ends_with(b"HTTP/1.0");
    Some(RequestHead { asked, body, closes, waits: facts.waits })
}

/// Reads the head of the answer to a request; `None` where nobody can tell what it means.
pub(super) fn answer(head: &[u8], asked: Asked) -> Option<AnswerHead> {
    let (start, fields) = parts(head);
    let status = head[start].split(|byte| *byte == b' ').nth(1)?;
    let status: u16 = std::str::from_utf8(trimmed_end(status)).ok()?.parse().ok()?;
    let facts = Facts::read(head, fields)?;
    let body = match (asked, status) {
        (_, 101) | (Asked::Tunnel, 200..=299) => None,
        (Asked::Head, _) | (_, 100..=199 | 204 | 304) => Some(Body::Length(0)),
        _ => Some(match (facts.coded, facts.length) {
            (Some(true), _) => Body::Chunked,
            (Some(false), _) | (None, None) => Body::UntilEnd,
            (None, Some(length)) => Body::Length(length),
        }),
    };
    Some(AnswerHead { status, body })
}

#[derive(Default)]
struct Facts {
    length: Option<u64>,
    /// Whether the last coding is chunked, where there is one.
    coded: Option<bool>,
    closes: bool,
    waits: bool,
}

impl Facts {
    fn read(head: &[u8], fields: Fields<'_>) -> Option<Self> {
        let mut facts = Self::default();
        for field in fields {
            let (name, value) = name_and_value(&head[field]);
            if name.eq_ignore_ascii_case(b"content-length") {
                for length in value.split(|byte| *byte == b',') {
                    let length: u64 = std::str::from_utf8(length).ok()?.trim().parse().ok()?;
                    if facts.length.is_some_and(|before| before != length) {
                        return None;
                    }
                    facts.length = Some(length);
                }
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
                facts.coded = Some(last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
            } else if name.eq_ignore_ascii_case(b"connection") {
                let mut options = value.split(|byte| *byte == b',');
                facts.closes |= options.any(|one| one.trim_ascii().eq_ignore_ascii_case(b"close"));
            } else if name.eq_ignore_ascii_case(b"expect") {
                facts.waits = true;
            }
        }
        Some(facts)
    }
}

/// A head without a header; `None` where it was not there.
pub(super) fn without(head: &Bytes, name: &str) -> Option<Bytes> {
    edited(head, name, |_, _| {})
}

/// A head with another value of a header.
pub(super) fn replaced(head: &Bytes, name: &str, value: &str) -> Option<Bytes> {
    let mut first = true;
    edited(head, name, |field, to| {
        if std::mem::take(&mut first) {
            to.put_slice(name_and_value(field).0);
            to.put_slice(b": ");
            to.put_slice(value.as_bytes());
            to.put_slice(b"\r\n");
        }
    })
}

/// A head with a header twice.
pub(super) fn duplicated(head: &Bytes, name: &str) -> Option<Bytes> {
    edited(head, name, |field, to| {
        to.put_slice(field);
        to.put_slice(field);
    })
}

/// The head of an answer with another status.
pub(super) fn restated(head: &Bytes, status: StatusCode) -> Bytes {
    let (start, _) = parts(head);
    let line = &head[start.clone()];
    let version = line.split(|byte| *byte == b' ').next().unwrap_or(b"HTTP/1.1");
    let mut to = BytesMut::with_capacity(head.len() + 32);
    to.put_slice(&head[..start.start]);
    to.put_slice(version);
    to.put_slice(status_words(status).as_bytes());
    to.put_slice(&head[start.end..]);
    to.freeze()
}

/// An answer of this proxy.
pub(super) fn made_up(status: StatusCode, closes: bool) -> Bytes {
    let words = status_words(status);
    let length = if status == StatusCode::NO_CONTENT { "" } else { "content-length: 0\r\n" };
    let close = if closes { "connection: close\r\n" } else { "" };
    Bytes::from(format!("HTTP/1.1{words}{length}{close}\r\n"))
}

fn status_words(status: StatusCode) -> String {
    format!(" {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or("Unknown"))
}

/// Copies a head, with something else for each header of a name.
fn edited(head: &Bytes, name: &str, mut edit: impl FnMut(&[u8], &mut BytesMut)) -> Option<Bytes> {
    let is = |field: &Range<usize>| {
        name_and_value(&head[field.clone()]).0.eq_ignore_ascii_case(name.as_bytes())
    };
    let (_, fields) = parts(head);
    let wanted: Vec<Range<usize>> = fields.filter(is).collect();
    if wanted.is_empty() {
        return None;
    }
    let mut to = BytesMut::with_capacity(head.len() * 2);
    let mut copied = 0;
    for field in wanted {
        to.put_slice(&head[copied..field.start]);
        edit(&head[field.clone()], &mut to);
        copied = field.end;
    }
    to.put_slice(&head[copied..]);
    Some(to.freeze())
}

/// The first line of a head, and the headers.
fn parts(head: &[u8]) -> (Range<usize>, Fields<'_>) {
    let mut start = 0;
    loop {
        let end = line_end(head, start);
        // Empty lines before the first one.
        if end < head.len() && trimmed_end(&head[start..end]).is_empty() {
            start = end;
            continue;
        }
        return (start..end, Fields { head, at: end });
    }
}

/// Each header's bytes, with its line end and the lines that continue it.
struct Fields<'a> {
    head: &'a [u8],
    at: usize,
}

impl Iterator for Fields<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        let mut end = line_end(self.head, start);
        if trimmed_end(&self.head[start..end]).is_empty() {
            return None;
        }
        while matches!(self.head.get(end), Some(b' ' | b'\t')) {
            end = line_end(self.head, end);
        }
        self.at = end;
        Some(start..end)
    }
}

fn line_end(head: &[u8], from: usize) -> usize {
    let more = head[from..].iter().position(|byte| *byte == b'\n');
    more.map_or(head.len(), |more| from + more + 1)
}

fn trimmed_end(line: &[u8]) -> &[u8] {
    trimmed(line.strip_suffix(b"\n").unwrap_or(line))
}

fn name_and_value(field: &[u8]) -> (&[u8], &[u8]) {
    let colon = field.iter().position(|byte| *byte == b':').unwrap_or(field.len());
    let value = field.get(colon + 1..).unwrap_or_default();
    (field[..colon].trim_ascii(), value.trim_ascii())
}
