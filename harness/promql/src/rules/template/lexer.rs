//! Cuts a template into tokens, as Go's text/template does.

use crate::labels::quote;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The text cannot be cut further; the token's text says why.
    Error,
    End,
    /// Text between actions.
    Text,
    /// `{{`
    Open,
    /// `}}`
    Close,
    Space,
    /// A name, a keyword, `true`, `false` or `nil`.
    Word,
    /// `.name`
    Field,
    /// `.`
    Dot,
    /// `$` or `$name`
    Variable,
    /// A number or a character constant.
    Number,
    /// `"text"` or `` `text` ``, with its quotes.
    Quoted,
    /// `|`, `(`, `)`, `,`, `:=`, `=` and whatever else is printable.
    Sign,
}

/// A piece of the template.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Where it begins, in bytes.
    pub(super) at: usize,
    pub(super) text: String,
}

impl Token {
    /// As messages name it.
    pub(super) fn shown(&self) -> String {
        match self.kind {
            Kind::End => "EOF".to_owned(),
            Kind::Error => self.text.clone(),
            Kind::Dot => "<.>".to_owned(),
            Kind::Word if KEYWORDS.contains(&self.text.as_str()) => format!("<{}>", self.text),
            _ => match self.text.char_indices().nth(10) {
                Some((end, _)) => format!("{}...", quote(&self.text[..end])),
                None => quote(&self.text),
            },
        }
    }
}

/// The words that are not names of functions.
pub(super) const KEYWORDS: [&str; 11] = [
    "block", "break", "continue", "define", "else", "end", "if", "range", "nil", "template", "with",
];

/// Cuts the whole text. The last token is [`Kind::End`] or [`Kind::Error`].
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { text, at: 0, depth: 0, trims: false, found: Vec::new() };
    let (kind, last) = match lexer.run() {
        Ok(()) => (Kind::End, String::new()),
        Err(message) => (Kind::Error, message),
    };
    let mut found = lexer.found;
    found.push(Token { kind, at: lexer.at, text: last });
    found
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    /// How many parentheses are open.
    depth: usize,
    /// Whether the action before this text ended with `-}}`.
    trims: bool,
    found: Vec<Token>,
}

