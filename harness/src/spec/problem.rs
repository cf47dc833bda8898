//! What is wrong with a file, and where.

use std::fmt;
use std::ops::Range;

/// One thing that is wrong, with what to write instead where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path from the root of the repository.
    pub file: String,
    /// Line, from 1; 0 where the whole file is meant.
    pub line: usize,
    /// What is wrong: lowercase, no full stop.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// Whether this may only be the consequence of another file's problem.
    pub follows: bool,
}

impl Problem {
    /// A problem at a line.
    pub fn new(file: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.into(), line, message: message.into(), hint: None, follows: false }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says that this is no news where something is wrong in the files that features name.
    #[must_use]
    pub fn if_nothing_else(mut self) -> Self {
        self.follows = true;
        self
    }

    /// Adds the nearest of the known names as a hint, or all of them where none is near.
    #[must_use]
    pub fn did_you_mean<'a>(self, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        match nearest(wrong, &known) {
            Some(near) => self.hint(format!("did you mean \"{near}\"?")),
            None if known.is_empty() => self,
            None => self.hint(format!("there are: {}", known.join(", "))),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n    {hint}")?;
        }
        Ok(())
    }
}

/// The known name that is nearest to a wrong one, where one is near enough to have been meant.
pub fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&wrong, &name.to_lowercase()), *name))
        .min()
        .filter(|(distance, name)| *distance <= (name.len().max(3) * 2).div_ceil(5))
        .map(|(_, name)| name)
}

/// The line of a byte offset.
pub fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// What a TOML file says wrongly, in one line and with its place.
pub fn toml_problem(file: &str, text: &str, error: &toml::de::Error) -> Problem {
    let line = error.span().map_or(0, |Range { start, .. }| line_of(text, start));
    let message = error.message().replace('\n', " ");
    // "unknown field `a`, expected one of `b`, `c`": one of them was meant.
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match names.split_first() {
        Some((wrong, known)) if message.starts_with("unknown") && !known.is_empty() => {
            let what = message.split('`').next().unwrap_or_default();
            Problem::new(file, line, format!("{what}\"{wrong}\""))
                .did_you_mean(wrong, known.iter().copied())
        }
        _ => Problem::new(file, line, message),
    }
}

/// The line of the value that a path of keys and indices leads to, or of the last part of the path that exists.
pub fn line_at(text: &str, path: &[&str]) -> usize {
    let Ok(table) = toml::de::DeTable::parse(text) else { return 0 };
    let mut start = None;
    let mut value: Option<&toml::de::DeValue<'_>> = None;
    for (depth, key) in path.iter().enumerate() {
        let next = match (depth, value) {
            (0, _) => {
                table.get_ref().get_key_value(*key).map(|(key, value)| (key.span().start, value))
            }
            (_, Some(toml::de::DeValue::Table(table))) => {
                table.get_key_value(*key).map(|(key, value)| (key.span().start, value))
            }
            (_, Some(toml::de::DeValue::Array(array))) => key
                .parse::<usize>()
                .ok()
                .and_then(|at| array.get(at))
                .map(|value| (value.span().start, value)),
            _ => None,
        };
        let Some((at, next)) = next else { break };
        start = Some(at);
        value = Some(next.get_ref());
    }
    start.map_or(0, |start| line_of(text, start))
}
