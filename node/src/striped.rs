//! Values of which each thread has its own: threads that write to one place in memory wait for each other's cores to give
//! it up, at every request and for as long as a request takes to parse its path.
//!
//! Which of them a thread gets decides nothing that anybody sees. Whoever counts in them adds up all of them; whoever keeps
//! something in them would find the same in each.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads beyond this share with others.
pub(crate) const STRIPES: usize = 16;

/// How many threads have been given a place so far.
static PLACES: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static PLACE: usize = PLACES.fetch_add(1, Ordering::Relaxed) % STRIPES;
}

/// Something that shares no line of memory with its neighbours; processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Apart<T>(pub(crate) T);

impl<T> Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// One value for each thread.
#[derive(Debug)]
pub(crate) struct Striped<T>(Box<[Apart<T>]>);

impl<T: Default> Default for Striped<T> {
    fn default() -> Self {
        Self((0..STRIPES).map(|_| Apart::default()).collect())
    }
}

impl<T> Striped<T> {
    /// That of the calling thread.
    pub(crate) fn mine(&self) -> &T {
        &self.0[PLACE.with(|place| *place)]
    }

    /// Those that a thread can have used.
    pub(crate) fn used(&self) -> impl Iterator<Item = &T> {
        let used = PLACES.load(Ordering::Relaxed).min(STRIPES);
        self.0[..used].iter().map(Deref::deref)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn what_threads_count_for_themselves_adds_up() {
        let counts: Striped<AtomicU64> = Striped::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| counts.mine().fetch_add(1, Ordering::Relaxed));
            }
        });
        let sum: u64 = counts.used().map(|count| count.load(Ordering::Relaxed)).sum();
        assert_eq!(sum, 2 * STRIPES as u64);
    }
}
