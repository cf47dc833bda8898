//! The env object: what a script is configured with, and to whom a write to it belongs.
//!
//! On the real platform the object belongs to the isolate. Code that took it for the request's own left its changes behind
//! for every later request in that isolate (July 2023). Both are here: `isolate_scoped` as it was, `request_scoped` as it should
//! be.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::exception::Thrown;
use super::isolate::Isolate;
use crate::ids::Dc;

/// Where a script finds the tiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierRoute {
    /// The data center for which the tier answers.
    pub serves: Dc,
}

/// The env object's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bindings {
    /// The route of the new backend; undefined once detached.
    pub tier_route: Option<TierRoute>,
    /// Whether exceptions are reported.
    pub error_reporting: bool,
}

impl Bindings {
    /// As a fresh isolate has them.
    pub(super) fn configured(dc: &Dc) -> Self {
        Self { tier_route: Some(TierRoute { serves: dc.clone() }), error_reporting: true }
    }
}

/// What a request has of its env.
#[derive(Debug)]
pub(super) struct RequestEnv {
    /// The request's own object, where it has one: a copy that is made when it is first written to.
    own: Option<Mutex<Option<Bindings>>>,
    wrote: AtomicBool,
}

impl RequestEnv {
    /// Reads and writes go to the isolate's object. A write stays for every later request in the isolate.
    pub(super) fn isolate_scoped() -> Self {
        Self { own: None, wrote: false.into() }
    }

    /// The request gets a copy. A write is seen by this request alone, and is told of.
    pub(super) fn request_scoped() -> Self {
        Self { own: Some(Mutex::default()), wrote: false.into() }
    }

    pub(super) fn within<'a>(&'a self, isolate: &'a Isolate) -> ScriptEnv<'a> {
        ScriptEnv { isolate, request: self }
    }

    /// Whether the request wrote to its env, and if so whether that stays behind.
    pub(super) fn written(&self) -> Option<bool> {
        self.wrote.load(Ordering::Relaxed).then_some(self.own.is_none())
    }
}

/// The env as one request sees it.
#[derive(Clone, Copy, Debug)]
pub struct ScriptEnv<'a> {
    isolate: &'a Isolate,
    request: &'a RequestEnv,
}

impl ScriptEnv<'_> {
    /// The env's content now.
    pub fn read(self) -> Bindings {
        match &self.request.own {
            Some(own) => {
                let written = own.lock().unwrap_or_else(PoisonError::into_inner).clone();
                written.unwrap_or_else(|| self.isolate.bindings().clone())
            }
            None => self.isolate.bindings().clone(),
        }
    }

    /// The tier route, as code reads it that takes it for granted.
    ///
    /// Throws where it is undefined. No handler owns that: it leaves the script.
    pub fn tier_route(self) -> Result<TierRoute, Thrown> {
        self.read().tier_route.ok_or_else(|| {
            Thrown::type_error("cannot read properties of undefined (reading 'serves')")
        })
    }

    /// Changes the env, for whomever it belongs to.
    pub fn write(self, change: impl FnOnce(&mut Bindings)) {
        self.request.wrote.store(true, Ordering::Relaxed);
        match &self.request.own {
            Some(own) => {
                let mut written = own.lock().unwrap_or_else(PoisonError::into_inner);
                change(written.get_or_insert_with(|| self.isolate.bindings().clone()));
            }
            None => change(&mut self.isolate.bindings()),
        }
    }
}
