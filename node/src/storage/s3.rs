//! A store that speaks the S3 protocol: ours, or anybody's that keeps conditions on writes.
//!
//! S3 knows no versions that are compared, only "if what is there is still this" (`If-Match`) and "if nothing is there"
//! (`If-None-Match`). So a write looks first and writes under the condition that nothing has changed since, and looks again
//! where something has. The condition is on a tag of the body alone, so every body begins with its version: else two
//! tombstones, which have no body, would be the same to the store.

use bytes::{Bytes, BytesMut};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use kv_store::s3::{Credentials, presign};
use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::object_store::{ObjectStore, StoreError, StoredObject, Written};
use crate::api::encode_segment;
use crate::config::STORE_TIMEOUT;
use crate::env::{BoxFuture, Listener, NodeEnv};
use crate::ids::{Peer, Version};
use crate::telemetry::TraceContext;
use crate::telemetry::trace::TRACEPARENT;

pub(super) const VERSION: &str = "x-amz-meta-version";
const META: &str = "x-amz-meta-meta";
/// Looks of one write, where others write the same key.
const LOOKS_MAX: usize = 5;

/// What an S3 store is called by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Access {
    /// The host that requests name and are signed for: a name or address, with its port where that is not the usual one.
    pub host: String,
    /// The bucket, addressed in the path.
    pub bucket: String,
    /// What requests are signed with.
    pub credentials: Credentials,
}

/// A client of one store.
#[derive(Clone, Debug)]
pub struct S3Client {
    peer: Peer,
    access: S3Access,
    env: NodeEnv,
}

/// The body of an object in a store that speaks S3: its version, and what the object is.
pub fn s3_body(version: &str, content: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(version.len() + content.len());
    body.extend_from_slice(version.as_bytes());
    body.extend_from_slice(content);
    body.freeze()
}

/// What an object is, from its body there; `None` where that does not begin with its version.
pub fn s3_content(version: &str, body: &Bytes) -> Option<Bytes> {
    body.starts_with(version.as_bytes()).then(|| body.slice(version.len()..))
}

/// What a look at an object finds.
struct Seen {
    version: Version,
    tag: HeaderValue,
}

impl S3Client {
    /// A client of the store at `peer`.
    pub fn new(peer: Peer, access: S3Access, env: NodeEnv) -> Self {
        Self { peer, access, env }
    }

    /// Makes the bucket where it is not there yet.
    ///
    /// [`StoreError::Failed`] where the store refuses: look at the credentials.
    pub async fn make_bucket(&self) -> Result<(), StoreError> {
        let put = Request::put(format!("/{}", self.access.bucket)).body(Bytes::new());
        match self.call(put, TraceContext::NONE).await?.status() {
            // There is one already, of whoever asks.
            StatusCode::OK | StatusCode::CONFLICT => Ok(()),
            _ => Err(StoreError::Failed),
        }
    }

    /// The path of an object. Every byte of its name is encoded but slashes between its parts: what a key has of slashes and
    /// dots must not be taken for a path.
    pub(super) fn path(&self, object: &str) -> String {
        format!("/{}/{}", self.access.bucket, encode_segment(object).replace("%2F", "/"))
    }

