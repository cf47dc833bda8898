//! Synthetic reads: of data centers that are out of service, and of owners under suspicion.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};

use super::{Control, Suspicion};
use crate::api::{admin, rest};
use crate::cache::{TierAsk, TierError, TierPeers, TierRole};
use crate::config::{DcState, TIER_TIMEOUT};
use crate::env::Listener;
use crate::ids::{Dc, Name, Namespace, Region};
use crate::telemetry::{Lifecycle, TraceContext};

/// How often a data center in maintenance is asked whether it is alive.
const PROBE_PAUSE: Duration = Duration::from_secs(15);
/// Synthetic reads of a returning data center, each from it and through it: several for each isolate.
const GATE_READS: usize = 16;
/// How long a data center that is not fit waits for its next attempt.
const GATE_PAUSE: Duration = Duration::from_mins(1);
/// An owner under suspicion that fails all of so many reads is taken out.
const SUSPECT_READS: usize = 3;
/// A key that nobody writes: its absence is the answer.
const PROBE_KEY: &str = "relapse-probe";

impl Control {
    /// Asks a data center in maintenance for signs of life until it is told to come back. Nothing follows from the answer.
    pub(super) fn probe_while_disabled(self: &Arc<Self>, dc: &Dc) {
        let (this, dc) = (self.clone(), dc.clone());
        self.env.tasks.spawn(Box::pin(async move {
            while this.state(&dc) == DcState::Maintenance {
                // Whatever it answers, it is alive or it is not: nothing is decided by it.
                let _ = this.read_through(&dc).await;
                this.env.clock.sleep(PROBE_PAUSE).await;
            }
        }));
    }

    /// Restarts a returning data center's isolates and reads from it and through it, until all of that succeeds.
    pub(super) fn probe_until_fit(self: &Arc<Self>, dc: &Dc) {
        let (this, dc) = (self.clone(), dc.clone());
        self.env.tasks.spawn(Box::pin(async move {
            while this.state(&dc) == DcState::Returning {
                let fit = this.restart_isolates(&dc).await && this.passes(&dc).await;
                let event = Lifecycle::ReturnProbed { dc: dc.clone(), fit };
                this.env.sink.lifecycle(this.env.clock.now(), event);
                if fit && this.state(&dc) == DcState::Returning {
                    this.set_state(&dc, DcState::Serving);
                    return;
                }
                this.env.clock.sleep(GATE_PAUSE).await;
            }
        }));
    }

    /// Probes an owner that an edge saw failing, and takes it out of placement where the probe fails too.
    pub(super) fn suspect(self: &Arc<Self>, suspicion: Suspicion) {
        let owner = suspicion.owner;
        let known = self.members.dcs.contains_key(&owner);
        if !known || !self.intended().status(&owner).owns_keys() {
            return;
        }
        {
            let mut suspects = self.under_suspicion.lock().unwrap_or_else(PoisonError::into_inner);
            if !suspects.insert(owner.clone()) {
                return;
            }
        }
        let this = self.clone();
        self.env.tasks.spawn(Box::pin(async move {
            let mut failed = true;
            for _ in 0..SUSPECT_READS {
                failed &= this.read_through(&owner).await == Err(TierError::Failed);
            }
            this.under_suspicion.lock().unwrap_or_else(PoisonError::into_inner).remove(&owner);
            if failed {
                this.revise(|intended| {
                    intended.dcs.entry(owner.clone()).or_default().quarantined = true;
                });
                let event = Lifecycle::OwnerQuarantined { dc: owner };
                this.env.sink.lifecycle(this.env.clock.now(), event);
            }
        }));
    }

    async fn restart_isolates(&self, dc: &Dc) -> bool {
        let Ok(request) = Request::post(admin::RESTART_ISOLATES).body(Bytes::new()) else {
            return false;
        };
        let answer =
            admin::call(&self.env, &self.secret, &dc.peer(), Listener::Admin, request).await;
        answer.is_some_and(|answer| answer.status() == StatusCode::OK)
    }

    async fn passes(&self, dc: &Dc) -> bool {
        for _ in 0..GATE_READS {
            if self.read_through(dc).await.is_err() || !self.read_from(dc).await {
                return false;
            }
        }
        true
    }

    /// Reads a key with a data center in the tier role. Where no namespace is enrolled there is nothing to read.
    async fn read_through(&self, dc: &Dc) -> Result<(), TierError> {
        let Some(name) = self.probe_name() else { return Ok(()) };
        let member = self.members.dcs.get(dc);
        let region = member.map_or_else(|| Region::from(""), |member| member.region.clone());
        let affinity = self.members.origins.get(&region).cloned().unwrap_or(region);
        let revision = self.intended().revision;
        let ask = TierAsk {
            name,
            role: TierRole::Regional,
            affinity,
            revision,
            known: None,
            trace: Some(self.trace()),
            control: None,
        };
        self.tiers.get(dc, &ask).await.map(|_| ())
    }

    /// A trace of a probe's own, so that the tier does not take it for a request that lost its context.
    fn trace(&self) -> TraceContext {
        let trace = (u128::from(self.traces.bits()) << 64) | u128::from(self.traces.bits() | 1);
        TraceContext { trace, span: self.traces.bits() | 1, sampled: false }
    }

    /// Reads a key as a customer of a data center would.
    async fn read_from(&self, dc: &Dc) -> bool {
        let Some(name) = self.probe_name() else { return true };
        let Ok(request) = Request::get(rest::value_path("probe", &name)).body(Bytes::new()) else {
            return false;
        };
        let call = self.env.network.call(&dc.peer(), Listener::Rest, request);
        match self.env.timeout(TIER_TIMEOUT, call).await {
            Ok(Ok(answer)) => !answer.status().is_server_error(),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// The key that is probed.
    fn probe_name(&self) -> Option<Name> {
        let enrolled = || self.intended().enrolled.first().cloned();
        let namespace: Option<Namespace> = self.probe_namespace.clone().or_else(enrolled);
        namespace.map(|namespace| Name::new(namespace, PROBE_KEY))
    }
}
