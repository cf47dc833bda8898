//! Objects in memory.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use crate::plain;

/// One stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What decides between two writes of the same name: the greater text wins.
    pub version: String,
    /// User metadata, opaque.
    pub meta: HeaderValue,
    /// The object itself.
    pub body: Bytes,
}

/// A store in memory, served over [`plain`].
///
/// Every request is carried out under one lock, so a conditional write has exactly one winner.
#[derive(Debug, Default)]
pub struct MemoryStore {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    objects: IndexMap<Arc<str>, Object, FxBuildHasher>,
    // Names begin alike, so looking one up in their order compares most of it at every step: the order is for lists only.
    names: BTreeSet<Arc<str>>,
}

impl Held {
    fn insert(&mut self, name: &str, object: Object) {
        if let Some(held) = self.objects.get_mut(name) {
            *held = object;
        } else {
            let name: Arc<str> = name.into();
            self.names.insert(name.clone());
            self.objects.insert(name, object);
        }
    }

    fn remove(&mut self, name: &str) {
        self.objects.swap_remove(name);
        self.names.remove(name);
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers one request of the [`plain`] protocol.
    ///
    /// 400 for a name that is not UTF-8, a missing version or a limit that is no number; 404 for a path outside the
    /// protocol or a missing object; 405 for another method; 412 for a write that is not newer than what is there.
    pub fn serve(&self, request: Request<Bytes>) -> Response<Bytes> {
        let path = request.uri().path();
        if path == plain::LIST_PATH {
            return self.list(request.uri().query().unwrap_or_default());
        }
        let Some(encoded) = path.strip_prefix(plain::OBJECT_PREFIX) else {
            return status(StatusCode::NOT_FOUND);
        };
        let Some(name) = plain::decode(encoded) else {
            return status(StatusCode::BAD_REQUEST);
        };
        match *request.method() {
            Method::GET => self.get(&name),
            Method::PUT => self.put(&name, request),
            Method::DELETE => self.delete(&name, request.headers().get(plain::VERSION)),
            _ => status(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    /// How many objects it holds.
    pub fn len(&self) -> usize {
        self.lock().objects.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.lock().objects.is_empty()
    }

    /// Puts an object there without asking for its version: how a lab lays the data that an incident starts with.
    pub fn seed(&self, name: &str, object: Object) {
        self.lock().insert(name, object);
    }

    /// Removes an object, past the protocol: what a test or a fault does to a store.
    pub fn take(&self, name: &str) -> Option<Object> {
        let object = self.object(name);
        self.lock().remove(name);
        object
    }

    /// The object of a name, past the protocol: for who looks into a store.
    pub fn object(&self, name: &str) -> Option<Object> {
        self.lock().objects.get(name).cloned()
    }

    fn get(&self, name: &str) -> Response<Bytes> {
        let Some(object) = self.lock().objects.get(name).cloned() else {
            return status(StatusCode::NOT_FOUND);
        };
        let mut response = Response::new(object.body);
        response.headers_mut().insert(plain::META, object.meta);
        if let Ok(version) = HeaderValue::from_str(&object.version) {
            response.headers_mut().insert(plain::VERSION, version);
        }
        response
    }

    fn put(&self, name: &str, request: Request<Bytes>) -> Response<Bytes> {
        let Some(version) = request.headers().get(plain::VERSION).and_then(|v| v.to_str().ok())
        else {
            return status(StatusCode::BAD_REQUEST);
        };
        let version = version.to_owned();
        let meta = request
            .headers()
            .get(plain::META)
            .cloned()
            .unwrap_or_else(|| HeaderValue::from_static(""));
        let mut held = self.lock();
        if let Some(stored) = held.objects.get(name)
            && stored.version >= version
        {
            let mut response = status(StatusCode::PRECONDITION_FAILED);
            if let Ok(stored) = HeaderValue::from_str(&stored.version) {
                response.headers_mut().insert(plain::VERSION, stored);
            }
            return response;
        }
        held.insert(name, Object { version, meta, body: request.into_body() });
        status(StatusCode::OK)
    }

    fn delete(&self, name: &str, up_to: Option<&HeaderValue>) -> Response<Bytes> {
        let mut held = self.lock();
        let newer = match (held.objects.get(name), up_to) {
            (Some(object), Some(up_to)) => object.version.as_bytes() > up_to.as_bytes(),
            _ => false,
        };
        if newer {
            return status(StatusCode::PRECONDITION_FAILED);
        }
        held.remove(name);
        status(StatusCode::OK)
    }

    fn list(&self, query: &str) -> Response<Bytes> {
        let (mut prefix, mut after, mut limit) = (String::new(), String::new(), 1000usize);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(value) = plain::decode(value) else {
                return status(StatusCode::BAD_REQUEST);
            };
            match name {
                "prefix" => prefix = value,
                "after" => after = value,
                "limit" => match value.parse() {
                    Ok(number) => limit = number,
                    Err(_) => return status(StatusCode::BAD_REQUEST),
                },
                _ => {}
            }
        }
        let from =
            if after > prefix { Bound::Excluded(after) } else { Bound::Included(prefix.clone()) };
        let mut body = String::new();
        let from = from.as_ref().map(String::as_str);
        for name in self
            .lock()
            .names
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|name| name.starts_with(&prefix))
            .take(limit)
        {
            body.push_str(&plain::encode(name));
            body.push('\n');
        }
        Response::new(Bytes::from(body))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // No code that can panic runs under the lock, so a poisoned one is still whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(store: &MemoryStore, name: &str, version: &str, body: &str) -> StatusCode {
        let request = Request::put(plain::object_path(name))
            .header(plain::VERSION, version)
            .body(Bytes::copy_from_slice(body.as_bytes()))
            .unwrap();
        store.serve(request).status()
    }

    fn get(store: &MemoryStore, name: &str) -> Option<String> {
        let request = Request::get(plain::object_path(name)).body(Bytes::new()).unwrap();
        let response = store.serve(request);
        (response.status() == StatusCode::OK)
            .then(|| String::from_utf8(response.into_body().to_vec()).unwrap())
    }

    fn list(store: &MemoryStore, prefix: &str, after: &str, limit: usize) -> Vec<String> {
        let request =
            Request::get(plain::list_path(prefix, after, limit)).body(Bytes::new()).unwrap();
        let body = store.serve(request).into_body();
        String::from_utf8(body.to_vec())
            .unwrap()
            .lines()
            .map(|l| plain::decode(l).unwrap())
            .collect()
    }

    #[test]
    fn a_write_that_is_not_newer_is_refused_and_changes_nothing() {
        let store = MemoryStore::new();
        assert_eq!(put(&store, "a", "2", "two"), StatusCode::OK);
        assert_eq!(put(&store, "a", "1", "one"), StatusCode::PRECONDITION_FAILED);
        assert_eq!(put(&store, "a", "2", "again"), StatusCode::PRECONDITION_FAILED);
        assert_eq!(get(&store, "a").as_deref(), Some("two"));
        assert_eq!(put(&store, "a", "3", "three"), StatusCode::OK);
        assert_eq!(get(&store, "a").as_deref(), Some("three"));
    }

    #[test]
    fn a_listing_continues_after_a_name() {
        let store = MemoryStore::new();
        for name in ["p/a", "p/b", "p/c", "q/a"] {
            put(&store, name, "1", "");
        }
        assert_eq!(list(&store, "p/", "", 2), ["p/a", "p/b"]);
        assert_eq!(list(&store, "p/", "p/b", 2), ["p/c"]);
    }

    #[test]
    fn what_the_protocol_does_not_know_is_refused() {
        let store = MemoryStore::new();
        let ask = |r: http::request::Builder| store.serve(r.body(Bytes::new()).unwrap()).status();
        assert_eq!(ask(Request::get("/elsewhere")), StatusCode::NOT_FOUND);
        assert_eq!(ask(Request::post("/o/a")), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(ask(Request::put("/o/a")), StatusCode::BAD_REQUEST);
        assert_eq!(ask(Request::get("/o/%ff")), StatusCode::BAD_REQUEST);
        assert_eq!(ask(Request::get("/list?limit=many")), StatusCode::BAD_REQUEST);
    }

    proptest! {
        #[test]
        fn any_name_is_found_again(name in "\\PC{1,40}|[\\x00-\\x7f]{1,40}") {
            let store = MemoryStore::new();
            prop_assert_eq!(put(&store, &name, "1", "x"), StatusCode::OK);
            prop_assert_eq!(get(&store, &name), Some("x".to_owned()));
            prop_assert_eq!(list(&store, &name, "", 10), [name.clone()]);
        }
    }
}
