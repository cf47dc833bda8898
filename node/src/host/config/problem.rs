//! What is wrong with a configuration file: where, and what to write instead.

use std::ops::Range;
use std::path::Path;

use super::super::exit::Failure;

/// Something wrong at a place of the text.
pub(super) fn at(file: &Path, text: &str, span: Option<Range<usize>>, message: &str) -> Failure {
    let Some(span) = span else { return Failure::file(file, message) };
    let before = text.get(..span.start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Failure::refused(format!("{}:{line}:{column}: {message}", file.display()))
}

/// What the TOML reader says, with the name that may have been meant.
pub(super) fn of_toml(file: &Path, text: &str, error: &toml::de::Error) -> Failure {
    let message = error.message().replace('\n', " ");
    // "unknown field `a`, expected one of `b`, `c`": one of them was meant.
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (message, hint) = match names.split_first() {
        Some((wrong, known)) if message.starts_with("unknown") => {
            let told = message.split(", expected").next().unwrap_or_default();
            (told, did_you_mean(wrong, known))
        }
        _ => (message.as_str(), String::new()),
    };
    at(file, text, error.span(), &format!("{message}{hint}"))
}

/// A line with the nearest of the known names, or with all of them where none is near.
pub(super) fn did_you_mean(wrong: &str, known: &[&str]) -> String {
    let distance = |name: &&str| strsim::damerau_levenshtein(wrong, name);
    match known.iter().min_by_key(|name| distance(name)) {
        None => String::new(),
        Some(near) if distance(near) <= (near.len().max(3) * 2).div_ceil(5) => {
            format!("\n    did you mean \"{near}\"?")
        }
        Some(_) => format!("\n    there are: {}", known.join(", ")),
    }
}
