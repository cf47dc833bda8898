//! Where errors become HTTP.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

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
    }
}

/// The envelope of the public API, around nothing.
pub(crate) fn envelope_ok() -> Response<Bytes> {
    json(
        StatusCode::OK,
        Bytes::from_static(br#"{"success":true,"errors":[],"messages":[],"result":null}"#),
    )
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

fn json(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A gateway's error as the public API tells it. Codes are the documented service's where that publishes one.
pub(crate) fn gateway_error(operation: &str, error: &GatewayError) -> Response<Bytes> {
    use ErrorClass as Class;
    let (status, code, class) = match error {
        GatewayError::NoSuchNamespace => (StatusCode::NOT_FOUND, 10013, Class::NotFound),
        GatewayError::NoSuchKey => (StatusCode::NOT_FOUND, 10009, Class::NotFound),
        GatewayError::KeyTooLong { .. } => (StatusCode::URI_TOO_LONG, 10030, Class::Refused),
        GatewayError::KeyNotAllowed => (StatusCode::BAD_REQUEST, 10030, Class::Refused),
        GatewayError::ValueTooLarge { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, 10022, Class::Refused)
        }
        GatewayError::ExpirationTooSoon { .. } => (StatusCode::BAD_REQUEST, 10033, Class::Refused),
        GatewayError::ExpirationTtlTooShort { .. } => {
            (StatusCode::BAD_REQUEST, 10034, Class::Refused)
        }
        GatewayError::CacheTtlTooShort { .. } => (StatusCode::BAD_REQUEST, 10012, Class::Refused),
        GatewayError::TooManyWrites => (StatusCode::TOO_MANY_REQUESTS, 971, Class::TooManyWrites),
        GatewayError::OwnerFailed => (StatusCode::INTERNAL_SERVER_ERROR, 10001, Class::OwnerFailed),
        GatewayError::Sealing => (StatusCode::INTERNAL_SERVER_ERROR, 10001, Class::Damaged),
        GatewayError::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, 10001, Class::Unavailable),
    };
    envelope_refusal(status, code, &format!("{operation}: '{error}'"), class)
}

/// A tier's error as the tier protocol tells it. 500 is left to exceptions: a tier that works has other failures.
pub(crate) fn tier_answer(error: TierError) -> Response<Bytes> {
    let (status, class) = match error {
        TierError::Failed => (StatusCode::BAD_GATEWAY, ErrorClass::OwnerFailed),
        TierError::Unreachable => (StatusCode::BAD_GATEWAY, ErrorClass::Unavailable),
        TierError::TimedOut => (StatusCode::GATEWAY_TIMEOUT, ErrorClass::Unavailable),
        TierError::Storage => (StatusCode::SERVICE_UNAVAILABLE, ErrorClass::Unavailable),
    };
    refused(status, class)
}

/// The same, read by the client of the protocol. A status that the protocol does not know is a failure of the owner and
/// never passed on.
pub(crate) fn tier_error(status: StatusCode) -> TierError {
    match status {
        StatusCode::GATEWAY_TIMEOUT | StatusCode::BAD_GATEWAY => TierError::TimedOut,
        StatusCode::SERVICE_UNAVAILABLE => TierError::Storage,
        _ => TierError::Failed,
    }
}
