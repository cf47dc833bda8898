//! Which queries a template may run, as far as its text tells.

use super::printf::sprintf;
use super::tree::{Branch, Command, Node, OperandKind, Pipe};
use super::value::Value;
use crate::Query;

/// Every constant text of a template that calls `query`, if it is a query. Forms for `printf` are taken with a word in
/// place of each value, which is how templates ask about one instance. Some texts that are not meant as queries are ones:
/// too many are found rather than too few.
pub(super) fn queries(nodes: &[Node]) -> Vec<Query> {
    let mut found = Found::default();
    found.nodes(nodes);
    if !found.calls {
        return Vec::new();
    }
    found.texts.iter().filter_map(|text| Query::parse(text).ok()).collect()
}

#[derive(Default)]
struct Found {
    calls: bool,
    texts: Vec<String>,
}

impl Found {
    fn nodes(&mut self, nodes: &[Node]) {
        for node in nodes {
            match node {
                Node::Action(pipe) => self.pipe(pipe),
                Node::If(Branch { pipe, then, otherwise })
                | Node::With(Branch { pipe, then, otherwise })
                | Node::Range(Branch { pipe, then, otherwise }) => {
                    self.pipe(pipe);
                    self.nodes(then);
                    self.nodes(otherwise);
                }
                Node::Text(_) | Node::Break | Node::Continue => {}
            }
        }
    }

    fn pipe(&mut self, pipe: &Pipe) {
        pipe.commands.iter().for_each(|command| self.command(command));
    }

    fn command(&mut self, command: &Command) {
        for operand in &command.operands {
            let mut kind = &operand.kind;
            while let OperandKind::Chain(inner, _) = kind {
                kind = &inner.kind;
            }
            match kind {
                OperandKind::Function(name) => self.calls |= name == "query",
                OperandKind::Text(_, text) => {
                    let words = vec![Value::text("x"); text.matches('%').count()];
                    let filled = sprintf(text, &words);
                    self.texts.push(filled.split("%!(EXTRA").next().unwrap_or_default().to_owned());
                }
                OperandKind::Pipe(inner) => self.pipe(inner),
                _ => {}
            }
        }
    }
}
