//! Bringing a revision to every node.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};

use super::Control;
use crate::api::admin;
use crate::env::Listener;
use crate::ids::Dc;

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

impl Control {
    /// Pushes until every node has the revision, or a newer one has taken its place.
    pub(super) fn push_to_all(self: &Arc<Self>, revision: u64) {
        let body = match serde_json::to_vec(&*self.intended()) {
            Ok(body) => Bytes::from(body),
            Err(_) => return,
        };
        for dc in self.members.dcs.keys() {
            let (this, dc, body) = (self.clone(), dc.clone(), body.clone());
            self.env.tasks.spawn(Box::pin(async move { this.push(&dc, revision, body).await }));
        }
    }

    async fn push(&self, dc: &Dc, revision: u64, body: Bytes) {
        let mut pause = RETRY_FIRST;
        while self.intended().revision == revision {
            let Ok(request) = Request::put(admin::CONFIG).body(body.clone()) else { return };
            let answer =
                admin::call(&self.env, &self.secret, &dc.peer(), Listener::Admin, request).await;
            if answer.is_some_and(|answer| answer.status() == StatusCode::OK) {
                return;
            }
            self.env.clock.sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }
}
