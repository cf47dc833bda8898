//! The tier protocol, between data centers: its server and its client.
//!
//! `GET` and `PUT` of `/tier/v1/{namespace}/{key}` with the control data in one header, and `POST /tier/v1` with a batch of
//! purges, `POST /tier/v1/list` with a range of keys, answered with a page. A value's version and metadata travel as on a store. 404 is "there is none", with the version of the deletion; 204
//! is "you have it", with the version, which the sender had said in `if-none-match`. `x-relapse-alone` says that one store said it
//! while the other did not answer.
//!
//! Where stores are reached by name, a request to an upper tier has control headers as well ([`super::control_headers`]).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use bytes::Bytes;
use http::header::{HeaderName, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use kv_store::plain::{META, VERSION};
use serde::{Deserialize, Serialize};

use super::auth::{Secret, TIER};
use super::{control_headers, decode_segment, encode_segment, status};
use crate::cache::{
    Cache, Known, Listing, PurgeBatch, TierAnswer, TierAsk, TierError, TierPeers, TierRole,
};
use crate::config::{DcState, TIER_TIMEOUT};
use crate::env::{BoxFuture, Listener, NodeEnv};
use crate::gateway::LIST_KEYS_MAX;
use crate::ids::{Dc, Name, Namespace, Region, Version};
use crate::safeguards::Safeguard;
use crate::storage::{Found, ListRange, Listed, Page, StoredObject, from_object, to_object};
use crate::telemetry::trace::{Attribute, TRACEPARENT};
use crate::telemetry::{ErrorClass, TraceContext};
use crate::worker::{Ctx, Thrown};

const PREFIX: &str = "/tier/v1";

const LIST: &str = "/tier/v1/list";
/// To purges that another data center was asked to pass on and could not. It is no failure of whoever was asked.
const NOT_PASSED_ON: StatusCode = StatusCode::ACCEPTED;
const ALONE: HeaderName = HeaderName::from_static("x-relapse-alone");

/// What a request does, as metrics name it.
pub fn operation(method: &Method, path: &str) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::PUT => "put",
        Method::POST if path == LIST => "list",
        Method::POST => "purge",
        _ => "other",
    }
}

/// Serves one request of another data center: the entry of the supercache script.
pub async fn serve(
    cache: Arc<Cache>,
    ctx: Arc<Ctx>,
    mut request: Request<Bytes>,
) -> Result<Response<Bytes>, Thrown> {
    let mut stage = ctx.trace.stage("api.tier");
    let wrapper = if ctx.build.has(Safeguard::ControlHeadersKept) {
        control_headers::read
    } else {
        control_headers::take
    };
    if let Some(route) = wrapper(request.headers_mut()) {
        stage.attribute("relapse.route", Attribute::Text(route));
    }
    let route = ctx.env().tier_route().map_err(|thrown| ctx.thrown(thrown))?;
    debug_assert_eq!(route.serves, ctx.dc, "an isolate's route is its own data center's");
    if ctx.config.snapshot.status(&ctx.dc).state != DcState::Serving {
        // What is out of service must not answer from a tier that purges no longer reach: this request goes past it.
        ctx.env().write(|bindings| {
            bindings.tier_route = None;
            bindings.error_reporting = false;
        });
    }
    Ok(handle(&cache, &ctx, request).await.unwrap_or_else(|refusal| refusal))
}

