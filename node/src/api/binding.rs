//! The protocol of a Worker's binding (`env.KV`), as workerd speaks it over plain HTTP.
//!
//! | request | answer |
//! |---|---|
//! | `GET /{key}?urlencoded=true[&cache_ttl=]` | the value, with `cf-kv-metadata`, `cf-expiration` and `cf-cache-status`; 404 |
//! | `PUT /{key}?urlencoded=true[&expiration=][&expiration_ttl=]` | 200; metadata comes in `cf-kv-metadata` |
//! | `DELETE /{key}?urlencoded=true` | 200 |
//! | `GET /?[key_count_limit=][&prefix=][&cursor=]` | keys, their metadata as strings of JSON |
//! | `POST /bulk/get` | values by key |
//!
//! The header `cf-kv-namespace` says which namespace a binding is bound to. Workers see an error's reason phrase and nothing
//! else of it. 404 means "no such key" to a Worker, so a namespace that does not exist is 400.

use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::access::Access;
use super::object::Object;
use super::query::Query;
use super::rest::{CACHE_STATUS, Kind, Refusal, as_json, cache_status, expiration};
use super::{decode_segment, status};
use crate::cache::Ttl;
use crate::gateway::{Gateway, GatewayError, OpenNamespace, Put, Value};
use crate::ids::Namespace;
use crate::worker::{Ctx, Thrown};

const NAMESPACE: HeaderName = HeaderName::from_static("cf-kv-namespace");
const METADATA: HeaderName = HeaderName::from_static("cf-kv-metadata");
const EXPIRATION: HeaderName = HeaderName::from_static("cf-expiration");
/// Where a binding asks for many keys at once.
const BULK_GET: &str = "/bulk/get";
/// A body that names keys, in bytes.
const BODY_MAX: usize = 1024 * 1024;
const LIMIT_MAX: u64 = 1_000;

/// What a request does, as metrics name it.
pub fn operation(method: &Method, path: &str) -> &'static str {
    match (method, path) {
        (&Method::GET, "/") => "list",
        (&Method::POST, BULK_GET) => "bulk-get",
        (&Method::GET, _) => "get",
        (&Method::PUT, _) => "put",
        (&Method::DELETE, _) => "delete",
        _ => "other",
    }
}

#[derive(Serialize)]
struct Listed {
    keys: Vec<Row>,
    list_complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Row {
    name: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<u64>,
    /// JSON within a string: a Worker parses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
}

#[derive(Deserialize)]
struct Wanted {
    keys: Vec<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default, rename = "withMetadata")]
    with_metadata: bool,
    /// A number in a string.
    #[serde(default, rename = "cacheTtl")]
    cache_ttl: Option<String>,
}

#[derive(Serialize)]
struct Whole {
    value: Box<RawValue>,
    metadata: Option<Box<RawValue>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Shown {
    Value(Box<RawValue>),
    Whole(Whole),
}

/// Serves one request of a Worker's binding: the other entry of the gateway script.
pub async fn serve(
    (gateway, access): (&Arc<Gateway>, &Access),
    ctx: Arc<Ctx>,
    request: &mut Request<Bytes>,
) -> Result<Response<Bytes>, Thrown> {
    let _stage = ctx.trace.stage("api.binding");
    let answer = answer(gateway, access, &ctx, request).await;
    Ok(answer.unwrap_or_else(|refusal| status::binding_refusal(&refusal)))
}

async fn answer(
    gateway: &Arc<Gateway>,
    access: &Access,
    ctx: &Arc<Ctx>,
    request: &mut Request<Bytes>,
) -> Result<Response<Bytes>, Refusal> {
    let id = request.headers().get(NAMESPACE).and_then(|id| id.to_str().ok());
    let Some(id) = id.map(Namespace::from) else {
        return Err(Refusal::Malformed("the header cf-kv-namespace is missing".to_owned()));
    };
    let account = gateway.account_of(ctx, &id).await?;
    if let Err(denied) = access.permits(request.headers(), account.as_str()) {
        return Ok(status::binding_denied(denied));
    }
    let namespace = gateway.open(ctx, account.as_str(), &id).await?;
    let binding = Binding { gateway, ctx, namespace };
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => binding.list(request).await,
        (&Method::POST, BULK_GET) => binding.get_many(request).await,
        (&Method::GET, _) => binding.get(request).await,
        (&Method::PUT, _) => binding.put(request).await,
        (&Method::DELETE, _) => {
            let key = binding.key(request)?;
            gateway.delete(ctx, &key).await?;
            Ok(status::bare(StatusCode::OK))
        }
        (_, "/") => Err(Refusal::Method("GET")),
        (_, BULK_GET) => Err(Refusal::Method("GET, POST, PUT, DELETE")),
        _ => Err(Refusal::Method("GET, PUT, DELETE")),
    }
}

/// One binding, for one request.
struct Binding<'a> {
    gateway: &'a Arc<Gateway>,
    ctx: &'a Arc<Ctx>,
    namespace: OpenNamespace,
}

