//! Reports about owners that fail, from the edges that saw it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::api::{admin, auth::Secret};
use crate::cache::Suspects;
use crate::env::{Listener, NodeEnv, Timestamp};
use crate::ids::{Dc, Peer};

/// One edge tells of one owner at most this often: the control plane decides by its own probe, not by counting reports.
const REPORT_PAUSE: Duration = Duration::from_secs(5);

/// An owner failed a tier request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspicion {
    /// Who saw it.
    pub reporter: Dc,
    /// Who failed.
    pub owner: Dc,
}

/// Sends an edge's suspicions to the control plane.
#[derive(Debug)]
pub struct Reporter {
    dc: Dc,
    env: NodeEnv,
    secret: Secret,
    reported: Mutex<IndexMap<Dc, Timestamp, rustc_hash::FxBuildHasher>>,
}

impl Reporter {
    /// The reporter of one data center.
    pub fn new(dc: Dc, env: NodeEnv, secret: Secret) -> Self {
        Self { dc, env, secret, reported: Mutex::default() }
    }
}

impl Suspects for Reporter {
    fn suspect(&self, control: &Peer, owner: &Dc) {
        let now = self.env.clock.now();
        {
            let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
            if reported.get(owner).is_some_and(|at| now.since(*at) < REPORT_PAUSE) {
                return;
            }
            reported.insert(owner.clone(), now);
        }
        let suspicion = Suspicion { reporter: self.dc.clone(), owner: owner.clone() };
        let Ok(body) = serde_json::to_vec(&suspicion) else { return };
        let Ok(request) = Request::post(super::SUSPECT).body(Bytes::from(body)) else { return };
        let (env, secret, control) = (self.env.clone(), self.secret.clone(), control.clone());
        let tasks: Arc<dyn crate::env::Tasks> = self.env.tasks.clone();
        tasks.spawn(Box::pin(async move {
            // Without an answer the next failure reports again.
            let _ = admin::call(&env, &secret, &control, Listener::Control, request).await;
        }));
    }
}
