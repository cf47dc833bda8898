//! The one list of what the API refuses: Toxiproxy's words and codes, and those of faults.

use http::StatusCode;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    /// The body is no JSON, or not the one that is wanted.
    #[error("bad request body: {0}")]
    BadRequestBody(String),
    /// A field that has no default is not there.
    #[error("missing required field: {0}")]
    MissingField(String),
    /// No proxy has this name.
    #[error("proxy not found")]
    ProxyNotFound,
    /// A proxy has this name already.
    #[error("proxy already exists")]
    ProxyAlreadyExists,
    /// A toxic acts on one of two streams.
    #[error("stream was invalid, can be either upstream or downstream")]
    InvalidStream,
    /// There is no toxic of this type.
    #[error("invalid toxic type")]
    InvalidToxicType,
    /// A toxic of the proxy has this name already.
    #[error("toxic already exists")]
    ToxicAlreadyExists,
    /// No toxic of the proxy has this name.
    #[error("toxic not found")]
    ToxicNotFound,
    /// A proxy cannot listen where it should.
    #[error("listen tcp {0}: {1}")]
    Listen(String, String),
    /// A fault has this name already.
    #[error("fault already exists")]
    FaultAlreadyExists,
    /// No fault has this name.
    #[error("fault not found")]
    FaultNotFound,
    /// No proxy stands on a link that the fault acts on.
    #[error("no proxy is on a link of this fault: {0}")]
    NoLink(String),
    /// There is nothing at this path.
    #[error("page not found")]
    NoPath,
    /// The path does not take this method.
    #[error("method not allowed")]
    NoMethod,
    /// The body is longer than any that the API takes.
    #[error("request body too large")]
    TooLarge,
}

impl ApiError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequestBody(_)
            | Self::MissingField(_)
            | Self::InvalidStream
            | Self::InvalidToxicType => StatusCode::BAD_REQUEST,
            Self::ProxyNotFound
            | Self::ToxicNotFound
            | Self::FaultNotFound
            | Self::NoLink(_)
            | Self::NoPath => StatusCode::NOT_FOUND,
            Self::ProxyAlreadyExists | Self::ToxicAlreadyExists | Self::FaultAlreadyExists => {
                StatusCode::CONFLICT
            }
            Self::NoMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Listen(..) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}
