//! The parsed template. Every part knows where it stands, for messages.

use std::fmt;
use std::str::Chars;
use std::sync::Arc;

use super::lexer::Constant;
use crate::labels::quote;

/// A list of parts, one after the other.
pub(super) type List = Vec<Node>;

/// A part of a template.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Break,
    Continue,
}

/// `{{if pipe}} then {{else}} otherwise {{end}}` and its like.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) then: List,
    pub(super) otherwise: List,
}

/// `$x := a | b | c`
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    pub(super) at: usize,
    /// The variables that get the result.
    pub(super) variables: Vec<String>,
    /// Whether they exist already.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// A function with its arguments, or a single operand.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) at: usize,
    pub(super) operands: Vec<Operand>,
}

/// A word of a command.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) at: usize,
    pub(super) kind: OperandKind,
}

#[derive(Clone, Debug)]
pub(super) enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Number(String, Constant),
    /// As written, and what it means.
    Text(String, Arc<str>),
    Function(String),
    /// `.a.b`
    Fields(Vec<String>),
    /// `$x.a.b`
    Variable(String, Vec<String>),
    /// `(a | b)`
    Pipe(Box<Pipe>),
    /// `(a | b).c`
    Chain(Box<Operand>, Vec<String>),
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            let sign = if self.assigns { "=" } else { ":=" };
            write!(f, "{} {sign} ", self.variables.join(", "))?;
        }
        for (number, command) in self.commands.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { " | " })?;
            command.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, operand) in self.operands.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { " " })?;
            operand.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |f: &mut fmt::Formatter<'_>, names: &[String]| {
            names.iter().try_for_each(|name| write!(f, ".{name}"))
        };
        match &self.kind {
            OperandKind::Dot => f.write_str("."),
            OperandKind::Nil => f.write_str("nil"),
            OperandKind::Bool(value) => value.fmt(f),
            OperandKind::Number(text, _)
            | OperandKind::Text(text, _)
            | OperandKind::Function(text) => f.write_str(text),
            OperandKind::Fields(names) => fields(f, names),
            OperandKind::Variable(name, names) => {
                f.write_str(name)?;
                fields(f, names)
            }
            OperandKind::Pipe(pipe) => write!(f, "({pipe})"),
            OperandKind::Chain(inner, names) => {
                inner.fmt(f)?;
                fields(f, names)
            }
        }
    }
}

/// What a text in quotes means: Go's escapes, or nothing special between backquotes.
pub(super) fn unquote(text: &str) -> Result<Arc<str>, String> {
    if let Some(raw) = text.strip_prefix('`') {
        return Ok(Arc::from(raw.strip_suffix('`').unwrap_or(raw).replace('\r', "")));
    }
    let invalid = || format!("invalid syntax: {}", quote(text));
    let mut out = Vec::new();
    let mut rest = text.get(1..text.len().saturating_sub(1)).unwrap_or_default().chars();
    while let Some(c) = rest.next() {
        if c == '\\' {
            unescape(&mut rest, &mut out).ok_or_else(invalid)?;
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    String::from_utf8(out).map(Arc::from).map_err(|_| invalid())
}

/// Reads what follows a backslash. `None` if Go knows no such escape.
fn unescape(rest: &mut Chars<'_>, out: &mut Vec<u8>) -> Option<()> {
    let first = rest.next()?;
    let byte = match first {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' | '"' | '\'' => u8::try_from(first).ok()?,
        'x' | 'u' | 'U' | '0'..='7' => 0,
        _ => return None,
    };
    if byte != 0 {
        out.push(byte);
        return Some(());
    }
    let (length, radix) = match first {
        'x' => (2, 16),
        'u' => (4, 16),
        'U' => (8, 16),
        _ => (3, 8),
    };
    let own = Some(first).filter(|_| radix == 8);
    let written: String =
        own.into_iter().chain(rest.by_ref().take(length - usize::from(radix == 8))).collect();
    let number = u32::from_str_radix(&written, radix).ok().filter(|_| written.len() == length)?;
    if matches!(first, 'u' | 'U') {
        out.extend_from_slice(char::from_u32(number)?.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        out.push(u8::try_from(number).ok()?);
    }
    Some(())
}
