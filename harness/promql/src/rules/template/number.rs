//! Floating-point numbers as Go prints them.

/// Which notation, by Go's letters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    /// `e`: always with an exponent.
    Exponent,
    /// `f`: never with an exponent.
    Plain,
    /// `g`: an exponent only for what is very large or very small.
    Either,
}

/// The shortest text that reads back as `value`, with an exponent below 1e-4 and from 1e+06 on: what `{{ $value }}` prints.
pub(super) fn shortest(value: f64) -> String {
    format(value, Notation::Either, None)
}

/// `value` with `precision` digits (after the point; for `g`, significant ones), or as few as are needed to read it back.
pub(super) fn format(value: f64, notation: Notation, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    match (notation, precision) {
        (Notation::Plain, Some(digits)) => format!("{value:.digits$}"),
        (Notation::Plain, None) => format!("{value}"),
        (Notation::Exponent, Some(digits)) => exponent(&format!("{value:.digits$e}")),
        (Notation::Exponent, None) => exponent(&format!("{value:e}")),
        (Notation::Either, _) => either(value, precision),
    }
}

/// Go's `%g`: trailing zeros are left out, and the exponent decides about the notation.
fn either(value: f64, precision: Option<usize>) -> String {
    let scientific = match precision {
        Some(digits) => format!("{value:.*e}", digits.max(1) - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, power) = split(&scientific);
    let mantissa = if mantissa.contains('.') {
        mantissa.trim_end_matches('0').trim_end_matches('.')
    } else {
        mantissa
    };
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let limit = match precision {
        None => POWER_OF_SHORTEST,
        Some(asked) => i64::try_from(asked.max(1)).unwrap_or(i64::MAX),
    };
    if power < -4 || power >= limit {
        return exponent(&format!("{mantissa}e{power}"));
    }
    let after_point = i64::try_from(digits).unwrap_or(i64::MAX) - 1 - power;
    // The digits are exact already: printing them again at this position rounds nothing.
    let rounded: f64 = scientific.parse().unwrap_or(value);
    format!("{rounded:.*}", usize::try_from(after_point.max(0)).unwrap_or(0))
}

/// The power of ten from which the shortest text has an exponent: Go decides as if six digits had been asked for.
const POWER_OF_SHORTEST: i64 = 6;

/// Mantissa and exponent of what Rust prints with `{:e}`.
fn split(scientific: &str) -> (&str, i64) {
    let (mantissa, power) = scientific.split_once('e').unwrap_or((scientific, "0"));
    (mantissa, power.parse().unwrap_or(0))
}

/// Rust's `1.5e6` as Go's `1.5e+06`.
fn exponent(scientific: &str) -> String {
    let (mantissa, power) = split(scientific);
    let sign = if power < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", power.abs())
}
