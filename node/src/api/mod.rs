//! Codecs of the listeners: REST, tier, admin. The only room with HTTP status codes towards callers, and it decides nothing
//! about keys.
//!
//! * [`rest`]: the public API: namespaces, values, lists, bulk.
//! * [`binding`]: the protocol of a Worker's binding.
//! * [`access`]: bearer tokens of these two.
//! * [`tier`]: between data centers; server and client side by side, since they are one protocol.
//! * [`admin`]: configuration, isolates, metrics. Never through the worker: recovery must not need it.
//! * [`auth`]: the shared secret of the tier and admin listeners.
//! * [`object`]: JSON objects as bodies.
//! * [`status`]: the one place where errors become HTTP.

pub mod access;
pub mod admin;
pub mod auth;
pub mod binding;
pub mod control_headers;
mod object;
mod query;
pub mod rest;
pub mod status;
pub mod tier;

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A key as one segment of a path: nothing in it is taken for a separator.
pub fn encode_segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// The text of a raw path segment, decoded once; `None` where that is not UTF-8.
pub(crate) fn decode_segment(raw: &str) -> Option<Cow<'_, str>> {
    // Most keys have nothing to decode, and then the path has been text already.
    if !raw.as_bytes().contains(&b'%') {
        return Some(Cow::Borrowed(raw));
    }
    percent_decode_str(raw).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_survives_the_path(key in "\\PC{0,60}|[\\x00-\\x7f]{0,60}") {
            let encoded = encode_segment(&key);
            prop_assert!(!encoded.contains('/') && encoded.is_ascii());
            prop_assert_eq!(decode_segment(&encoded), Some(Cow::Owned(key)));
        }
    }
}
