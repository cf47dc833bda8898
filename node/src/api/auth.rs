//! The shared secret of the tier and admin listeners: an HMAC over what the receiver will believe.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderValue, Request};
use sha2::Sha256;

use crate::env::Timestamp;
use crate::ids::Peer;

/// `<unix microseconds>.<hexadecimal HMAC>`.
pub const AUTH: &str = "x-relapse-auth";
/// Control data of a tier request; part of what is signed.
pub const TIER: &str = "x-relapse-tier";
/// How far the clocks of two nodes may be apart.
const SKEW_MAX: Duration = Duration::from_mins(1);

/// Signs and verifies requests.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

impl Secret {
    /// From the configured bytes, of any length.
    pub fn new(secret: &[u8]) -> Self {
        match Hmac::new_from_slice(secret) {
            Ok(keyed) => Self(keyed),
            Err(_) => unreachable!("HMAC takes keys of any length"),
        }
    }

    /// Adds the signature to a request. It holds for one receiver only.
    pub fn sign(&self, request: &mut Request<Bytes>, to: &Peer, now: Timestamp) {
        let mut text = format!("{}.", now.0);
        for byte in self.mac(request, to, now.0).finalize().into_bytes() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        if let Ok(value) = HeaderValue::from_str(&text) {
            request.headers_mut().insert(AUTH, value);
        }
    }

    /// Whether a request carries a signature made for `me` with the same secret within the last minute.
    pub fn verify(&self, request: &Request<Bytes>, me: &Peer, now: Timestamp) -> bool {
        let Some((at, mac)) = request
            .headers()
            .get(AUTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.split_once('.'))
        else {
            return false;
        };
        let (Ok(at), Some(mac)) = (at.parse::<u64>(), crate::storage::unhex(mac)) else {
            return false;
        };
        let apart = now.since(Timestamp(at)).max(Timestamp(at).since(now));
        apart <= SKEW_MAX && self.mac(request, me, at).verify_slice(&mac).is_ok()
    }

    fn mac(&self, request: &Request<Bytes>, to: &Peer, at_us: u64) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        let tier = request.headers().get(TIER).map_or(&b""[..], HeaderValue::as_bytes);
        let meta =
            request.headers().get(kv_store::plain::META).map_or(&b""[..], HeaderValue::as_bytes);
        let version =
            request.headers().get(kv_store::plain::VERSION).map_or(&b""[..], HeaderValue::as_bytes);
        let path = request.uri().path_and_query().map_or("", |path| path.as_str());
        // Each part with its length, so that no two requests have the same text.
        let (to, method) = (to.as_str().as_bytes(), request.method().as_str().as_bytes());
        for part in [to, method, path.as_bytes(), tier, meta, version] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.update(&at_us.to_le_bytes());
        mac.update(request.body());
        mac
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Peer {
        Peer::from("SYD")
    }

    fn signed(secret: &Secret) -> Request<Bytes> {
        let mut request = Request::put("/tier/v1/ns/key")
            .header(TIER, "regional")
            .body(Bytes::from("x"))
            .unwrap();
        secret.sign(&mut request, &me(), Timestamp(1_000_000_000));
        request
    }

    #[test]
    fn a_signed_request_is_believed_for_a_minute() {
        let secret = Secret::new(b"s");
        let request = signed(&secret);
        assert!(secret.verify(&request, &me(), Timestamp(1_000_000_000)));
        assert!(secret.verify(&request, &me(), Timestamp(1_060_000_000)));
        assert!(!secret.verify(&request, &me(), Timestamp(1_060_000_001)));
        assert!(!secret.verify(&request, &me(), Timestamp(939_999_999)));
    }

    #[test]
    fn nothing_that_is_believed_can_be_changed() {
        let secret = Secret::new(b"s");
        let now = Timestamp(1_000_000_000);
        let changes: [fn(&mut Request<Bytes>); 5] = [
            |r| *r.method_mut() = http::Method::DELETE,
            |r| *r.uri_mut() = "/tier/v1/ns/other".parse().unwrap(),
            |r| *r.body_mut() = Bytes::from("y"),
            |r| {
                r.headers_mut().insert(TIER, HeaderValue::from_static("upper"));
            },
            |r| {
                r.headers_mut().remove(AUTH);
            },
        ];
        for change in changes {
            let mut request = signed(&secret);
            change(&mut request);
            assert!(!secret.verify(&request, &me(), now));
        }
        assert!(!secret.verify(&signed(&secret), &Peer::from("MEL"), now));
        assert!(!Secret::new(b"t").verify(&signed(&secret), &me(), now));
    }
}
