//! Arithmetic as Go and Prometheus do it.

use super::Dialect;
use crate::TimestampMs;

/// Milliseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ms")]
pub(super) fn seconds(ms: TimestampMs) -> f64 {
    ms as f64 / 1000.0
}

/// A count as a number.
#[expect(clippy::cast_precision_loss, reason = "nothing in memory counts to 2^53")]
pub(super) fn number(count: usize) -> f64 {
    count as f64
}

/// A sum with Kahan's compensation in Neumaier's variant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kahan {
    pub(super) sum: f64,
    pub(super) lost: f64,
}

impl Kahan {
    /// The sum of values, in their order.
    pub(super) fn of(values: &[f64], dialect: Dialect) -> Self {
        values.iter().fold(Self::default(), |sum, value| sum.add(*value, dialect))
    }

    #[inline]
    pub(super) fn add(self, value: f64, dialect: Dialect) -> Self {
        let Self { sum, mut lost } = self;
        let total = sum + value;
        if total.is_infinite() && dialect == Dialect::V3 {
            lost = 0.0;
        } else if sum.abs() >= value.abs() {
            lost += (sum - total) + value;
        } else {
            lost += (value - total) + sum;
        }
        Self { sum: total, lost }
    }

    pub(super) fn total(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.lost }
    }
}

/// A running mean: of the sum while that is finite, then incremental.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mean {
    running: Kahan,
    count: f64,
    incremental: bool,
    dialect: Dialect,
    plain: bool,
}

impl Mean {
    /// The mean of one value. A `plain` one is not compensated in 2.x.
    pub(super) fn new(first: f64, dialect: Dialect, plain: bool) -> Self {
        let mean = Self {
            running: Kahan { sum: first, lost: 0.0 },
            count: 1.0,
            incremental: false,
            dialect,
            plain,
        };
        if dialect == Dialect::V2 && !plain {
            return Self { running: Kahan::default().add(first, dialect), ..mean };
        }
        mean
    }

    /// The mean of another first value.
    pub(super) fn restart(self, first: f64) -> Self {
        Self::new(first, self.dialect, self.plain)
    }

    pub(super) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.dialect == Dialect::V2 {
            self.add_incrementally(value);
            return;
        }
        if !self.incremental {
            let next = self.running.add(value, self.dialect);
            if !next.sum.is_infinite() {
                self.running = next;
                return;
            }
            self.incremental = true;
            self.running.sum /= self.count - 1.0;
            self.running.lost /= self.count - 1.0;
        }
        let share = (self.count - 1.0) / self.count;
        let scaled = Kahan { sum: share * self.running.sum, lost: share * self.running.lost };
        self.running = scaled.add(value / self.count, self.dialect);
    }

    /// 2.42 adds the difference to the mean, and keeps an infinite mean.
    fn add_incrementally(&mut self, value: f64) {
        let mean = self.running.sum;
        if mean.is_infinite() {
            let same = value.is_infinite() && (mean > 0.0) == (value > 0.0);
            if same || value.is_finite() {
                return;
            }
        }
        let step = value / self.count - mean / self.count;
        if self.plain {
            self.running.sum += step;
        } else {
            self.running = self.running.add(step, self.dialect);
        }
    }

    pub(super) fn result(self) -> f64 {
        match (self.dialect, self.incremental) {
            (Dialect::V2, _) => self.running.total(),
            (Dialect::V3, true) => self.running.sum + self.running.lost,
            (Dialect::V3, false) => self.running.sum / self.count + self.running.lost / self.count,
        }
    }
}

/// The quantile of values, which get sorted; not a number sorts first.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(|a, b| {
        b.is_nan().cmp(&a.is_nan()).then(a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))
    });
    let last = number(values.len() - 1);
    let rank = q * last;
    let lower = rank.floor().max(0.0);
    let upper = last.min(lower + 1.0);
    let weight = rank - rank.floor();
    values[index(lower)] * (1.0 - weight) + values[index(upper)] * weight
}

/// A whole number from 0 to the length of something in memory.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "callers pass whole numbers within bounds"
)]
fn index(whole: f64) -> usize {
    whole as usize
}

/// Go's `math.Max`: not a number wins over all but infinity.
pub(super) fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`.
pub(super) fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

/// Go's `math.Log2`, which is exact for powers of two.
pub(super) fn log2(value: f64) -> f64 {
    let (fraction, exponent) = libm::frexp(value);
    if fraction.abs() <= 0.5 && fraction >= 0.5 {
        return f64::from(exponent - 1);
    }
    libm::log(fraction) * (1.0 / std::f64::consts::LN_2) + f64::from(exponent)
}

/// Go's `math.Log10`.
pub(super) fn log10(value: f64) -> f64 {
    log2(value) * (std::f64::consts::LN_2 / std::f64::consts::LN_10)
}
