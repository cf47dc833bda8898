//! The response log: which answers make a line, and what it says.
//!
//! Lines are few and stand for many. Of answers 2xx the first and then every so-manyth makes a line; of all others, for each status and error
//! class, the first lines of each window, and then every so-manyth. A line says how many answers it stands for, its own and
//! those since the line before it, so that the sum over the lines of a class is the count of its answers but for a rest
//! that is smaller than one step. Nothing here is random: the sum is exact, not only right in the mean.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use crate::cache::{CacheResult, TierRole};
use crate::env::Timestamp;
use crate::ids::{BuildId, Dc, Namespace};
use crate::striped::Apart;
use crate::worker::ScriptName;

/// Of the answers 2xx, one line for so many.
pub const SUCCESSES_PER_LINE: u32 = 256;
/// Of the others, one line for so many once the first ones of a window have been told.
pub const FAILURES_PER_LINE: u32 = 16;
/// So many of a status and error class are told one by one in each window.
const FIRST_LINES: u32 = 4;
/// Length of a window.
const WINDOW: Duration = Duration::from_mins(1);
/// Classes that are kept apart; a node knows a few dozen, whatever is asked of it.
const CLASSES_MAX: usize = 256;

/// Why an answer is no success: coarser than an error's text, finer than a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorClass {
    /// There is no such key or namespace.
    NotFound,
    /// The request is not what the API takes.
    Refused,
    /// A key was written too often.
    TooManyWrites,
    /// The signature is missing or wrong.
    Unsigned,
    /// The control data of a tier request is missing.
    MissingContext,
    /// The key's owner threw.
    OwnerFailed,
    /// Nobody who could answer was reached.
    Unavailable,
    /// What is stored is not what was sealed.
    Damaged,
    /// An exception left the script.
    Exception,
    /// The build is one of another environment.
    WrongEnvironment,
    /// There is no such build.
    NoSuchBuild,
    /// The host of the stores could not be resolved.
    NotResolved,
}

impl ErrorClass {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Refused => "refused",
            Self::TooManyWrites => "too-many-writes",
            Self::Unsigned => "unsigned",
            Self::MissingContext => "missing-context",
            Self::OwnerFailed => "owner-failed",
            Self::Unavailable => "unavailable",
            Self::Damaged => "damaged",
            Self::Exception => "exception",
            Self::WrongEnvironment => "wrong-environment",
            Self::NoSuchBuild => "no-such-build",
            Self::NotResolved => "not-resolved",
        }
    }
}

/// One line of the response log. What a build does not tell is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseLine {
    /// When the answer was given.
    pub at: Timestamp,
    /// How many answers it stands for, itself among them: the inverse of the sampling rate.
    pub stands_for: u32,
    /// Where.
    pub dc: Dc,
    /// By which script.
    pub script: ScriptName,
    /// `get`, `put`, `delete`, `purge`, `other`.
    pub operation: String,
    /// The status.
    pub status: u16,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// The context that an engineer needs; absent in builds without `boundary-log`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<LineContext>,
}

/// What a line says beside the answer itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineContext {
    /// The trace, as 32 hexadecimal digits.
    pub trace: String,
    /// What served it.
    pub build: BuildId,
    /// Under which configuration.
    pub revision: u64,
    /// In which isolate.
    pub isolate: u32,
    /// In which role.
    pub role: Role,
    /// Whose key, where one was named.
    pub namespace: Option<Namespace>,
    /// A hash of the key, never the key: 16 hexadecimal digits.
    pub key_hash: Option<String>,
    /// The data center that was asked last as the key's owner.
    pub owner: Option<Dc>,
    /// What the cache did.
    pub cache: Option<CacheResult>,
    /// Why it is no success.
    pub error: Option<ErrorClass>,
}

/// In which role a script answered.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// For its own customers.
    #[default]
    Edge,
    /// As the owner in a region.
    Regional,
    /// As the owner in an origin region.
    Upper,
}

