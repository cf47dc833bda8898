//! Many keys at once.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{Request, Response};
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Call, Refusal, keys};
use crate::api::object::Object;
use crate::api::status;
use crate::gateway::{Expiration, GatewayError, OpenNamespace, Put, Value};
use crate::ids::Namespace;

/// A body that writes or deletes, in bytes (the service says 100 MB).
const BODY_MAX: usize = 100_000_000;

#[derive(Deserialize)]
struct Item {
    key: String,
    value: String,
    #[serde(default)]
    expiration: Option<u64>,
    #[serde(default)]
    expiration_ttl: Option<u64>,
    #[serde(default)]
    metadata: Option<Box<RawValue>>,
    #[serde(default)]
    base64: bool,
}

#[derive(Deserialize)]
struct Wanted {
    keys: Vec<String>,
    #[serde(default, rename = "type")]
    kind: Kind,
    #[serde(default, rename = "withMetadata")]
    with_metadata: bool,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum Kind {
    #[default]
    Text,
    Json,
}

#[derive(Serialize)]
struct Done {
    successful_key_count: usize,
    unsuccessful_keys: Vec<String>,
}

/// A value with what belongs to it, as `withMetadata` gives it.
#[derive(Serialize)]
struct Whole {
    value: Box<RawValue>,
    metadata: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<u64>,
}

type ByKey<'a, T> = IndexMap<&'a str, Option<T>, FxBuildHasher>;

impl Call<'_> {
    pub(super) async fn put_many(
        self,
        namespace: &Namespace,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, Refusal> {
        let namespace = self.gateway.open(self.ctx, self.account, namespace).await?;
        let items: Vec<Object<Item>> = parse(request, BODY_MAX)?;
        let count = items.len();
        let puts = items.into_iter().map(|Object(item)| put_of(&namespace, item));
        let puts = puts.collect::<Result<Vec<_>, Refusal>>()?;
        let failed = self.gateway.put_many(self.ctx, puts).await?;
        done(count, failed)
    }

    pub(super) async fn delete_many(
        self,
        namespace: &Namespace,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, Refusal> {
        let namespace = self.gateway.open(self.ctx, self.account, namespace).await?;
        let keys: Vec<String> = parse(request, BODY_MAX)?;
        let keys = keys.iter().map(|key| namespace.key(key)).collect::<Result<Vec<_>, _>>()?;
        let failed = self.gateway.delete_many(self.ctx, &keys).await?;
        done(keys.len(), failed)
    }

    pub(super) async fn get_many(
        self,
        namespace: &Namespace,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, Refusal> {
        let namespace = self.gateway.open(self.ctx, self.account, namespace).await?;
        let Object(wanted): Object<Wanted> = parse(request, BODY_MAX)?;
        let keys = wanted.keys.iter().map(|key| namespace.key(key));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let values = self.gateway.get_many(self.ctx, &keys, None).await?;
        let found = wanted.keys.iter().map(String::as_str).zip(values);
        let result = if wanted.with_metadata {
            let whole = |value: Value| {
                Ok::<_, Refusal>(Whole {
                    value: as_json(&value.body, wanted.kind)?,
                    metadata: value.metadata.as_deref().map(keys::raw).transpose()?,
                    expiration: value.expiration_s,
                })
            };
            by_key(found, whole)?
        } else {
            by_key(found, |value: Value| as_json(&value.body, wanted.kind))?
        };
        Ok(status::envelope(&result, None))
    }
}

/// `{"values":{key: what is made of its value, or null}}`.
fn by_key<'a, T: Serialize>(
    found: impl Iterator<Item = (&'a str, Option<Value>)>,
    make: impl Fn(Value) -> Result<T, Refusal>,
) -> Result<Vec<u8>, Refusal> {
    let mut values: ByKey<'a, T> = IndexMap::default();
    for (key, value) in found {
        values.insert(key, value.map(&make).transpose()?);
    }
    let values = IndexMap::<_, _, FxBuildHasher>::from_iter([("values", values)]);
    Ok(serde_json::to_vec(&values).map_err(|_| GatewayError::Sealing)?)
}

/// A value as JSON: its text as a string, or where JSON is asked for, itself.
pub(in crate::api) fn as_json(body: &[u8], kind: Kind) -> Result<Box<RawValue>, Refusal> {
    match kind {
        Kind::Text => {
            let text = std::str::from_utf8(body).map_err(|_| {
                Refusal::Malformed("At least one of the values is not UTF-8 text".to_owned())
            })?;
            Ok(serde_json::value::to_raw_value(text).map_err(|_| GatewayError::Sealing)?)
        }
        Kind::Json => serde_json::from_slice(body).map_err(|_| {
            Refusal::Malformed(
                "At least one of the requested keys corresponds to a non-json value".to_owned(),
            )
        }),
    }
}

fn put_of(
    namespace: &OpenNamespace,
    item: Item,
) -> Result<(crate::gateway::OpenKey, Put), Refusal> {
    let key = namespace.key(&item.key)?;
    let body = if item.base64 {
        let decoded = BASE64.decode(&item.value);
        let decoded = decoded
            .map_err(|_| Refusal::Malformed(format!("the value of {} is not Base64", item.key)))?;
        Bytes::from(decoded)
    } else {
        Bytes::from(item.value)
    };
    let expiration = match (item.expiration_ttl, item.expiration) {
        (Some(ttl_s), _) => Expiration::In(ttl_s),
        (None, Some(at_s)) => Expiration::At(at_s),
        (None, None) => Expiration::Never,
    };
    let metadata = item.metadata.map(|json| Bytes::copy_from_slice(json.get().as_bytes()));
    Ok((key, Put { body, expiration, metadata }))
}

fn done(count: usize, failed: Vec<String>) -> Result<Response<Bytes>, Refusal> {
    let done = Done { successful_key_count: count - failed.len(), unsuccessful_keys: failed };
    let result = serde_json::to_vec(&done).map_err(|_| GatewayError::Sealing)?;
    Ok(status::envelope(&result, None))
}

/// A body as the operation takes it.
pub(super) fn parse<'a, T: Deserialize<'a>>(
    request: &'a Request<Bytes>,
    bytes_max: usize,
) -> Result<T, Refusal> {
    if request.body().len() > bytes_max {
        return Err(Refusal::TooLarge(bytes_max));
    }
    serde_json::from_slice(request.body())
        .map_err(|error| Refusal::Malformed(format!("the body is not what is expected: {error}")))
}
