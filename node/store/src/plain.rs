//! The plain protocol: what an object store needs, without signatures and XML.
//!
//! | method and path | answer |
//! |---|---|
//! | `GET /o/{name}` | 200 with body, [`VERSION`] and [`META`]; 404 |
//! | `PUT /o/{name}` with [`VERSION`] | 200 when stored; 412 with the stored [`VERSION`] when that is at least as new; 413 for a body above 26 MiB and 4 KiB |
//! | `DELETE /o/{name}` | 200, also when nothing was there |
//! | `DELETE /o/{name}` with [`VERSION`] | 200 when nothing newer was there and nothing is now; 412 with the stored [`VERSION`] where that is newer |
//! | `GET /list?prefix=&after=&limit=` | 200, one percent-encoded name a line, in byte order; 1,000 of them at the most |
//!
//! 400 for a name that is empty, above 2,048 bytes or not UTF-8, for a [`VERSION`] that is missing, above 1,024 bytes or not
//! ASCII, for a [`META`] above 8 KiB and for a limit that is no number; 404 for a path outside the protocol; 405 for another
//! method. A store on a disk also answers 500 for what it cannot read, and 503 from the first write that failed until it is
//! opened again: that write, and only one that was answered with 503, may or may not be there then.
//!
//! Names are percent-encoded in paths and lists, so any byte of a key survives the journey.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Header with an object's version, compared as text: equal length, so byte order is age.
pub const VERSION: &str = "x-version";
/// Header with an object's user metadata, opaque to the store.
pub const META: &str = "x-meta";
/// First segment of the path of an object.
pub const OBJECT_PREFIX: &str = "/o/";
/// Path of a listing.
pub const LIST_PATH: &str = "/list";

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/');

/// An object's name as it stands in a path or in a list.
pub fn encode(name: &str) -> String {
    utf8_percent_encode(name, ENCODED).to_string()
}

/// The name that [`encode`] was given, or `None` where the text is not UTF-8 once decoded.
pub fn decode(encoded: &str) -> Option<String> {
    percent_decode_str(encoded).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// The path of an object.
pub fn object_path(name: &str) -> String {
    format!("{OBJECT_PREFIX}{}", encode(name))
}

/// The path and query of a listing of at most `limit` names under `prefix`, after the name `after`.
pub fn list_path(prefix: &str, after: &str, limit: usize) -> String {
    format!("{LIST_PATH}?prefix={}&after={}&limit={limit}", encode(prefix), encode(after))
}
