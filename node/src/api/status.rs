//! Where errors become HTTP.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};
use hyper::ext::ReasonPhrase;

use super::access::Denied;
use super::rest::Refusal;
use crate::cache::TierError;
use crate::gateway::GatewayError;
use crate::telemetry::ErrorClass;
use crate::worker::Outcome;

/// An answer without a body.
pub(crate) fn bare(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// An answer without a body that is no success, for a reason.
pub(crate) fn refused(status: StatusCode, error: ErrorClass) -> Response<Bytes> {
    because(bare(status), error)
}

/// Says within the node why an answer is no success.
fn because(mut response: Response<Bytes>, error: ErrorClass) -> Response<Bytes> {
    response.extensions_mut().insert(error);
    response
}

/// Why an answer is no success. It does not leave the node with the answer.
pub(crate) fn take_error(response: &mut Response<Bytes>) -> Option<ErrorClass> {
    response.extensions_mut().remove()
}

/// What the caller gets: the script's answer, or a bare 500 where an exception left the script. Nothing of the exception
/// itself: that is for the reporter.
pub(crate) fn answer(outcome: Outcome) -> Response<Bytes> {
    match outcome {
        Outcome::Answered(response) => response,
        Outcome::Exception => refused(StatusCode::INTERNAL_SERVER_ERROR, ErrorClass::Exception),
        Outcome::WrongEnvironment => envelope_refusal(
            StatusCode::UNAUTHORIZED,
            10000,
            "Authentication error",
            ErrorClass::WrongEnvironment,
        ),
        Outcome::NoSuchBuild => envelope_refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            10001,
            "the build that this request fell to is not there",
            ErrorClass::NoSuchBuild,
        ),
    }
}

