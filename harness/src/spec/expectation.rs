//! Expectations: what a scenario says of a recording.
//!
//! An expectation is one or more checks; a check is a [`Measure`] over a window, with a bound. The judge knows how to take
//! each measure from a recording.

use serde::{Deserialize, Serialize};

use super::measure::{Measure, Unit};
use super::time::IncidentTime;

/// What a `Then` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// The row's id, such as `R1-1`, or the step's own words.
    pub title: String,
    /// What is claimed, in words.
    pub says: String,
    /// The step's line.
    pub line: usize,
    /// All of them must hold.
    pub checks: Vec<Check>,
}

/// A measure, where to take it, and what it must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What is measured.
    pub measure: Measure,
    /// From when to when.
    pub window: Window,
    /// What it must be.
    pub bound: Bound,
    /// Where the bound comes from.
    pub basis: Basis,
}

/// A span of incident time, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// From.
    pub from: IncidentTime,
    /// To.
    pub to: IncidentTime,
}

impl Window {
    /// Whether a moment lies in it.
    pub fn contains(&self, moment: IncidentTime) -> bool {
        self.from <= moment && moment < self.to
    }
}

/// The least and the most that a measure may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// At least.
    pub min: Option<f64>,
    /// Whether that itself is too little: "above 0" is not 0.
    #[serde(default)]
    pub above_min: bool,
    /// At most.
    pub max: Option<f64>,
}

impl Bound {
    /// No more than a number.
    pub fn at_most(max: f64) -> Self {
        Self { max: Some(max), ..Self::default() }
    }

    /// No less than a number.
    pub fn at_least(min: f64) -> Self {
        Self { min: Some(min), ..Self::default() }
    }

    /// More than a number.
    pub fn above(min: f64) -> Self {
        Self { above_min: true, ..Self::at_least(min) }
    }

    /// No less than one number, no more than another.
    pub fn between(min: f64, max: f64) -> Self {
        Self { max: Some(max), ..Self::at_least(min) }
    }

    /// Whether a value lies within.
    pub fn holds(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value > min || (!self.above_min && value >= min))
            && self.max.is_none_or(|max| value <= max)
    }

    /// How far a value lies from the nearest bound, as a share of the band: of the distance between the bounds where there
    /// are two, of the bound where there is an upper one only, of the value where there is a lower one only (of the way to
    /// 1, where that is a share of one half or more). Negative outside. None where the bound is one number, which is met or not.
    #[expect(clippy::float_cmp, reason = "two bounds that were written alike are one")]
    pub fn margin(&self, value: f64, unit: Unit) -> Option<f64> {
        match (self.min, self.max) {
            (Some(min), None) if unit == Unit::Share && (0.5..1.0).contains(&min) => {
                Some((value - min) / (1.0 - min))
            }
            (Some(min), Some(max)) if min == max => None,
            (Some(min), Some(max)) => Some((value - min).min(max - value) / (max - min)),
            (None, Some(0.0) | None) => None,
            (None, Some(max)) => Some((max - value) / max.abs()),
            (Some(min), None) if value > 0.0 => Some((value - min) / value),
            (Some(_), None) => Some(-1.0),
        }
    }
}

/// Where a bound comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The named source states it.
    Published,
    /// We chose it.
    Assumed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_a_number_is_not_that_number() {
        assert!(Bound::above(0.0).holds(0.001) && !Bound::above(0.0).holds(0.0));
        assert!(Bound::at_least(0.0).holds(0.0));
    }

    #[test]
    fn a_margin_is_a_share_of_the_band() {
        let margin =
            |min, max, value| Bound { min, max, ..Bound::default() }.margin(value, Unit::Count);
        let close = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() < 1e-9;
        assert!(close(margin(Some(0.002), Some(0.005), 0.0035), 0.5));
        assert!(close(margin(Some(0.002), Some(0.005), 0.0053), -0.1));
        assert!(close(margin(None, Some(60.0), 45.0), 0.25));
        assert!(close(margin(Some(1.0), None, 4.0), 0.75));
        let share = Bound::at_least(0.99).margin(0.998, Unit::Share);
        assert!(close(share, 0.8));
        assert_eq!(margin(None, Some(0.0), 0.0), None);
        assert_eq!(margin(Some(0.0), Some(0.0), 0.0), None);
    }
}