impl Role {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Regional => "regional",
            Self::Upper => "upper",
        }
    }
}

impl From<TierRole> for Role {
    fn from(role: TierRole) -> Self {
        match role {
            TierRole::Regional => Self::Regional,
            TierRole::Upper => Self::Upper,
        }
    }
}

/// What keeps answers apart when lines are chosen.
type Class = (ScriptName, u16, Option<ErrorClass>);

/// Chooses lines by class.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    /// Of each script, the answers 200: nearly all that there are, so they are counted without a lock.
    answered: [Apart<AtomicU64>; 2],
    classes: Mutex<IndexMap<Class, Seen, FxBuildHasher>>,
}

#[derive(Debug, Default)]
struct Seen {
    window: u64,
    told: u32,
    untold: u32,
    ever: bool,
}

impl Sampler {
    /// For how many answers a line has to stand if this one makes one.
    pub(super) fn draw(&self, now: Timestamp, class: Class) -> Option<u32> {
        if let (script, 200, None) = class {
            let before = self.answered[script as usize].fetch_add(1, Ordering::Relaxed);
            return match before {
                0 => Some(1),
                _ => before.is_multiple_of(SUCCESSES_PER_LINE.into()).then_some(SUCCESSES_PER_LINE),
            };
        }
        let mut classes = self.classes.lock().unwrap_or_else(PoisonError::into_inner);
        // Beyond the limit classes share a place: their sum stays right.
        let class = if classes.len() < CLASSES_MAX || classes.contains_key(&class) {
            class
        } else {
            (class.0, class.1, None)
        };
        let seen = classes.entry(class).or_default();
        let window = now.0 / u64::try_from(WINDOW.as_micros()).unwrap_or(1);
        if seen.window != window {
            (seen.window, seen.told) = (window, 0);
        }
        seen.untold += 1;
        let success = (200..300).contains(&class.1);
        let first = !seen.ever || (!success && seen.told < FIRST_LINES);
        let step = if success { SUCCESSES_PER_LINE } else { FAILURES_PER_LINE };
        if !first && seen.untold < step {
            return None;
        }
        seen.told += 1;
        seen.ever = true;
        Some(std::mem::take(&mut seen.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: ScriptName = ScriptName::Gateway;

    #[test]
    fn lines_stand_for_all_answers_but_a_rest_smaller_than_a_step() {
        let sampler = Sampler::default();
        let failed = (GATEWAY, 500, Some(ErrorClass::OwnerFailed));
        let mut sum = 0;
        for n in 0..10_007u64 {
            sum += sampler.draw(Timestamp::from_unix_s(n / 7), failed).unwrap_or(0);
        }
        assert!((10_007 - 16..=10_007).contains(&sum), "{sum}");
    }

    #[test]
    fn the_first_failures_of_a_window_are_told_one_by_one_each_class_for_itself() {
        let sampler = Sampler::default();
        let at = Timestamp::from_unix_s(0);
        let class = |error| (GATEWAY, 500, Some(error));
        let told = |error| sampler.draw(at, class(error)).is_some();
        assert_eq!(
            [(); 6].map(|()| told(ErrorClass::Exception)),
            [true, true, true, true, false, false]
        );
        assert!(told(ErrorClass::OwnerFailed));
        let later = Timestamp::from_unix_s(60);
        assert_eq!(
            sampler.draw(later, class(ErrorClass::Exception)),
            Some(3),
            "with the two untold"
        );
    }

    #[test]
    fn of_successes_the_first_and_every_256th_make_a_line() {
        let sampler = Sampler::default();
        let told = (0..1_000)
            .filter_map(|s| sampler.draw(Timestamp::from_unix_s(s), (GATEWAY, 200, None)));
        assert_eq!(told.collect::<Vec<u32>>(), [1, 256, 256, 256]);
    }
}
