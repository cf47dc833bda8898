//! How much a node asks of a peer: so many calls at once and so many that wait, with no customer taking all of either; and
//! how many of its calls may be second tries.
//!
//! Without it a flood of one customer's misses waits in front of a store, and everybody else's waits behind it. A customer
//! here is a namespace.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use tokio::sync::oneshot;

use crate::env::{NodeEnv, Stream};
use crate::ids::Namespace;

/// Calls to a peer that are under way at once (the binary's network keeps to the same number).
pub const CALLS_MAX: usize = 256;
/// Calls to a peer that wait for their turn.
const WAITING_MAX: usize = 1_024;
/// Of either, what one customer may have: half is always there for the others.
const SHARE: usize = 2;
/// How long a call waits for its turn.
const WAIT: Duration = Duration::from_secs(1);
/// Second tries for a hundred calls.
const RETRIES_PER_HUNDRED: u64 = 20;
/// Second tries that may come at once, after a long time without any.
const RETRIES_SAVED_MAX: u64 = 100;
/// A second try waits for a drawn time below this, so that those of many do not come together.
const RETRY_WITHIN: Duration = Duration::from_millis(20);

/// There is no place for a call: too many are under way or wait. Asking again at once would make it worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Calls to one peer.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<Calls>>);

#[derive(Default)]
struct Calls {
    under_way: usize,
    by_customer: IndexMap<Namespace, usize, FxBuildHasher>,
    /// Who waits, by customer; the customer whose turn it is comes first.
    waiting: IndexMap<Namespace, VecDeque<oneshot::Sender<Turn>>, FxBuildHasher>,
    waiting_sum: usize,
}

/// The right to make one call. It ends when this is dropped.
pub struct Turn {
    gate: Gate,
    customer: Namespace,
    over: bool,
}

