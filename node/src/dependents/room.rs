//! A waiting room: so many new visitors a minute, the others wait. Whoever is in has a cookie that says so.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderName;

use crate::env::Timestamp;

/// By which a visitor shows that they were let in.
pub const COOKIE: HeaderName = HeaderName::from_static("room-cookie");

const MINUTE: Duration = Duration::from_mins(1);

/// Who was let in within the last minute.
#[derive(Default)]
pub(super) struct Room(Mutex<VecDeque<Timestamp>>);

impl Room {
    /// Whether there is room for one more, who then is in.
    pub(super) fn admits(&self, new_per_minute: usize, now: Timestamp) -> bool {
        let mut let_in = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let_in.front().is_some_and(|at| now.since(*at) >= MINUTE) {
            let_in.pop_front();
        }
        let room = let_in.len() < new_per_minute;
        if room {
            let_in.push_back(now);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_lets_so_many_in_each_minute() {
        let room = Room::default();
        let at = |s: u64| Timestamp(s * 1_000_000);
        assert!(room.admits(2, at(0)) && room.admits(2, at(10)));
        assert!(!room.admits(2, at(59)));
        assert!(room.admits(2, at(60)));
        assert!(!room.admits(2, at(61)));
        assert!(room.admits(2, at(70)));
    }
}
