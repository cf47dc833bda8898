//! What a store that speaks S3 lacks of what this node needs. Protocols are kept differently by everybody who keeps them, and
//! a condition that a store overlooks shows only when two writes meet.

use bytes::Bytes;
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderValue, Method, Request, Response, StatusCode};

use super::object_store::{ObjectStore, StoreError};
use super::s3::{S3Client, VERSION};
use crate::telemetry::TraceContext;

/// A tag that no object has.
const NO_TAG: HeaderValue = HeaderValue::from_static("\"00000000000000000000000000000000\"");

/// Something that a store does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What, and what follows from it.
    pub what: &'static str,
    /// Whether acknowledged writes may be lost by it.
    pub loses_writes: bool,
}

const fn loses(what: &'static str) -> Lack {
    Lack { what, loses_writes: true }
}

const fn differs(what: &'static str) -> Lack {
    Lack { what, loses_writes: false }
}

const CREATES: Lack = loses(
    "PUT with If-None-Match: * replaces what is there: of two first writes the older may win",
);
const REPLACES: Lack =
    loses("PUT with If-Match replaces another object too: of two writes the older may win");
const REFUSES: Lack =
    loses("PUT with If-Match is refused where it holds: no key can be written a second time");
const REMOVES: Lack =
    loses("DELETE with If-Match removes another object too: tidying up may remove a newer write");
const KEEPS: Lack =
    differs("DELETE with If-Match is not known: what was deleted is never tidied up");
const METADATA: Lack = loses("x-amz-meta- headers are not kept: no value can be read");
const NAMES: Lack =
    differs("names with spaces, plus signs or percent signs do not come back as they were");
const LISTS: Lack = differs("a list with start-after is not what stands after it: lists are wrong");

/// Tries out a store, with objects of a name that nothing else has and that are removed again.
///
/// An error where it cannot be tried: it cannot be reached, or refuses the first write, as where bucket or credentials are
/// wrong ([`StoreError::Failed`]).
pub async fn probe(store: &S3Client, drawn: u64) -> Result<Vec<Lack>, StoreError> {
    let object = format!("p/{drawn:016x}/a +%2B~");
    let found = Probe { store, object: &object }.look().await;
    // It may be gone already, or be kept by a store that cannot remove it: neither says anything more.
    let _ = Probe { store, object: &object }.ask(Method::DELETE, None, "").await;
    found
}

/// What a request depends on.
type Condition = Option<(http::HeaderName, HeaderValue)>;

struct Probe<'a> {
    store: &'a S3Client,
    object: &'a str,
}

impl Probe<'_> {
    async fn look(&self) -> Result<Vec<Lack>, StoreError> {
        let mut lacks = Vec::new();
        let any = || Some((IF_NONE_MATCH, HeaderValue::from_static("*")));
        if self.ask(Method::PUT, any(), "1").await?.status() != StatusCode::OK {
            return Err(StoreError::Failed);
        }
        match self.look_closer(any(), &mut lacks).await {
            // What has been found out by then is found out.
            Err(_) if !lacks.is_empty() => Ok(lacks),
            looked => looked.map(|()| lacks),
        }
    }

    async fn look_closer(&self, any: Condition, lacks: &mut Vec<Lack>) -> Result<(), StoreError> {
        if self.ask(Method::PUT, any, "2").await?.status() == StatusCode::OK {
            lacks.push(CREATES);
        }
        let other = Some((IF_MATCH, NO_TAG));
        if self.ask(Method::PUT, other.clone(), "3").await?.status() == StatusCode::OK {
            lacks.push(REPLACES);
        }
        let seen = self.ask(Method::GET, None, "").await?;
        if seen.headers().get(VERSION).is_none_or(|version| version != "probe") {
            lacks.push(METADATA);
        }
        let tag = seen.headers().get(ETAG).cloned().unwrap_or(NO_TAG);
        if self.ask(Method::PUT, Some((IF_MATCH, tag)), "4").await?.status() != StatusCode::OK {
            lacks.push(REFUSES);
        }
        let (folder, _) = self.object.split_at("p/0123456789abcdef/".len());
        if self.store.list(folder, "", 10).await? != [self.object] {
            lacks.push(NAMES);
        }
        if !self.store.list(folder, &format!("{folder}b"), 10).await?.is_empty() {
            lacks.push(LISTS);
        }
        match self.ask(Method::DELETE, other, "").await?.status() {
            StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => {}
            removed if removed.is_success() => lacks.push(REMOVES),
            _ => lacks.push(KEEPS),
        }
        Ok(())
    }

    /// Asks; once more where the store was overburdened or broken in that moment, which says nothing of what it can do.
    async fn ask(
        &self,
        method: Method,
        condition: Condition,
        body: &'static str,
    ) -> Result<Response<Bytes>, StoreError> {
        for _ in 0..2 {
            let answer = self.ask_once(&method, condition.clone(), body).await?;
            let status = answer.status();
            let passing = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
            if !passing || status == StatusCode::NOT_IMPLEMENTED {
                return Ok(answer);
            }
        }
        Err(StoreError::Failed)
    }

    async fn ask_once(
        &self,
        method: &Method,
        condition: Condition,
        body: &'static str,
    ) -> Result<Response<Bytes>, StoreError> {
        let mut request = Request::builder().method(method).uri(self.store.path(self.object));
        if *method == Method::PUT {
            request = request.header(VERSION, "probe");
        }
        if let Some((name, value)) = condition {
            request = request.header(name, value);
        }
        self.store.call(request.body(Bytes::from_static(body.as_bytes())), TraceContext::NONE).await
    }
}
