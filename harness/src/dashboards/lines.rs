//! Where things stand in a JSON text, which its parser does not tell.

use std::collections::BTreeMap;

/// The line of each member and element, by the way to it: `/panels/0/title`.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(BTreeMap<String, usize>);

/// An object or an array that is open.
struct Open {
    way: String,
    /// Where an array is; none in an object.
    index: Option<usize>,
    /// The member that an object is at; none before its name.
    key: Option<String>,
}

impl Open {
    /// The way to the value that begins now.
    fn inside(&self) -> String {
        match (self.index, &self.key) {
            (Some(index), _) => format!("{}/{index}", self.way),
            (None, key) => format!("{}/{}", self.way, key.as_deref().unwrap_or_default()),
        }
    }
}

impl Lines {
    /// The lines of a text that a parser found to be JSON.
    pub(super) fn of(text: &str) -> Self {
        let mut lines = BTreeMap::new();
        let (mut line, mut open): (usize, Vec<Open>) = (1, Vec::new());
        let mut rest = text.char_indices();
        while let Some((at, c)) = rest.next() {
            // A name begins here, or a value.
            if !matches!(c, '\n' | '\r' | '\t' | ' ' | ',' | ':' | ']' | '}')
                && let Some(top) = open.last_mut()
            {
                if top.index.is_none() && top.key.is_none() {
                    top.key = Some(string(&text[at..]).to_owned());
                }
                lines.entry(top.inside()).or_insert(line);
            }
            match c {
                '\n' => line += 1,
                '"' => {
                    let end = at + string(&text[at..]).len() + 1;
                    rest.by_ref().find(|(at, _)| *at == end);
                }
                '{' | '[' => {
                    let way = open.last().map(Open::inside).unwrap_or_default();
                    open.push(Open { way, index: (c == '[').then_some(0), key: None });
                }
                '}' | ']' => _ = open.pop(),
                ',' => {
                    if let Some(top) = open.last_mut() {
                        (top.index, top.key) = (top.index.map(|index| index + 1), None);
                    }
                }
                _ => {}
            }
        }
        Self(lines)
    }

    /// The line of what is there, or of the nearest that is around it.
    pub(super) fn line(&self, way: &str) -> usize {
        let mut way = way;
        loop {
            match (self.0.get(way), way.rfind('/')) {
                (Some(line), _) => return *line,
                (None, Some(at)) => way = &way[..at],
                (None, None) => return 1,
            }
        }
    }
}

/// What stands between the quotation mark at the beginning and its fellow, as written.
fn string(text: &str) -> &str {
    let mut escaped = false;
    let inner = text.strip_prefix('"').unwrap_or_default();
    let end = inner.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    &inner[..end.unwrap_or(inner.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_its_line() {
        let text = r#"{
  "a": "x \" , } \\",
  "b": [
    {"c": 1,
     "d": [2, "]",
           3]},
    null
  ], "é": {}
}"#;
        let lines = Lines::of(text);
        let expected = [
            ("/a", 2),
            ("/b", 3),
            ("/b/0", 4),
            ("/b/0/c", 4),
            ("/b/0/d", 5),
            ("/b/0/d/1", 5),
            ("/b/0/d/2", 6),
            ("/b/1", 7),
            ("/é", 8),
            ("/b/0/nothing/there", 4),
            ("/nothing", 1),
        ];
        for (way, line) in expected {
            assert_eq!(lines.line(way), line, "{way}");
        }
    }
}
