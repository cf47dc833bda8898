//! Purges: telling every holder of a key that what it holds is older than a version.
//!
//! A purge carries a version, and a tier remembers it as long as a fetch can last: a fill that was under way when the purge
//! came is refused. Batches are numbered per sender and receiver; a gap in the numbers, or a sender that began anew, makes
//! the receiver drop everything before it serves again. So does a gap in its own time: it stood still, and purges for it failed.
//! A receiver that only some can reach hears of purges by way of others.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use super::{Cache, TierError};
use crate::config::{Config, TIER_TIMEOUT};
use crate::env::{BoxFuture, NodeEnv, Stream, Timestamp};
use crate::ids::{Dc, Name, Namespace, Region, Version};
use crate::worker::Ctx;

/// Longer than any fetch: two tier timeouts and a store's, with their second tries.
const MARK_LIFE: Duration = Duration::from_secs(30);
/// Purges that are remembered. Beyond it the oldest is forgotten, and no fill is kept that began before it came.
const MARKS_MAX: usize = 100_000;
/// Purges waiting for one receiver. Beyond it the oldest is dropped, which the receiver sees as a gap.
const OUTBOX_MAX: usize = 1_000;
/// Purges in one request.
const BATCH_MAX: usize = 100;
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Who was cut off from everybody hears of everything so long after it is reached again, or, with jitter, after twice as long.
const RETRY_MAX: Duration = Duration::from_secs(15);
/// So long after whom it is for can be reached again a purge has come there: the calls under way, to it and by way of another, the
/// longest pause with its jitter, the call after it.
pub const HEARD_WITHIN: Duration = TIER_TIMEOUT
    .saturating_add(TIER_TIMEOUT)
    .saturating_add(RETRY_MAX)
    .saturating_add(RETRY_MAX)
    .saturating_add(TIER_TIMEOUT);
/// How often a node looks at the clock whether it stood still.
const LOOK_PAUSE: Duration = Duration::from_secs(2);
/// Longer between two looks, and it stood still. After less, a sender's pause is one of its first: of sixteen seconds at the
/// most, its jitter included.
const STOOD_STILL: Duration = Duration::from_secs(10);

/// Purges on their way to one receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeBatch {
    /// Who sends it.
    pub sender: Dc,
    /// Which life of the sender: a restarted one numbers anew.
    pub life: u64,
    /// The number of the first entry; the others follow without a gap.
    pub first: u64,
    /// What to purge.
    pub entries: Vec<PurgeEntry>,
    /// Whom it is for, where whoever gets it is asked to pass it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Dc>,
}

/// One key and the version that made what is held of it old.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeEntry {
    /// Whose key.
    pub namespace: Namespace,
    /// Which key.
    pub key: String,
    /// Everything older goes.
    pub version: Version,
}

pub(super) struct Purges {
    life: u64,
    jitter: Stream,
    outboxes: Mutex<IndexMap<Dc, Outbox, FxBuildHasher>>,
    marks: Mutex<Marks>,
    received: Mutex<IndexMap<Dc, (u64, u64), FxBuildHasher>>,
    looked: Looked,
}

/// When this node looked at the clock last.
struct Looked {
    at_us: AtomicU64,
    dropping: Mutex<()>,
}

#[derive(Default)]
struct Outbox {
    /// The number of the entry at the front.
    first: u64,
    waiting: VecDeque<PurgeEntry>,
    sending: bool,
}

