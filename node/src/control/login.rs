//! Who may release: the release tool has people log in through Access, which reads the node that is released.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};

use super::Control;
use super::document::{Release, What};
use crate::dependents::VERIFY;
use crate::env::Listener;
use crate::ids::Peer;
use crate::safeguards::Safeguard;

/// Whoever fails to log in tries again so often: people do.
const LOGINS: u32 = 3;
/// All of them together end before whoever asked for the release gives up.
const EACH: Duration = Duration::from_millis(900);

impl Control {
    /// Whether whoever releases this may, or why not. Nobody needs to log in where there is no Access, and for what breaks the glass.
    pub(super) async fn logged_in(&self, release: &Release) -> Result<(), String> {
        let Some(access) = &self.login else { return Ok(()) };
        if release.break_glass.is_some() {
            return Ok(());
        }
        let exempt = if self.build.has(Safeguard::RollbackWithoutLogin) {
            rollbacks_are_exempt
        } else {
            nothing_is_exempt
        };
        if exempt(&release.what) {
            return Ok(());
        }
        let mut why = String::new();
        for _ in 0..LOGINS {
            match self.verify(access).await {
                Ok(()) => return Ok(()),
                Err(failed) => why = failed,
            }
        }
        Err(why)
    }

    async fn verify(&self, access: &Peer) -> Result<(), String> {
        let request = Request::get(VERIFY).body(Bytes::new()).map_err(|why| why.to_string())?;
        let call = self.env.network.call(access, Listener::Product, request);
        match self.env.timeout(EACH, call).await {
            Ok(Ok(answer)) if answer.status() == StatusCode::OK => Ok(()),
            Ok(Ok(answer)) => {
                let status = answer.status().as_u16();
                Err(format!("login failed: Access answers {status} to the release tool's session"))
            }
            Ok(Err(error)) => Err(format!("login failed: Access cannot be reached: {error}")),
            Err(_) => Err("login failed: Access does not answer".to_owned()),
        }
    }
}

/// The signature under the request is enough for them.
fn rollbacks_are_exempt(what: &What) -> bool {
    matches!(what, What::Rollback { .. })
}

/// As it was in October 2023.
fn nothing_is_exempt(_: &What) -> bool {
    false
}