    pub(super) async fn call(
        &self,
        request: Result<Request<Bytes>, http::Error>,
        trace: TraceContext,
    ) -> Result<Response<Bytes>, StoreError> {
        let mut request = request.map_err(|_| StoreError::Malformed)?;
        if let Some(context) = trace.header() {
            request.headers_mut().insert(TRACEPARENT, context);
        }
        let now_s = self.env.clock.wall().unix_s();
        let signed = presign(request, &self.access.host, &self.access.credentials, now_s);
        let signed = signed.ok_or(StoreError::Malformed)?;
        let call = self.env.network.call(&self.peer, Listener::Store, signed);
        match self.env.timeout(STORE_TIMEOUT, call).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(_)) => Err(StoreError::Unreachable),
            Err(_) => Err(StoreError::TimedOut),
        }
    }

    async fn look(&self, object: &str, trace: TraceContext) -> Result<Option<Seen>, StoreError> {
        let head = Request::head(self.path(object)).body(Bytes::new());
        let response = self.call(head, trace).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => {
                let version = text(&response, VERSION).and_then(Version::decode);
                let tag = response.headers().get(ETAG).cloned();
                let (Some(version), Some(tag)) = (version, tag) else {
                    return Err(StoreError::Malformed);
                };
                Ok(Some(Seen { version, tag }))
            }
            _ => Err(StoreError::Failed),
        }
    }

    async fn get_now(
        self,
        object: String,
        trace: TraceContext,
    ) -> Result<Option<StoredObject>, StoreError> {
        let get = Request::get(self.path(&object)).body(Bytes::new());
        let response = self.call(get, trace).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => {
                let version = text(&response, VERSION).and_then(Version::decode);
                let meta = text(&response, META).unwrap_or_default().to_owned();
                let Some(version) = version else { return Err(StoreError::Malformed) };
                let body = s3_content(&version.encode(), response.body());
                let body = body.ok_or(StoreError::Malformed)?;
                Ok(Some(StoredObject { version, meta, body }))
            }
            _ => Err(StoreError::Failed),
        }
    }

    async fn put_now(
        self,
        object: String,
        content: StoredObject,
        trace: TraceContext,
    ) -> Result<Written, StoreError> {
        let version = content.version.encode();
        let body = s3_body(&version, &content.body);
        for _ in 0..LOOKS_MAX {
            let put = Request::put(self.path(&object)).header(VERSION, &version);
            let put = if content.meta.is_empty() { put } else { put.header(META, &content.meta) };
            let put = match self.look(&object, trace).await? {
                Some(seen) if seen.version >= content.version => return Ok(Written::NotNewer),
                Some(seen) => put.header(IF_MATCH, seen.tag),
                None => put.header(IF_NONE_MATCH, "*"),
            };
            match self.call(put.body(body.clone()), trace).await?.status() {
                StatusCode::OK => return Ok(Written::Stored),
                // 404: what was to be replaced has been removed; 409: two conditions met.
                StatusCode::PRECONDITION_FAILED | StatusCode::NOT_FOUND | StatusCode::CONFLICT => {}
                _ => return Err(StoreError::Failed),
            }
        }
        Err(StoreError::Failed)
    }

    async fn delete_now(self, object: String, up_to: Version) -> Result<(), StoreError> {
        for _ in 0..LOOKS_MAX {
            let tag = match self.look(&object, TraceContext::NONE).await? {
                None => return Ok(()),
                Some(seen) if seen.version > up_to => return Ok(()),
                Some(seen) => seen.tag,
            };
            let delete = Request::delete(self.path(&object)).header(IF_MATCH, tag);
            match self.call(delete.body(Bytes::new()), TraceContext::NONE).await?.status() {
                StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => return Ok(()),
                StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => {}
                _ => return Err(StoreError::Failed),
            }
        }
        Err(StoreError::Failed)
    }

    async fn list_now(
        self,
        (prefix, after): (String, String),
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let path = format!(
            "/{}?list-type=2&encoding-type=url&max-keys={limit}&prefix={}&start-after={}",
            self.access.bucket,
            encode_segment(&prefix),
            encode_segment(&after)
        );
        let list = Request::builder().method(Method::GET).uri(path).body(Bytes::new());
        let response = self.call(list, TraceContext::NONE).await?;
        if response.status() != StatusCode::OK {
            return Err(StoreError::Failed);
        }
        names(response.body()).ok_or(StoreError::Malformed)
    }
}

fn text<'a>(response: &'a Response<Bytes>, header: &str) -> Option<&'a str> {
    response.headers().get(header).and_then(|value| value.to_str().ok())
}

/// The names in a listing; `None` for a document that is none, such as a proxy's page.
fn names(xml: &[u8]) -> Option<Vec<String>> {
    let mut reader = Reader::from_reader(xml);
    let (mut names, mut within, mut listing) = (Vec::new(), false, false);
    let mut name = String::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) | Event::Empty(tag) if !listing => {
                listing = tag.name().as_ref() == b"ListBucketResult";
                if !listing {
                    return None;
                }
            }
            Event::Start(tag) if tag.name().as_ref() == b"Key" => {
                within = true;
                name.clear();
            }
            Event::Text(text) if within => name.push_str(&text.decode().ok()?),
            // A character of its own, such as an ampersand: encoded names have none.
            Event::GeneralRef(_) if within => return None,
            Event::End(tag) if tag.name().as_ref() == b"Key" => {
                within = false;
                // A space is written as a plus, a plus as %2B.
                let spaced = name.replace('+', " ");
                names.push(percent_decode_str(&spaced).decode_utf8().ok()?.into_owned());
            }
            Event::Eof => return listing.then_some(names),
            _ => {}
        }
    }
}

impl ObjectStore for S3Client {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn get(
        &self,
        object: &str,
        trace: TraceContext,
    ) -> BoxFuture<Result<Option<StoredObject>, StoreError>> {
        Box::pin(self.clone().get_now(object.to_owned(), trace))
    }

    fn put(
        &self,
        object: &str,
        content: StoredObject,
        trace: TraceContext,
    ) -> BoxFuture<Result<Written, StoreError>> {
        Box::pin(self.clone().put_now(object.to_owned(), content, trace))
    }

    fn delete(&self, object: &str, up_to: Version) -> BoxFuture<Result<(), StoreError>> {
        Box::pin(self.clone().delete_now(object.to_owned(), up_to))
    }

    fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> BoxFuture<Result<Vec<String>, StoreError>> {
        Box::pin(self.clone().list_now((prefix.to_owned(), after.to_owned()), limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_out_of_a_listing_as_they_went_in() {
        let xml = b"<?xml version=\"1.0\"?><ListBucketResult><Name>b</Name><Contents><Key>v/ns/a+%2B%00%C3%A9</Key>\
            <Size>1</Size></Contents><Contents><Key>i</Key></Contents></ListBucketResult>";
        assert_eq!(names(xml), Some(vec!["v/ns/a +\0\u{e9}".to_owned(), "i".to_owned()]));
        assert_eq!(names(b"<ListBucketResult/>"), Some(Vec::new()));
        assert_eq!(names(b"<ListBucketResult><Key>x</b>"), None);
        for foreign in ["", "not for you", "<html>not for you</html>", "<html><Key>x</Key></html>"]
        {
            assert_eq!(names(foreign.as_bytes()), None, "{foreign}");
        }
    }
}
