//! Writes that wait for a batch.
//!
//! One of those who wait writes for all who wait by then; while it waits for the disk, the next batch gathers. Each waits on a
//! slot of its own. If all waited for the lock of the log, who has an answer would stand in line with who needs the disk.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::backend::{Condition, Outcome, StoreError};
use crate::object::Stat;

/// How a write ended.
pub(super) type Answer = Result<Outcome, StoreError>;

/// A write that waits for its batch.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) name: Arc<str>,
    pub(super) only: Condition,
    /// The record that carries it out.
    pub(super) record: Bytes,
    /// What will then be held; `None` for a removal.
    pub(super) stat: Option<Stat>,
    pub(super) slot: Arc<Slot>,
}

/// Where a write waits.
#[derive(Debug, Default)]
pub(super) struct Slot {
    turn: Mutex<Turn>,
    changed: Condvar,
}

/// What a write that waits is to do next.
#[derive(Debug, Default)]
pub(super) enum Turn {
    /// Wait.
    #[default]
    Wait,
    /// Write for all who wait.
    Lead,
    /// Go home with this.
    Answered(Answer),
}

impl Slot {
    pub(super) fn tell(&self, turn: Turn) {
        *locked(&self.turn) = turn;
        self.changed.notify_one();
    }

    /// Waits until it is told something, and takes it.
    pub(super) fn turn(&self) -> Turn {
        let waiting = |turn: &mut Turn| matches!(turn, Turn::Wait);
        let turn = self.changed.wait_while(locked(&self.turn), waiting);
        std::mem::take(&mut *turn.unwrap_or_else(PoisonError::into_inner))
    }
}

/// Those who wait.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    jobs: Vec<Job>,
    /// Whether somebody writes.
    led: bool,
}

impl Queue {
    /// Joins those who wait. Where nobody writes, it is told to.
    pub(super) fn join(&self, job: Job) {
        let mut waiting = locked(&self.0);
        if !waiting.led {
            waiting.led = true;
            job.slot.tell(Turn::Lead);
        }
        waiting.jobs.push(job);
    }

    /// All who wait, for whoever leads.
    pub(super) fn take(&self) -> Vec<Job> {
        std::mem::take(&mut locked(&self.0).jobs)
    }

    /// Lets one of those lead who have come since, if any.
    pub(super) fn hand_over(&self) {
        let mut waiting = locked(&self.0);
        match waiting.jobs.first() {
            Some(job) => job.slot.tell(Turn::Lead),
            None => waiting.led = false,
        }
    }
}

/// No code that can panic runs under these locks, so a poisoned one is still whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
