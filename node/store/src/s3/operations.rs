//! The operations of S3, each in the words of [`Objects`].

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use s3s::dto::{
    Bucket, CreateBucketInput, CreateBucketOutput, DeleteObjectInput, DeleteObjectOutput,
    DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, ETagCondition, Error,
    GetBucketLocationInput, GetBucketLocationOutput, GetObjectInput, GetObjectOutput,
    HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListBucketsInput,
    ListBucketsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, ObjectIdentifier, PostObjectInput, PostObjectOutput, PutObjectInput,
    PutObjectOutput, StreamingBlob,
};
use s3s::{Body, S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use super::listing::{Ask, Page, encoded, in_xml, page, timestamp};
use super::{Clock, failed, upload};
use crate::backend::{self, Condition, LIST_NAMES_MAX, Objects, Outcome};
use crate::object::{Etag, Held, Stamp};
use crate::plain;

/// Header with an object's version.
pub(super) const VERSION: &str = "x-amz-meta-version";
/// Header with an object's user metadata.
pub(super) const META: &str = "x-amz-meta-meta";

/// What s3s calls, once it knows what is asked and by whom.
pub(super) struct Operations {
    pub(super) objects: Arc<dyn Objects>,
    pub(super) bucket: String,
    pub(super) clock: Clock,
}

impl Operations {
    fn check(&self, bucket: &str) -> S3Result<()> {
        if bucket == self.bucket { Ok(()) } else { Err(s3_error!(NoSuchBucket)) }
    }

    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Objects) -> Result<T, crate::StoreError> + Send + 'static,
    ) -> S3Result<T> {
        backend::call(&self.objects, call).await.map_err(|error| failed(&error))
    }

    async fn list(&self, bucket: &str, ask: Ask, max_keys: Option<i32>) -> S3Result<(Page, i32)> {
        self.check(bucket)?;
        let Ok(max) = usize::try_from(max_keys.unwrap_or(1000)) else {
            return Err(s3_error!(InvalidArgument, "max-keys: below 0"));
        };
        let ask = Ask { max: max.min(LIST_NAMES_MAX), ..ask };
        let page = self.call(move |objects| page(objects, &ask)).await?;
        Ok((page, max_keys.unwrap_or(1000)))
    }
}

/// A condition of a write. An `ETag` that no body has is one that never holds.
fn condition(only: Option<&ETagCondition>) -> S3Result<Condition> {
    match only {
        None => Ok(Condition::Always),
        Some(ETagCondition::Any) => Ok(Condition::Present),
        Some(ETagCondition::ETag(tag)) => {
            let etag = tag.as_strong().and_then(Etag::parse);
            etag.map(Condition::Etag).ok_or_else(|| s3_error!(PreconditionFailed))
        }
    }
}

