//! What requests share.

use std::sync::Arc;

use super::ScriptName;
use super::isolate::Isolate;
use super::pipeline::Slot;
use crate::config::Config;
use crate::ids::Dc;
use crate::safeguards::Build;
use crate::telemetry::Telemetry;

/// What requests to one build of a script stand on, for as long as neither configuration nor isolates change.
///
/// Each thread has its own: a request counts as one holder of this, and threads that counted holders in one place would wait
/// for each other. So whatever a request needs of what others need too belongs in here.
#[derive(Debug)]
pub struct Ground {
    /// Which data center this is.
    pub dc: Dc,
    /// Which script serves the request.
    pub script: ScriptName,
    /// The configuration for the whole of the request.
    pub config: Arc<Config>,
    /// The build that serves it.
    pub build: Arc<Build>,
    pub(super) isolates: Vec<Arc<Isolate>>,
    pub(super) slot: Arc<Slot>,
    pub(crate) telemetry: Arc<Telemetry>,
}
