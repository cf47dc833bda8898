//! From the text that a target tells to samples on the grid.
//!
//! Nearly every line of a scrape begins as in the scrape before, so the series of each line is remembered by its place.

use std::time::Duration;

use bytes::Bytes;
use indexmap::IndexMap;
use promql::{Labels, METRIC_NAME, SeriesId};
use rustc_hash::FxBuildHasher;

use super::Scraped;
use crate::alerts::Evaluation;
use crate::recording::{Scrapes, Series};

/// Of one target more is not taken: what lies beyond is as if it had not been told.
const SERIES_MAX: usize = 2_000;

/// One target and the series that it has told so far.
pub(super) struct Target {
    labels: Vec<(String, String)>,
    known: IndexMap<String, Known, FxBuildHasher>,
    /// The scrape before and its lines: read from front to back, while the map would be read all over the place.
    before: Bytes,
    lines: Vec<Line>,
    own: [Known; 3],
}

/// A line of a scrape: where it stands in the text, and what it told.
#[derive(Clone, Copy)]
struct Line {
    from: usize,
    /// Where its series ends.
    to: usize,
    end: usize,
    place: usize,
    value: f64,
}

/// A series of a target.
struct Known {
    labels: Labels,
    /// Its place in the recording, once it has a sample.
    place: Option<usize>,
    /// Its place in the database, where a rule looks at it.
    id: Option<SeriesId>,
    /// The round after that of its last sample.
    next: u32,
}

impl Known {
    fn new(labels: Labels) -> Self {
        Self { labels, place: None, id: None, next: 0 }
    }

    fn take(&mut self, round: u32, value: f64, scrapes: &mut Scrapes, evaluation: &mut Evaluation) {
        let place = *self.place.get_or_insert_with(|| {
            if evaluation.wants(&self.labels) {
                self.id = Some(evaluation.series(&self.labels));
            }
            scrapes.series.push(Series::new(self.labels.clone()));
            scrapes.series.len() - 1
        });
        if self.next > round {
            return;
        }
        scrapes.series[place].push(round, value);
        if let Some(id) = self.id {
            evaluation.append(id, scrapes.round_ms(round), value);
        }
        self.next = round + 1;
    }
}

impl Target {
    pub(super) fn new(scraped: &Scraped) -> Self {
        let mut labels = vec![
            ("job".to_owned(), scraped.job.to_owned()),
            ("instance".to_owned(), scraped.peer.as_str().to_owned()),
        ];
        if let Some((dc, region)) = &scraped.place {
            labels.push(("dc".to_owned(), dc.as_str().to_owned()));
            labels.push(("region".to_owned(), region.as_str().to_owned()));
        }
        let own = ["up", "scrape_samples_scraped", "scrape_duration_seconds"].map(|name| {
            let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            Known::new(Labels::new(pairs.chain([(METRIC_NAME, name)])))
        });
        Self { labels, known: IndexMap::default(), before: Bytes::new(), lines: Vec::new(), own }
    }

    /// Takes what the target told in a round: its text and how long that took, or nothing.
    pub(super) fn take(
        &mut self,
        round: u32,
        answer: Option<&(Bytes, Duration)>,
        scrapes: &mut Scrapes,
        evaluation: &mut Evaluation,
    ) {
        let text = answer.and_then(|(text, _)| std::str::from_utf8(text).ok());
        let mut samples = 0u32;
        let mut lines = Vec::with_capacity(self.lines.len() + 8);
        let mut expected = 0;
        for line in text.unwrap_or_default().lines().filter(|line| !line.starts_with('#')) {
            let told = self.lines.get(expected).and_then(|told| self.again(told, line));
            let found = match told {
                Some((place, length, value)) => {
                    expected += 1;
                    Some((place, length, value))
                }
                // A new series stands between those that were there; behind it the order is as before.
                None => split(line).and_then(|(series, value)| {
                    let known = self.known.get_index_of(series);
                    let place = |place: &usize| self.lines.iter().position(|l| l.place == *place);
                    expected = known.as_ref().and_then(place).map_or(expected, |at| at + 1);
                    let place = known.or_else(|| self.begin(series))?;
                    Some((place, series.len(), value))
                }),
            };
            let Some((place, length, value)) = found else { continue };
            samples += 1;
            let from = text.map_or(0, |text| line.as_ptr() as usize - text.as_ptr() as usize);
            let (to, end) = (from + length, from + line.len());
            lines.push(Line { from, to, end, place, value });
            self.known[place].take(round, value, scrapes, evaluation);
        }
        if let Some((text, _)) = answer {
            (self.before, self.lines) = (text.clone(), lines);
        }
        for known in self.known.values_mut().filter(|known| known.next == round && round > 0) {
            if let Some(id) = known.id {
                evaluation.mark_stale(id, scrapes.round_ms(round));
            }
        }
        let took_ms = answer.map_or(0, |(_, took)| took.as_millis());
        let took = f64::from(u32::try_from(took_ms).unwrap_or(u32::MAX)) / 1_000.0;
        let own = [f64::from(u8::from(text.is_some())), f64::from(samples), took];
        for (known, value) in self.own.iter_mut().zip(own) {
            known.take(round, value, scrapes, evaluation);
        }
    }