/// Whether what is held is to be told, given the conditions of a read.
fn check_read(
    only: Option<&ETagCondition>,
    unless: Option<&ETagCondition>,
    etag: Etag,
) -> S3Result<()> {
    let same = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(tag) => tag.value() == etag.to_string(),
    };
    if only.is_some_and(|only| !same(only)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if unless.is_some_and(same) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

fn check_version_id(version_id: Option<&String>) -> S3Result<()> {
    // "null" is the version of an object in a bucket without versions.
    if version_id.is_some_and(|id| id != "null") { Err(s3_error!(NoSuchVersion)) } else { Ok(()) }
}

/// Version and metadata as headers. Not as s3s' map, which would tell them in another order every time.
fn user_headers(version: &str, meta: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(version) = HeaderValue::from_str(version) {
        headers.insert(VERSION, version);
    }
    headers.insert(META, meta);
    headers
}

fn length(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn remove(objects: &dyn Objects, name: &str, only: Condition) -> S3Result<()> {
    match objects.remove(name, only).map_err(|error| failed(&error))? {
        Outcome::Done => Ok(()),
        Outcome::Refused(_) => Err(s3_error!(PreconditionFailed)),
    }
}

/// Removes one of many; the line that tells what went wrong with it.
fn remove_one(objects: &dyn Objects, object: &ObjectIdentifier) -> Result<(), Error> {
    let only = object.e_tag.clone().map(ETagCondition::ETag);
    let told = |error: &S3Error| Error {
        code: Some(error.code().as_str().to_owned()),
        key: Some(object.key.clone()),
        message: error.message().map(str::to_owned),
        version_id: None,
    };
    check_version_id(object.version_id.as_ref())
        .and_then(|()| condition(only.as_ref()))
        .and_then(|only| remove(objects, &object.key, only))
        .map_err(|error| told(&error))
}

#[async_trait::async_trait]
impl S3 for Operations {
    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        self.check(&input.bucket)?;
        check_version_id(input.version_id.as_ref())?;
        if input.if_unmodified_since.is_some() || input.part_number.is_some() {
            return Err(s3_error!(NotImplemented, "If-Unmodified-Since and parts"));
        }
        let name = input.key;
        let held = self.call(move |objects| objects.get(&name)).await?;
        let held = held.ok_or_else(|| s3_error!(NoSuchKey))?;
        let stamp = held.stamp();
        check_read(input.if_match.as_ref(), input.if_none_match.as_ref(), stamp.etag)?;
        let mut body = held.object.body;
        let all = body.len();
        let mut output = GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(ETag::Strong(stamp.etag.to_string())),
            last_modified: Some(timestamp(stamp.modified_s)),
            ..GetObjectOutput::default()
        };
        if let Some(range) = input.range {
            let range = range.check(all as u64).map_err(|_| s3_error!(InvalidRange))?;
            output.content_range = Some(format!("bytes {}-{}/{all}", range.start, range.end - 1));
            let [start, end] =
                [range.start, range.end].map(|at| usize::try_from(at).unwrap_or(all));
            body = body.slice(start.min(all)..end.min(all));
        }
        output.content_length = Some(length(body.len() as u64));
        output.body = Some(StreamingBlob::from(Body::from(body)));
        let headers = user_headers(&held.object.version, held.object.meta);
        Ok(S3Response::with_headers(output, headers))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        self.check(&input.bucket)?;
        check_version_id(input.version_id.as_ref())?;
        if input.range.is_some() || input.part_number.is_some() {
            return Err(s3_error!(NotImplemented, "HEAD of a part"));
        }
        let name = input.key;
        let stat = self.call(move |objects| objects.stat(&name)).await?;
        let stat = stat.ok_or_else(|| s3_error!(NoSuchKey))?;
        check_read(input.if_match.as_ref(), input.if_none_match.as_ref(), stat.stamp.etag)?;
        let output = HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(length(stat.body_bytes)),
            e_tag: Some(ETag::Strong(stat.stamp.etag.to_string())),
            last_modified: Some(timestamp(stat.stamp.modified_s)),
            ..HeadObjectOutput::default()
        };
        Ok(S3Response::with_headers(output, user_headers(&stat.version, stat.meta)))
    }

    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        self.check(&request.input.bucket)?;
        upload::check_options(&request.input)?;
        let input = &request.input;
        let only = match (&input.if_match, &input.if_none_match) {
            (only, None) => condition(only.as_ref())?,
            (None, Some(ETagCondition::Any)) => Condition::Absent,
            _ => return Err(s3_error!(NotImplemented, "If-None-Match other than * alone")),
        };
        let body = match request.input.body.take() {
            Some(body) => Body::from(body).collect().await.map(http_body_util::Collected::to_bytes),
            None => Ok(Bytes::new()),
        };
        // What goes wrong while a body is read is a chunk whose signature or length is wrong.
        let body = body.map_err(|error| s3_error!(InvalidRequest, "{error}"))?;
        let etag = Etag::of(&body);
        upload::check_sums(&request, &body, etag)?;
        let object = upload::object(&request.headers, body)?;
        let held = Held { object, stamp: Some(Stamp { etag, modified_s: (self.clock)() }) };
        let (name, wanted) = (request.input.key, only != Condition::Absent);
        match self.call(move |objects| objects.put(&name, held, only)).await? {
            Outcome::Done => {}
            Outcome::Refused(None) if wanted => return Err(s3_error!(NoSuchKey)),
            Outcome::Refused(_) => return Err(s3_error!(PreconditionFailed)),
        }
        let e_tag = Some(ETag::Strong(etag.to_string()));
        Ok(S3Response::new(PutObjectOutput { e_tag, ..PutObjectOutput::default() }))
    }

    async fn post_object(
        &self,
        _: S3Request<PostObjectInput>,
    ) -> S3Result<S3Response<PostObjectOutput>> {
        // Its metadata would be in the form, where a PUT does not look.
        Err(s3_error!(NotImplemented, "posted forms"))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        self.check(&input.bucket)?;
        check_version_id(input.version_id.as_ref())?;
        if input.if_match_size.is_some() || input.if_match_last_modified_time.is_some() {
            return Err(s3_error!(NotImplemented, "conditions on size or time"));
        }
        let (name, only) = (input.key, condition(input.if_match.as_ref())?);
        self.call(move |objects| Ok(remove(objects, &name, only))).await??;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.check(&request.input.bucket)?;
        let (objects, quiet) = (request.input.delete.objects, request.input.delete.quiet);
        if objects.len() > LIST_NAMES_MAX {
            return Err(s3_error!(MalformedXML, "more than {LIST_NAMES_MAX} objects"));
        }
        // The answer could not tell what became of it.
        if objects.iter().any(|object| !in_xml(&object.key)) {
            return Err(s3_error!(MalformedXML, "a name that XML cannot hold: delete it alone"));
        }
        let removed = move |store: &dyn Objects| {
            let mut output = (Vec::new(), Vec::new());
            for object in objects {
                match remove_one(store, &object) {
                    Ok(()) => output.0.push(object.key),
                    Err(error) => output.1.push(error),
                }
            }
            Ok(output)
        };
        let (names, errors) = self.call(removed).await?;
        let deleted = |name| DeletedObject { key: Some(name), ..DeletedObject::default() };
        let deleted = (quiet != Some(true)).then(|| names.into_iter().map(deleted).collect());
        let errors = Some(errors).filter(|errors| !errors.is_empty());
        Ok(S3Response::new(DeleteObjectsOutput { deleted, errors, ..Default::default() }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let mut ask = Ask {
            prefix: input.prefix.unwrap_or_default(),
            after: input.start_after.clone().unwrap_or_default(),
            delimiter: input.delimiter.unwrap_or_default(),
            max: 0,
        };
        if let Some(token) = &input.continuation_token {
            // A token is the last name or common prefix of the page before, in a form that XML can hold.
            let told = plain::decode(token).filter(|told| !told.is_empty());
            ask.go_on_after(&told.ok_or_else(|| s3_error!(InvalidToken))?);
        }
        let encoding = input.encoding_type;
        let told = |text: &str| encoded(text, encoding.as_ref()).map(Some);
        let (prefix, delimiter) = (told(&ask.prefix)?, told(&ask.delimiter)?);
        let (page, max_keys) = self.list(&input.bucket, ask, input.max_keys).await?;
        let mut output = ListObjectsV2Output {
            name: Some(input.bucket),
            prefix,
            max_keys: Some(max_keys),
            key_count: Some(page.count()),
            continuation_token: input.continuation_token,
            is_truncated: Some(page.truncated),
            next_continuation_token: page.next().map(plain::encode),
            delimiter: delimiter.filter(|delimiter| !delimiter.is_empty()),
            start_after: input.start_after.as_deref().map_or(Ok(None), told)?,
            ..ListObjectsV2Output::default()
        };
        let (contents, commons) = page.words(encoding.as_ref())?;
        (output.contents, output.common_prefixes) = (Some(contents), Some(commons));
        output.encoding_type = encoding;
        Ok(S3Response::new(output))
    }

    async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = request.input;
        let mut ask = Ask {
            prefix: input.prefix.unwrap_or_default(),
            after: String::new(),
            delimiter: input.delimiter.unwrap_or_default(),
            max: 0,
        };
        ask.go_on_after(input.marker.as_deref().unwrap_or_default());
        let encoding = input.encoding_type;
        let told = |text: &str| encoded(text, encoding.as_ref()).map(Some);
        let (prefix, delimiter) = (told(&ask.prefix)?, told(&ask.delimiter)?);
        let (page, max_keys) = self.list(&input.bucket, ask, input.max_keys).await?;
        let mut output = ListObjectsOutput {
            name: Some(input.bucket),
            prefix,
            marker: told(input.marker.as_deref().unwrap_or_default())?,
            max_keys: Some(max_keys),
            is_truncated: Some(page.truncated),
            next_marker: page.next().map_or(Ok(None), told)?,
            delimiter: delimiter.filter(|delimiter| !delimiter.is_empty()),
            ..ListObjectsOutput::default()
        };
        let (contents, commons) = page.words(encoding.as_ref())?;
        (output.contents, output.common_prefixes) = (Some(contents), Some(commons));
        output.encoding_type = encoding;
        Ok(S3Response::new(output))
    }

    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        if request.input.bucket != self.bucket {
            return Err(s3_error!(TooManyBuckets, "this store has one bucket, {}", self.bucket));
        }
        let location = Some(format!("/{}", self.bucket));
        Ok(S3Response::new(CreateBucketOutput { location }))
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.check(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn list_buckets(
        &self,
        _: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        // Clients want a date. The bucket has always been there.
        let creation_date = Some(timestamp(0));
        let name = Some(self.bucket.clone());
        let buckets = Some(vec![Bucket { creation_date, name, ..Bucket::default() }]);
        Ok(S3Response::new(ListBucketsOutput { buckets, ..ListBucketsOutput::default() }))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.check(&request.input.bucket)?;
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }
}
