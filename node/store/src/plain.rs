//! The plain protocol: what an object store needs, without signatures and XML.
//!
//! | method and path | answer |
//! |---|---|
//! | `GET /o/{name}` | 200 with body, [`VERSION`] and [`META`]; 404 |
//! | `PUT /o/{name}` with [`VERSION`] | 200 when stored; 412 with the stored [`VERSION`] when that is at least as new |
//! | `DELETE /o/{name}` | 200, also when nothing was there; with [`VERSION`], 412 where what is there is newer |
//! | `GET /list?prefix=&after=&limit=` | 200, one percent-encoded name a line, in byte order |
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