    /// Place, length and value of a line that tells of the same series as one of the scrape before, most often the same.
    fn again(&self, told: &Line, line: &str) -> Option<(usize, usize, f64)> {
        let before = self.before.get(told.from..told.end)?;
        let length = told.to - told.from;
        if before == line.as_bytes() {
            return Some((told.place, length, told.value));
        }
        let value = line.as_bytes().strip_prefix(&before[..length])?.strip_prefix(b" ")?;
        let value = number(std::str::from_utf8(value).ok()?)?;
        Some((told.place, length, value))
    }

    /// A series that the target had not told before.
    fn begin(&mut self, line: &str) -> Option<usize> {
        if self.known.len() >= SERIES_MAX {
            return None;
        }
        let mut pairs = series(line)?;
        for (name, value) in &self.labels {
            // As Prometheus does: what the target says of itself under the same name stands aside.
            for (told, _) in pairs.iter_mut().filter(|(told, _)| told == name) {
                *told = format!("exported_{name}");
            }
            pairs.push((name.clone(), value.clone()));
        }
        let known = Known::new(Labels::new(pairs));
        Some(self.known.insert_full(line.to_owned(), known).0)
    }
}

/// The series and the value of a line; none of a comment, and none where there is no value.
fn split(line: &str) -> Option<(&str, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = line.trim_end().rsplit_once(' ')?;
    // Behind the value a timestamp may stand; where labels end there is a brace, and no number holds one.
    if let Some((series, value)) = series.rsplit_once(' ')
        && !series.is_empty()
        && let Some(value) = number(value)
    {
        return Some((series, value));
    }
    Some((series.trim_end(), number(value)?))
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ if text.bytes().all(|b| b.is_ascii_digit()) && text.len() <= 15 => {
            // Nearly all of them: faster than a general parser.
            let digits = text.bytes().fold(0u64, |sum, b| sum * 10 + u64::from(b - b'0'));
            #[expect(clippy::cast_precision_loss, reason = "at most 15 digits")]
            let value = digits as f64;
            (!text.is_empty()).then_some(value)
        }
        _ if text.bytes().any(|b| b.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

/// The labels of a series as the text format writes it, with its name.
fn series(text: &str) -> Option<Vec<(String, String)>> {
    let (name, labels) = match text.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (text, ""),
    };
    let mut pairs = vec![(METRIC_NAME.to_owned(), name.trim().to_owned())];
    let mut rest = labels.trim();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        pairs.push((label.trim().to_owned(), value));
        rest = after.trim_start().strip_prefix(',').unwrap_or(after).trim_start();
    }
    Some(pairs)
}

/// The text up to the closing quote, and what stands behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_into_series_and_value() {
        assert_eq!(split("a_total 7"), Some(("a_total", 7.0)));
        assert_eq!(split("a{b=\"c d\"} 1.5e3"), Some(("a{b=\"c d\"}", 1_500.0)));
        assert_eq!(split("a{b=\"c}\"} +Inf 1690000000000"), Some(("a{b=\"c}\"}", f64::INFINITY)));
        assert_eq!(split("# HELP a b 7"), None);
        assert_eq!(split("a"), None);
        assert_eq!(split("a{b=\"7 8\"} x"), None);
    }

    #[test]
    fn labels_may_hold_anything() {
        let labels = |text: &str| Labels::new(series(text).unwrap()).to_string();
        assert_eq!(labels("a"), "a");
        assert_eq!(
            labels("a{b=\"}\",c=\"x,y=\\\"z\\\"\\n\\\\\"}"),
            "a{b=\"}\", c=\"x,y=\\\"z\\\"\\n\\\\\"}"
        );
        assert_eq!(series("a{b=\"c"), None);
    }

    #[test]
    fn a_target_that_does_not_answer_is_down_and_what_it_told_is_stale() {
        let mut scrapes = Scrapes { interval_ms: 15_000, ..Scrapes::default() };
        let mut evaluation = Evaluation::new(&[]);
        let scraped = Scraped {
            peer: "MEL01".into(),
            listener: kv_node::env::Listener::Admin,
            job: "kv-node",
            place: Some(("MEL01".into(), "OC".into())),
        };
        let mut target = Target::new(&scraped);
        let told = (Bytes::from("a 1\nb{dc=\"x\"} 2\n"), Duration::from_millis(20));
        for (round, answer) in [Some(&told), None, Some(&told)].into_iter().enumerate() {
            let round = u32::try_from(round).unwrap();
            target.take(round, answer, &mut scrapes, &mut evaluation);
        }
        let series = |name: &str| {
            let series = scrapes.series.iter().find(|s| s.labels.metric() == Some(name)).unwrap();
            (series.labels.to_string(), series.samples().collect::<Vec<_>>())
        };
        assert_eq!(series("up").1, [(0, 1.0), (1, 0.0), (2, 1.0)]);
        assert_eq!(series("a").1, [(0, 1.0), (2, 1.0)]);
        let (labels, _) = series("b");
        assert!(
            labels.contains("exported_dc=\"x\"") && labels.contains("{dc=\"MEL01\""),
            "{labels}"
        );
    }
}
