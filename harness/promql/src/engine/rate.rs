//! Rates and differences, with what they assume about the ends of the range.

use super::Dialect;
use super::math::{number, seconds};
use super::over_range::Input;

/// `rate`, `increase` and `delta`: the difference between the ends, extrapolated to the range.
///
/// The order of operations is Prometheus': the factor first, then the product.
pub(super) fn extrapolated(input: &Input<'_>, is_counter: bool, per_second: bool) -> Option<f64> {
    let last = input.values.len().checked_sub(1).filter(|last| *last > 0)?;
    let mut difference = input.values[last] - input.values[0];
    if is_counter {
        let mut before = input.values[0];
        for value in &input.values[1..] {
            if *value < before {
                difference += before;
            }
            before = *value;
        }
    }
    let sampled = seconds(input.times[last] - input.times[0]);
    let average = sampled / number(last);
    let to_start = seconds(input.times[0] - input.span.start);
    let to_end = seconds(input.span.end - input.times[last]);
    // A counter was not below zero: the time at which it would have been zero, if there is one.
    let zero = (is_counter && difference > 0.0 && input.values[0] >= 0.0)
        .then(|| sampled * (input.values[0] / difference));
    let covered = match input.dialect {
        Dialect::V2 => covered_v2((sampled, average), to_start, to_end, zero),
        Dialect::V3 => covered_v3((sampled, average), to_start, to_end, zero),
    };
    let mut factor = covered / sampled;
    if per_second {
        factor /= seconds(input.span.range_ms);
    }
    Some(difference * factor)
}

/// Since 2.51: first, an end that is too far away counts as half a distance between samples; then zero limits the start.
fn covered_v3(
    (sampled, average): (f64, f64),
    mut to_start: f64,
    mut to_end: f64,
    zero: Option<f64>,
) -> f64 {
    let threshold = average * 1.1;
    if to_start >= threshold {
        to_start = average / 2.0;
    }
    if let Some(zero) = zero
        && zero < to_start
    {
        to_start = zero;
    }
    if to_end >= threshold {
        to_end = average / 2.0;
    }
    sampled + to_start + to_end
}

/// Until 2.50: zero limits the start before it is compared to the threshold.
fn covered_v2(
    (sampled, average): (f64, f64),
    mut to_start: f64,
    to_end: f64,
    zero: Option<f64>,
) -> f64 {
    let threshold = average * 1.1;
    if let Some(zero) = zero
        && zero < to_start
    {
        to_start = zero;
    }
    let mut covered = sampled;
    covered += if to_start < threshold { to_start } else { average / 2.0 };
    covered += if to_end < threshold { to_end } else { average / 2.0 };
    covered
}

/// `irate` and `idelta`: from the last two samples.
pub(super) fn instant(input: &Input<'_>, is_rate: bool) -> Option<f64> {
    let last = input.values.len().checked_sub(1).filter(|last| *last > 0)?;
    let (before, after) = (input.values[last - 1], input.values[last]);
    let interval = input.times[last] - input.times[last - 1];
    let difference = if is_rate && after < before { after } else { after - before };
    Some(if is_rate { difference / seconds(interval) } else { difference })
}
