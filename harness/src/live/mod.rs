//! The live lab of `docker-compose.yml`: real time, real sockets, and people who look at it.
//!
//! * [`compose`]: its containers, as compose and the engine know them; [`configure`]: what they are told to run another build.
//! * [`act`]: does to it what timelines plan, by the same values as in every lab, and heals it.
//! * [`status`]: how it is; [`load`]: a recording for its Prometheus.
//!
//! Nobody records it, so nothing is judged here. Its shape is the topology [`TOPOLOGY`], which a test compares with the files in
//! `lab/`; what is injected is compiled from the sentences that features are made of.

pub mod act;
pub mod compose;
pub mod configure;
mod http;
pub mod load;
pub mod status;

use std::net::SocketAddr;
use std::time::Duration;

pub use compose::{Compose, Service, Services};

/// The topology of the live lab.
pub const TOPOLOGY: &str = "small";
/// Scenarios with this tag are played in the live lab.
pub const TAG: &str = "live";

/// Why the live lab does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// Compose is missing, in both its forms: install one.
    #[error(
        "there is neither `docker compose` nor `docker-compose`; on Debian `.ci/engine --install` brings both engine and compose"
    )]
    NoCompose,
    /// No engine answers: start one.
    #[error("no Docker engine answers: {0}\n    start one (on Debian: `.ci/engine --install`)")]
    NoEngine(String),
    /// Compose or the engine refuses: the message is its own.
    #[error("{what} failed:\n{said}")]
    Refused {
        /// What was asked.
        what: String,
        /// What it said.
        said: String,
    },
    /// There is no such lab.
    #[error("no live lab of the project \"{0}\" is up; `relapse lab up` starts one")]
    NotUp(String),
    /// What only the labs of the harness can do.
    #[error("{0}: this can be done in the other labs only")]
    Elsewhere(String),
    /// A service has no container that runs, or publishes no such port: look at its log.
    #[error("{0} does not run; `relapse lab status` tells more")]
    Down(String),
    /// A service answers, but not as it should.
    #[error("{service} at {address}: {why}")]
    Answer {
        /// Which one.
        service: String,
        /// Where.
        address: SocketAddr,
        /// What is wrong.
        why: String,
    },
    /// A service is not well in time.
    #[error("not well after {after_s} s: {services}\n{said}")]
    Unwell {
        /// Which ones.
        services: String,
        /// How long they had.
        after_s: u64,
        /// What the first of them said last.
        said: String,
    },
    /// A file cannot be written.
    #[error("{0} cannot be written: {1}")]
    Unwritable(String, std::io::Error),
    /// The recording has no scrapes.
    #[error("the recording has no metrics")]
    Empty,
    /// The Prometheus has samples of that time already: two histories would be one.
    #[error(
        "Prometheus has samples between {from} and {until} already, and would show two histories as one\n    `relapse lab down` and `relapse lab up` start with an empty one"
    )]
    Known {
        /// Since when.
        from: String,
        /// Until when.
        until: String,
    },
    /// This process has no runtime: look at the machine.
    #[error("no runtime: {0}")]
    Runtime(std::io::Error),
}

/// Lets time pass: this lab runs in real time, and its containers take their own.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where whoever drives the live lab waits"
)]
pub(crate) fn wait(duration: Duration) {
    std::thread::sleep(duration);
}
