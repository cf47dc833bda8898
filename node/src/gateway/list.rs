//! Listing keys.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;

use super::{Gateway, GatewayError, OpenNamespace, Part, limits};
use crate::cache::CacheResult;
use crate::ids::Name;
use crate::storage::{ListRange, Page};
use crate::worker::Ctx;

/// Which keys are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListAsk {
    /// What they begin with.
    pub prefix: Arc<str>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// So many at the most.
    pub limit: usize,
}

/// A key of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub name: Arc<str>,
    /// When its value ends, in seconds since 1970.
    pub expiration_s: Option<u64>,
    /// Its metadata: JSON, as it was given.
    pub metadata: Option<Bytes>,
}

/// A page of a list. It may hold fewer keys than asked for, also none, though more follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyList {
    /// Keys in byte order.
    pub keys: Vec<Key>,
    /// What asks for the next page; `None` where the list is complete.
    pub cursor: Option<String>,
    /// How the edge cache answered.
    pub result: CacheResult,
}

impl Gateway {
    /// Lists keys. What a page says is at most a minute old; what was written in this data center it says at once.
    pub async fn list(
        &self,
        ctx: &Arc<Ctx>,
        namespace: &OpenNamespace,
        ask: &ListAsk,
    ) -> Result<KeyList, GatewayError> {
        let _stage = ctx.trace.stage("gateway.list");
        let range = self.range(namespace, ask)?;
        let (page, result) = self.cache.list(ctx, &range).await?;
        self.key_list(&range, &page, result)
    }

    /// The same past the cache.
    pub(super) async fn list_fresh(
        &self,
        ctx: &Arc<Ctx>,
        namespace: &OpenNamespace,
        ask: &ListAsk,
    ) -> Result<KeyList, GatewayError> {
        let range = self.range(namespace, ask)?;
        let page = self.cache.list_fresh(ctx, &range).await?;
        self.key_list(&range, &page, CacheResult::Miss)
    }

    fn range(&self, namespace: &OpenNamespace, ask: &ListAsk) -> Result<ListRange, GatewayError> {
        limits::list(&self.limits, ask)?;
        let after = match &ask.cursor {
            // A key is all that a cursor ever names. Anything longer the stores could not be asked for.
            Some(cursor) => decode_cursor(cursor)
                .filter(|last| last.len() <= self.limits.key_bytes_max)
                .ok_or(GatewayError::NoCursor)?,
            None => "".into(),
        };
        Ok(ListRange {
            namespace: namespace.id.clone(),
            prefix: ask.prefix.clone(),
            after,
            limit: ask.limit,
        })
    }

    fn key_list(
        &self,
        range: &ListRange,
        page: &Page,
        result: CacheResult,
    ) -> Result<KeyList, GatewayError> {
        let now_s = self.env.clock.now().unix_s();
        let live = page.keys.iter().filter(|key| key.expiration_s.is_none_or(|end| end > now_s));
        let keys = live.map(|listed| {
            let name = Name { namespace: range.namespace.clone(), key: listed.key.clone() };
            let metadata = match &listed.metadata {
                Some((version, sealed)) => {
                    Some(self.sealer.unseal((&name, *version, Part::Metadata), sealed)?)
                }
                None => None,
            };
            Ok(Key { name: name.key, expiration_s: listed.expiration_s, metadata })
        });
        Ok(KeyList {
            keys: keys.collect::<Result<_, GatewayError>>()?,
            cursor: page.next.as_deref().map(encode_cursor),
            result,
        })
    }
}

/// A cursor names the last key of a page. It is Base64 so that clients take it for opaque.
fn encode_cursor(last: &str) -> String {
    BASE64.encode(last)
}

fn decode_cursor(cursor: &str) -> Option<Arc<str>> {
    let last = String::from_utf8(BASE64.decode(cursor).ok()?).ok()?;
    (!last.is_empty()).then(|| last.into())
}
