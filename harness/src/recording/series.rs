//! What was scraped: one series of samples for each set of labels, on the grid of the scrape rounds.
//!
//! A sample belongs to a round; a series that a round does not have was absent then, which a scraper marks as stale. So
//! rounds and values are all there is to store. Values are stored as differences, repeated ones as counts, and everything
//! is deflated.

use std::io::{Read, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use promql::{Labels, TimestampMs};

use super::column::{put_varint, take_varint};
use crate::spec::time::IncidentTime;

/// Every scrape of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrapes {
    /// When the first round began.
    pub start: IncidentTime,
    /// How far apart rounds are, in milliseconds.
    pub interval_ms: u64,
    /// How long after the beginning of a round rules are evaluated, in milliseconds.
    pub phase_ms: u64,
    /// How many rounds there were.
    pub rounds: u32,
    /// The series, in the order in which they began.
    pub series: Vec<Series>,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Name and labels, those of the target among them.
    pub labels: Labels,
    samples: Vec<u8>,
    last: Last,
}

/// Where an encoder or a decoder stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Last {
    /// The round after that of the last sample.
    next: u32,
    bits: u64,
    whole: i64,
    repeats: u64,
}

/// A sample that is the same as the one before it, and how many of them; a whole number as a difference; any number.
const REPEATED: u64 = 0;
const WHOLE: u64 = 1;
const BITS: u64 = 2;

/// Beyond this whole numbers are not exact in a double.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

impl Scrapes {
    /// When a round's samples were taken.
    pub fn round_ms(&self, round: u32) -> TimestampMs {
        let start = TimestampMs::try_from(self.start.0 / 1_000).unwrap_or(TimestampMs::MAX);
        start + TimestampMs::try_from(self.interval_ms * u64::from(round)).unwrap_or(0)
    }

    /// When a round's samples were taken, as incident time.
    pub fn round_at(&self, round: u32) -> IncidentTime {
        self.start.after(Duration::from_millis(self.interval_ms * u64::from(round)))
    }

    pub(super) fn encode(&self) -> std::io::Result<Vec<u8>> {
        let mut raw = Vec::new();
        for number in [self.start.0, self.interval_ms, self.phase_ms, u64::from(self.rounds)] {
            put_varint(&mut raw, number);
        }
        put_varint(&mut raw, self.series.len() as u64);
        for series in &self.series {
            let labels: Vec<(&str, &str)> = series.labels.iter().collect();
            put_varint(&mut raw, labels.len() as u64);
            for text in labels.iter().flat_map(|(name, value)| [name, value]) {
                put_varint(&mut raw, text.len() as u64);
                raw.extend_from_slice(text.as_bytes());
            }
            let mut samples = series.samples.clone();
            flush(&mut samples, series.last.repeats);
            put_varint(&mut raw, samples.len() as u64);
            raw.extend_from_slice(&samples);
        }
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(4));
        encoder.write_all(&raw)?;
        encoder.finish()
    }

    /// `None` where the bytes are not what [`Self::encode`] made.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut raw = Vec::new();
        DeflateDecoder::new(bytes).read_to_end(&mut raw).ok()?;
        let mut rest = raw.as_slice();
        let mut scrapes = Self {
            start: IncidentTime(take_varint(&mut rest)?),
            interval_ms: take_varint(&mut rest)?,
            phase_ms: take_varint(&mut rest)?,
            rounds: u32::try_from(take_varint(&mut rest)?).ok()?,
            series: Vec::new(),
        };
        for _ in 0..take_varint(&mut rest)? {
            let mut labels = Vec::new();
            for _ in 0..take_varint(&mut rest)? {
                labels.push((take_text(&mut rest)?, take_text(&mut rest)?));
            }
            let length = usize::try_from(take_varint(&mut rest)?).ok()?;
            let (samples, after) = rest.split_at_checked(length)?;
            rest = after;
            let series = Series::read(Labels::new(labels), samples.to_vec());
            let whole = series.samples().last().is_none_or(|(round, _)| round < scrapes.rounds);
            scrapes.series.push(Some(series).filter(|_| whole)?);
        }
        rest.is_empty().then_some(scrapes)
    }
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(take_varint(rest)?).ok()?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}

impl Series {
    /// A series without samples.
    pub fn new(labels: Labels) -> Self {
        Self { labels, samples: Vec::new(), last: Last::default() }
    }

    fn read(labels: Labels, samples: Vec<u8>) -> Self {
        Self { labels, samples, last: Last::default() }
    }

