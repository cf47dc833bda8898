//! Durations as Prometheus writes them, and civil dates.

use crate::TimestampMs;

/// The units of a duration, largest first, with their length in milliseconds. A year has 365 days, as in Prometheus.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads `1h30m` and the like in milliseconds: whole numbers, each unit at most once, largest first; `0` needs no unit.
///
/// # Errors
/// The text of Prometheus' own error, when it is not of this form or too long for 64 bits of nanoseconds.
pub(super) fn parse_duration(text: &str) -> Result<i64, String> {
    match text {
        "0" => return Ok(0),
        "" => return Err("empty duration string".to_owned()),
        _ => {}
    }
    let invalid = || format!("not a valid duration string: {text:?}");
    let (mut rest, mut units, mut total_ms) = (text, UNITS.iter(), 0_i64);
    while !rest.is_empty() {
        let digits =
            rest.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0).ok_or_else(invalid)?;
        let letters =
            rest[digits..].find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len() - digits);
        let name = &rest[digits..digits + letters];
        let (_, unit_ms) = units.find(|(unit, _)| *unit == name).ok_or_else(invalid)?;
        let out_of_range = || "duration out of range".to_owned();
        let count: i64 = rest[..digits].parse().map_err(|_| out_of_range())?;
        total_ms = count
            .checked_mul(*unit_ms)
            .and_then(|ms| total_ms.checked_add(ms))
            .ok_or_else(out_of_range)?;
        rest = &rest[digits + letters..];
    }
    if total_ms > i64::MAX / 1_000_000 {
        return Err("duration out of range".to_owned());
    }
    Ok(total_ms)
}

/// Year, month and day of a day number that counts from 1970-01-01, in the proleptic Gregorian calendar.
fn civil(day: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01, so that the leap day is the last day of a year; 146,097 days are 400 years.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (
        era * 400 + year_of_era + i64::from(month <= 2),
        month,
        of_year - (153 * from_march + 2) / 5 + 1,
    )
}

/// Date, clock and fraction of a second (without trailing zeros) of an instant.
fn parts(at: TimestampMs) -> (String, String, String) {
    let (year, month, day) = civil(at.div_euclid(86_400_000));
    let of_day = at.rem_euclid(86_400_000);
    let (seconds, ms) = (of_day / 1_000, of_day % 1_000);
    let fraction =
        if ms == 0 { String::new() } else { format!(".{ms:03}").trim_end_matches('0').to_owned() };
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    (format!("{year:04}-{month:02}-{day:02}"), clock, fraction)
}

/// RFC 3339 in UTC, with as many digits of the second as are not zero, as Go's encoding of JSON writes it.
pub(super) fn rfc3339(at: TimestampMs) -> String {
    let (date, clock, fraction) = parts(at);
    format!("{date}T{clock}{fraction}Z")
}

/// What Go prints for an instant in UTC: `2023-07-13 18:48:00 +0000 UTC`.
pub(super) fn go_time(at: TimestampMs) -> String {
    let (date, clock, fraction) = parts(at);
    format!("{date} {clock}{fraction} +0000 UTC")
}

#[cfg(test)]
mod tests {
    use super::{go_time, parse_duration, rfc3339};

    #[test]
    fn durations_read_as_prometheus_reads_them() {
        for (text, ms) in [
            ("0", 0),
            ("0s", 0),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
        ] {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        assert_eq!(parse_duration("1y2w3d"), Ok(((365 + 14 + 3) * 86_400) * 1_000));
        for text in ["5", "m", "1.5h", "-1m", "30s1m", "1m1m", "1 m", "1M"] {
            assert_eq!(
                parse_duration(text),
                Err(format!("not a valid duration string: {text:?}")),
                "{text}"
            );
        }
        assert_eq!(parse_duration(""), Err("empty duration string".to_owned()));
        assert_eq!(parse_duration("300y"), Err("duration out of range".to_owned()));
    }

    #[test]
    fn instants_read_as_dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_689_274_080_000), "2023-07-13T18:48:00Z");
        assert_eq!(rfc3339(951_782_400_120), "2000-02-29T00:00:00.12Z");
        assert_eq!(go_time(1_435_065_584_128), "2015-06-23 13:19:44.128 +0000 UTC");
        assert_eq!(go_time(-1_000), "1969-12-31 23:59:59 +0000 UTC");
    }
}
