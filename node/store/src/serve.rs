//! The server's side of the plain protocol, over any backend.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use crate::backend::{
    self, BODY_BYTES_MAX, Condition, LIST_NAMES_MAX, NAME_BYTES_MAX, Objects, Outcome, StoreError,
};
use crate::object::Object;
use crate::plain::{self, LIST_PATH, META, OBJECT_PREFIX, VERSION};

/// A backend behind the [`mod@plain`] protocol. A clone serves the same backend.
#[derive(Clone, Debug)]
pub struct PlainStore(Arc<dyn Objects>);

impl PlainStore {
    /// Serves a backend.
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self(objects)
    }

    /// Answers one request. Over a directory it needs a runtime of tokio; in memory it awaits nothing.
    pub async fn serve(&self, request: Request<Bytes>) -> Response<Bytes> {
        let answer = backend::call(&self.0, move |objects| Ok(plain(objects, request))).await;
        answer.unwrap_or_else(|error| failed(&error))
    }
}

/// Answers one request of the [`mod@plain`] protocol. It blocks where the backend does.
pub fn plain<O: Objects + ?Sized>(objects: &O, request: Request<Bytes>) -> Response<Bytes> {
    let path = request.uri().path();
    if path == LIST_PATH {
        return list(objects, request.uri().query().unwrap_or_default());
    }
    let Some(encoded) = path.strip_prefix(OBJECT_PREFIX) else {
        return status(StatusCode::NOT_FOUND);
    };
    let Some(name) = plain::decode(encoded).filter(|n| (1..=NAME_BYTES_MAX).contains(&n.len()))
    else {
        return status(StatusCode::BAD_REQUEST);
    };
    let answer = match *request.method() {
        Method::GET => get(objects, &name),
        Method::PUT => put(objects, &name, request),
        Method::DELETE => delete(objects, &name, request.headers()),
        _ => return status(StatusCode::METHOD_NOT_ALLOWED),
    };
    answer.unwrap_or_else(|error| failed(&error))
}

fn get<O: Objects + ?Sized>(objects: &O, name: &str) -> Result<Response<Bytes>, StoreError> {
    let Some(held) = objects.get(name)? else {
        return Ok(status(StatusCode::NOT_FOUND));
    };
    let mut response = Response::new(held.object.body);
    response.headers_mut().insert(META, held.object.meta);
    if let Ok(version) = HeaderValue::from_str(&held.object.version) {
        response.headers_mut().insert(VERSION, version);
    }
    Ok(response)
}

fn put<O: Objects + ?Sized>(
    objects: &O,
    name: &str,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, StoreError> {
    let Some(version) = version(request.headers()) else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    if request.body().len() > BODY_BYTES_MAX {
        return Ok(status(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let version = version.to_owned();
    let meta = request.headers().get(META).cloned();
    let meta = meta.unwrap_or_else(|| HeaderValue::from_static(""));
    let object = Object { version, meta, body: request.into_body() };
    Ok(outcome(objects.put_if_newer(name, object)?))
}

fn delete<O: Objects + ?Sized>(
    objects: &O,
    name: &str,
    headers: &HeaderMap,
) -> Result<Response<Bytes>, StoreError> {
    let only = match (headers.contains_key(VERSION), version(headers)) {
        (false, _) => Condition::Always,
        (true, Some(version)) => Condition::UpTo(version.to_owned()),
        // A condition that cannot be read must not remove what it was to keep.
        (true, None) => return Ok(status(StatusCode::BAD_REQUEST)),
    };
    Ok(outcome(objects.remove(name, only)?))
}

fn list<O: Objects + ?Sized>(objects: &O, query: &str) -> Response<Bytes> {
    let (mut prefix, mut after, mut limit) = (String::new(), String::new(), LIST_NAMES_MAX);
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(value) = plain::decode(value) else {
            return status(StatusCode::BAD_REQUEST);
        };
        match name {
            "prefix" => prefix = value,
            "after" => after = value,
            "limit" => match value.parse::<usize>() {
                Ok(number) => limit = number.min(LIST_NAMES_MAX),
                Err(_) => return status(StatusCode::BAD_REQUEST),
            },
            _ => {}
        }
    }
    let names = match objects.list(&prefix, &after, limit) {
        Ok(names) => names,
        Err(error) => return failed(&error),
    };
    let mut body = String::new();
    for name in names {
        body.push_str(&plain::encode(&name));
        body.push('\n');
    }
    Response::new(Bytes::from(body))
}

fn version(headers: &HeaderMap) -> Option<&str> {
    headers.get(VERSION).and_then(|version| version.to_str().ok())
}

fn outcome(outcome: Outcome) -> Response<Bytes> {
    let Outcome::Refused(held) = outcome else {
        return status(StatusCode::OK);
    };
    let mut response = status(StatusCode::PRECONDITION_FAILED);
    if let Some(held) = held.and_then(|held| HeaderValue::from_str(&held).ok()) {
        response.headers_mut().insert(VERSION, held);
    }
    response
}

/// The one place that turns what a backend could not do into a status of this protocol; the text says why.
fn failed(error: &StoreError) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(error.to_string()));
    *response.status_mut() = match error {
        StoreError::OutOfLimits { .. } => StatusCode::BAD_REQUEST,
        StoreError::Stopped(_) => StatusCode::SERVICE_UNAVAILABLE,
        StoreError::Unreadable { .. } | StoreError::Damaged { .. } => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    response
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}
