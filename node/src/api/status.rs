//! Where errors become HTTP.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

use crate::cache::TierError;
use crate::gateway::GatewayError;
use crate::worker::Outcome;

/// An answer without a body.
pub(crate) fn bare(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// What the caller gets: the script's answer, or a bare 500 where an exception left the script. Nothing of the exception
/// itself: that is for the reporter.
pub(crate) fn answer(outcome: Outcome) -> Response<Bytes> {
    match outcome {
        Outcome::Answered(response) => response,
        Outcome::Exception => bare(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The envelope of the public API, around nothing.
pub(crate) fn envelope_ok() -> Response<Bytes> {
    json(
        StatusCode::OK,
        Bytes::from_static(br#"{"success":true,"errors":[],"messages":[],"result":null}"#),
    )
}

/// The envelope around an error.
pub(crate) fn envelope_error(status: StatusCode, code: u32, message: &str) -> Response<Bytes> {
    let message = serde_json::Value::from(message);
    let body = format!(
        r#"{{"success":false,"errors":[{{"code":{code},"message":{message}}}],"messages":[],"result":null}}"#
    );
    json(status, Bytes::from(body))
}

fn json(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A gateway's error as the public API tells it. Codes are the documented service's where that publishes one.
pub(crate) fn gateway_error(operation: &str, error: &GatewayError) -> Response<Bytes> {
    let (status, code) = match error {
        GatewayError::NoSuchNamespace => (StatusCode::NOT_FOUND, 10013),
        GatewayError::NoSuchKey => (StatusCode::NOT_FOUND, 10009),
        GatewayError::KeyTooLong { .. } => (StatusCode::URI_TOO_LONG, 10030),
        GatewayError::KeyNotAllowed => (StatusCode::BAD_REQUEST, 10030),
        GatewayError::ValueTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, 10022),
        GatewayError::ExpirationTooSoon { .. } => (StatusCode::BAD_REQUEST, 10033),
        GatewayError::ExpirationTtlTooShort { .. } => (StatusCode::BAD_REQUEST, 10034),
        GatewayError::CacheTtlTooShort { .. } => (StatusCode::BAD_REQUEST, 10012),
        GatewayError::TooManyWrites => (StatusCode::TOO_MANY_REQUESTS, 971),
        GatewayError::OwnerFailed | GatewayError::Sealing => {
            (StatusCode::INTERNAL_SERVER_ERROR, 10001)
        }
        GatewayError::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, 10001),
    };
    envelope_error(status, code, &format!("{operation}: '{error}'"))
}

/// A tier's error as the tier protocol tells it.
pub(crate) fn tier_status(error: TierError) -> StatusCode {
    match error {
        TierError::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        TierError::Unreachable => StatusCode::BAD_GATEWAY,
        TierError::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        TierError::Storage => StatusCode::SERVICE_UNAVAILABLE,
    }
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