async fn handle(
    cache: &Arc<Cache>,
    ctx: &Arc<Ctx>,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, Response<Bytes>> {
    let malformed = || status::refused(StatusCode::BAD_REQUEST, ErrorClass::Refused);
    if *request.method() == Method::POST && request.uri().path() == PREFIX {
        let batch: PurgeBatch = serde_json::from_slice(request.body()).map_err(|_| malformed())?;
        let delivered = cache.take_purges(batch).await;
        return Ok(status::bare(if delivered { StatusCode::OK } else { NOT_PASSED_ON }));
    }
    if *request.method() == Method::POST && request.uri().path() == LIST {
        return serve_list(cache, ctx, &request).await;
    }
    let ask = decode_ask(&request).ok_or_else(|| {
        cache.missing_context();
        status::refused(StatusCode::BAD_REQUEST, ErrorClass::MissingContext)
    })?;
    if ask.trace.is_none() {
        cache.missing_trace();
    }
    ctx.note(|notes| {
        notes.name = Some(ask.name.clone());
        notes.role = ask.role.into();
    });
    if ask.control.is_some() {
        cache.control_host(ctx, true);
    }
    let context = if ctx.build.has(Safeguard::ContextRequired) {
        control_headers::required
    } else {
        control_headers::taken_for_granted
    };
    if let Some(refusal) = context(cache, ctx, &ask) {
        return Err(refusal);
    }
    match *request.method() {
        Method::GET => {
            let Known { found, alone } =
                cache.serve(ctx, &ask).await.map_err(status::tier_answer)?;
            let unchanged = matches!(found, Found::Value(_)) && ask.known == Some(found.version());
            let mut response =
                if unchanged { unchanged_since(&found) } else { encode_found(&found) };
            if alone {
                response.headers_mut().insert(ALONE, HeaderValue::from_static("1"));
            }
            Ok(response)
        }
        Method::PUT => {
            let state = decode_found(&request, request.body()).ok_or_else(malformed)?;
            cache.serve_write(ctx, &ask, state).await.map_err(status::tier_answer)?;
            Ok(status::bare(StatusCode::OK))
        }
        _ => Err(status::refused(StatusCode::METHOD_NOT_ALLOWED, ErrorClass::Refused)),
    }
}

/// A range of keys on its way.
#[derive(Serialize, Deserialize)]
struct RangeOnTheWire {
    namespace: Namespace,
    prefix: String,
    after: String,
    limit: usize,
}

/// A key of a page: name, expiration, sealed metadata in Base64 with the version that it was sealed for.
type ListedOnTheWire = (String, Option<u64>, Option<(Version, String)>);

/// A page on its way.
#[derive(Serialize, Deserialize)]
struct PageOnTheWire {
    keys: Vec<ListedOnTheWire>,
    next: Option<String>,
    age_us: u64,
}

async fn serve_list(
    cache: &Arc<Cache>,
    ctx: &Arc<Ctx>,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, Response<Bytes>> {
    let Some((role, affinity, revision)) = request.headers().get(TIER).and_then(control_of) else {
        cache.missing_context();
        return Err(status::refused(StatusCode::BAD_REQUEST, ErrorClass::MissingContext));
    };
    let malformed = |_| status::refused(StatusCode::BAD_REQUEST, ErrorClass::Refused);
    let range: RangeOnTheWire = serde_json::from_slice(request.body()).map_err(malformed)?;
    let name = Name::new(range.namespace, &range.prefix);
    let range = ListRange {
        namespace: name.namespace.clone(),
        prefix: name.key.clone(),
        after: range.after.into(),
        limit: range.limit.clamp(1, LIST_KEYS_MAX),
    };
    ctx.note(|notes| {
        notes.name = Some(name.clone());
        notes.role = role.into();
    });
    let ask = TierAsk {
        name,
        role,
        affinity,
        revision,
        known: None,
        trace: caller(request),
        control: None,
    };
    let listing = cache.serve_list(ctx, &ask, &range).await.map_err(status::tier_answer)?;
    let on_the_wire = |listed: &Listed| {
        let metadata = listed.metadata.as_ref();
        let metadata = metadata.map(|(version, sealed)| (*version, BASE64.encode(sealed)));
        (listed.key.to_string(), listed.expiration_s, metadata)
    };
    let page = PageOnTheWire {
        keys: listing.page.keys.iter().map(on_the_wire).collect(),
        next: listing.page.next.as_ref().map(ToString::to_string),
        age_us: u64::try_from(listing.age.as_micros()).unwrap_or(u64::MAX),
    };
    Ok(Response::new(serde_json::to_vec(&page).map_err(malformed)?.into()))
}

fn decode_page(body: &[u8]) -> Option<Listing> {
    let page: PageOnTheWire = serde_json::from_slice(body).ok()?;
    let listed = |(key, expiration_s, metadata): ListedOnTheWire| {
        let metadata = match metadata {
            Some((version, sealed)) => Some((version, BASE64.decode(sealed).ok()?.into())),
            None => None,
        };
        Some(Listed { key: key.into(), expiration_s, metadata })
    };
    let keys = page.keys.into_iter().map(listed).collect::<Option<_>>()?;
    let next = page.next.map(Into::into);
    let age = Duration::from_micros(page.age_us);
    Some(Listing { page: Arc::new(Page { keys, next }), age })
}

/// What of a request tells whose key it is about, kept for the case that the script throws before it looks.
pub struct About {
    uri: http::Uri,
    control: Option<HeaderValue>,
}

impl About {
    /// Cheap: nothing is decoded yet.
    pub fn of(request: &Request<Bytes>) -> Self {
        Self { uri: request.uri().clone(), control: request.headers().get(TIER).cloned() }
    }

    /// Notes key and role where the script did not.
    pub fn note_unless_noted(&self, ctx: &Ctx) {
        if ctx.notes().name.is_some() {
            return;
        }
        let name = name_of(self.uri.path());
        let role = self.control.as_ref().and_then(control_of).map(|(role, ..)| role);
        ctx.note(|notes| {
            notes.name = name;
            notes.role = role.map(Into::into).unwrap_or_default();
        });
    }
}

/// The trace context that a request carries.
pub fn caller(request: &Request<Bytes>) -> Option<TraceContext> {
    request.headers().get(TRACEPARENT).and_then(TraceContext::parse)
}

fn encode_ask(method: Method, ask: &TierAsk) -> Result<Request<Bytes>, TierError> {
    let path = format!(
        "{PREFIX}/{}/{}",
        encode_segment(ask.name.namespace.as_str()),
        encode_segment(&ask.name.key)
    );
    let request = Request::builder().method(method).uri(path);
    let mut request = controlled(request, ask, Bytes::new())?;
    if let Some(known) = ask.known.and_then(|known| HeaderValue::from_str(&known.encode()).ok()) {
        request.headers_mut().insert(IF_NONE_MATCH, known);
    }
    Ok(request)
}

/// A request with the control data of what is asked.
fn controlled(
    request: http::request::Builder,
    ask: &TierAsk,
    body: Bytes,
) -> Result<Request<Bytes>, TierError> {
    let role = match ask.role {
        TierRole::Regional => "regional",
        TierRole::Upper => "upper",
    };
    let control = format!("{role};{};{}", ask.affinity, ask.revision);
    let request = request.header(TIER, control).body(body);
    let mut request = request.map_err(|_| TierError::Failed)?;
    let trace = ask.trace.and_then(TraceContext::header);
    if let Some(context) = &ask.control {
        control_headers::write(request.headers_mut(), context, trace.as_ref())?;
    }
    if let Some(context) = trace {
        request.headers_mut().insert(TRACEPARENT, context);
    }
    Ok(request)
}

fn decode_ask(request: &Request<Bytes>) -> Option<TierAsk> {
    let name = name_of(request.uri().path())?;
    let (role, affinity, revision) = control_of(request.headers().get(TIER)?)?;
    let known = request.headers().get(IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let known = known.and_then(Version::decode);
    let (trace, control) = (caller(request), control_headers::context(request.headers()));
    Some(TierAsk { name, role, affinity, revision, known, trace, control })
}

fn name_of(path: &str) -> Option<Name> {
    let (namespace, key) = path.strip_prefix(PREFIX)?.strip_prefix('/')?.split_once('/')?;
    Some(Name::new((&*decode_segment(namespace)?).into(), &decode_segment(key)?))
}

fn control_of(header: &HeaderValue) -> Option<(TierRole, Region, u64)> {
    let mut control = header.to_str().ok()?.split(';');
    let role = match control.next()? {
        "regional" => TierRole::Regional,
        "upper" => TierRole::Upper,
        _ => return None,
    };
    Some((role, Region::from(control.next()?), control.next()?.parse().ok()?))
}

fn unchanged_since(found: &Found) -> Response<Bytes> {
    let mut response = status::bare(StatusCode::NO_CONTENT);
    if let Ok(version) = HeaderValue::from_str(&found.version().encode()) {
        response.headers_mut().insert(VERSION, version);
    }
    response
}

fn encode_found(found: &Found) -> Response<Bytes> {
    let object = to_object(found);
    let mut response = Response::new(object.body);
    if matches!(found, Found::Absent(_)) {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    let headers = response.headers_mut();
    if let Ok(version) = HeaderValue::from_str(&object.version.encode()) {
        headers.insert(VERSION, version);
    }
    if let Ok(meta) = HeaderValue::try_from(object.meta) {
        headers.insert(META, meta);
    }
    response
}

/// A state from the headers and the body of a message, whichever way it goes.
fn decode_found<M: Headers>(message: &M, body: &Bytes) -> Option<Found> {
    let header = |name: &str| message.headers().get(name).and_then(|value| value.to_str().ok());
    let version = Version::decode(header(VERSION)?)?;
    let meta = header(META)?.to_owned();
    from_object(StoredObject { version, meta, body: body.clone() }).ok()
}

trait Headers {
    fn headers(&self) -> &HeaderMap;
}

impl<T> Headers for Request<T> {
    fn headers(&self) -> &HeaderMap {
        self.headers()
    }
}

impl<T> Headers for Response<T> {
    fn headers(&self) -> &HeaderMap {
        self.headers()
    }
}

/// The client side.
#[derive(Clone, Debug)]
pub struct TierClient {
    env: NodeEnv,
    secret: Secret,
}

impl TierClient {
    /// A client that signs with a secret.
    pub fn new(env: NodeEnv, secret: Secret) -> Self {
        Self { env, secret }
    }

    fn call(
        &self,
        dc: &Dc,
        request: Result<Request<Bytes>, TierError>,
    ) -> impl Future<Output = Result<Response<Bytes>, TierError>> + Send + use<> {
        let env = self.env.clone();
        let call = request.map(|mut request| {
            let peer = dc.peer();
            self.secret.sign(&mut request, &peer, env.clock.now());
            env.network.call(&peer, Listener::Tier, request)
        });
        async move {
            match env.timeout(TIER_TIMEOUT, call?).await {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(_)) => Err(TierError::Unreachable),
                Err(_) => Err(TierError::TimedOut),
            }
        }
    }
}

impl TierPeers for TierClient {
    fn get(&self, dc: &Dc, ask: &TierAsk) -> BoxFuture<Result<TierAnswer, TierError>> {
        let call = self.call(dc, encode_ask(Method::GET, ask));
        let known = ask.known.map(Version::encode);
        Box::pin(async move {
            let response = call.await?;
            let alone = response.headers().contains_key(ALONE);
            match response.status() {
                StatusCode::OK | StatusCode::NOT_FOUND => {
                    let found = decode_found(&response, response.body());
                    let known = found.map(|found| Known { found, alone });
                    known.map(TierAnswer::Found).ok_or(TierError::Failed)
                }
                // Whoever stands between may say that too, of nothing in particular.
                StatusCode::NO_CONTENT => {
                    let version = response.headers().get(VERSION).map(HeaderValue::as_bytes);
                    let meant =
                        version.is_some() && version == known.as_ref().map(String::as_bytes);
                    if meant { Ok(TierAnswer::Unchanged { alone }) } else { Err(TierError::Failed) }
                }
                other => Err(status::tier_error(other)),
            }
        })
    }

    fn list(
        &self,
        dc: &Dc,
        ask: &TierAsk,
        range: &ListRange,
    ) -> BoxFuture<Result<Listing, TierError>> {
        let range = RangeOnTheWire {
            namespace: range.namespace.clone(),
            prefix: range.prefix.to_string(),
            after: range.after.to_string(),
            limit: range.limit,
        };
        let body = serde_json::to_vec(&range).map_err(|_| TierError::Failed);
        let request = body.and_then(|body| controlled(Request::post(LIST), ask, body.into()));
        let call = self.call(dc, request);
        Box::pin(async move {
            let response = call.await?;
            match response.status() {
                StatusCode::OK => decode_page(response.body()).ok_or(TierError::Failed),
                other => Err(status::tier_error(other)),
            }
        })
    }

    fn put(&self, dc: &Dc, ask: &TierAsk, state: &Found) -> BoxFuture<Result<(), TierError>> {
        let object = to_object(state);
        let request = encode_ask(Method::PUT, ask).and_then(|mut request| {
            let version = HeaderValue::from_str(&object.version.encode());
            let meta = HeaderValue::try_from(object.meta);
            let (Ok(version), Ok(meta)) = (version, meta) else {
                return Err(TierError::Failed);
            };
            request.headers_mut().insert(VERSION, version);
            request.headers_mut().insert(META, meta);
            *request.body_mut() = object.body;
            Ok(request)
        });
        let call = self.call(dc, request);
        Box::pin(async move { done(&call.await?) })
    }

    fn purge(&self, dc: &Dc, batch: &PurgeBatch) -> BoxFuture<Result<(), TierError>> {
        let request = serde_json::to_vec(batch).map_err(|_| TierError::Failed).and_then(|body| {
            Request::post(PREFIX).body(Bytes::from(body)).map_err(|_| TierError::Failed)
        });
        let call = self.call(dc, request);
        Box::pin(async move {
            match call.await? {
                response if response.status() == NOT_PASSED_ON => Err(TierError::Unreachable),
                response => done(&response),
            }
        })
    }
}

fn done(response: &Response<Bytes>) -> Result<(), TierError> {
    match response.status() {
        StatusCode::OK => Ok(()),
        other => Err(status::tier_error(other)),
    }
}
