//! Who is there in every run besides data centers, stores, customers and products: the control plane's side of the network.

use kv_node::control;
use kv_node::ids::Peer;
use kv_node::telemetry::ship::Signal;

/// Whoever acts by hand.
pub const OPERATOR: &str = "operator";
/// What scrapes, evaluates rules and probes.
pub const MONITOR: &str = "monitor";
/// What takes lines and spans.
pub const INTAKE_LOGS: &str = "intake-logs";
/// What takes exception reports.
pub const INTAKE_REPORTS: &str = "intake-reports";

/// All of them. They stand in the control plane's region, but no fault of a region acts on them.
pub const CONTROL_SIDE: [&str; 5] = [control::NAME, OPERATOR, MONITOR, INTAKE_LOGS, INTAKE_REPORTS];

/// The namespace that the monitor's synthetic requests write to: of nobody else, and enrolled in the new backend.
pub const PROBE_NAMESPACE: &str = "relapse-probe";
/// Its class, by which metrics tell synthetic requests from customers'.
pub const PROBE_CLASS: &str = "probe";

/// What takes a signal.
pub fn intake_of(signal: Signal) -> Peer {
    Peer::from(match signal {
        Signal::Logs | Signal::Traces => INTAKE_LOGS,
        Signal::Exceptions => INTAKE_REPORTS,
    })
}
