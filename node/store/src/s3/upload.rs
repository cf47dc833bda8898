//! What a PUT brings: the object, and sums over it that must be right.

use base64_simd::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::dto::PutObjectInput;
use s3s::{S3Request, S3Result, s3_error};

use super::operations::{META, VERSION};
use crate::object::{Etag, Object};

/// The prefix of user metadata.
const USER: &str = "x-amz-meta-";

/// The object of a request, from its headers and the body that has been read.
pub(super) fn object(headers: &HeaderMap, body: Bytes) -> S3Result<Object> {
    let foreign = |name: &&http::HeaderName| {
        name.as_str().starts_with(USER) && ![VERSION, META].contains(&name.as_str())
    };
    if let Some(name) = headers.keys().find(foreign) {
        return Err(s3_error!(NotImplemented, "{name}: user metadata is version and meta only"));
    }
    let version = headers.get(VERSION).map(HeaderValue::to_str).transpose();
    let Ok(version) = version else {
        return Err(s3_error!(InvalidArgument, "{VERSION}: not ASCII"));
    };
    let meta = headers.get(META).cloned().unwrap_or_else(|| HeaderValue::from_static(""));
    Ok(Object { version: version.unwrap_or_default().to_owned(), meta, body })
}

/// Refuses what would be lost if it were ignored.
pub(super) fn check_options(input: &PutObjectInput) -> S3Result<()> {
    let encrypted =
        input.sse_customer_algorithm.is_some() || input.server_side_encryption.is_some();
    let locked = input.object_lock_mode.is_some() || input.object_lock_legal_hold_status.is_some();
    let unknown = encrypted
        || locked
        || input.tagging.is_some()
        || input.website_redirect_location.is_some()
        || input.write_offset_bytes.is_some();
    if unknown {
        return Err(s3_error!(NotImplemented, "encryption, locks, tags, redirects and appends"));
    }
    Ok(())
}

/// Compares every sum that came with a body, in its headers or in the trailers of its chunks.
pub(super) fn check_sums(
    request: &S3Request<PutObjectInput>,
    body: &[u8],
    etag: Etag,
) -> S3Result<()> {
    let input = &request.input;
    let wrong = || s3_error!(BadDigest, "the body does not have the sum that came with it");
    if input.content_md5.as_ref().is_some_and(|md5| *md5 != STANDARD.encode_to_string(etag.0)) {
        return Err(wrong());
    }
    let trailers = request.trailing_headers.as_ref().and_then(s3s::TrailingHeaders::take);
    let given = |header: Option<&String>, name: &str| {
        let trailer = trailers.as_ref().and_then(|trailers| trailers.get(name));
        header.cloned().or_else(|| Some(trailer?.to_str().unwrap_or_default().to_owned()))
    };
    let crc32 = given(input.checksum_crc32.as_ref(), "x-amz-checksum-crc32");
    let crc32c = given(input.checksum_crc32c.as_ref(), "x-amz-checksum-crc32c");
    let crc64nvme = given(input.checksum_crc64nvme.as_ref(), "x-amz-checksum-crc64nvme");
    let sha1 = given(input.checksum_sha1.as_ref(), "x-amz-checksum-sha1");
    let sha256 = given(input.checksum_sha256.as_ref(), "x-amz-checksum-sha256");
    let mut hasher = ChecksumHasher {
        crc32: crc32.as_ref().map(|_| Crc32::new()),
        crc32c: crc32c.as_ref().map(|_| Crc32c::new()),
        crc64nvme: crc64nvme.as_ref().map(|_| Crc64Nvme::new()),
        sha1: sha1.as_ref().map(|_| Sha1::new()),
        sha256: sha256.as_ref().map(|_| Sha256::new()),
    };
    hasher.update(body);
    let sums = hasher.finalize();
    let right = sums.checksum_crc32 == crc32
        && sums.checksum_crc32c == crc32c
        && sums.checksum_crc64nvme == crc64nvme
        && sums.checksum_sha1 == sha1
        && sums.checksum_sha256 == sha256;
    if right { Ok(()) } else { Err(wrong()) }
}
