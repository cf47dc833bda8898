//! Go's `fmt.Sprintf`, for the values that templates have.

use super::number::{Notation, format};
use super::value::Value;
use crate::labels::quote;

/// What stands between `%` and its letter.
#[derive(Clone, Copy, Default)]
struct Form {
    /// `+` or a space: what stands in the place of a minus.
    sign: Option<char>,
    sharp: bool,
    fill: Fill,
    width: usize,
    precision: Option<usize>,
}

/// How a value gets its width.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Fill {
    #[default]
    SpacesBefore,
    SpacesAfter,
    Zeros,
}

/// Prints `values` by `form`; what does not fit is printed as Go's complaint, never an error.
pub(super) fn sprintf(form: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    let mut rest = form;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let (parsed, after) = read_form(&rest[at + 1..], &mut values, &mut out);
        let Some(verb) = after.chars().next() else {
            out.push_str("%!(NOVERB)");
            rest = "";
            break;
        };
        rest = &after[verb.len_utf8()..];
        let printed = match verb {
            '%' => "%".to_owned(),
            _ => values
                .next()
                .map_or_else(|| format!("%!{verb}(MISSING)"), |value| print(parsed, verb, value)),
        };
        out.push_str(&printed);
    }
    out.push_str(rest);
    let extra: Vec<String> = values.map(typed).collect();
    if !extra.is_empty() {
        out.extend(["%!(EXTRA ", &extra.join(", "), ")"]);
    }
    out
}

/// Flags, width and precision, and what follows them.
fn read_form<'f>(
    text: &'f str,
    values: &mut std::slice::Iter<'_, Value>,
    out: &mut String,
) -> (Form, &'f str) {
    let mut form = Form::default();
    let mut rest = text;
    while let Some(flag) = rest.chars().next().filter(|c| "+-# 0".contains(*c)) {
        match flag {
            '+' => form.sign = Some('+'),
            ' ' => form.sign = form.sign.or(Some(' ')),
            '#' => form.sharp = true,
            '-' => form.fill = Fill::SpacesAfter,
            // Go lets `-` cancel `0`.
            _ if form.fill == Fill::SpacesBefore => form.fill = Fill::Zeros,
            _ => {}
        }
        rest = &rest[1..];
    }
    let mut number = |rest: &mut &'f str, complaint: &str| -> Option<usize> {
        if let Some(after) = rest.strip_prefix('*') {
            *rest = after;
            if let Some(Value::Int(count)) = values.next() {
                return usize::try_from(*count).ok();
            }
            out.push_str(complaint);
            return None;
        }
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let parsed = rest[..digits].parse().ok();
        *rest = &rest[digits..];
        parsed
    };
    form.width = number(&mut rest, "%!(BADWIDTH)").unwrap_or(0);
    if let Some(after) = rest.strip_prefix('.') {
        rest = after;
        form.precision = Some(number(&mut rest, "%!(BADPREC)").unwrap_or(0));
    }
    (form, rest)
}

/// A value with its type, as complaints show it.
fn typed(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        _ => format!("{}={}", value.type_name(), value.printed()),
    }
}

fn print(form: Form, verb: char, value: &Value) -> String {
    let printed = match value {
        Value::Float(number) => float(form, verb, *number),
        Value::Int(number) => int(form, verb, *number),
        Value::Text(text) => self::text(form, verb, text),
        Value::Bool(truth) if matches!(verb, 'v' | 't') => Some(pad(form, &truth.to_string())),
        Value::Nil if verb == 'v' => Some(pad(form, "<nil>")),
        Value::Bool(_) | Value::Nil => None,
        _ if matches!(verb, 'v' | 's') => Some(value.printed()),
        _ => None,
    };
    printed.unwrap_or_else(|| format!("%!{verb}({})", typed(value)))
}

/// Fills up to the width with spaces.
fn pad(form: Form, text: &str) -> String {
    let missing = " ".repeat(form.width.saturating_sub(text.chars().count()));
    if form.fill == Fill::SpacesAfter {
        format!("{text}{missing}")
    } else {
        format!("{missing}{text}")
    }
}

/// Puts the sign in front, and zeros between it and the digits if asked for.
fn pad_number(form: Form, negative: bool, digits: &str) -> String {
    let sign = if negative { Some('-') } else { form.sign };
    let sign = sign.map(String::from).unwrap_or_default();
    let missing = form.width.saturating_sub(sign.len() + digits.chars().count());
    if form.fill == Fill::Zeros {
        return format!("{sign}{}{digits}", "0".repeat(missing));
    }
    pad(form, &format!("{sign}{digits}"))
}