impl Gate {
    /// Waits for the turn of a call for a customer.
    ///
    /// [`Busy`]: too many wait already, or it took longer than a second.
    pub async fn enter(&self, env: &NodeEnv, customer: &Namespace) -> Result<Turn, Busy> {
        let told = {
            let mut calls = self.lock();
            if calls.admits(customer) {
                calls.begin(customer);
                return Ok(self.turn(customer.clone()));
            }
            calls.wait(customer)?
        };
        match env.timeout(WAIT, told).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(Busy),
        }
    }

    fn turn(&self, customer: Namespace) -> Turn {
        Turn { gate: self.clone(), customer, over: false }
    }

    /// Ends a call and gives its place to the next that waits for it.
    fn leave(&self, customer: &Namespace) {
        let mut ended = customer.clone();
        loop {
            let next = {
                let mut calls = self.lock();
                calls.end(&ended);
                calls.next()
            };
            let Some((customer, tell)) = next else { return };
            match tell.send(self.turn(customer)) {
                Ok(()) => return,
                // It waits no longer: the place goes to another.
                Err(mut turn) => {
                    turn.over = true;
                    ended = turn.customer.clone();
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        // Nothing that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    fn admits(&self, customer: &Namespace) -> bool {
        self.under_way < CALLS_MAX
            && self.by_customer.get(customer).is_none_or(|calls| *calls < CALLS_MAX / SHARE)
    }

    fn begin(&mut self, customer: &Namespace) {
        self.under_way += 1;
        match self.by_customer.get_mut(customer) {
            Some(calls) => *calls += 1,
            None => {
                self.by_customer.insert(customer.clone(), 1);
            }
        }
    }

    fn end(&mut self, customer: &Namespace) {
        self.under_way -= 1;
        if let Some(calls) = self.by_customer.get_mut(customer) {
            *calls -= 1;
            if *calls == 0 {
                self.by_customer.swap_remove(customer);
            }
        }
    }

    fn wait(&mut self, customer: &Namespace) -> Result<oneshot::Receiver<Turn>, Busy> {
        let full = |calls: &Self| {
            calls.waiting_sum >= WAITING_MAX
                || calls.waiting.get(customer).is_some_and(|own| own.len() >= WAITING_MAX / SHARE)
        };
        if full(self) {
            self.waiting.retain(|_, own| {
                own.retain(|tell| !tell.is_closed());
                !own.is_empty()
            });
            self.waiting_sum = self.waiting.values().map(VecDeque::len).sum();
            if full(self) {
                return Err(Busy);
            }
        }
        let (tell, told) = oneshot::channel();
        self.waiting.entry(customer.clone()).or_default().push_back(tell);
        self.waiting_sum += 1;
        Ok(told)
    }

    /// Begins the call of the next customer that may and still waits, who is last in turn after that.
    fn next(&mut self) -> Option<(Namespace, oneshot::Sender<Turn>)> {
        while self.waiting_sum > 0 {
            let customer = self.waiting.keys().find(|customer| self.admits(customer))?.clone();
            let mut own = self.waiting.shift_remove(&customer)?;
            let waited = own.len();
            let mut next = own.pop_front();
            while next.as_ref().is_some_and(oneshot::Sender::is_closed) {
                next = own.pop_front();
            }
            self.waiting_sum -= waited - own.len();
            if !own.is_empty() {
                self.waiting.insert(customer.clone(), own);
            }
            if let Some(tell) = next {
                self.begin(&customer);
                return Some((customer, tell));
            }
        }
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.over {
            self.gate.leave(&self.customer);
        }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turn").field(&self.customer).finish()
    }
}

/// How many second tries are left. Where everything fails a node asks a fifth more than it was asked, not twice as much.
pub struct RetryBudget {
    /// In hundredths of a try.
    saved: AtomicU64,
    jitter: Stream,
}

impl RetryBudget {
    /// A budget that has not been touched.
    pub fn new(jitter: Stream) -> Self {
        Self { saved: AtomicU64::new(RETRIES_SAVED_MAX * 100), jitter }
    }

    /// Takes note of a first try.
    pub fn earn(&self) {
        let more = |saved: u64| Some((saved + RETRIES_PER_HUNDRED).min(RETRIES_SAVED_MAX * 100));
        // It never fails: there is always a next value.
        let _ = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Waits until a second try may begin; `false` where none is left.
    pub async fn spend(&self, env: &NodeEnv) -> bool {
        let less = |saved: u64| saved.checked_sub(100);
        let left = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        if left {
            env.clock.sleep(self.jitter.jitter(RETRY_WITHIN)).await;
        }
        left
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RetryBudget").field(&self.saved).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::doors_of_tests::still;
    use futures_util::FutureExt;

    fn gate() -> (Gate, NodeEnv) {
        (Gate::default(), still())
    }

    fn customer(name: &str) -> Namespace {
        Namespace::from(name)
    }

    /// A call that gets its turn at once.
    fn begin(gate: &Gate, env: &NodeEnv, name: &str) -> Turn {
        gate.enter(env, &customer(name)).now_or_never().unwrap().unwrap()
    }

    /// Every place, taken by two customers.
    fn all_places(gate: &Gate, env: &NodeEnv) -> Vec<Turn> {
        let customer = |at| if at % 2 == 0 { "x" } else { "y" };
        (0..CALLS_MAX).map(|at| begin(gate, env, customer(at))).collect()
    }

    #[test]
    fn one_customer_never_has_more_than_half() {
        let (gate, env) = gate();
        let _flood: Vec<Turn> = (0..CALLS_MAX / SHARE).map(|_| begin(&gate, &env, "a")).collect();
        assert!(gate.enter(&env, &customer("a")).now_or_never().is_none(), "it waits");
        let _others: Vec<Turn> = (0..CALLS_MAX / SHARE).map(|_| begin(&gate, &env, "b")).collect();
        assert!(gate.enter(&env, &customer("c")).now_or_never().is_none(), "all places are taken");
    }

    #[test]
    fn customers_who_wait_take_turns_whatever_one_of_them_has_waiting() {
        let (gate, env) = gate();
        let mut busy = all_places(&gate, &env);
        let (a, b) = (customer("a"), customer("b"));
        let mut waiting = Vec::new();
        for name in [&a, &a, &a, &a, &b] {
            let mut enters = Box::pin(gate.enter(&env, name));
            assert!((&mut enters).now_or_never().is_none());
            waiting.push((name.as_str(), enters));
        }
        let mut order = Vec::new();
        let mut held = Vec::new();
        while !waiting.is_empty() {
            busy.pop();
            waiting.retain_mut(|(name, enters)| match enters.now_or_never() {
                Some(turn) => {
                    held.push(turn.unwrap());
                    order.push(*name);
                    false
                }
                None => true,
            });
        }
        assert_eq!(order, ["a", "b", "a", "a", "a"]);
    }

    #[test]
    fn who_gives_up_waiting_takes_nobodys_place() {
        let (gate, env) = gate();
        let mut busy = all_places(&gate, &env);
        let a = customer("a");
        let mut gives_up = Box::pin(gate.enter(&env, &a));
        assert!((&mut gives_up).now_or_never().is_none());
        let mut stays = Box::pin(gate.enter(&env, &a));
        assert!((&mut stays).now_or_never().is_none());
        drop(gives_up);
        busy.pop();
        assert!(stays.now_or_never().is_some());
        busy.clear();
        let all = all_places(&gate, &env);
        assert_eq!(all.len(), CALLS_MAX, "every place came back");
    }

    #[test]
    fn a_customer_all_of_whose_calls_gave_up_holds_nobody_up() {
        let (gate, env) = gate();
        let mut busy = all_places(&gate, &env);
        let (a, b) = (customer("a"), customer("b"));
        for _ in 0..3 {
            let mut gives_up = Box::pin(gate.enter(&env, &b));
            assert!((&mut gives_up).now_or_never().is_none());
        }
        let mut waiting = Vec::new();
        for _ in 0..=WAITING_MAX / SHARE {
            let mut enters = Box::pin(gate.enter(&env, &a));
            match (&mut enters).now_or_never() {
                None => waiting.push(enters),
                Some(refused) => assert_eq!(refused.unwrap_err(), Busy),
            }
        }
        assert_eq!(waiting.len(), WAITING_MAX / SHARE);
        busy.pop();
        assert!(waiting.remove(0).now_or_never().is_some(), "the place goes to who waits");
    }

    #[test]
    fn beyond_what_may_wait_a_call_is_refused_at_once() {
        let (gate, env) = gate();
        let _flood: Vec<Turn> = (0..CALLS_MAX / SHARE).map(|_| begin(&gate, &env, "a")).collect();
        let a = customer("a");
        let mut waiting = Vec::new();
        for _ in 0..WAITING_MAX / SHARE {
            let mut enters = Box::pin(gate.enter(&env, &a));
            assert!((&mut enters).now_or_never().is_none());
            waiting.push(enters);
        }
        assert!(matches!(gate.enter(&env, &a).now_or_never(), Some(Err(Busy))));
        waiting.pop();
        assert!(gate.enter(&env, &a).now_or_never().is_none(), "the place of one that gave up");
    }

    #[test]
    fn where_everything_fails_a_fifth_is_tried_again() {
        let env = still();
        let budget = RetryBudget::new(env.chance.stream("retries"));
        let mut again = 0;
        for _ in 0..10_000 {
            budget.earn();
            again += u64::from(budget.spend(&env).now_or_never() != Some(false));
        }
        assert!((2_000..=2_100).contains(&again), "{again}");
    }
}
