//! Tables as CSV (RFC 4180), moments in UTC.

use std::io::{Result, Write};

use crate::recording::{AlertState, CacheStatus, Recording};
use crate::spec::time::IncidentTime;

/// Writes what customers asked and got, minute by minute.
pub(super) fn truth(recording: &Recording, to: &mut dyn Write) -> Result<u64> {
    let header = ["from", "dc", "namespace", "operation", "outcome", "cache", "count"];
    let rows = recording.truth.iter().map(|row| {
        let (outcome, cache) = (row.outcome.name(), cache(row.cache).to_owned());
        let [dc, namespace, operation] =
            [&row.dc, &row.namespace, &row.operation].map(ToString::to_string);
        [moment(row.from), dc, namespace, operation, outcome, cache, row.count.to_string()]
    });
    put(to, header, rows)
}

/// Writes how many requests customers sent, minute by minute, and how many had not ended when the run did.
pub(super) fn offered(recording: &Recording, to: &mut dyn Write) -> Result<u64> {
    let rows = recording.offered.iter();
    let row = |row: &crate::recording::Offered| {
        [moment(row.from), row.sent.to_string(), row.open.to_string()]
    };
    put(to, ["from", "sent", "open"], rows.map(row))
}

/// Writes single requests: every one without a 2xx, and of the rest one in as many as its weight says.
pub(super) fn requests(recording: &Recording, to: &mut dyn Write) -> Result<u64> {
    let header =
        ["at", "latency_us", "dc", "namespace", "operation", "key", "outcome", "cache", "weight"];
    let rows = recording.requests.iter().map(|row| {
        let (outcome, cache) = (row.outcome.name(), cache(row.cache).to_owned());
        let [dc, namespace, operation, key] =
            [&row.dc, &row.namespace, &row.operation, &row.key].map(ToString::to_string);
        let (latency_us, weight) = (row.latency_us.to_string(), row.weight.to_string());
        [moment(row.at), latency_us, dc, namespace, operation, key, outcome, cache, weight]
    });
    put(to, header, rows)
}

/// Writes the alerts that changed their state.
pub(super) fn alerts(recording: &Recording, to: &mut dyn Write) -> Result<u64> {
    let header = ["at", "alert", "labels", "from", "to", "value", "summary"];
    let rows = recording.alerts.iter().map(|row| {
        let labels: Vec<String> =
            row.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let summary = row.annotations.get("summary").cloned().unwrap_or_default();
        let [from, to] = [row.from, row.to].map(|state| state_name(state).to_owned());
        let (alert, value) = (row.alert.clone(), row.value.to_string());
        [moment(row.at), alert, labels.join(" "), from, to, value, summary]
    });
    put(to, header, rows)
}

fn put<const N: usize>(
    to: &mut dyn Write,
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Result<u64> {
    writeln!(to, "{}", header.join(","))?;
    let mut written = 0;
    for row in rows {
        writeln!(to, "{}", row.map(cell).join(","))?;
        written += 1;
    }
    Ok(written)
}

fn cell(text: String) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// RFC 3339 in UTC, to the microsecond where there is a fraction.
fn moment(at: IncidentTime) -> String {
    let micros = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros)
        .map_or_else(|_| at.0.to_string(), |moment| moment.to_string())
}

fn cache(cache: CacheStatus) -> &'static str {
    match cache {
        CacheStatus::None => "",
        CacheStatus::Hit => "hit",
        CacheStatus::Stale => "stale",
        CacheStatus::Miss => "miss",
        CacheStatus::Revalidated => "revalidated",
    }
}

fn state_name(state: AlertState) -> &'static str {
    match state {
        AlertState::Inactive => "inactive",
        AlertState::Pending => "pending",
        AlertState::Firing => "firing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_and_moments_are_utc() {
        let cells = ["plain", "a,b", "say \"no\"", "two\nlines"].map(|text| cell(text.to_owned()));
        assert_eq!(cells, ["plain", "\"a,b\"", "\"say \"\"no\"\"\"", "\"two\nlines\""]);
        assert_eq!(moment(IncidentTime::from_unix_s(1_689_630_720)), "2023-07-17T21:52:00Z");
        assert_eq!(moment(IncidentTime(1_689_630_720_250_000)), "2023-07-17T21:52:00.25Z");
    }
}
