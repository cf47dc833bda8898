//! The public API: values of keys.
//!
//! `GET`, `PUT` and `DELETE` of `/client/v4/accounts/{account}/storage/kv/namespaces/{namespace}/values/{key}`. The key is
//! decoded once, from the raw path. One query parameter is our own: `cache_ttl` on a `GET`, which the documented service
//! has on its binding protocol only.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Method, Request, Response, StatusCode};

use super::{decode_segment, status};
use crate::cache::{CacheResult, Ttl};
use crate::gateway::{Expiration, Gateway, GatewayError};
use crate::ids::Name;
use crate::telemetry::ErrorClass;
use crate::worker::{Ctx, Thrown};

const PREFIX: &str = "/client/v4/accounts/";
/// How the edge cache answered a read.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cf-cache-status");
const EXPIRATION: HeaderName = HeaderName::from_static("expiration");

/// What a request does, as metrics name it.
pub fn operation(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::PUT => "put",
        Method::DELETE => "delete",
        _ => "other",
    }
}

/// The path of a value.
pub fn value_path(account: &str, name: &Name) -> String {
    format!(
        "{PREFIX}{account}/storage/kv/namespaces/{}/values/{}",
        super::encode_segment(name.namespace.as_str()),
        super::encode_segment(&name.key)
    )
}

/// Serves one request of a customer: the entry of the gateway script.
pub async fn serve(
    gateway: Arc<Gateway>,
    ctx: Arc<Ctx>,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, Thrown> {
    let Some(name) = name_of(request.uri().path()) else {
        let message = format!("Could not route to {}", request.uri().path());
        return Ok(status::envelope_refusal(
            StatusCode::NOT_FOUND,
            7003,
            &message,
            ErrorClass::Refused,
        ));
    };
    let _stage = ctx.trace.stage("api.rest");
    ctx.note(|notes| notes.name = Some(name.clone()));
    let operation = operation(request.method());
    let answer = match *request.method() {
        Method::GET => get(&gateway, &ctx, &name, &request).await,
        Method::PUT => put(&gateway, &ctx, &name, request).await,
        Method::DELETE => gateway.delete(&ctx, &name).await.map(|()| status::envelope_ok()),
        _ => {
            return Ok(status::envelope_refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                10405,
                "Method not allowed for this authentication scheme",
                ErrorClass::Refused,
            ));
        }
    };
    Ok(answer.unwrap_or_else(|error| status::gateway_error(operation, &error)))
}

fn name_of(path: &str) -> Option<Name> {
    let (_account, rest) = path.strip_prefix(PREFIX)?.split_once('/')?;
    let (namespace, key) = rest.strip_prefix("storage/kv/namespaces/")?.split_once("/values/")?;
    if key.is_empty() || key.contains('/') || namespace.contains('/') {
        return None;
    }
    Some(Name::new(decode_segment(namespace)?.into(), &decode_segment(key)?))
}

async fn get(
    gateway: &Arc<Gateway>,
    ctx: &Arc<Ctx>,
    name: &Name,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, GatewayError> {
    let ttl = query_number(request, "cache_ttl").map(|s| Ttl(Duration::from_secs(s)));
    let (read, result) = gateway.get(ctx, name, ttl).await?;
    let mut response = match read {
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
    let cache_status = match result {
        CacheResult::Hit => "HIT",
        CacheResult::Stale => "STALE",
        CacheResult::Miss => "MISS",
    };
    response.headers_mut().insert(CACHE_STATUS, HeaderValue::from_static(cache_status));
    Ok(response)
}

async fn put(
    gateway: &Arc<Gateway>,
    ctx: &Arc<Ctx>,
    name: &Name,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, GatewayError> {
    // Where both are given the relative one wins, as on the documented service.
    let expiration = match query_number(&request, "expiration_ttl") {
        Some(ttl_s) => Expiration::In(ttl_s),
        None => match query_number(&request, "expiration") {
            Some(at_s) => Expiration::At(at_s),
            None => Expiration::Never,
        },
    };
    gateway.put(ctx, name, request.into_body(), expiration).await?;
    Ok(status::envelope_ok())
}

fn query_number(request: &Request<Bytes>, name: &str) -> Option<u64> {
    let pairs = request.uri().query().unwrap_or_default().split('&');
    let (_, value) = pairs.filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name)?;
    // What is no number is no valid moment either: zero is refused by every rule that follows.
    Some(value.parse().unwrap_or(0))
}
