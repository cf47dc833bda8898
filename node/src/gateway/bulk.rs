//! Many keys at once.
//!
//! A request is checked whole before anything of it is done: one key that may not be written refuses all. What fails after
//! that is named, and the rest is done.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{Gateway, GatewayError, OpenKey, Put, Value};
use crate::cache::Ttl;
use crate::worker::Ctx;

/// Keys in one request that writes or deletes.
pub const BULK_KEYS_MAX: usize = 10_000;
/// Keys in one request that reads.
const BULK_READ_MAX: usize = 100;
/// Keys of one request that are worked on at once.
const AT_ONCE: usize = 64;

impl Gateway {
    /// Writes many keys; those that were not written, in the order in which they were given. Of a key that is given twice the
    /// later one stays.
    pub async fn put_many(
        &self,
        ctx: &Arc<Ctx>,
        puts: Vec<(OpenKey, Put)>,
    ) -> Result<Vec<String>, GatewayError> {
        let _stage = ctx.trace.stage("gateway.put-many");
        refuse_more_than(BULK_KEYS_MAX, puts.len())?;
        let mut admitted = Vec::with_capacity(puts.len());
        for (key, put) in puts {
            admitted.push((key, self.admit(put)?));
        }
        let mut failed = Vec::new();
        let mut waiting = admitted.into_iter();
        loop {
            let some: Vec<_> = waiting.by_ref().take(AT_ONCE).collect();
            if some.is_empty() {
                return Ok(failed);
            }
            // Versions are drawn in the order in which the futures are first asked: that of the request.
            let writes = some.into_iter().map(|(OpenKey(name), admitted)| async move {
                let paced = self.write_pace.admit(&name, self.env.clock.now());
                let written = match paced {
                    Ok(()) => self.write(ctx, &name, admitted).await,
                    Err(error) => Err(error),
                };
                written.err().map(|_| name.key.as_ref().to_owned())
            });
            failed.extend(join_all(writes).await.into_iter().flatten());
        }
    }

    /// Deletes many keys; those that were not deleted.
    pub async fn delete_many(
        &self,
        ctx: &Arc<Ctx>,
        keys: &[OpenKey],
    ) -> Result<Vec<String>, GatewayError> {
        let _stage = ctx.trace.stage("gateway.delete-many");
        refuse_more_than(BULK_KEYS_MAX, keys.len())?;
        let mut failed = Vec::new();
        for some in keys.chunks(AT_ONCE) {
            let deletions = some.iter().map(|key| self.delete(ctx, key));
            let results = join_all(deletions).await;
            let missed = some.iter().zip(results).filter(|(_, result)| result.is_err());
            failed.extend(missed.map(|(OpenKey(name), _)| name.key.as_ref().to_owned()));
        }
        Ok(failed)
    }

    /// Reads many keys, in the order in which they were given. 25 MiB of values at the most.
    pub async fn get_many(
        &self,
        ctx: &Arc<Ctx>,
        keys: &[OpenKey],
        ttl: Option<Ttl>,
    ) -> Result<Vec<Option<Value>>, GatewayError> {
        let _stage = ctx.trace.stage("gateway.get-many");
        if keys.is_empty() {
            return Err(GatewayError::NoKeys);
        }
        refuse_more_than(BULK_READ_MAX, keys.len())?;
        let (mut values, mut bytes) = (Vec::with_capacity(keys.len()), 0);
        for some in keys.chunks(AT_ONCE) {
            for read in join_all(some.iter().map(|key| self.get(ctx, key, ttl))).await {
                let (value, _) = read?;
                bytes += value.as_ref().map_or(0, |value| value.body.len());
                if bytes > self.limits.value_bytes_max {
                    return Err(GatewayError::ValueTooLarge {
                        length: bytes,
                        limit: self.limits.value_bytes_max,
                    });
                }
                values.push(value);
            }
        }
        Ok(values)
    }
}

fn refuse_more_than(limit: usize, count: usize) -> Result<(), GatewayError> {
    if count > limit { Err(GatewayError::TooManyKeys { limit }) } else { Ok(()) }
}
