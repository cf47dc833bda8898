//! Measures of answers by their status.

use super::measure::{Judge, Taken, ratio};
use crate::recording::Outcome;
use crate::spec::expectation::Window;
use crate::spec::measure::Scope;

impl Judge<'_> {
    pub(super) fn hot_cold(&self, window: Window, status: u16, hot: u32) -> Taken {
        let (mut of_hot, mut of_cold) = ((0, 0), (0, 0));
        let all = Scope::default();
        for row in self.requests(window, &all) {
            // Keys are numbered by how often they are read.
            let Some(rank) = row.key.strip_prefix('k').and_then(|rank| rank.parse::<u32>().ok())
            else {
                continue;
            };
            let (with, of) = if rank < hot { &mut of_hot } else { &mut of_cold };
            *of += row.weight;
            *with += if row.outcome == Outcome::Status(status) { row.weight } else { 0 };
        }
        let (a, b) = (ratio(of_hot.0, of_hot.1), ratio(of_cold.0, of_cold.1));
        Taken::new((a - b).abs(), of_hot.1.min(of_cold.1)).note(format!(
            "{:.1} % against {:.1} %",
            a * 100.0,
            b * 100.0
        ))
    }

    pub(super) fn status_share(&self, window: Window, status: u16, scope: &Scope) -> Taken {
        let (mut with, mut all) = (0, 0);
        for row in self.truth(window, scope) {
            all += row.count;
            with += if row.outcome == Outcome::Status(status) { row.count } else { 0 };
        }
        Taken::new(ratio(with, all), all)
    }
}
