//! Values and their metadata.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Request, Response};

use super::{CACHE_STATUS, Call, Refusal, cache_status, multipart};
use crate::api::query::Query;
use crate::api::status;
use crate::cache::Ttl;
use crate::gateway::{Expiration, GatewayError, Put};
use crate::ids::Name;

const EXPIRATION: HeaderName = HeaderName::from_static("expiration");

impl Call<'_> {
    pub(super) async fn get(
        self,
        name: Name,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, Refusal> {
        let key = self.open(name).await?;
        let ttl = Query::of(request).number("cache_ttl").map(|s| Ttl(Duration::from_secs(s)));
        let (value, result) = self.gateway.get(self.ctx, &key, ttl).await?;
        let mut response = match value {
            Some(value) => {
                let mut response = Response::new(value.body);
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
                if let Some(expiration_s) = value.expiration_s {
                    headers.insert(EXPIRATION, HeaderValue::from(expiration_s));
                }
                response
            }
            None => status::gateway_error("get", &GatewayError::NoSuchKey),
        };
        response.headers_mut().insert(CACHE_STATUS, cache_status(result));
        Ok(response)
    }

    pub(super) async fn put(
        self,
        name: Name,
        request: &mut Request<Bytes>,
    ) -> Result<Response<Bytes>, Refusal> {
        let key = self.open(name).await?;
        let expiration = expiration(&Query::of(request));
        let (body, metadata) = multipart::value_of(request).await?;
        self.gateway.put(self.ctx, &key, Put { body, expiration, metadata }).await?;
        Ok(status::envelope_ok())
    }

    pub(super) async fn delete(self, name: Name) -> Result<Response<Bytes>, Refusal> {
        let key = self.open(name).await?;
        self.gateway.delete(self.ctx, &key).await?;
        Ok(status::envelope_ok())
    }

    pub(super) async fn metadata(self, name: Name) -> Result<Response<Bytes>, Refusal> {
        let key = self.open(name).await?;
        let (value, result) = self.gateway.get(self.ctx, &key, None).await?;
        let value = value.ok_or(GatewayError::NoSuchKey)?;
        let mut response = status::envelope(value.metadata.as_deref().unwrap_or(b"null"), None);
        response.headers_mut().insert(CACHE_STATUS, cache_status(result));
        Ok(response)
    }
}

/// When a write ends. Where both are given the relative one wins, as on the documented service.
pub(in crate::api) fn expiration(query: &Query<'_>) -> Expiration {
    match (query.number("expiration_ttl"), query.number("expiration")) {
        (Some(ttl_s), _) => Expiration::In(ttl_s),
        (None, Some(at_s)) => Expiration::At(at_s),
        (None, None) => Expiration::Never,
    }
}
