//! Typed parameters of steps. What a pattern lets through, `from_str` accepts: whether a data center or a row exists is
//! asked where the topology or the incident is known.

use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use cucumber::Parameter;

use crate::spec::measure::Source;
use crate::spec::time;

/// `"MEL01"`.
#[derive(Clone, Debug, Parameter)]
#[param(name = "dc", regex = r#""[^"]+""#)]
pub(super) struct Quoted(pub String);

/// `"MEL01"`, or `"MEL01", "VIE02" and "JNB01"`.
#[derive(Clone, Debug, Parameter)]
#[param(name = "dcs", regex = r#""[^"]+"(?:(?:, | and |, and )"[^"]+")*"#)]
pub(super) struct QuotedList(pub Vec<String>);

/// `R1-1`, or `R1-1, R1-2 and R1-3`.
#[derive(Clone, Debug, Parameter)]
#[param(name = "rows", regex = r"R\d+-\w+(?:(?:, | and |, and )R\d+-\w+)*")]
pub(super) struct Rows(pub Vec<String>);

/// `21:52`, `00:09 the next day`, `2023-07-18 00:09`.
#[derive(Clone, Debug, Parameter)]
#[param(name = "clock", regex = r"(?:\d{4}-\d{2}-\d{2} )?\d{2}:\d{2}(?: the next day)?")]
pub(super) struct Clock(pub String);

/// `90 s`, `5 minutes`, `2 hours`.
#[derive(Clone, Copy, Debug, Parameter)]
#[param(name = "duration", regex = r"\d+(?:\.\d+)? (?:ms|s|seconds?|min|minutes?|h|hours?|days?)")]
pub(super) struct Span(pub Duration);

/// `0.5 %`.
#[derive(Clone, Copy, Debug, Parameter)]
#[param(name = "percent", regex = r"\d+(?:\.\d+)? ?%")]
pub(super) struct Percent(pub f64);

/// `0.5 %`, or `12`, or `0.25`.
#[derive(Clone, Copy, Debug, Parameter)]
#[param(name = "level", regex = r"\d+(?:\.\d+)?(?: ?%)?")]
pub(super) struct Level(pub f64);

/// `truth` or `telemetry`.
#[derive(Clone, Copy, Debug, Parameter)]
#[param(name = "source", regex = r"truth|telemetry")]
pub(super) struct Over(pub Source);

/// What becomes of a data center: `crashes`, `is started again`, `stands still`, `goes on`.
#[derive(Clone, Copy, Debug, Parameter)]
#[param(name = "turn", regex = r"crashes|is started again|stands still|goes on")]
pub(super) enum Turn {
    Crashes,
    IsStartedAgain,
    StandsStill,
    GoesOn,
}

impl FromStr for Turn {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "crashes" => Self::Crashes,
            "is started again" => Self::IsStartedAgain,
            "stands still" => Self::StandsStill,
            _ => Self::GoesOn,
        })
    }
}

/// `is above` or `stays below`.
#[derive(Clone, Copy, Debug, Parameter)]
#[param(name = "side", regex = r"is above|stays below")]
pub(super) enum Side {
    Above,
    Below,
}

impl FromStr for Side {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "is above" { Self::Above } else { Self::Below })
    }
}

/// `on` or `off`.
#[derive(Clone, Copy, Debug, Parameter)]
#[param(name = "switch", regex = r"on|off")]
pub(super) struct Switch {
    pub(super) on: bool,
}

impl FromStr for Switch {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self { on: text == "on" })
    }
}

/// `enrolled in` or `taken off`.
#[derive(Clone, Copy, Debug, Parameter)]
#[param(name = "enrollment", regex = r"enrolled in|taken off")]
pub(super) struct Enrollment {
    pub(super) on: bool,
}

impl FromStr for Enrollment {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self { on: text == "enrolled in" })
    }
}

/// `503`.
#[derive(Clone, Copy, Debug, Parameter)]
#[param(name = "status", regex = r"[1-5]\d\d")]
pub(super) struct Status(pub u16);

impl FromStr for Quoted {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.trim_matches('"').to_owned()))
    }
}

impl FromStr for QuotedList {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.split('"').skip(1).step_by(2).map(str::to_owned).collect()))
    }
}

impl FromStr for Rows {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let words = text.split([',', ' ']).filter(|word| word.starts_with('R'));
        Ok(Self(words.map(str::to_owned).collect()))
    }
}

impl FromStr for Clock {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        time::parse_duration(text).map(Self).ok_or_else(|| format!("\"{text}\" is no duration"))
    }
}

impl FromStr for Percent {
    type Err = std::num::ParseFloatError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim_end_matches(['%', ' ']).parse().map(|percent: f64| Self(percent / 100.0))
    }
}

impl FromStr for Level {
    type Err = std::num::ParseFloatError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_suffix('%') {
            Some(percent) => percent.trim().parse().map(|percent: f64| Self(percent / 100.0)),
            None => text.parse().map(Self),
        }
    }
}

impl FromStr for Over {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(if text == "truth" { Source::Truth } else { Source::Telemetry }))
    }
}

impl FromStr for Status {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
