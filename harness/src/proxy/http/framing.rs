//! Where messages begin and end in a stream of bytes.
//!
//! The bytes of all pieces together are the bytes that came, however they were split. Nothing is held back but a head that
//! is not complete, and that only up to [`HEAD_BYTES_MAX`].

use bytes::{Bytes, BytesMut};

use super::super::toxic::Direction;

/// A longer head is taken for something else than HTTP.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// No method is longer.
const METHOD_BYTES_MAX: usize = 32;

/// What a stream of bytes is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A whole head, with the empty line after it. The framer then wants to know what follows: [`Framer::expect`].
    Head(Bytes),
    /// Bytes of a body.
    Body(Bytes),
    /// What is around a body's bytes: sizes of chunks, trailers.
    Frame(Bytes),
    /// The message is complete.
    Done,
    /// Bytes that are not HTTP, as is all that follows.
    Opaque(Bytes),
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Bytes until the end of the connection.
    UntilEnd,
}

/// Reads one direction.
pub(super) struct Framer {
    direction: Direction,
    place: Place,
    /// A head that is not complete.
    head: BytesMut,
    line: Line,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Head,
    Left(u64),
    /// In the line before a chunk; the size as read so far, and whether digits may still come.
    Size(u64, Digits),
    Chunk(u64),
    /// In the line end after a chunk's bytes.
    AfterChunk,
    /// In a trailer; whether the line has something in it.
    Trailer(bool),
    UntilEnd,
    Done,
    Opaque,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digits {
    None,
    Some,
    Over,
}

/// How far a head has been looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    start: usize,
    looked: usize,
    /// The first line has been seen, and it is one of HTTP.
    known: bool,
}

enum Found {
    Head(usize),
    NotYet,
    NotHttp,
}

impl Framer {
    pub(super) fn new(direction: Direction) -> Self {
        Self { direction, place: Place::Head, head: BytesMut::new(), line: Line::default() }
    }

    pub(super) fn is_opaque(&self) -> bool {
        self.place == Place::Opaque
    }

    /// The head that is not complete.
    pub(super) fn held(&self) -> &[u8] {
        &self.head
    }

    /// From here on nothing is HTTP; what was held back.
    pub(super) fn give_up(&mut self) -> Bytes {
        self.place = Place::Opaque;
        self.head.split().freeze()
    }

    /// The end of the connection; whether that completes a message.
    pub(super) fn end(&mut self) -> bool {
        std::mem::replace(&mut self.place, Place::Opaque) == Place::UntilEnd
    }

    /// What follows the head that was just given out.
    pub(super) fn expect(&mut self, body: Body) {
        self.place = match body {
            Body::Length(0) => Place::Done,
            Body::Length(bytes) => Place::Left(bytes),
            Body::Chunked => Place::Size(0, Digits::None),
            Body::UntilEnd => Place::UntilEnd,
        };
    }

    /// The next piece of what came; `None` where more has to come.
    pub(super) fn next(&mut self, input: &mut Bytes) -> Option<Piece> {
        if self.place == Place::Done {
            self.place = Place::Head;
            return Some(Piece::Done);
        }
        if input.is_empty() {
            return None;
        }
        match self.place {
            Place::Head => self.read_head(input),
            Place::Left(left) => {
                let (bytes, left) = take(input, left);
                self.place = if left == 0 { Place::Done } else { Place::Left(left) };
                Some(Piece::Body(bytes))
            }
            Place::Chunk(left) => {
                let (bytes, left) = take(input, left);
                self.place = if left == 0 { Place::AfterChunk } else { Place::Chunk(left) };
                Some(Piece::Body(bytes))
            }
            Place::UntilEnd => Some(Piece::Body(input.split_to(input.len()))),
            Place::Size(..) | Place::AfterChunk | Place::Trailer(_) => Some(self.read_frame(input)),
            Place::Done | Place::Opaque => Some(Piece::Opaque(input.split_to(input.len()))),
        }
    }

    fn read_head(&mut self, input: &mut Bytes) -> Option<Piece> {
        // A head that came in one piece is not copied.
        if self.head.is_empty() {
            match self.line.look(input, self.direction) {
                Found::Head(end) => {
                    self.line = Line::default();
                    return Some(Piece::Head(input.split_to(end)));
                }
                Found::NotHttp => {
                    self.place = Place::Opaque;
                    return Some(Piece::Opaque(input.split_to(input.len())));
                }
                Found::NotYet => {
                    self.head.extend_from_slice(&input.split_to(input.len()));
                    return None;
                }
            }
        }
        let before = self.head.len();
        self.head.extend_from_slice(input);
        match self.line.look(&self.head, self.direction) {
            Found::Head(end) => {
                self.line = Line::default();
                self.head.truncate(end);
                *input = input.slice(end - before..);
                Some(Piece::Head(self.head.split().freeze()))
            }
            Found::NotHttp => {
                *input = Bytes::new();
                Some(Piece::Opaque(self.give_up()))
            }
            Found::NotYet => {
                *input = Bytes::new();
                None
            }
        }
    }

