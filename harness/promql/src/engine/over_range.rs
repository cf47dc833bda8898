//! Functions of a range: from the samples of each series to one value.

use super::eval::Evaluator;
use super::math::{self, Kahan, Mean, number, quantile};
use super::select::Span;
use super::{Dialect, EvalError, Sample, rate};
use crate::TimestampMs;
use crate::labels::Labels;
use crate::query::plan::{Call, Expr};
use crate::query::{Function, ValueType, value_type};

/// What a function of a range gets to see.
pub(super) struct Input<'w> {
    pub(super) times: &'w [TimestampMs],
    pub(super) values: &'w [f64],
    pub(super) span: Span,
    /// The evaluation time.
    pub(super) time: TimestampMs,
    /// The arguments that are scalars.
    pub(super) parameters: [f64; 2],
    pub(super) dialect: Dialect,
}

/// Returns nothing for a series with too few samples; there is always at least one.
type Kernel = fn(&Input<'_>) -> Option<f64>;

impl Evaluator<'_> {
    pub(super) fn over_range(
        &mut self,
        call: &Call,
        time: TimestampMs,
    ) -> Result<Vec<Sample>, EvalError> {
        let mut vector = Vec::new();
        let unlike = self.each_over_range(call, time, |labels, value| {
            vector.push(Sample { labels: labels.clone(), value });
        })?;
        if !unlike {
            self.cache.node(call.node).unique.check(&vector)?;
        }
        Ok(vector)
    }

    /// Visits what a function of a range makes of each series. Returns whether labels of any two are sure to differ.
    pub(super) fn each_over_range(
        &mut self,
        call: &Call,
        time: TimestampMs,
        mut visit: impl FnMut(&Labels, f64),
    ) -> Result<bool, EvalError> {
        let kernel = kernel(call.function)
            .ok_or_else(|| EvalError::new("this function cannot be evaluated"))?;
        let mut parameters = [0.0; 2];
        let mut given = 0;
        let mut range = None;
        for argument in &call.arguments {
            if value_type(argument) == ValueType::Matrix {
                range = Some(argument);
            } else {
                parameters[given] = self.scalar(argument, time)?;
                given += 1;
            }
        }
        let range = range.ok_or_else(|| EvalError::new("expected a range vector"))?;
        let (span, dialect) = (self.span(range, time)?, self.settings.dialect);
        let keeps_name = matches!(call.function, Function::LastOverTime | Function::FirstOverTime);
        let mut any = false;
        self.windows(range, time, |window| {
            let input = Input {
                times: window.times,
                values: window.values,
                span,
                time,
                parameters,
                dialect,
            };
            if let Some(value) = kernel(&input) {
                any = true;
                visit(if keeps_name { window.labels } else { window.bare }, value);
            }
        })?;
        if matches!(call.function, Function::HoltWinters | Function::DoubleExponentialSmoothing)
            && any
        {
            check_factors(parameters)?;
        }
        Ok(keeps_name || one_metric(range))
    }

    /// The function of a range that an expression is, where no two of its results have the same labels.
    pub(super) fn of_one_metric(expr: &Expr) -> Option<&Call> {
        match expr {
            Expr::Call(call)
                if kernel(call.function).is_some() && call.arguments.iter().any(one_metric) =>
            {
                Some(call)
            }
            _ => None,
        }
    }
}

fn one_metric(range: &Expr) -> bool {
    matches!(range, Expr::Range { selection, .. } if selection.metric.is_some())
}

fn kernel(function: Function) -> Option<Kernel> {
    Some(match function {
        Function::Rate => |input| rate::extrapolated(input, true, true),
        Function::Increase => |input| rate::extrapolated(input, true, false),
        Function::Delta => |input| rate::extrapolated(input, false, false),
        Function::Irate => |input| rate::instant(input, true),
        Function::Idelta => |input| rate::instant(input, false),
        Function::Resets => {
            |input| Some(number(pairs(input).filter(|(before, after)| after < before).count()))
        }
        Function::Changes => |input| {
            Some(number(pairs(input).filter(|(before, after)| changed(*before, *after)).count()))
        },
        Function::Deriv => {
            |input| (input.values.len() > 1).then(|| regression(input, input.times[0]).0)
        }
        Function::PredictLinear => predict_linear,
        Function::HoltWinters | Function::DoubleExponentialSmoothing => smooth,
        Function::SumOverTime => |input| Some(Kahan::of(input.values, input.dialect).total()),
        Function::AvgOverTime => average,
        Function::CountOverTime => |input| Some(number(input.values.len())),
        Function::PresentOverTime => |_| Some(1.0),
        Function::MaxOverTime => {
            |input| extreme(input, |value, best| value > best).map(|(_, value)| value)
        }
        Function::MinOverTime => {
            |input| extreme(input, |value, best| value < best).map(|(_, value)| value)
        }
        Function::TsOfMaxOverTime => {
            |input| extreme(input, |value, best| value >= best).map(|(time, _)| time)
        }
        Function::TsOfMinOverTime => {
            |input| extreme(input, |value, best| value <= best).map(|(time, _)| time)
        }
        Function::FirstOverTime => |input| input.values.first().copied(),
        Function::LastOverTime => |input| input.values.last().copied(),
        Function::TsOfFirstOverTime => |input| input.times.first().map(|time| math::seconds(*time)),
        Function::TsOfLastOverTime => |input| input.times.last().map(|time| math::seconds(*time)),
        Function::QuantileOverTime => {
            |input| Some(quantile(input.parameters[0], &mut input.values.to_vec()))
        }
        Function::MadOverTime => |input| Some(median_deviation(input)),
        Function::StdvarOverTime => |input| Some(variance(input)),
        Function::StddevOverTime => |input| Some(variance(input).sqrt()),
        _ => return None,
    })
}

