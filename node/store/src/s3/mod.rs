//! The S3 protocol over any backend: one process, one bucket.
//!
//! [`s3s`] knows the protocol: paths, headers, XML, signatures in headers. Ours is what it asks of a store ([`operations`]),
//! how a listing is cut into pages ([`listing`]), and presigned URLs ([`presigned`]), since s3s checks their dates by the
//! clock of the machine.
//!
//! An object's version and metadata travel as `x-amz-meta-version` and `x-amz-meta-meta`; other user metadata is refused
//! rather than lost. An object without a version has version `""`, which is older than any other.
//!
//! Not there: multipart uploads, copies, versions of S3, tags, ACLs, encryption with the client's keys, posted forms, content
//! types. What would lose something is answered with 501.

mod listing;
mod operations;
mod presigned;
mod upload;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::validation::NameValidation;
use s3s::{Body, HttpResponse, S3Error, S3Result, s3_error};

use self::operations::Operations;
use self::presigned::{Presigned, Signer};
use crate::backend::Objects;

/// What time it is, in seconds since 1970.
type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A backend behind the S3 protocol. A clone serves the same backend.
#[derive(Clone)]
pub struct S3Store {
    service: S3Service,
    signer: Arc<Signer>,
    clock: Clock,
}

impl S3Store {
    /// Serves a backend as one bucket, to whoever signs with these credentials, an access key and its secret.
    ///
    /// The clock tells seconds since 1970. It decides which presigned URLs have expired and gives objects their
    /// `Last-Modified`. Signatures in headers go by the clock of the machine.
    pub fn new(
        objects: Arc<dyn Objects>,
        credentials: (String, String),
        bucket: &str,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let clock: Clock = Arc::new(clock);
        let (key, secret) = credentials;
        let operations = Operations { objects, bucket: bucket.to_owned(), clock: clock.clone() };
        let mut service = S3ServiceBuilder::new(operations);
        service.set_auth(SimpleAuth::from_single(key.clone(), secret.clone()));
        service.set_access(Access);
        service.set_validation(AnyBucket);
        Self { service: service.build(), signer: Arc::new(Signer { key, secret }), clock }
    }

    /// Answers one request.
    ///
    /// 403 where the signature is missing or wrong, or has expired; 412 where a condition does not hold; 404 where the object
    /// of an `If-Match` is not there; 503 from the first write that a disk refused. Over a directory it needs a runtime of
    /// tokio; in memory it awaits nothing.
    pub async fn serve(&self, request: Request<Bytes>) -> Response<Bytes> {
        let head = request.method() == Method::HEAD;
        let answered = match self.admit(request) {
            Ok(request) => self.service.call(request.map(Body::from)).await,
            Err(error) => {
                error.to_http_response().map_err(|error| s3s::HttpError::new(error.into()))
            }
        };
        let Ok(response) = answered else {
            return broken();
        };
        let mut response = whole(response).await;
        if head || response.status() == StatusCode::NOT_MODIFIED {
            *response.body_mut() = Bytes::new();
        }
        response
    }

    /// The request as s3s is to see it, once a presigned URL has been checked.
    fn admit(&self, request: Request<Bytes>) -> S3Result<Request<Bytes>> {
        let query = request.uri().query().unwrap_or_default();
        let authorization = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        if authorization.is_some_and(|value| value.starts_with(b"AWS "))
            || query.contains("AWSAccessKeyId=")
        {
            return Err(s3_error!(AccessDenied, "only signatures of version 4 are taken"));
        }
        let mut request = if query.contains(presigned::SIGNATURE) {
            self.signer.check(request, (self.clock)())?
        } else {
            request
        };
        // The body is whole, so its length is known, whatever the wire made of the header.
        let bytes = HeaderValue::from(request.body().len());
        request.headers_mut().entry(CONTENT_LENGTH).or_insert(bytes);
        Ok(request)
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("key", &self.signer.key).finish_non_exhaustive()
    }
}

async fn whole(response: HttpResponse) -> Response<Bytes> {
    let (parts, body) = response.into_parts();
    match body.collect().await {
        Ok(body) => Response::from_parts(parts, body.to_bytes()),
        Err(_) => broken(),
    }
}

fn broken() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// Lets in whom s3s or [`presigned`] knows.
struct Access;

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let known = context.credentials().is_some()
            || context.extensions_mut().get::<Presigned>().is_some();
        if known { Ok(()) } else { Err(s3_error!(AccessDenied, "a signature is needed")) }
    }
}

/// The bucket is whatever it was given as: a name that is another one is answered with "no such bucket".
struct AnyBucket;

impl NameValidation for AnyBucket {
    fn validate_bucket_name(&self, name: &str) -> bool {
        !name.is_empty()
    }
}

/// The one place that turns what a backend could not do into an error of this protocol.
fn failed(error: &crate::StoreError) -> S3Error {
    use crate::StoreError::{Damaged, OutOfLimits, Stopped, Unreadable};
    match error {
        OutOfLimits { what: "body", .. } => s3_error!(EntityTooLarge, "{error}"),
        OutOfLimits { what: "name", .. } => s3_error!(KeyTooLongError, "{error}"),
        OutOfLimits { .. } => s3_error!(MetadataTooLarge, "{error}"),
        Stopped(_) => s3_error!(ServiceUnavailable, "{error}"),
        Unreadable { .. } | Damaged { .. } => s3_error!(InternalError, "{error}"),
    }
}