    /// Reads lines around a body's bytes, one byte after the other: they may be split anywhere.
    fn read_frame(&mut self, input: &mut Bytes) -> Piece {
        for at in 0..input.len() {
            let Some(place) = after(self.place, input[at]) else {
                self.place = Place::Opaque;
                return Piece::Opaque(input.split_to(input.len()));
            };
            self.place = place;
            if matches!(place, Place::Chunk(_) | Place::Done) {
                return Piece::Frame(input.split_to(at + 1));
            }
        }
        Piece::Frame(input.split_to(input.len()))
    }
}

/// Where a byte leads, in the lines around a body's bytes; `None`: it does not belong there.
fn after(place: Place, byte: u8) -> Option<Place> {
    match (place, byte) {
        (Place::Size(_, Digits::None), b'\n') => None,
        (Place::Size(size, _), b'\n') if size > 0 => Some(Place::Chunk(size)),
        (Place::Size(_, Digits::Over), 0..=9 | 11..) => Some(place),
        (Place::Size(size, Digits::Some), b';' | b' ' | b'\t' | b'\r') => {
            Some(Place::Size(size, Digits::Over))
        }
        (Place::Size(size, _), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
            let digit = char::from(byte).to_digit(16)?;
            let size = size.checked_mul(16)?.checked_add(u64::from(digit))?;
            Some(Place::Size(size, Digits::Some))
        }
        (Place::AfterChunk, b'\r') => Some(Place::AfterChunk),
        (Place::AfterChunk, b'\n') => Some(Place::Size(0, Digits::None)),
        (Place::Trailer(false), b'\n') => Some(Place::Done),
        (Place::Size(0, Digits::Some | Digits::Over) | Place::Trailer(true), b'\n') => {
            Some(Place::Trailer(false))
        }
        (Place::Trailer(some), b'\r') => Some(Place::Trailer(some)),
        (Place::Trailer(_), _) => Some(Place::Trailer(true)),
        _ => None,
    }
}

fn take(input: &mut Bytes, left: u64) -> (Bytes, u64) {
    let bytes = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    (input.split_to(bytes), left - bytes as u64)
}

impl Line {
    /// Looks for the empty line that ends a head, from where it left off.
    fn look(&mut self, bytes: &[u8], direction: Direction) -> Found {
        while let Some(more) = bytes[self.looked..].iter().position(|byte| *byte == b'\n') {
            let end = self.looked + more;
            let line = trimmed(&bytes[self.start..end]);
            (self.start, self.looked) = (end + 1, end + 1);
            if end >= HEAD_BYTES_MAX {
                return Found::NotHttp;
            }
            if line.is_empty() && self.known {
                return Found::Head(end + 1);
            }
            // Empty lines before the first one are let by.
            if !line.is_empty() && !self.known {
                if !begins(line, direction) {
                    return Found::NotHttp;
                }
                self.known = true;
            }
        }
        self.looked = bytes.len();
        if bytes.len() >= HEAD_BYTES_MAX
            || !self.known && !may_begin(&bytes[self.start..], direction)
        {
            return Found::NotHttp;
        }
        Found::NotYet
    }
}

/// A line without its carriage return.
pub(super) fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether a first line is one of HTTP/1.
fn begins(line: &[u8], direction: Direction) -> bool {
    match direction {
        Direction::Downstream => line.starts_with(b"HTTP/1."),
        Direction::Upstream => {
            let mut words = line.rsplitn(2, |byte| *byte == b' ');
            words.next().is_some_and(|version| version.starts_with(b"HTTP/1."))
                && words.next().is_some_and(|rest| rest.contains(&b' '))
                && may_begin(line, direction)
        }
    }
}

/// Whether a first line could still become one of HTTP/1.
fn may_begin(line: &[u8], direction: Direction) -> bool {
    match direction {
        Direction::Downstream => {
            let wanted = b"HTTP/1.";
            let seen = line.len().min(wanted.len());
            line[..seen] == wanted[..seen] || line == b"\r"
        }
        Direction::Upstream => {
            let method = line.split(|byte| *byte == b' ').next().unwrap_or_default();
            method.len() <= METHOD_BYTES_MAX
                && method
                    .iter()
                    .all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'))
                || line == b"\r"
        }
    }
}
