//! The HTTP API: Toxiproxy's, and `/faults`.
//!
//! One request after the other has all proxies to itself, so what an answer says is so when it arrives.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::collection::Proxies;
use super::error::ApiError;
use super::faults::FaultInput;
use super::metrics;
use super::one::{ProxyInput, spawn};
use super::toxic::ToxicInput;

/// The release of Toxiproxy whose API this is: clients ask for it to know what they may use.
const TOXIPROXY: &str = "2.12.0";
/// A body that is longer is refused: thousands of proxies are shorter.
const BODY_BYTES_MAX: usize = 4 << 20;

/// All proxies, for one request at a time.
pub(super) type Shared = Arc<Mutex<Proxies>>;

/// What a request comes to.
enum Answer {
    Json(StatusCode, Value),
    Empty,
    Text(&'static str, String),
}

/// Answers a request.
pub(super) async fn serve(proxies: Shared, request: Request<Incoming>) -> Response<Full<Bytes>> {
    // A page in a browser on the same machine must not be able to do anything.
    let agent = request.headers().get(USER_AGENT).map(HeaderValue::as_bytes);
    if agent.is_some_and(|agent| agent.starts_with(b"Mozilla/")) {
        let text = Answer::Text("text/plain; charset=utf-8", "User agent not allowed\n".to_owned());
        return respond(StatusCode::FORBIDDEN, text);
    }
    match route(proxies, request).await {
        Ok(Answer::Json(status, value)) => respond(status, Answer::Json(status, value)),
        Ok(Answer::Empty) => respond(StatusCode::NO_CONTENT, Answer::Empty),
        Ok(text @ Answer::Text(..)) => respond(StatusCode::OK, text),
        Err(error) => refuse(&error, Value::Null),
    }
}

async fn route(proxies: Shared, request: Request<Incoming>) -> Result<Answer, ApiError> {
    let (parts, body) = request.into_parts();
    let path: Vec<String> = parts
        .uri
        .path()
        .split('/')
        .skip(1)
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(ApiError::TooLarge),
        Err(error) => return Err(ApiError::BadRequestBody(error.to_string())),
    };
    let method = match parts.method {
        // Toxiproxy took POST before it took PATCH, and still does.
        Method::POST if matches!(path[..], ["proxies", _] | ["proxies", _, "toxics", _]) => {
            Method::PATCH
        }
        method => method,
    };
    match path[..] {
        ["version"] => match method {
            Method::GET => Ok(version()),
            _ => Err(ApiError::NoMethod),
        },
        ["metrics"] => match method {
            Method::GET => {
                let text = metrics::text(&*proxies.lock().await);
                Ok(Answer::Text("text/plain; version=0.0.4; charset=utf-8", text))
            }
            _ => Err(ApiError::NoMethod),
        },
        ["faults", ..] => on_faults(&proxies, &method, &path[1..], &body).await,
        ["proxies", _, "toxics", ..] => {
            on_toxics(&proxies, &method, path[1], &path[3..], &body).await
        }
        ["proxies" | "populate" | "reset", ..] => on_proxies(&proxies, &method, &path, &body).await,
        _ => Err(ApiError::NoPath),
    }
}

fn version() -> Answer {
    let ours = concat!("relapse ", env!("CARGO_PKG_VERSION"));
    Answer::Json(StatusCode::OK, json!({"version": TOXIPROXY, "server": ours}))
}

async fn on_proxies(
    proxies: &Shared,
    method: &Method,
    path: &[&str],
    body: &[u8],
) -> Result<Answer, ApiError> {
    let mut proxies = proxies.lock().await;
    match (path, method) {
        (["proxies"], &Method::GET) => Ok(Answer::Json(StatusCode::OK, proxies.told())),
        (["proxies"], &Method::POST) => {
            Ok(Answer::Json(StatusCode::CREATED, proxies.create(read(body)?).await?))
        }
        (["populate"], &Method::POST) => Ok(match proxies.populate(read_proxies(body)?).await {
            Ok(told) => Answer::Json(StatusCode::CREATED, told),
            // What was added before the error stays.
            Err((error, added)) => Answer::Json(error.status(), said(&error, added)),
        }),
        (["reset"], &Method::POST) => proxies.reset().await.map(|()| Answer::Empty),
        (["proxies", name], &Method::GET) => {
            Ok(Answer::Json(StatusCode::OK, proxies.get(name)?.told()))
        }
        (["proxies", name], &Method::PATCH) => {
            proxies.get(name)?;
            Ok(Answer::Json(StatusCode::OK, proxies.update(name, read(body)?).await?))
        }
        (["proxies", name], &Method::DELETE) => proxies.delete(name).await.map(|()| Answer::Empty),
        (["proxies" | "populate" | "reset"] | ["proxies", _], _) => Err(ApiError::NoMethod),
        _ => Err(ApiError::NoPath),
    }
}