#[derive(Default)]
struct Marks {
    versions: IndexMap<Name, (Version, Timestamp), FxBuildHasher>,
    ends: VecDeque<(Timestamp, Name)>,
    /// When the last purge came that was forgotten before its time.
    blind: Timestamp,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Purges {
    pub(super) fn new(env: &NodeEnv) -> Self {
        Self {
            life: env.clock.now().0,
            jitter: env.chance.stream("purge-retry"),
            outboxes: Mutex::default(),
            marks: Mutex::default(),
            received: Mutex::default(),
            looked: Looked::new(env.clock.now()),
        }
    }

    /// Whether a purge may have made a version of a key old that was asked for at a moment.
    pub(super) fn marked_newer(
        &self,
        name: &Name,
        version: Version,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> bool {
        let mut marks = lock(&self.marks);
        marks.forget(now);
        asked_at <= marks.blind
            || marks.versions.get(name).is_some_and(|(marked, _)| *marked > version)
    }

    fn mark(&self, name: &Name, version: Version, now: Timestamp) {
        let mut marks = lock(&self.marks);
        marks.forget(now);
        let end = now.after(MARK_LIFE);
        let (newest, ends) = marks.versions.entry(name.clone()).or_insert((version, end));
        (*newest, *ends) = (version.max(*newest), end.max(*ends));
        marks.ends.push_back((end, name.clone()));
        if marks.ends.len() > MARKS_MAX
            && let Some((end, _)) = marks.ends.front()
        {
            let end = *end;
            marks.blind = end.before(MARK_LIFE);
            marks.forget(end);
        }
    }

    /// Takes a batch's number down; false where purges before it were missed.
    fn follows(&self, batch: &PurgeBatch) -> bool {
        let next = batch.first.saturating_add(batch.entries.len() as u64);
        let mut received = lock(&self.received);
        let expected = received.insert(batch.sender.clone(), (batch.life, next));
        match expected {
            // A batch that comes twice is followed as well: its purges do no harm.
            Some((life, expected)) if life == batch.life => {
                if batch.first < expected {
                    received.insert(batch.sender.clone(), (life, next.max(expected)));
                }
                batch.first <= expected
            }
            Some(_) => false,
            None => batch.first == 0,
        }
    }
}

impl Looked {
    fn new(now: Timestamp) -> Self {
        Self { at_us: AtomicU64::new(now.0), dropping: Mutex::default() }
    }

    fn stood_still(&self, now: Timestamp) -> bool {
        now.since(Timestamp(self.at_us.load(Ordering::Acquire))) > STOOD_STILL
    }

    /// Looks again. Where the node stood still since it looked last, everyone who looks waits until `drop` is done.
    fn look(&self, now: Timestamp, drop: impl FnOnce()) {
        if self.stood_still(now) {
            let _dropping = lock(&self.dropping);
            if self.stood_still(now) {
                drop();
                self.at_us.fetch_max(now.0, Ordering::Release);
            }
        } else if now.since(Timestamp(self.at_us.load(Ordering::Relaxed))) >= LOOK_PAUSE {
            self.at_us.fetch_max(now.0, Ordering::Release);
        }
    }
}

impl Marks {
    fn forget(&mut self, now: Timestamp) {
        while self.ends.front().is_some_and(|(end, _)| *end <= now) {
            if let Some((_, name)) = self.ends.pop_front()
                && self.versions.get(&name).is_some_and(|(_, end)| *end <= now)
            {
                self.versions.swap_remove(&name);
            }
        }
    }
}

impl Cache {
    /// Sends a purge of a key to everyone who may hold it. Returns at once; delivery goes on behind until it succeeds.
    pub(super) fn purge(self: &Arc<Self>, ctx: &Arc<Ctx>, name: &Name, version: Version) {
        for work in self.purge_under(&ctx.config, name, version) {
            ctx.spawn_beside(self.env.tasks.as_ref(), work);
        }
    }

    /// The same under a configuration; the deliveries that have to be begun.
    pub(super) fn purge_under(
        self: &Arc<Self>,
        config: &Config,
        name: &Name,
        version: Version,
    ) -> Vec<BoxFuture<()>> {
        let mut deliveries: Vec<BoxFuture<()>> = Vec::new();
        if !config.snapshot.enrolled.contains(&name.namespace) {
            return deliveries;
        }
        for holder in config.placement.holders(name) {
            if *holder == self.dc {
                self.accept_purge(name, version);
                continue;
            }
            let entry = PurgeEntry {
                namespace: name.namespace.clone(),
                key: name.key.as_ref().to_owned(),
                version,
            };
            let mut outboxes = lock(&self.purges.outboxes);
            let outbox = outboxes.entry(holder.clone()).or_default();
            outbox.waiting.push_back(entry);
            if outbox.waiting.len() > OUTBOX_MAX {
                outbox.waiting.pop_front();
                outbox.first += 1;
            }
            if !std::mem::replace(&mut outbox.sending, true) {
                let (this, holder) = (self.clone(), holder.clone());
                deliveries.push(Box::pin(async move { this.deliver(&holder).await }));
            }
        }
        deliveries
    }

    /// Takes purges from another data center, or passes them on to the one that they are for; false where it cannot reach that
    /// either.
    pub async fn take_purges(&self, mut batch: PurgeBatch) -> bool {
        if let Some(to) = batch.to.take_if(|to| *to != self.dc) {
            return self.peers.purge(&to, &batch).await.is_ok();
        }
        if !self.purges.follows(&batch) {
            self.drop_tier();
        }
        for entry in &batch.entries {
            let name = Name::new(entry.namespace.clone(), &entry.key);
            self.accept_purge(&name, entry.version);
        }
        true
    }

    /// Now, for whoever is about to trust the tier: if the node stood still the tier is empty afterwards.
    pub(super) fn now_awake(&self) -> Timestamp {
        let now = self.env.clock.now();
        self.purges.looked.look(now, || self.drop_tier());
        now
    }

    /// Looks at the clock for as long as the node lives. To be spawned.
    pub async fn stay_awake(self: Arc<Self>) {
        loop {
            self.now_awake();
            self.env.clock.sleep(LOOK_PAUSE).await;
        }
    }

    pub(super) fn accept_purge(&self, name: &Name, version: Version) {
        self.purges.mark(name, version, self.env.clock.now());
        self.tier.purge(name, version);
    }

    async fn deliver(&self, holder: &Dc) {
        let mut pause = RETRY_FIRST;
        let mut silent = 0;
        while let Some(batch) = self.next_batch(holder) {
            let count = batch.entries.len() as u64;
            let delivered = match self.peers.purge(holder, &batch).await {
                Ok(()) => {
                    silent = 0;
                    true
                }
                Err(TierError::Unreachable | TierError::TimedOut) => {
                    silent += 1;
                    silent > 1 && self.deliver_by_another(holder, &batch, silent).await
                }
                // It is there: others would hear the same of it.
                Err(_) => false,
            };
            if delivered {
                self.metrics.purges_sent.add(count);
                self.delivered(holder, batch.first + count);
                pause = RETRY_FIRST;
            } else {
                self.metrics.purge_retries.inc();
                self.env.clock.sleep(pause + self.purges.jitter.jitter(pause)).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
        }
    }

    /// Asks another data center to pass purges on, each time another: those of third regions first, since a cut between two
    /// regions keeps all of one from all of the other.
    async fn deliver_by_another(&self, holder: &Dc, batch: &PurgeBatch, turn: usize) -> bool {
        let dcs = &self.members.dcs;
        let there = dcs.get(holder).map(|member| &member.region);
        let is_third = |region: &Region| *region != self.region && Some(region) != there;
        let others = dcs.iter().filter(|(dc, _)| **dc != self.dc && *dc != holder);
        let (third, rest): (Vec<_>, Vec<_>) =
            others.partition(|(_, member)| is_third(&member.region));
        let others: Vec<&Dc> = third.into_iter().chain(rest).map(|(dc, _)| dc).collect();
        if others.is_empty() {
            return false;
        }
        let batch = PurgeBatch { to: Some(holder.clone()), ..batch.clone() };
        let passed_on = self.peers.purge(others[turn % others.len()], &batch).await.is_ok();
        if passed_on {
            self.metrics.purges_passed_on.add(batch.entries.len() as u64);
        }
        passed_on
    }

    fn next_batch(&self, holder: &Dc) -> Option<PurgeBatch> {
        let mut outboxes = lock(&self.purges.outboxes);
        let outbox = outboxes.get_mut(holder)?;
        if outbox.waiting.is_empty() {
            outbox.sending = false;
            return None;
        }
        Some(PurgeBatch {
            sender: self.dc.clone(),
            life: self.purges.life,
            first: outbox.first,
            entries: outbox.waiting.iter().take(BATCH_MAX).cloned().collect(),
            to: None,
        })
    }

    fn delivered(&self, holder: &Dc, next: u64) {
        if let Some(outbox) = lock(&self.purges.outboxes).get_mut(holder) {
            while outbox.first < next && outbox.waiting.pop_front().is_some() {
                outbox.first += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::doors_of_tests::still;

    fn name(at: usize) -> Name {
        Name::new("ns".into(), &at.to_string())
    }

    #[test]
    fn what_a_node_holds_is_dropped_once_it_stood_still_for_more_than_ten_seconds() {
        let at = |s: u64| Timestamp::from_unix_s(1_000 + s);
        let looked = Looked::new(at(0));
        let drops = std::cell::Cell::new(0);
        let look = |s| {
            looked.look(at(s), || drops.set(drops.get() + 1));
            drops.get()
        };
        assert_eq!((look(2), look(12), look(22)), (0, 0, 0));
        assert_eq!(look(33), 1);
        assert_eq!((look(33), look(43)), (1, 1));
        assert_eq!(look(40), 1, "a thread that read the clock earlier");
        assert_eq!(look(54), 2);
    }

    #[test]
    fn of_too_many_purges_the_oldest_is_forgotten_and_no_fill_from_before_it_is_kept() {
        let purges = Purges::new(&still());
        let old = Version { at_us: 1, tie: 0 };
        let new = Version { at_us: 2, tie: 0 };
        let at = |s: usize| Timestamp::from_unix_s(1_000).after(Duration::from_micros(s as u64));
        for key in 0..MARKS_MAX {
            purges.mark(&name(key), new, at(key));
        }
        let now = at(MARKS_MAX);
        assert!(purges.marked_newer(&name(0), old, at(0), now));
        assert!(!purges.marked_newer(&name(MARKS_MAX), old, at(0), now), "nobody purged it");
        purges.mark(&name(MARKS_MAX), new, now);
        assert_eq!(lock(&purges.marks).versions.len(), MARKS_MAX);
        assert!(purges.marked_newer(&name(0), old, at(0), now), "it is no longer known which");
        assert!(!purges.marked_newer(&name(0), old, at(1), now), "asked for after the purge");
        assert!(purges.marked_newer(&name(1), old, at(1), now));
    }
}