/// What counts as space inside an action.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// What a name may hold.
fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            let Some(length) = self.rest().find("{{") else {
                let length = self.rest().len();
                self.plain(length, false);
                return Ok(());
            };
            let marked = self.rest()[length + 2..]
                .strip_prefix('-')
                .is_some_and(|rest| rest.starts_with(is_space));
            self.plain(length, marked);
            let open = if marked { 4 } else { 2 };
            if self.rest()[open..].starts_with("/*") {
                self.comment(open)?;
            } else {
                self.push(Kind::Open, 2);
                self.at += open - 2;
                self.depth = 0;
                while !self.close()? {
                    self.inside()?;
                }
            }
        }
    }

    /// Takes the next `length` bytes as a token.
    fn push(&mut self, kind: Kind, length: usize) {
        let text = self.rest()[..length].to_owned();
        self.found.push(Token { kind, at: self.at, text });
        self.at += length;
    }

    /// The text before an action, without the space that `-` removes on either side.
    fn plain(&mut self, length: usize, trims_end: bool) {
        let whole = &self.rest()[..length];
        let from_start = if self.trims { whole.trim_start_matches(is_space) } else { whole };
        let kept = if trims_end { from_start.trim_end_matches(is_space) } else { from_start };
        if !kept.is_empty() {
            let at = self.at + (whole.len() - from_start.len());
            self.found.push(Token { kind: Kind::Text, at, text: kept.to_owned() });
        }
        self.at += length;
        self.trims = false;
    }

    fn comment(&mut self, open: usize) -> Result<(), String> {
        let body = self.at + open + 2;
        let length = self.text[body..].find("*/").ok_or("unclosed comment")?;
        let after = body + length + 2;
        let rest = &self.text[after..];
        let trims = rest.starts_with(is_space) && rest[1..].starts_with("-}}");
        if !trims && !rest.starts_with("}}") {
            return Err("comment ends before closing delimiter".to_owned());
        }
        self.at = after + if trims { 4 } else { 2 };
        self.trims = trims;
        Ok(())
    }

    /// Takes `}}` or ` -}}`, if they come next.
    fn close(&mut self) -> Result<bool, String> {
        let rest = self.rest();
        let trims = rest.starts_with(is_space) && rest[1..].starts_with("-}}");
        if !trims && !rest.starts_with("}}") {
            return Ok(false);
        }
        if self.depth > 0 {
            return Err("unclosed left paren".to_owned());
        }
        self.at += if trims { 2 } else { 0 };
        self.push(Kind::Close, 2);
        self.trims = trims;
        Ok(true)
    }

    /// Takes one token inside an action.
    fn inside(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let first = rest.chars().next().ok_or("unclosed action")?;
        let digit_follows = rest[first.len_utf8()..].starts_with(|c: char| c.is_ascii_digit());
        match first {
            c if is_space(c) => self.space(),
            '"' => self.quoted('"', "unterminated quoted string")?,
            '`' => {
                let length = rest[1..].find('`').ok_or("unterminated raw quoted string")?;
                self.push(Kind::Quoted, length + 2);
            }
            '\'' => self.quoted('\'', "unterminated character constant")?,
            '$' => self.name(Kind::Variable, 1)?,
            '.' if !digit_follows => {
                let bare = !rest[1..].starts_with(is_word);
                self.name(if bare { Kind::Dot } else { Kind::Field }, 1)?;
            }
            '.' | '+' | '-' | '0'..='9' => self.number()?,
            c if is_word(c) => self.name(Kind::Word, 0)?,
            _ => self.sign(first)?,
        }
        Ok(())
    }

    fn space(&mut self) {
        // The space of ` -}}` belongs to the closing.
        let rest = self.rest();
        let all = rest.find(|c| !is_space(c)).unwrap_or(rest.len());
        let length = if rest[all..].starts_with("-}}") { all - 1 } else { all };
        self.push(Kind::Space, length.max(1));
    }

    fn quoted(&mut self, mark: char, unterminated: &str) -> Result<(), String> {
        let mut escaped = false;
        for (at, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == mark => {
                    self.push(if mark == '"' { Kind::Quoted } else { Kind::Number }, at + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(unterminated.to_owned())
    }

    /// A name after `skip` bytes, which must end where a name may end.
    fn name(&mut self, kind: Kind, skip: usize) -> Result<(), String> {
        let rest = self.rest();
        let length = rest[skip..].find(|c| !is_word(c)).map_or(rest.len(), |end| end + skip);
        if let Some(next) =
            rest[length..].chars().next().filter(|c| !is_space(*c) && !".,|:()}".contains(*c))
        {
            return Err(format!("bad character {}", code_point(next)));
        }
        self.push(kind, length);
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let signed = usize::from(rest.starts_with(['+', '-']));
        let hex = rest[signed..].starts_with("0x") || rest[signed..].starts_with("0X");
        let mut previous = ' ';
        let length = rest
            .char_indices()
            .skip(signed)
            .find(|(_, c)| {
                let exponent = !hex && matches!(previous, 'e' | 'E') && matches!(c, '+' | '-');
                previous = *c;
                !(exponent || *c == '.' || is_word(*c))
            })
            .map_or(rest.len(), |(end, _)| end);
        if parse_number(&rest[..length]).is_none() {
            return Err(format!("bad number syntax: {}", quote(&rest[..length])));
        }
        self.push(Kind::Number, length);
        Ok(())
    }

    fn sign(&mut self, first: char) -> Result<(), String> {
        match first {
            '(' => self.depth += 1,
            ')' => {
                self.depth = self.depth.checked_sub(1).ok_or("unexpected right paren")?;
            }
            ':' if self.rest().starts_with(":=") => {
                self.push(Kind::Sign, 2);
                return Ok(());
            }
            ':' => return Err("expected :=".to_owned()),
            c if c.is_ascii_graphic() => {}
            c => return Err(format!("unrecognized character in action: {}", code_point(c))),
        }
        self.push(Kind::Sign, first.len_utf8());
        Ok(())
    }
}

/// `U+0026 '&'`, and only the number if it cannot be seen.
fn code_point(c: char) -> String {
    if c.is_control() || c.is_whitespace() {
        return format!("U+{:04X}", u32::from(c));
    }
    format!("U+{:04X} '{c}'", u32::from(c))
}

/// A number constant: whole ones are `int`, those with a point or an exponent `float64`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Constant {
    Int(i64),
    Float(f64),
}

/// Reads a number constant or a character constant; `None` if it is neither.
pub(super) fn parse_number(text: &str) -> Option<Constant> {
    if let Some(inner) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        let mut characters = inner.chars();
        return match (characters.next(), characters.next()) {
            (Some(c), None) => Some(Constant::Int(i64::from(u32::from(c)))),
            _ => None,
        };
    }
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let lower = digits.to_ascii_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(rest) = lower.strip_prefix(prefix) {
            return i64::from_str_radix(rest, radix).ok().map(|value| Constant::Int(sign * value));
        }
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    match digits.parse::<i64>() {
        Ok(value) => Some(Constant::Int(sign * value)),
        Err(_) => plain.trim_start_matches('+').parse().ok().map(Constant::Float),
    }
}
