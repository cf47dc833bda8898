//! Where in a file a part of a scalar stands.

use super::yaml::{Place, Scalar};

/// The place in the file `text` of the byte at `offset` of what `scalar` means.
///
/// YAML folds and indents, but keeps every character that is not space: so as many of those precede the byte in the file as in
/// the scalar. A scalar with escapes is written differently; then its start is all that can be told.
pub(super) fn within(text: &str, scalar: &Scalar, offset: usize) -> Place {
    let meaning = &scalar.text;
    let offset =
        (0..=offset.min(meaning.len())).rev().find(|at| meaning.is_char_boundary(*at)).unwrap_or(0);
    let Some(start) = content(text, scalar.place) else { return scalar.place };
    let mut wanted = meaning[..offset].chars().filter(|c| !c.is_whitespace());
    let mut at = start;
    for c in text[start..].chars() {
        if !c.is_whitespace() {
            match wanted.next() {
                None => break,
                Some(expected) if expected != c => return scalar.place,
                Some(_) => {}
            }
        } else if wanted.clone().next().is_none() && meaning[offset..].starts_with(c) && offset > 0
        {
            break;
        }
        at += c.len_utf8();
    }
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        line: 1 + text[..at].matches('\n').count(),
        column: 1 + text[line_start..at].chars().count(),
        offset: at,
        length: 1,
    }
}

/// Where the characters of a scalar begin: after its quote, or after the line with `|` or `>`.
fn content(text: &str, place: Place) -> Option<usize> {
    let from = text.get(place.offset..)?;
    match from.chars().next()? {
        '"' | '\'' => Some(place.offset + 1),
        '|' | '>' => from.find('\n').map(|newline| place.offset + newline + 1),
        _ => {
            // Some parsers count a block scalar from its content, some from its indicator.
            Some(place.offset)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::within;
    use crate::rules::yaml::File;

    /// Line and column of the `!` in the only expression of a file, and in the expression itself.
    fn find(expr: &str) -> (usize, usize) {
        let text = format!("groups:\n- rules:\n  - alert: a b c\n    expr: {expr}\n    for: 5m\n");
        let file: File = serde_saphyr::from_str(&text).unwrap();
        let scalar = file.groups[0].rules[0].expr.as_ref().unwrap();
        let place = within(&text, scalar, scalar.text.find('!').unwrap());
        (place.line, place.column)
    }

    #[test]
    fn a_place_in_a_scalar_is_found_in_the_file() {
        for (expr, place) in [
            ("a !b", (4, 13)),
            ("'a !b'", (4, 14)),
            ("\"a !b\"", (4, 14)),
            ("a\n      b !c", (5, 9)),
            ("|\n      a\n        !b", (6, 9)),
            ("|-\n\n      é !b", (6, 9)),
            (">\n      a\n      b !c\n", (6, 9)),
            (">-\n      a\n\n      !b", (7, 7)),
            ("!!str a !b", (4, 19)),
        ] {
            assert_eq!(find(expr), place, "{expr}");
        }
        // With escapes, only the start is known.
        assert_eq!(find("\"\\x41 !b\""), (4, 11));
    }
}
