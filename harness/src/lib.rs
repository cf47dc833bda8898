//! Relapse: incidents of a key-value service, replayed from specifications and judged by what on-call would have seen.
//!
//! The way is one way: [`feature`] makes a [`spec`] of a feature file, a [`lab`] makes a [`recording`] of a spec, [`judge`](mod@judge)
//! makes verdicts of both; [`mod@parity`] compares what two labs tell; [`ablation`] asks
//! what each safeguard is good for, [`fork`] what another action would have saved, both in the unit of [`impact`]; [`draft`] begins a new incident; [`alerts`] evaluates rules for both, [`dashboards`] asks whether
//! what on-call looks at shows them, and [`export`] writes a recording for other tools. [`proxy`] puts the same faults on real
//! connections, and [`live`] is the lab that people look at. [`runs`] finds out which labs are needed and runs each in a process of its own; [`report`] and
//! [`cli`] speak to people; [`exit`] lists the exit codes.

pub mod ablation;
pub mod alerts;
pub mod cli;
pub mod dashboards;
pub mod draft;
pub mod exit;
pub mod export;
pub mod feature;
pub mod fork;
pub mod impact;
pub mod judge;
pub mod lab;
pub mod live;
pub mod parity;
pub mod proxy;
pub mod recording;
pub mod report;
pub mod runs;
pub mod spec;

/// A lab of hundreds of nodes allocates and frees all the time, and its heap lives for hours.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