/// The envelope of the public API, around nothing.
pub(crate) fn envelope_ok() -> Response<Bytes> {
    json(
        StatusCode::OK,
        Bytes::from_static(br#"{"success":true,"errors":[],"messages":[],"result":null}"#),
    )
}

/// The envelope around a result, given as JSON, and what is said about that.
pub(crate) fn envelope(result: &[u8], info: Option<&serde_json::Value>) -> Response<Bytes> {
    let mut body = Vec::with_capacity(result.len() + 128);
    body.extend_from_slice(br#"{"success":true,"errors":[],"messages":[],"result":"#);
    body.extend_from_slice(result);
    if let Some(info) = info {
        body.extend_from_slice(br#","result_info":"#);
        body.extend_from_slice(info.to_string().as_bytes());
    }
    body.push(b'}');
    json(StatusCode::OK, Bytes::from(body))
}

/// The envelope around an error of the request itself.
pub(crate) fn envelope_refusal(
    status: StatusCode,
    code: u32,
    message: &str,
    error: ErrorClass,
) -> Response<Bytes> {
    let message = serde_json::Value::from(message);
    let body = format!(
        r#"{{"success":false,"errors":[{{"code":{code},"message":{message}}}],"messages":[],"result":null}}"#
    );
    because(json(status, Bytes::from(body)), error)
}

pub(crate) fn json(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A gateway's error as the public API tells it.
pub(crate) fn gateway_error(operation: &str, error: &GatewayError) -> Response<Bytes> {
    let (status, code, class) = told(error);
    let message = match error {
        GatewayError::NoSuchNamespace
        | GatewayError::NoSuchKey
        | GatewayError::ExpirationTooSoon { .. } => format!("{operation}: '{error}'"),
        _ => error.to_string(),
    };
    envelope_refusal(status, code, &message, class)
}

/// Status, code and class of an error. Codes are the documented service's where that publishes one or it has been seen;
/// 10001, 10022, 10024 and 10030 are chosen from its families of internal and limit errors.
fn told(error: &GatewayError) -> (StatusCode, u32, ErrorClass) {
    use ErrorClass as Class;
    use GatewayError as Error;
    let refused = |status, code| (status, code, Class::Refused);
    match error {
        Error::NoSuchNamespace => (StatusCode::NOT_FOUND, 10013, Class::NotFound),
        Error::NoSuchKey => (StatusCode::NOT_FOUND, 10009, Class::NotFound),
        Error::NoNamespaceId { .. } => refused(StatusCode::BAD_REQUEST, 10011),
        Error::NamespaceConfigured => refused(StatusCode::FORBIDDEN, 10037),
        Error::TitleTaken => refused(StatusCode::BAD_REQUEST, 10014),
        Error::NoTitle => refused(StatusCode::BAD_REQUEST, 10019),
        Error::TooManyNamespaces { .. } => refused(StatusCode::BAD_REQUEST, 10024),
        Error::MetadataNotJson => refused(StatusCode::BAD_REQUEST, 10147),
        Error::MetadataTooLarge { .. } => refused(StatusCode::PAYLOAD_TOO_LARGE, 10024),
        Error::NoKeys => refused(StatusCode::BAD_REQUEST, 10029),
        Error::TitleTooLong { .. }
        | Error::ListLimit { .. }
        | Error::NoCursor
        | Error::TooManyKeys { .. }
        | Error::CacheTtlTooShort { .. } => refused(StatusCode::BAD_REQUEST, 10012),
        Error::KeyTooLong { .. } => refused(StatusCode::URI_TOO_LONG, 10030),
        Error::KeyNotAllowed => refused(StatusCode::BAD_REQUEST, 10030),
        Error::ValueTooLarge { .. } => refused(StatusCode::PAYLOAD_TOO_LARGE, 10022),
        Error::ExpirationTooSoon { .. } => refused(StatusCode::BAD_REQUEST, 10033),
        Error::ExpirationTtlTooShort { .. } => refused(StatusCode::BAD_REQUEST, 10034),
        Error::TooManyWrites => (StatusCode::TOO_MANY_REQUESTS, 971, Class::TooManyWrites),
        Error::OwnerFailed => (StatusCode::INTERNAL_SERVER_ERROR, 10001, Class::OwnerFailed),
        Error::Sealing => (StatusCode::INTERNAL_SERVER_ERROR, 10001, Class::Damaged),
        Error::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, 10001, Class::Unavailable),
        Error::NotResolved => (not_resolved(), 1016, Class::NotResolved),
    }
}

/// 530, which no standard has: an origin's host name does not resolve.
fn not_resolved() -> StatusCode {
    StatusCode::from_u16(530).unwrap_or(StatusCode::BAD_GATEWAY)
}

/// Why the public API does not do what it was asked.
pub(super) fn rest_refusal(operation: &str, refusal: &Refusal) -> Response<Bytes> {
    let refused =
        |status, code, message: &str| envelope_refusal(status, code, message, ErrorClass::Refused);
    match refusal {
        Refusal::Gateway(error) => gateway_error(operation, error),
        Refusal::Malformed(message) => refused(StatusCode::BAD_REQUEST, 10012, message),
        Refusal::Method(allowed) => allowing(
            allowed,
            refused(
                StatusCode::METHOD_NOT_ALLOWED,
                10405,
                "Method not allowed for this authentication scheme",
            ),
        ),
        Refusal::TooLarge(limit) => refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            10022,
            &format!("the body is larger than {limit} bytes"),
        ),
    }
}

/// What somebody is told who is not let in.
pub(super) fn denied(denied: Denied) -> Response<Bytes> {
    let (code, message) = match denied {
        Denied::Missing => (9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers"),
        Denied::Unknown => (10000, "Authentication error"),
    };
    envelope_refusal(StatusCode::UNAUTHORIZED, code, message, ErrorClass::Unsigned)
}

/// Why a binding does not do what it was asked: a status and a reason phrase, which is all that a Worker sees.
pub(super) fn binding_refusal(refusal: &Refusal) -> Response<Bytes> {
    let (status, class, reason) = match refusal {
        Refusal::Gateway(GatewayError::NoSuchNamespace) => {
            (StatusCode::BAD_REQUEST, ErrorClass::NotFound, "Namespace not found".to_owned())
        }
        Refusal::Gateway(GatewayError::TooManyWrites) => {
            (StatusCode::TOO_MANY_REQUESTS, ErrorClass::TooManyWrites, "Too Many Requests".into())
        }
        Refusal::Gateway(GatewayError::NoSuchKey) => {
            (StatusCode::NOT_FOUND, ErrorClass::NotFound, "Not Found".to_owned())
        }
        Refusal::Gateway(error) => {
            let (status, _, class) = told(error);
            (status, class, error.to_string())
        }
        Refusal::Malformed(message) => {
            (StatusCode::BAD_REQUEST, ErrorClass::Refused, message.clone())
        }
        Refusal::Method(_) => {
            (StatusCode::METHOD_NOT_ALLOWED, ErrorClass::Refused, "Method Not Allowed".to_owned())
        }
        Refusal::TooLarge(limit) => (
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorClass::Refused,
            format!("The body is larger than {limit} bytes."),
        ),
    };
    let answer = phrased(refused(status, class), &reason);
    if let Refusal::Method(allowed) = refusal { allowing(allowed, answer) } else { answer }
}

/// Names the methods that a path takes, as a 405 must.
fn allowing(methods: &'static str, mut answer: Response<Bytes>) -> Response<Bytes> {
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

/// What a binding is told that is not let in.
pub(super) fn binding_denied(_: Denied) -> Response<Bytes> {
    let answer = refused(StatusCode::UNAUTHORIZED, ErrorClass::Unsigned);
    phrased(answer, "Unauthorized")
}

/// Gives an answer a reason phrase. What cannot stand in one is left out of it.
fn phrased(mut response: Response<Bytes>, reason: &str) -> Response<Bytes> {
    let plain: String = reason.chars().filter(|c| (' '..='~').contains(c)).collect();
    if let Ok(phrase) = ReasonPhrase::try_from(plain) {
        response.extensions_mut().insert(phrase);
    }
    response
}

/// What a tier says that was not told what it needs. With a body: a bare 500 is what an exception leaves.
pub(super) fn missing_control(header: &HeaderName) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("control header {header} is missing")));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    because(response, ErrorClass::MissingContext)
}

/// A tier's error as the tier protocol tells it. 500 is left to exceptions: a tier that works has other failures.
pub(crate) fn tier_answer(error: TierError) -> Response<Bytes> {
    let (status, class) = match error {
        TierError::Failed => (StatusCode::BAD_GATEWAY, ErrorClass::OwnerFailed),
        TierError::NotResolved => (not_resolved(), ErrorClass::NotResolved),
        TierError::Unreachable => (StatusCode::BAD_GATEWAY, ErrorClass::Unavailable),
        TierError::TimedOut => (StatusCode::GATEWAY_TIMEOUT, ErrorClass::Unavailable),
        TierError::Storage | TierError::Busy => {
            (StatusCode::SERVICE_UNAVAILABLE, ErrorClass::Unavailable)
        }
    };
    refused(status, class)
}

/// The same, read by the client of the protocol. A status that the protocol does not know is a failure of the owner and
/// never passed on.
pub(crate) fn tier_error(status: StatusCode) -> TierError {
    match status {
        _ if status == not_resolved() => TierError::NotResolved,
        StatusCode::GATEWAY_TIMEOUT | StatusCode::BAD_GATEWAY => TierError::TimedOut,
        StatusCode::SERVICE_UNAVAILABLE => TierError::Storage,
        _ => TierError::Failed,
    }
}
