//! What the operations on keys and namespaces mean: names, limits, expiry, metadata, sealing, typed errors. It speaks no
//! HTTP.
//!
//! Start with [`Gateway::open`], which everything begins with, and [`Gateway::get`].

mod bulk;
mod error;
mod limits;
mod list;
mod namespaces;
mod seal;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

pub use bulk::BULK_KEYS_MAX;
pub use error::GatewayError;
pub use limits::{Expiration, LIST_KEYS_MAX};
pub use list::{Key, KeyList, ListAsk};
pub use namespaces::{NamespaceInfo, OpenKey, OpenNamespace, Order};
pub use seal::{Part, SEAL_BYTES, SealError, Sealer};

use crate::cache::{Cache, CacheResult, Ttl};
use crate::config::{Limits, Namespaces};
use crate::env::{NodeEnv, Stream};
use crate::ids::{Name, Version};
use crate::storage::{Found, Sealed};
use crate::worker::Ctx;

/// A value as the customer gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The customer's bytes.
    pub body: Bytes,
    /// When it ends, in seconds since 1970.
    pub expiration_s: Option<u64>,
    /// The customer's metadata: JSON, as it was given.
    pub metadata: Option<Bytes>,
}

/// What a customer writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The value.
    pub body: Bytes,
    /// When it ends.
    pub expiration: Expiration,
    /// JSON, any type. `null` is none.
    pub metadata: Option<Bytes>,
}

/// A write that nothing speaks against.
struct Admitted {
    body: Bytes,
    expiration_s: Option<u64>,
    metadata: Option<Bytes>,
}

/// The storage gateway of one data center.
#[derive(Debug)]
pub struct Gateway {
    cache: Arc<Cache>,
    sealer: Sealer,
    limits: Limits,
    write_pace: limits::WritePace,
    namespaces: Arc<Namespaces>,
    env: NodeEnv,
    ties: Stream,
    namespace_ids: Stream,
    last_version_us: AtomicU64,
}

impl Gateway {
    /// A gateway in front of a cache.
    pub fn new(
        cache: Arc<Cache>,
        sealer: Sealer,
        limits: Limits,
        namespaces: Arc<Namespaces>,
        env: NodeEnv,
    ) -> Self {
        Self {
            cache,
            sealer,
            write_pace: limits::WritePace::new(&limits),
            limits,
            namespaces,
            ties: env.chance.stream("versions"),
            namespace_ids: env.chance.stream("namespace-ids"),
            env,
            last_version_us: AtomicU64::new(0),
        }
    }

    /// Reads a key. `None`: there is no such key, or it has expired.
    pub async fn get(
        &self,
        ctx: &Arc<Ctx>,
        OpenKey(name): &OpenKey,
        ttl: Option<Ttl>,
    ) -> Result<(Option<Value>, CacheResult), GatewayError> {
        let _stage = ctx.trace.stage("gateway.get");
        let ttl = limits::cache_ttl(&self.limits, ttl)?;
        self.read(ctx, name, ttl).await
    }

    async fn read(
        &self,
        ctx: &Arc<Ctx>,
        name: &Name,
        ttl: Ttl,
    ) -> Result<(Option<Value>, CacheResult), GatewayError> {
        let read = self.cache.read(ctx, name, ttl).await?;
        let over = |end_s| end_s <= self.env.clock.now().unix_s();
        let value = match read.found() {
            Found::Value(sealed) if !sealed.expiration_s.is_some_and(over) => {
                Some(self.unseal(name, sealed)?)
            }
            _ => None,
        };
        Ok((value, read.result))
    }

    fn unseal(&self, name: &Name, sealed: &Sealed) -> Result<Value, GatewayError> {
        let open = |part, bytes: &[u8]| self.sealer.unseal((name, sealed.version, part), bytes);
        Ok(Value {
            body: open(Part::Value, &sealed.body)?,
            expiration_s: sealed.expiration_s,
            metadata: match &sealed.metadata {
                Some(metadata) => Some(open(Part::Metadata, metadata)?),
                None => None,
            },
        })
    }

    /// Writes a key. Expiration and metadata of the value before it are gone.
    pub async fn put(
        &self,
        ctx: &Arc<Ctx>,
        OpenKey(name): &OpenKey,
        put: Put,
    ) -> Result<(), GatewayError> {
        let _stage = ctx.trace.stage("gateway.put");
        let admitted = self.admit(put)?;
        self.write_pace.admit(name, self.env.clock.now())?;
        self.write(ctx, name, admitted).await
    }

    /// Deletes a key; one that does not exist is deleted.
    pub async fn delete(
        &self,
        ctx: &Arc<Ctx>,
        OpenKey(name): &OpenKey,
    ) -> Result<(), GatewayError> {
        let _stage = ctx.trace.stage("gateway.delete");
        self.write_pace.admit(name, self.env.clock.now())?;
        self.erase(ctx, name).await
    }

    fn admit(&self, put: Put) -> Result<Admitted, GatewayError> {
        limits::value(&self.limits, &put.body)?;
        let now_s = self.env.clock.now().unix_s();
        Ok(Admitted {
            expiration_s: limits::expiration(&self.limits, put.expiration, now_s)?,
            metadata: limits::metadata(&self.limits, put.metadata)?,
            body: put.body,
        })
    }

    async fn write(
        &self,
        ctx: &Arc<Ctx>,
        name: &Name,
        admitted: Admitted,
    ) -> Result<(), GatewayError> {
        let version = self.version();
        let Admitted { body, expiration_s, metadata } = admitted;
        let seal = |part, plain| self.sealer.seal((name, version, part), plain);
        let body = seal(Part::Value, body)?;
        let metadata = match metadata {
            Some(metadata) => Some(seal(Part::Metadata, metadata)?),
            None => None,
        };
        let sealed = Sealed { version, expiration_s, metadata, body };
        Ok(self.cache.write(ctx, name, Found::Value(Arc::new(sealed))).await?)
    }

    async fn erase(&self, ctx: &Arc<Ctx>, name: &Name) -> Result<(), GatewayError> {
        Ok(self.cache.write(ctx, name, Found::Absent(self.version())).await?)
    }

    fn version(&self) -> Version {
        let tie = u32::try_from(self.ties.below(1 << 32)).unwrap_or(u32::MAX);
        let now = self.env.clock.now().0;
        // Of two writes here the later one is newer, whatever the clock says.
        let newer = |last: u64| Some(now.max(last + 1));
        let last = self.last_version_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, newer);
        Version { at_us: last.map_or(now, |last| now.max(last + 1)), tie }
    }
}
