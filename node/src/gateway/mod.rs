//! What a get, a put and a delete mean: names, limits, expiry, sealing, typed errors. It speaks no HTTP.
//!
//! Start with [`Gateway::get`].

mod error;
mod limits;
mod seal;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

pub use error::GatewayError;
pub use limits::Expiration;
pub use seal::{SealError, Sealer};

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
        let ties = env.chance.stream("versions");
        Self {
            cache,
            sealer,
            write_pace: limits::WritePace::new(&limits),
            limits,
            namespaces,
            env,
            ties,
            last_version_us: AtomicU64::new(0),
        }
    }

    /// Reads a key. `None`: there is no such key, or it has expired.
    pub async fn get(
        &self,
        ctx: &Arc<Ctx>,
        name: &Name,
        ttl: Option<Ttl>,
    ) -> Result<(Option<Value>, CacheResult), GatewayError> {
        let _stage = ctx.trace.stage("gateway.get");
        self.check_name(name)?;
        let ttl = limits::cache_ttl(&self.limits, ttl)?;
        let read = self.cache.read(ctx, name, ttl).await?;
        let now_s = self.env.clock.now().unix_s();
        let value = match &read.found {
            Found::Value(sealed) if !read.found.expired(now_s) => Some(Value {
                body: self.sealer.unseal(name, sealed.version, &sealed.body)?,
                expiration_s: sealed.expiration_s,
            }),
            _ => None,
        };
        Ok((value, read.result))
    }

    /// Writes a key.
    pub async fn put(
        &self,
        ctx: &Arc<Ctx>,
        name: &Name,
        value: Bytes,
        expiration: Expiration,
    ) -> Result<(), GatewayError> {
        let _stage = ctx.trace.stage("gateway.put");
        self.check_name(name)?;
        limits::value(&self.limits, &value)?;
        let now = self.env.clock.now();
        let expiration_s = limits::expiration(&self.limits, expiration, now.unix_s())?;
        self.write_pace.admit(name, now)?;
        let version = self.version();
        let body = self.sealer.seal(name, version, &value)?;
        let sealed = Sealed { version, expiration_s, metadata: None, body };
        Ok(self.cache.write(ctx, name, Found::Value(Arc::new(sealed))).await?)
    }

    /// Deletes a key; one that does not exist is deleted.
    pub async fn delete(&self, ctx: &Arc<Ctx>, name: &Name) -> Result<(), GatewayError> {
        let _stage = ctx.trace.stage("gateway.delete");
        self.check_name(name)?;
        self.write_pace.admit(name, self.env.clock.now())?;
        Ok(self.cache.write(ctx, name, Found::Absent(self.version())).await?)
    }

    fn check_name(&self, name: &Name) -> Result<(), GatewayError> {
        if self.namespaces.place(&name.namespace).is_none() {
            return Err(GatewayError::NoSuchNamespace);
        }
        limits::key(&self.limits, &name.key)
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
