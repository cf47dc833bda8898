//! Where in a text a problem is.

use super::ParseError;

/// A problem, with a word of the query that it is about. The parser tells no positions, so the place is looked up.
#[derive(Debug)]
pub(crate) struct Fault {
    message: String,
    word: Option<String>,
    offset: Option<usize>,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), word: None, offset: None }
    }

    /// A problem with this word.
    pub(super) fn at(word: &str, problem: impl AsRef<str>) -> Self {
        Self {
            message: format!("{word} {}", problem.as_ref()),
            word: Some(word.into()),
            offset: None,
        }
    }

    /// What the parser says, which is only "invalid promql query" for most errors in the grammar. A bracket or a quote without
    /// its other half is found here.
    pub(super) fn of_parser(text: &str, message: String) -> Self {
        let generic = message == "invalid promql query";
        if let Some((offset, what)) = unbalanced(text) {
            return Self { message: what.to_owned(), word: None, offset: Some(offset) };
        }
        if let Some(fault) = experimental(text) {
            return fault;
        }
        let word = quoted(&message);
        let message = if generic { "not a PromQL expression".to_owned() } else { message };
        Self { message, word, offset: None }
    }

    /// The error for the user of the library.
    pub(super) fn locate(self, text: &str) -> ParseError {
        let offset = self.offset.or_else(|| self.word.and_then(|word| find_word(text, &word)));
        let line_column = offset.map(|offset| {
            let before = &text[..offset];
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            (before.matches('\n').count() + 1, text[line_start..offset].chars().count() + 1)
        });
        ParseError { message: self.message, offset, line_column }
    }
}

/// Syntax that Prometheus has behind feature flags, in a text that the parser did not understand.
fn experimental(text: &str) -> Option<Fault> {
    if find_word(text, "info")
        .is_some_and(|at| text[at + "info".len()..].trim_start().starts_with('('))
    {
        return Some(Fault::at("info", "is not supported"));
    }
    if let Some(word) = [">/", "</"].into_iter().find(|word| text.contains(word)) {
        return Some(Fault::at(word, "needs native histograms, which are not supported"));
    }
    if let Some(word) =
        ["smoothed", "anchored"].into_iter().find(|word| find_word(text, word).is_some())
    {
        return Some(Fault::at(word, "is experimental syntax, which is not supported"));
    }
    let computed = |rest: &str| rest.contains(['+', '-', '*', '/', '%', '^', '(']);
    let range =
        text.match_indices('[').find(|(at, _)| text[*at..].split(']').next().is_some_and(computed));
    let offset =
        text.match_indices("offset").find(|(at, word)| text[at + word.len()..].contains('('));
    let (at, _) = range.or(offset)?;
    let message =
        "arithmetic in a duration is experimental syntax, which is not supported".to_owned();
    Some(Fault { message, word: None, offset: Some(at) })
}

/// The first word in quotes that a message of the parser names.
fn quoted(message: &str) -> Option<String> {
    let start = message.find(['\'', '"'])?;
    let quote = &message[start..=start];
    let end = message[start + 1..].find(quote)?;
    Some(message[start + 1..start + 1 + end].to_owned())
}

/// Where a word stands alone and only once, so that there is no doubt.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let part_of_name =
        |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
    let name = word.chars().all(|c| part_of_name(Some(c)));
    let mut places = text.match_indices(word).map(|(at, _)| at).filter(|at| {
        let before = text[..*at].chars().next_back();
        let after = text[*at + word.len()..].chars().next();
        !word.is_empty() && (!name || !(part_of_name(before) || part_of_name(after)))
    });
    places.next().filter(|_| places.next().is_none())
}

/// The first closing bracket without an opening one, or the last opening one that is not closed, or an open quote.
fn unbalanced(text: &str) -> Option<(usize, &'static str)> {
    let mut open: Vec<(usize, char)> = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' | '\'' | '`' => loop {
                match chars.next() {
                    None => return Some((at, "this quote is not closed")),
                    Some((_, '\\')) if c != '`' => _ = chars.next(),
                    Some((_, end)) if end == c => break,
                    Some(_) => {}
                }
            },
            '#' => _ = chars.find(|(_, c)| *c == '\n'),
            '(' | '[' | '{' => open.push((at, c)),
            ')' | ']' | '}' => {
                let fits = open.pop().is_some_and(|(_, opening)| {
                    matches!((opening, c), ('(', ')') | ('[', ']') | ('{', '}'))
                });
                if !fits {
                    return Some((at, "this bracket closes none"));
                }
            }
            _ => {}
        }
    }
    open.pop().map(|(at, _)| (at, "this bracket is not closed"))
}
