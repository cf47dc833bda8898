//! Presigned URLs, checked by the clock that the store was given.
//!
//! s3s checks them too, but by the clock of the machine, which in a simulated lab is years off. So they are checked here, and
//! s3s gets the request without them, with its query written anew: it sees what was signed and nothing else.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Uri, header};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use s3s::{S3Result, s3_error};
use sha2::{Digest, Sha256};

use crate::hex;

/// The query parameter that makes a URL a presigned one.
pub(super) const SIGNATURE: &str = "X-Amz-Signature=";
/// How far ahead of the store's clock a client's may be, as with S3.
const AHEAD_S: i64 = 15 * 60;
/// The longest time that a URL can be valid for, as with S3.
const VALID_S_MAX: i64 = 7 * 24 * 60 * 60;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const IN_PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// Goes with a request whose URL was signed rightly.
#[derive(Clone)]
pub(super) struct Presigned;

/// The credentials that signatures are made with.
pub(super) struct Signer {
    pub(super) key: String,
    pub(super) secret: String,
}

/// What a presigned URL says of its signature.
struct Claim {
    credential: String,
    /// As it is signed, `20230717T091500Z`.
    date: String,
    expires_s: i64,
    signed_headers: String,
    signature: String,
}

impl Signer {
    /// The request without the signature in its query, if that is right and valid now.
    pub(super) fn check(&self, request: Request<Bytes>, now_s: u64) -> S3Result<Request<Bytes>> {
        let malformed =
            || s3_error!(AuthorizationQueryParametersError, "the query does not sign the request");
        let query = pairs(request.uri().query().unwrap_or_default()).ok_or_else(malformed)?;
        let claim = Claim::of(&query).ok_or_else(malformed)?;
        let mut scope = claim.credential.splitn(2, '/');
        if scope.next() != Some(&self.key) {
            return Err(s3_error!(InvalidAccessKeyId, "the access key is not known"));
        }
        let scope = scope.next().unwrap_or_default();
        let [day, region, "s3", "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..] else {
            return Err(malformed());
        };
        let signed_s = seconds(&claim.date).filter(|_| claim.date.get(..8) == Some(day));
        let age_s = i64::try_from(now_s).unwrap_or(i64::MAX) - signed_s.ok_or_else(malformed)?;
        if age_s < -AHEAD_S {
            return Err(s3_error!(RequestTimeTooSkewed, "the request was signed in the future"));
        }
        if !(0..=VALID_S_MAX).contains(&claim.expires_s) {
            return Err(malformed());
        }
        if age_s > claim.expires_s {
            return Err(s3_error!(AccessDenied, "the request has expired"));
        }
        let canonical = canonical(&request, &query, &claim.signed_headers)
            .ok_or_else(|| s3_error!(AccessDenied, "a header of the request is not signed"))?;
        let text = format!(
            "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
            claim.date,
            hex::encode(&Sha256::digest(canonical))
        );
        let signature = self.sign(&[day, region, "s3", "aws4_request", &text]);
        // In constant time, or one could guess a signature byte by byte.
        let right = hex::decode::<32>(&claim.signature).zip(signature);
        if right.is_none_or(|(given, signature)| signature.verify_slice(&given).is_err()) {
            return Err(s3_error!(SignatureDoesNotMatch, "the signature is not of this request"));
        }
        rest(request, &query).ok_or_else(malformed)
    }

    /// The last of these, signed with a key that comes from the secret and all the others.
    fn sign(&self, parts: &[&str]) -> Option<Hmac<Sha256>> {
        let (text, scope) = parts.split_last()?;
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in scope {
            key = hmac(&key, part)?.finalize().into_bytes().to_vec();
        }
        hmac(&key, text)
    }
}

impl Claim {
    fn of(query: &[(String, String)]) -> Option<Self> {
        let one = |name: &str| {
            let mut values = query.iter().filter(|pair| pair.0 == name).map(|pair| &pair.1);
            values.next().filter(|_| values.next().is_none()).cloned()
        };
        (one("X-Amz-Algorithm")? == "AWS4-HMAC-SHA256").then_some(())?;
        Some(Self {
            credential: one("X-Amz-Credential")?,
            date: one("X-Amz-Date")?,
            expires_s: one("X-Amz-Expires")?.parse().ok()?,
            signed_headers: one("X-Amz-SignedHeaders")?,
            signature: one("X-Amz-Signature")?,
        })
    }
}

/// What is signed of a request, or `None` where the host or a header of Amazon's is not among it.
fn canonical(request: &Request<Bytes>, query: &[(String, String)], signed: &str) -> Option<String> {
    let mut pairs: Vec<_> = query
        .iter()
        .filter(|pair| pair.0 != "X-Amz-Signature")
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let path = percent_decode_str(request.uri().path()).decode_utf8().ok()?;
    let path = utf8_percent_encode(&path, IN_PATH).to_string();
    let names: Vec<_> = signed.split(';').collect();
    let unsigned = |name: &header::HeaderName| {
        name.as_str().starts_with("x-amz-") && !names.contains(&name.as_str())
    };
    if !names.contains(&"host") || request.headers().keys().any(unsigned) {
        return None;
    }
    let mut headers = String::new();
    for name in &names {
        let value = header_text(request.headers(), request.uri(), name)?;
        headers.extend([name, ":", value.as_str(), "\n"]);
    }
    let method = request.method();
    Some(format!("{method}\n{path}\n{}\n{headers}\n{signed}\nUNSIGNED-PAYLOAD", pairs.join("&")))
}

/// A header's values as they are signed: without spaces around, one space for many within, commas between.
fn header_text(headers: &HeaderMap, uri: &Uri, name: &str) -> Option<String> {
    let mut values = Vec::new();
    for value in headers.get_all(name) {
        let words: Vec<_> = str::from_utf8(value.as_bytes()).ok()?.split_whitespace().collect();
        values.push(words.join(" "));
    }
    if values.is_empty() && name == "host" {
        // In HTTP/2, and where there is no wire, the host is in the URI.
        return uri.authority().map(ToString::to_string);
    }
    (!values.is_empty()).then(|| values.join(","))
}

/// The request without its signature.
fn rest(request: Request<Bytes>, query: &[(String, String)]) -> Option<Request<Bytes>> {
    let (mut parts, body) = request.into_parts();
    let query: Vec<_> = query
        .iter()
        .filter(|pair| !SIGNING.contains(&pair.0.as_str()))
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    let path = parts.uri.path();
    let target =
        if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) };
    let mut uri = parts.uri.clone().into_parts();
    uri.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    parts.uri = Uri::from_parts(uri).ok()?;
    parts.extensions.insert(Presigned);
    Some(Request::from_parts(parts, body))
}

const SIGNING: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
];

fn pairs(query: &str) -> Option<Vec<(String, String)>> {
    let decode = |text| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// Seconds since 1970 of a date as it is signed.
fn seconds(date: &str) -> Option<i64> {
    let date = DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok()?;
    Some(TimeZone::UTC.to_timestamp(date).ok()?.as_second())
}

fn hmac(key: &[u8], text: &str) -> Option<Hmac<Sha256>> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    hmac.update(text.as_bytes());
    Some(hmac)
}