async fn on_toxics(
    proxies: &Shared,
    method: &Method,
    proxy: &str,
    path: &[&str],
    body: &[u8],
) -> Result<Answer, ApiError> {
    let mut proxies = proxies.lock().await;
    let known = proxies.get(proxy)?;
    let ok = |told| Ok(Answer::Json(StatusCode::OK, told));
    match (path, method) {
        ([], &Method::GET) => ok(known.told_toxics().into()),
        ([], &Method::POST) => ok(proxies.add_toxic(proxy, read::<ToxicInput>(body)?)?.told()),
        ([toxic], &Method::GET) => ok(known.toxic(toxic)?.told()),
        ([toxic], &Method::PATCH) => {
            known.toxic(toxic)?;
            ok(proxies.update_toxic(proxy, toxic, read(body)?)?.told())
        }
        ([toxic], &Method::DELETE) => proxies.remove_toxic(proxy, toxic).map(|()| Answer::Empty),
        ([] | [_], _) => Err(ApiError::NoMethod),
        _ => Err(ApiError::NoPath),
    }
}

async fn on_faults(
    shared: &Shared,
    method: &Method,
    path: &[&str],
    body: &[u8],
) -> Result<Answer, ApiError> {
    let mut proxies = shared.lock().await;
    match (path, method) {
        ([], &Method::GET) => Ok(Answer::Json(StatusCode::OK, proxies.told_faults())),
        ([], &Method::POST) => {
            let input = FaultInput::parse(body)?;
            let for_s = input.for_s;
            let (id, name, told) = proxies.install(input)?;
            if let Some(seconds) = for_s {
                let shared = shared.clone();
                spawn(async move {
                    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                    shared.lock().await.heal_only(&name, id);
                });
            }
            Ok(Answer::Json(StatusCode::CREATED, told))
        }
        ([], &Method::DELETE) => {
            proxies.heal_all();
            Ok(Answer::Empty)
        }
        ([name], &Method::GET) => Ok(Answer::Json(StatusCode::OK, proxies.told_fault(name)?)),
        ([name], &Method::DELETE) => proxies.heal(name).map(|()| Answer::Empty),
        ([] | [_], _) => Err(ApiError::NoMethod),
        _ => Err(ApiError::NoPath),
    }
}

/// Reads proxies as `populate` and a configuration file have them.
pub(super) fn read_proxies(body: &[u8]) -> Result<Vec<ProxyInput>, ApiError> {
    read(body)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let bad = |what: &str| ApiError::BadRequestBody(what.to_owned());
    if body.trim_ascii().is_empty() {
        return Err(bad("EOF"));
    }
    serde_json::from_slice(body).map_err(|error| bad(&error.to_string()))
}

fn said(error: &ApiError, added: Value) -> Value {
    let mut said = json!({"error": error.to_string(), "status": error.status().as_u16()});
    if let (false, Some(said)) = (added.is_null(), said.as_object_mut()) {
        said.insert("proxies".to_owned(), added);
    }
    said
}

fn refuse(error: &ApiError, added: Value) -> Response<Full<Bytes>> {
    let status = error.status();
    let mut response = respond(status, Answer::Json(status, said(error, added)));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let all = HeaderValue::from_static("GET, POST, PATCH, DELETE");
        response.headers_mut().insert(ALLOW, all);
    }
    response
}

fn respond(status: StatusCode, answer: Answer) -> Response<Full<Bytes>> {
    let (kind, text) = match answer {
        Answer::Json(_, value) => (Some("application/json"), format!("{value}\n")),
        Answer::Text(kind, text) => (Some(kind), text),
        Answer::Empty => (None, String::new()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    if let Some(kind) = kind {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response
}
