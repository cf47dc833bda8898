//! Numbers for people: `humanize` and its like, with Prometheus' rounding to four digits.

use super::number::{Notation, format};
use super::value::Value;
use crate::labels::quote;
use crate::rules::clock;

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const BINARY: [&str; 8] = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

/// A number, or a text that holds one.
pub(super) fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(number) => Ok(*number),
        #[expect(clippy::cast_precision_loss, reason = "Go converts the same way")]
        Value::Int(number) => Ok(*number as f64),
        Value::Text(text) => text
            .parse()
            .map_err(|_| format!("strconv.ParseFloat: parsing {}: invalid syntax", quote(text))),
        other => Err(format!("can't convert {} to float", other.type_name())),
    }
}

/// `%.4g`
fn four_digits(value: f64) -> String {
    format(value, Notation::Either, Some(4))
}

/// Divides by `base` while it can, at most once for each prefix.
fn scaled_down(mut value: f64, base: f64, prefixes: &[&'static str]) -> (f64, &'static str) {
    let mut prefix = "";
    for next in prefixes {
        if value.abs() < base {
            break;
        }
        prefix = next;
        value /= base;
    }
    (value, prefix)
}

fn scaled_up(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in SMALL {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = next;
        value *= 1_000.0;
    }
    (value, prefix)
}

/// With metric prefixes: 1.235M, 120m.
pub(super) fn metric(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return four_digits(value);
    }
    let (value, prefix) =
        if value.abs() >= 1.0 { scaled_down(value, 1_000.0, &LARGE) } else { scaled_up(value) };
    format!("{}{prefix}", four_digits(value))
}

/// With binary prefixes: 1.5Mi.
pub(super) fn binary(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return four_digits(value);
    }
    let (value, prefix) = scaled_down(value, 1_024.0, &BINARY);
    format!("{}{prefix}", four_digits(value))
}

/// Of a ratio: 12.35%.
pub(super) fn percentage(value: f64) -> String {
    format!("{}%", four_digits(value * 100.0))
}

/// Of seconds: 1d 2h 3m 4s, 1.234s, 100ms.
pub(super) fn duration(value: f64) -> String {
    if !value.is_finite() {
        return four_digits(value);
    }
    if value == 0.0 {
        return format!("{}s", four_digits(value));
    }
    if value.abs() < 1.0 {
        let (value, prefix) = scaled_up(value);
        return format!("{}{prefix}s", four_digits(value));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let size = value.abs();
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds are what is shown")]
    // Seconds that do not fit become the smallest number: what Go's conversion makes of them on common processors.
    let whole = if size < 9_223_372_036_854_775_808.0 { size as i64 } else { i64::MIN };
    let (seconds, minutes, hours, days) =
        (whole % 60, whole / 60 % 60, whole / 3_600 % 24, whole / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", four_digits(size)),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, ..) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

/// Of seconds since 1970: 2023-07-13 18:48:00 +0000 UTC.
pub(super) fn timestamp(value: f64) -> Result<String, String> {
    if !value.is_finite() {
        return Ok(four_digits(value));
    }
    let nanoseconds = value * 1e9;
    // Beyond these, nanoseconds do not fit in 64 bits; the constants are the bounds of i64 as Go compares them.
    if !(-9.223_372_036_854_776e18..=9.223_372_036_854_776e18).contains(&nanoseconds) {
        let shown = super::number::shortest(value);
        return Err(format!(
            "{shown} cannot be represented as a nanoseconds timestamp since it overflows int64"
        ));
    }
    #[expect(clippy::cast_possible_truncation, reason = "Go truncates to whole nanoseconds")]
    let whole = nanoseconds as i64;
    Ok(clock::go_time(whole / 1_000_000))
}