fn float(form: Form, verb: char, number: f64) -> Option<String> {
    let printed = match verb {
        'v' | 'g' | 'G' => format(number, Notation::Either, form.precision),
        'e' | 'E' => format(number, Notation::Exponent, Some(form.precision.unwrap_or(6))),
        'f' | 'F' => format(number, Notation::Plain, Some(form.precision.unwrap_or(6))),
        'x' | 'X' if number.is_finite() => hexadecimal(number),
        _ => return None,
    };
    let printed = if verb.is_ascii_uppercase() && number.is_finite() {
        printed.to_ascii_uppercase()
    } else {
        printed
    };
    let mut form = form;
    if !number.is_finite() {
        // Zeros would look like digits. Go shows the sign of infinity even when it is positive, and of NaN only if asked.
        form.fill = if form.fill == Fill::Zeros { Fill::SpacesBefore } else { form.fill };
        form.sign = form.sign.or(Some('+').filter(|_| number.is_infinite()));
    }
    let (negative, digits) = match printed.strip_prefix(['-', '+']) {
        Some(digits) => (printed.starts_with('-'), digits),
        None => (false, printed.as_str()),
    };
    Some(pad_number(form, negative, digits))
}

/// `%x` of a number: `0x1.8p+01`.
fn hexadecimal(number: f64) -> String {
    let bits = number.to_bits();
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let mut fraction = bits & ((1 << 52) - 1);
    let mut power = i64::try_from((bits >> 52) & 0x7ff).unwrap_or(0) - 1_023;
    let mut lead = 1;
    if power == -1_023 {
        // A number below the normal ones is shifted until its first bit is the leading one; zero has none.
        let shift = if fraction == 0 { 0 } else { fraction.leading_zeros() - 11 };
        lead = u8::from(fraction != 0);
        power = if fraction == 0 { 0 } else { -1_022 - i64::from(shift) };
        fraction = (fraction << shift) & ((1 << 52) - 1);
    }
    let digits = format!("{fraction:013x}");
    let digits = digits.trim_end_matches('0');
    let point = if digits.is_empty() { "" } else { "." };
    let power_sign = if power < 0 { '-' } else { '+' };
    format!("{sign}0x{lead}{point}{digits}p{power_sign}{:02}", power.abs())
}

fn int(form: Form, verb: char, number: i64) -> Option<String> {
    let size = number.unsigned_abs();
    let digits = match verb {
        'v' | 'd' => size.to_string(),
        'x' if form.sharp => format!("{size:#x}"),
        'x' => format!("{size:x}"),
        'X' if form.sharp => format!("0X{size:X}"),
        'X' => format!("{size:X}"),
        'o' if form.sharp => format!("0{size:o}"),
        'o' => format!("{size:o}"),
        'b' => format!("{size:b}"),
        'c' => return Some(pad(form, &character(number).to_string())),
        'q' => return Some(pad(form, &format!("{:?}", character(number)))),
        'U' => return Some(pad(form, &format!("U+{size:04X}"))),
        _ => return None,
    };
    let Some(least) = form.precision else { return Some(pad_number(form, number < 0, &digits)) };
    // A precision is a number of digits, and cancels zeros up to the width.
    let digits = format!("{}{digits}", "0".repeat(least.saturating_sub(digits.len())));
    let fill = if form.fill == Fill::Zeros { Fill::SpacesBefore } else { form.fill };
    Some(pad_number(Form { fill, ..form }, number < 0, &digits))
}

fn character(number: i64) -> char {
    u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn text(form: Form, verb: char, text: &str) -> Option<String> {
    let cut: String = text.chars().take(form.precision.unwrap_or(usize::MAX)).collect();
    let printed = match verb {
        'v' | 's' => cut,
        'q' if form.sign == Some('+') => escape_unicode(&quote(&cut)),
        'q' => quote(&cut),
        'x' | 'X' => {
            let bytes = &text.as_bytes()[..form.precision.unwrap_or(text.len()).min(text.len())];
            let separator = if form.sign == Some(' ') { " " } else { "" };
            let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let lower = pairs.join(separator);
            if verb == 'X' { lower.to_ascii_uppercase() } else { lower }
        }
        _ => return None,
    };
    Some(pad(form, &printed))
}

/// Writes everything beyond ASCII as `%+q` does.
fn escape_unicode(quoted: &str) -> String {
    let escape = |c: char| match u32::from(c) {
        code if code < 0x80 => c.to_string(),
        code if code < 0x1_0000 => format!("\\u{code:04x}"),
        code => format!("\\U{code:08x}"),
    };
    quoted.chars().map(escape).collect()
}
