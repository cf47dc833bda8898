//! Lists of keys.

use bytes::Bytes;
use http::{Request, Response};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::{CACHE_STATUS, Call, Refusal, cache_status};
use crate::api::query::Query;
use crate::api::status;
use crate::gateway::{GatewayError, Key};
use crate::ids::Namespace;

/// Keys on a page, where nothing else is asked for; no more can be.
const LIMIT_MAX: u64 = 1_000;
/// The fewest that this API takes.
const LIMIT_MIN: u64 = 10;

/// A key as this API lists it.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Box<RawValue>>,
}

impl Call<'_> {
    pub(super) async fn keys(
        self,
        namespace: &Namespace,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, Refusal> {
        let namespace = self.gateway.open(self.ctx, self.account, namespace).await?;
        let query = Query::of(request);
        let limit = query.number("limit").unwrap_or(LIMIT_MAX);
        if !(LIMIT_MIN..=LIMIT_MAX).contains(&limit) {
            return Err(Refusal::Malformed(format!(
                "limit must be a number from {LIMIT_MIN} to {LIMIT_MAX}"
            )));
        }
        let ask = query.list(limit).map_err(Refusal::Malformed)?;
        let list = self.gateway.list(self.ctx, &namespace, &ask).await?;
        let rows: Vec<Row<'_>> = list.keys.iter().map(row).collect::<Result<_, _>>()?;
        let result = serde_json::to_vec(&rows).map_err(|_| GatewayError::Sealing)?;
        let info = json!({ "count": rows.len(), "cursor": list.cursor.unwrap_or_default() });
        let mut response = status::envelope(&result, Some(&info));
        response.headers_mut().insert(CACHE_STATUS, cache_status(list.result));
        Ok(response)
    }
}

fn row(key: &Key) -> Result<Row<'_>, GatewayError> {
    Ok(Row {
        name: &key.name,
        expiration: key.expiration_s,
        metadata: key.metadata.as_deref().map(raw).transpose()?,
    })
}

/// JSON that was checked when it was written.
pub(in crate::api) fn raw(json: &[u8]) -> Result<Box<RawValue>, GatewayError> {
    serde_json::from_slice(json).map_err(|_| GatewayError::Sealing)
}