    /// Adds a round's sample. Rounds come in order, each once.
    pub fn push(&mut self, round: u32, value: f64) {
        let last = self.last;
        let gap = u64::from(round.saturating_sub(last.next));
        let bits = value.to_bits();
        self.last.next = round + 1;
        if gap == 0 && bits == last.bits && last.next > 0 {
            self.last.repeats += 1;
            return;
        }
        flush(&mut self.samples, last.repeats);
        (self.last.repeats, self.last.bits) = (0, bits);
        if let Some(number) = whole(value) {
            put_varint(&mut self.samples, (gap << 2) | WHOLE);
            let difference = number - last.whole;
            let zigzag = ((difference << 1) ^ (difference >> 63)).cast_unsigned();
            put_varint(&mut self.samples, zigzag);
            self.last.whole = number;
        } else {
            put_varint(&mut self.samples, (gap << 2) | BITS);
            self.samples.extend_from_slice(&bits.to_le_bytes());
        }
    }

    /// The samples, each with its round.
    pub fn samples(&self) -> Samples<'_> {
        Samples { rest: &self.samples, at: Last::default(), open: self.last.repeats, ended: false }
    }
}

/// A whole number that gives the same bits when it is read; negative zero is none.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "below 2^53")]
fn whole(value: f64) -> Option<i64> {
    let number = value as i64;
    (value.abs() < WHOLE_MAX && (number as f64).to_bits() == value.to_bits()).then_some(number)
}

fn flush(samples: &mut Vec<u8>, repeats: u64) {
    if repeats > 0 {
        put_varint(samples, (repeats << 2) | REPEATED);
    }
}

/// Reads the samples of a series one after the other.
#[derive(Clone, Debug)]
pub struct Samples<'a> {
    rest: &'a [u8],
    at: Last,
    /// Repeats that have not been written yet.
    open: u64,
    ended: bool,
}

impl Iterator for Samples<'_> {
    type Item = (u32, f64);

    fn next(&mut self) -> Option<(u32, f64)> {
        while self.at.repeats == 0 {
            if self.rest.is_empty() {
                if self.ended || self.open == 0 {
                    return None;
                }
                (self.ended, self.at.repeats) = (true, self.open);
                break;
            }
            let token = take_varint(&mut self.rest)?;
            let more = token >> 2;
            match token & 3 {
                REPEATED => self.at.repeats = more,
                WHOLE => {
                    let zigzag = take_varint(&mut self.rest)?;
                    let difference = (zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed());
                    self.at.whole = self.at.whole.wrapping_add(difference);
                    #[expect(clippy::cast_precision_loss, reason = "a whole number below 2^53")]
                    let value = self.at.whole as f64;
                    return self.sample(more, value.to_bits());
                }
                _ => {
                    let (bytes, after) = self.rest.split_first_chunk::<8>()?;
                    self.rest = after;
                    return self.sample(more, u64::from_le_bytes(*bytes));
                }
            }
        }
        self.at.repeats -= 1;
        self.sample(0, self.at.bits)
    }
}

impl Samples<'_> {
    fn sample(&mut self, gap: u64, bits: u64) -> Option<(u32, f64)> {
        let round = u32::try_from(u64::from(self.at.next) + gap).ok()?;
        self.at.next = round.checked_add(1)?;
        self.at.bits = bits;
        Some((round, f64::from_bits(bits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(samples: &[(u32, f64)]) -> Vec<(u32, u64)> {
        let mut series = Series::new(Labels::new([("__name__", "m"), ("a", "b")]));
        for (round, value) in samples {
            series.push(*round, *value);
        }
        let in_memory: Vec<_> = series.samples().map(|(r, v)| (r, v.to_bits())).collect();
        let scrapes = Scrapes { rounds: 1_000_000, series: vec![series], ..Scrapes::default() };
        let back = Scrapes::decode(&scrapes.encode().unwrap()).unwrap();
        assert_eq!(back.series[0].labels.to_string(), "m{a=\"b\"}");
        let read: Vec<_> = back.series[0].samples().map(|(r, v)| (r, v.to_bits())).collect();
        assert_eq!(read, in_memory);
        read
    }

    proptest! {
        #[test]
        fn samples_come_back_bit_for_bit(
            steps in proptest::collection::vec((0u32..4, prop_oneof![
                Just(0.0), Just(-0.0), Just(1.5), Just(f64::NAN), Just(1e300),
                (0u32..100).prop_map(f64::from), any::<f64>(),
            ]), 0..60)
        ) {
            let mut round = 0;
            let samples: Vec<(u32, f64)> = steps.into_iter().map(|(gap, value)| {
                round += gap + 1;
                (round, value)
            }).collect();
            let expected: Vec<(u32, u64)> = samples.iter().map(|(r, v)| (*r, v.to_bits())).collect();
            prop_assert_eq!(there_and_back(&samples), expected);
        }

        #[test]
        fn damaged_bytes_are_refused_and_never_panic(bytes: Vec<u8>) {
            let _ = Scrapes::decode(&bytes);
        }
    }

    #[test]
    fn a_counter_that_rests_costs_next_to_nothing() {
        let mut series = Series::new(Labels::new([("__name__", "m")]));
        (0..10_000).for_each(|round| series.push(round, 7.0));
        assert!(series.samples.len() < 8, "{}", series.samples.len());
        assert_eq!(series.samples().count(), 10_000);
    }
}
