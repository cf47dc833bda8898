//! The first customer who failed because of an incident, by what customers measured.

use std::time::Duration;

use super::Customers;
use crate::recording::{Outcome, Recording, RequestRow};
use crate::spec::cause::Cause;
use crate::spec::expectation::Window;
use crate::spec::time::IncidentTime;

/// Within so much of it a failure must be one of more than noise ever brings, or it is noise.
const SPAN: Duration = Duration::from_mins(1);

/// Whether a request ended as the cause lets requests end. A customer who is refused with a valid token fails as well: where
/// nothing is said of outcomes, 401 and 403 count.
pub(super) fn hurt(cause: &Cause, outcome: Outcome) -> bool {
    let named = |name: &str| cause.outcomes.contains(name);
    match outcome {
        Outcome::Aborted => false,
        Outcome::Timeout => cause.outcomes.is_empty() || named("timeout"),
        Outcome::Broken => cause.outcomes.is_empty() || named("broken"),
        Outcome::Status(status) if cause.outcomes.is_empty() => {
            status >= 500 || matches!(status, 401 | 403)
        }
        Outcome::Status(status) => named(&status.to_string()),
    }
}

/// Requests that ended so in a window, in the order in which they were sent.
pub(super) fn failing<'a>(
    recording: &'a Recording,
    cause: &Cause,
    window: Window,
) -> Vec<&'a RequestRow> {
    let mut rows: Vec<&RequestRow> = recording
        .requests
        .iter()
        .filter(|row| window.contains(row.at) && hurt(cause, row.outcome))
        .collect();
    rows.sort_by_key(|row| row.at);
    rows
}

/// The first request that failed because of the cause: the first after which more fail within a minute than in any minute of
/// the baseline.
pub(super) fn first(recording: &Recording, cause: &Cause, window: Window) -> Option<Customers> {
    let usual = failing(recording, cause, cause.baseline);
    let most = (0..usual.len()).map(|at| soon(&usual, at)).max().unwrap_or(0);
    let rows = failing(recording, cause, window);
    let at = (0..rows.len()).find(|at| soon(&rows, *at) > most)?;
    let failures = rows[at..].iter().map(|row| row.weight).sum();
    Some(Customers { first: rows[at].at, failures })
}

/// Failures from one of them on, within a minute.
fn soon(rows: &[&RequestRow], at: usize) -> usize {
    let until: IncidentTime = rows[at].at.after(SPAN);
    rows[at..].partition_point(|row| row.at < until)
}
