//! Hex digits, as S3 writes tags and signatures.

/// Two lower-case digits for each byte.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes of exactly so many digits.
pub(crate) fn decode<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    let (mut bytes, digits) = ([0; BYTES], text.as_bytes());
    if digits.len() != 2 * BYTES {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(16 * nibble(pair[0])? + nibble(pair[1])?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_are_read_as_they_are_written() {
        assert_eq!(super::encode(&[0, 0x1f, 0xff]), "001fff");
        assert_eq!(super::decode("001FfF"), Some([0, 0x1f, 0xff]));
        for wrong in ["001ff", "001fff0", "+01fff", "001fé"] {
            assert_eq!(super::decode::<3>(wrong), None, "{wrong}");
        }
    }
}
