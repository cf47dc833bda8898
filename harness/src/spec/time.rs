//! Incident time: UTC, as in a post-mortem.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
pub use kv_node::env::Timestamp as IncidentTime;

/// Reads `2023-07-17 21:52`, with `T` or a blank between, seconds optional.
pub fn parse(text: &str) -> Option<IncidentTime> {
    let moment: DateTime = text.replace(' ', "T").parse().ok()?;
    let zoned = moment.to_zoned(TimeZone::UTC).ok()?;
    u64::try_from(zoned.timestamp().as_microsecond()).ok().map(IncidentTime)
}

/// Writes `2023-07-17 21:52:00`.
pub fn format(moment: IncidentTime) -> String {
    civil(moment).map_or_else(|| moment.0.to_string(), |c| c.strftime("%F %T").to_string())
}

/// Writes `21:52`, with seconds where there are some.
pub fn clock(moment: IncidentTime) -> String {
    let pattern = if moment.unix_s().is_multiple_of(60) { "%R" } else { "%T" };
    civil(moment).map_or_else(|| moment.0.to_string(), |c| c.strftime(pattern).to_string())
}

/// Seconds since midnight UTC.
pub fn second_of_day(moment: IncidentTime) -> u64 {
    moment.unix_s() % 86_400
}

/// Midnight at the beginning of a moment's day.
pub fn midnight(moment: IncidentTime) -> IncidentTime {
    IncidentTime::from_unix_s(moment.unix_s() - second_of_day(moment))
}

/// Reads `90 s`, `5 minutes`, `2 h`, `1 day`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.trim().split_once(' ')?;
    let number: f64 = number.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0)?;
    let unit_s = match unit.trim_end_matches('s') {
        "m" if unit == "ms" => 0.001,
        "" | "second" => 1.0,
        "minute" | "min" => 60.0,
        "hour" | "h" => 3_600.0,
        "day" => 86_400.0,
        _ => return None,
    };
    Some(Duration::from_secs_f64(number * unit_s))
}

/// Writes a duration as a person says it: `2 h 17 min`, `42 s`, `180 ms`.
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration < Duration::from_secs(1) {
        return format!("{} ms", duration.as_millis());
    }
    let (h, min, s) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let parts: Vec<String> = [(h, "h"), (min, "min"), (s, "s")]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number} {unit}"))
        .collect();
    parts.join(" ")
}

fn civil(moment: IncidentTime) -> Option<DateTime> {
    let micros = i64::try_from(moment.0).ok()?;
    let timestamp = jiff::Timestamp::from_microsecond(micros).ok()?;
    Some(timestamp.to_zoned(TimeZone::UTC).datetime())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_written() {
        let moment = parse("2023-07-17 21:52").unwrap();
        assert_eq!(moment.unix_s(), 1_689_630_720);
        assert_eq!(format(moment), "2023-07-17 21:52:00");
        assert_eq!(clock(moment), "21:52");
        assert_eq!(parse("2023-07-17T21:52:00"), Some(moment));
        assert_eq!(parse("2023-07-32 21:52"), None);
        assert_eq!(format(midnight(moment)), "2023-07-17 00:00:00");
    }

    #[test]
    fn durations_are_read_and_written() {
        assert_eq!(parse_duration("2 h"), Some(Duration::from_hours(2)));
        assert_eq!(parse_duration("5 minutes"), Some(Duration::from_mins(5)));
        assert_eq!(parse_duration("90 s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("250 ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("5 fortnights"), None);
        assert_eq!(parse_duration("-1 s"), None);
        assert_eq!(format_duration(Duration::from_mins(137)), "2 h 17 min");
    }
}