fn pairs(input: &Input<'_>) -> impl Iterator<Item = (f64, f64)> {
    input.values.iter().copied().zip(input.values[1..].iter().copied())
}

#[expect(clippy::float_cmp, reason = "a change is any difference")]
fn changed(before: f64, after: f64) -> bool {
    before != after && !(before.is_nan() && after.is_nan())
}

fn average(input: &Input<'_>) -> Option<f64> {
    if input.dialect == Dialect::V3 {
        let sum = Kahan::of(input.values, Dialect::V3);
        let count = number(input.values.len());
        // The mean is that of the sum as long as no partial sum overflows.
        if sum.sum.is_finite() {
            return Some(sum.sum / count + sum.lost / count);
        }
    }
    let (first, rest) = input.values.split_first()?;
    let mut mean = Mean::new(*first, input.dialect, false);
    for value in rest {
        mean.add(*value);
    }
    Some(mean.result())
}

/// The best value with its time in seconds. Anything is better than not a number.
fn extreme(input: &Input<'_>, better: fn(f64, f64) -> bool) -> Option<(f64, f64)> {
    let (mut at, mut best) = (0, *input.values.first()?);
    for (nth, value) in input.values.iter().enumerate() {
        if better(*value, best) || best.is_nan() {
            (at, best) = (nth, *value);
        }
    }
    Some((math::seconds(input.times[at]), best))
}

/// The median of the distances from the median.
fn median_deviation(input: &Input<'_>) -> f64 {
    if input.values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let mut values = input.values.to_vec();
    let median = quantile(0.5, &mut values);
    for value in &mut values {
        *value = (*value - median).abs();
    }
    quantile(0.5, &mut values)
}

/// Welford's method, compensated.
fn variance(input: &Input<'_>) -> f64 {
    let (mut mean, mut squares, mut count) = (Kahan::default(), Kahan::default(), 0.0);
    for value in input.values {
        count += 1.0;
        let delta = value - (mean.sum + mean.lost);
        mean = mean.add(delta / count, input.dialect);
        squares = squares.add(delta * (value - (mean.sum + mean.lost)), input.dialect);
    }
    (squares.sum + squares.lost) / count
}

/// Slope and intercept at a time, by least squares.
#[expect(clippy::float_cmp, reason = "a constant series has no other value at all")]
fn regression(input: &Input<'_>, intercept_time: TimestampMs) -> (f64, f64) {
    let first = input.values[0];
    if input.values[1..].iter().all(|value| *value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let mut sums = [Kahan::default(); 4];
    for (time, y) in input.times.iter().zip(input.values) {
        let x = math::seconds(time - intercept_time);
        for (sum, term) in sums.iter_mut().zip([x, *y, x * y, x * x]) {
            *sum = sum.add(term, input.dialect);
        }
    }
    let n = number(input.values.len());
    let [x, y, xy, xx] = sums.map(|sum| sum.sum + sum.lost);
    let slope = (xy - x * y / n) / (xx - x * x / n);
    (slope, y / n - slope * x / n)
}

fn predict_linear(input: &Input<'_>) -> Option<f64> {
    if input.values.len() < 2 {
        return None;
    }
    let (slope, intercept) = regression(input, input.time);
    Some(slope * input.parameters[0] + intercept)
}

/// Double exponential smoothing with a smoothing factor and a trend factor.
fn smooth(input: &Input<'_>) -> Option<f64> {
    let [smoothing, trend_factor] = input.parameters;
    let (first, second) = (*input.values.first()?, *input.values.get(1)?);
    let (mut before, mut smoothed, mut trend) = (0.0, first, second - first);
    for (nth, value) in input.values[1..].iter().enumerate() {
        if nth > 0 {
            trend = trend_factor * (smoothed - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (smoothed + trend);
        (before, smoothed) = (smoothed, next);
    }
    Some(smoothed)
}

fn check_factors([smoothing, trend]: [f64; 2]) -> Result<(), EvalError> {
    for (name, short, factor) in [("smoothing", "sf", smoothing), ("trend", "tf", trend)] {
        if factor <= 0.0 || factor >= 1.0 {
            return Err(EvalError::new(format!(
                "invalid {name} factor. Expected: 0 < {short} < 1, got: {factor:.6}"
            )));
        }
    }
    Ok(())
}
