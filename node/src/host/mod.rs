//! What makes a process of a node.
//!
//! * [`cli`]: the command line; [`exit`]: the exit codes.
//! * [`config`]: `--config FILE`; [`dev`]: `kv-node dev`; [`store`]: stores within this process and `kv-node store`.
//! * [`control`]: `kv-node control`, the control plane; [`change`]: an operator's request to it; [`health`]: whether a listener
//!   answers.
//! * [`run`]: wires a node to its doors and listeners, and ends it on a signal.
//! * [`server`]: sockets that take requests, with [`body`] (bodies within bounds), [`paced`] (connections that do not
//!   hang) and [`limits`] (every number of it).
//! * The doors: [`clock`], [`chance`], [`tasks`], [`network`], [`sink`], and [`otlp`] for telemetry that a collector is to have.
//!
//! Start with [`run::node`].
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the one place where the doors are open: everything here stands behind one of them"
)]

mod body;
mod chance;
mod change;
mod cli;
mod clock;
mod config;
mod control;
mod dev;
mod exit;
mod health;
mod keys;
mod limits;
mod network;
mod otlp;
mod paced;
mod run;
mod server;
mod sink;
mod store;
mod tasks;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};

pub(crate) use cli::main;

/// Whatever answers requests within this process: a node's listener, or a store.
pub(crate) type Service = Arc<dyn Answers>;

/// An answer that may still take its time.
pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Response<Bytes>> + Send + 'a>>;

/// Answers requests. What it answers with may hold on to it as it is: a node is not counted as held with every request.
pub(crate) trait Answers: Send + Sync {
    fn answer(&self, request: Request<Bytes>) -> Answer<'_>;
}

impl<F, R> Answers for F
where
    F: Fn(Request<Bytes>) -> R + Send + Sync,
    R: Future<Output = Response<Bytes>> + Send + 'static,
{
    fn answer(&self, request: Request<Bytes>) -> Answer<'_> {
        Box::pin(self(request))
    }
}