impl Binding<'_> {
    /// The key that the path names. Without `urlencoded=true` it is taken as it stands (chosen: nobody sends that any more).
    fn key(&self, request: &Request<Bytes>) -> Result<crate::gateway::OpenKey, Refusal> {
        let raw = request.uri().path().trim_start_matches('/');
        let encoded = Query::of(request).text("urlencoded").map_err(Refusal::Malformed)?;
        let key = match encoded.as_deref() {
            Some("true") => decode_segment(raw)
                .ok_or_else(|| Refusal::Malformed("the key is not UTF-8".to_owned()))?,
            _ => raw.into(),
        };
        let key = self.namespace.key(&key)?;
        self.ctx.note(|notes| notes.name = Some(key.noted()));
        Ok(key)
    }

    async fn get(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, Refusal> {
        let key = self.key(request)?;
        let ttl = Query::of(request).number("cache_ttl").map(|s| Ttl(Duration::from_secs(s)));
        let (value, result) = self.gateway.get(self.ctx, &key, ttl).await?;
        let value = value.ok_or(GatewayError::NoSuchKey);
        let mut response = match value {
            Ok(value) => shown(value),
            Err(error) => status::binding_refusal(&Refusal::Gateway(error)),
        };
        response.headers_mut().insert(CACHE_STATUS, cache_status(result));
        Ok(response)
    }

    async fn put(&self, request: &mut Request<Bytes>) -> Result<Response<Bytes>, Refusal> {
        let key = self.key(request)?;
        let expiration = expiration(&Query::of(request));
        let metadata = request.headers().get(METADATA);
        let metadata = metadata.map(|json| Bytes::copy_from_slice(json.as_bytes()));
        let put = Put { body: take(request.body_mut()), expiration, metadata };
        self.gateway.put(self.ctx, &key, put).await?;
        Ok(status::bare(StatusCode::OK))
    }

    async fn list(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, Refusal> {
        let query = Query::of(request);
        let limit = query.number("key_count_limit").unwrap_or(LIMIT_MAX);
        let ask = query.list(limit).map_err(Refusal::Malformed)?;
        let list = self.gateway.list(self.ctx, &self.namespace, &ask).await?;
        let rows = list.keys.into_iter().map(|key| {
            let metadata = key.metadata.map(|json| String::from_utf8(json.into()));
            Ok(Row {
                name: key.name,
                expiration: key.expiration_s,
                metadata: metadata.transpose().map_err(|_| GatewayError::Sealing)?,
            })
        });
        let listed = Listed {
            keys: rows.collect::<Result<_, GatewayError>>()?,
            list_complete: list.cursor.is_none(),
            cursor: list.cursor,
        };
        let mut response = json(&listed)?;
        response.headers_mut().insert(CACHE_STATUS, cache_status(list.result));
        Ok(response)
    }

    async fn get_many(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, Refusal> {
        if request.body().len() > BODY_MAX {
            return Err(Refusal::TooLarge(BODY_MAX));
        }
        let Object(wanted): Object<Wanted> = serde_json::from_slice(request.body())
            .map_err(|error| Refusal::Malformed(format!("the body is not as expected: {error}")))?;
        let kind = match wanted.kind.as_deref() {
            None | Some("text") => Kind::Text,
            Some("json") => Kind::Json,
            Some(other) => {
                let message = format!("\"{other}\" is not a valid type. Use \"json\" or \"text\"");
                return Err(Refusal::Malformed(message));
            }
        };
        let ttl = wanted.cache_ttl.map(|ttl| Ttl(Duration::from_secs(ttl.parse().unwrap_or(0))));
        let keys = wanted.keys.iter().map(|key| self.namespace.key(key));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let values = self.gateway.get_many(self.ctx, &keys, ttl).await?;
        let mut all: IndexMap<&str, Option<Shown>, FxBuildHasher> = IndexMap::default();
        for (key, value) in wanted.keys.iter().zip(values) {
            let shown = match value {
                None => None,
                Some(value) => {
                    let body = as_json(&value.body, kind)?;
                    Some(if wanted.with_metadata {
                        let metadata = value.metadata.as_deref().map(super::rest::raw);
                        Shown::Whole(Whole { value: body, metadata: metadata.transpose()? })
                    } else {
                        Shown::Value(body)
                    })
                }
            };
            all.insert(key, shown);
        }
        json(&all)
    }
}

fn shown(value: Value) -> Response<Bytes> {
    let mut response = Response::new(value.body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Some(expiration_s) = value.expiration_s {
        headers.insert(EXPIRATION, HeaderValue::from(expiration_s));
    }
    if let Some(json) = value.metadata
        && let Ok(told) = HeaderValue::from_maybe_shared(header_text(json))
    {
        headers.insert(METADATA, told);
    }
    response
}

/// JSON as a header can carry it. In JSON, line breaks stand only between tokens, and the control character that needs no
/// escape only in strings.
fn header_text(json: Bytes) -> Bytes {
    if !json.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0x7f)) {
        return json;
    }
    let mut text = Vec::with_capacity(json.len() + 8);
    for byte in json {
        match byte {
            b'\r' | b'\n' => text.push(b' '),
            0x7f => text.extend_from_slice(b"\\u007f"),
            other => text.push(other),
        }
    }
    text.into()
}

fn json(value: &impl Serialize) -> Result<Response<Bytes>, Refusal> {
    let body = serde_json::to_vec(value).map_err(|_| GatewayError::Sealing)?;
    Ok(status::json(StatusCode::OK, Bytes::from(body)))
}
