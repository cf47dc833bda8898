//! Columns: numbers as differences, text as a dictionary, all of it deflated.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

/// One column's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// Whole numbers.
    Numbers(Vec<u64>),
    /// Texts, each by its place in the dictionary.
    Texts(Texts),
}

/// Texts that repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Texts {
    dictionary: IndexMap<String, (), FxBuildHasher>,
    places: Vec<u64>,
}

impl Texts {
    pub(super) fn push(&mut self, text: &str) {
        let place = match self.dictionary.get_index_of(text) {
            Some(place) => place,
            None => self.dictionary.insert_full(text.to_owned(), ()).0,
        };
        self.places.push(place as u64);
    }

    pub(super) fn get(&self, row: usize) -> &str {
        let place = usize::try_from(self.places[row]).unwrap_or(usize::MAX);
        self.dictionary.get_index(place).map_or("", |(text, ())| text)
    }
}

impl Column {
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Texts(texts) => texts.places.len(),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Numbers(_) => "numbers",
            Self::Texts(_) => "texts",
        }
    }

    pub(super) fn encode(&self) -> std::io::Result<Vec<u8>> {
        let mut raw = Vec::new();
        match self {
            Self::Numbers(numbers) => put_numbers(&mut raw, numbers),
            Self::Texts(texts) => {
                put_varint(&mut raw, texts.dictionary.len() as u64);
                for text in texts.dictionary.keys() {
                    put_varint(&mut raw, text.len() as u64);
                    raw.extend_from_slice(text.as_bytes());
                }
                put_numbers(&mut raw, &texts.places);
            }
        }
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(4));
        encoder.write_all(&raw)?;
        encoder.finish()
    }

    /// `None` where the bytes are not what [`Self::encode`] made of so many rows.
    pub(super) fn decode(kind: &str, rows: usize, bytes: &[u8]) -> Option<Self> {
        let mut raw = Vec::new();
        DeflateDecoder::new(bytes).read_to_end(&mut raw).ok()?;
        let mut rest = raw.as_slice();
        let column = match kind {
            "numbers" => Self::Numbers(take_numbers(&mut rest, rows)?),
            "texts" => {
                let mut dictionary = IndexMap::default();
                for _ in 0..take_varint(&mut rest)? {
                    let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                    let (text, after) = rest.split_at_checked(length)?;
                    dictionary.insert(String::from_utf8(text.to_vec()).ok()?, ());
                    rest = after;
                }
                let places = take_numbers(&mut rest, rows)?;
                let known = dictionary.len() as u64;
                if places.iter().any(|place| *place >= known) {
                    return None;
                }
                Self::Texts(Texts { dictionary, places })
            }
            _ => return None,
        };
        rest.is_empty().then_some(column)
    }
}

/// Neighbors are near each other: their difference is small.
fn put_numbers(out: &mut Vec<u8>, numbers: &[u64]) {
    let mut last = 0u64;
    for number in numbers {
        let difference = number.wrapping_sub(last).cast_signed();
        put_varint(out, ((difference << 1) ^ (difference >> 63)).cast_unsigned());
        last = *number;
    }
}

fn take_numbers(rest: &mut &[u8], rows: usize) -> Option<Vec<u64>> {
    let mut last = 0u64;
    let mut numbers = Vec::with_capacity(rows.min(1 << 24));
    for _ in 0..rows {
        let zigzag = take_varint(rest)?;
        let difference = (zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed());
        last = last.wrapping_add(difference.cast_unsigned());
        numbers.push(last);
    }
    Some(numbers)
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

pub(super) fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(numbers: Vec<u64>) {
            let column = Column::Numbers(numbers.clone());
            let bytes = column.encode().unwrap();
            prop_assert_eq!(Column::decode("numbers", numbers.len(), &bytes), Some(column));
        }

        #[test]
        fn texts_come_back(values in proptest::collection::vec("[a-c]{0,3}", 0..50)) {
            let mut texts = Texts::default();
            for value in &values {
                texts.push(value);
            }
            let column = Column::Texts(texts);
            let bytes = column.encode().unwrap();
            let Some(Column::Texts(back)) = Column::decode("texts", values.len(), &bytes) else {
                panic!("not decoded");
            };
            for (row, value) in values.iter().enumerate() {
                prop_assert_eq!(back.get(row), value.as_str());
            }
        }

        #[test]
        fn damaged_bytes_are_refused_and_never_panic(bytes: Vec<u8>, rows in 0usize..100) {
            let _ = Column::decode("numbers", rows, &bytes);
            let _ = Column::decode("texts", rows, &bytes);
        }
    }
}
