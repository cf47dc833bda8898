//! Builds the tree from the tokens, as Go's text/template/parse does, with its messages.

use super::function::Function;
use super::lexer::{KEYWORDS, Kind, Token, parse_number, tokens};
use super::tree::{Branch, Command, List, Node, Operand, OperandKind, Pipe, unquote};
use crate::labels::quote;

/// Parses a template.
///
/// # Errors
/// Where, in bytes, and why.
pub(super) fn parse(text: &str) -> Result<List, (usize, String)> {
    let mut parser =
        Parser { tokens: tokens(text), next: 0, variables: vec!["$".to_owned()], ranges: 0 };
    let parsed = parser.list().and_then(|(nodes, ended)| match ended {
        Ended::Text => Ok(nodes),
        Ended::End => Err("unexpected {{end}}".to_owned()),
        Ended::Else => Err("unexpected {{else}}".to_owned()),
    });
    parsed.map_err(|message| {
        let last = parser.next.saturating_sub(1).min(parser.tokens.len() - 1);
        (parser.tokens[last].at, message)
    })
}

type Parsed<T> = Result<T, String>;

/// What a list of parts ended with.
enum Ended {
    Text,
    End,
    Else,
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    /// The variables in scope, the innermost last.
    variables: Vec<String>,
    /// How many `range` are around.
    ranges: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn peek_visible(&mut self) -> &Token {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
        self.peek()
    }

    fn take_visible(&mut self) -> Token {
        self.peek_visible();
        self.take()
    }

    fn next_is(&mut self, kind: Kind, text: &str) -> bool {
        let token = self.peek_visible();
        token.kind == kind && token.text == text
    }

    fn unexpected<T>(token: &Token, context: &str) -> Parsed<T> {
        if token.kind == Kind::Error {
            return Err(token.text.clone());
        }
        Err(format!("unexpected {} in {context}", token.shown()))
    }

    fn close(&mut self, context: &str) -> Parsed<()> {
        let token = self.take_visible();
        if token.kind == Kind::Close { Ok(()) } else { Self::unexpected(&token, context) }
    }

    /// Parts up to the end of the text, `{{end}}` or `{{else`.
    fn list(&mut self) -> Parsed<(List, Ended)> {
        let mut nodes = List::new();
        loop {
            let token = self.take_visible();
            match token.kind {
                Kind::End => return Ok((nodes, Ended::Text)),
                Kind::Text => nodes.push(Node::Text(token.text)),
                Kind::Open => {
                    let word = self.peek_visible().clone();
                    match word.text.as_str() {
                        "end" if word.kind == Kind::Word => {
                            self.next += 1;
                            self.close("end")?;
                            return Ok((nodes, Ended::End));
                        }
                        "else" if word.kind == Kind::Word => {
                            self.next += 1;
                            return Ok((nodes, Ended::Else));
                        }
                        _ => nodes.push(self.action(&word)?),
                    }
                }
                _ => return Self::unexpected(&token, "input"),
            }
        }
    }

    /// An action, from the word after `{{`.
    fn action(&mut self, word: &Token) -> Parsed<Node> {
        if word.kind != Kind::Word {
            return self.pipe("command", Kind::Close).map(Node::Action);
        }
        match word.text.as_str() {
            control @ ("if" | "with" | "range") => {
                self.next += 1;
                self.control(control)
            }
            jump @ ("break" | "continue") => {
                self.next += 1;
                self.close(jump)?;
                if self.ranges == 0 {
                    return Err(format!("{{{{{jump}}}}} outside {{{{range}}}}"));
                }
                Ok(if jump == "break" { Node::Break } else { Node::Continue })
            }
            other @ ("define" | "template" | "block") => {
                self.next += 1;
                Err(format!("{{{{{other}}}}} is not supported here"))
            }
            _ => self.pipe("command", Kind::Close).map(Node::Action),
        }
    }

    /// `if`, `with` or `range`, from the pipe to its `{{end}}`.
    fn control(&mut self, control: &str) -> Parsed<Node> {
        let scope = self.variables.len();
        let pipe = self.pipe(control, Kind::Close)?;
        self.ranges += usize::from(control == "range");
        let (then, ended) = self.list()?;
        self.ranges -= usize::from(control == "range");
        let otherwise = match ended {
            Ended::End => List::new(),
            Ended::Text => return Err("unexpected EOF".to_owned()),
            Ended::Else => self.otherwise(control)?,
        };
        self.variables.truncate(scope);
        let branch = Branch { pipe, then, otherwise };
        Ok(match control {
            "if" => Node::If(branch),
            "with" => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    /// What follows `{{else`: the rest of the branch, or another `if` (`with`) that ends with it.
    fn otherwise(&mut self, control: &str) -> Parsed<List> {
        if control != "range" && self.next_is(Kind::Word, control) {
            self.next += 1;
            return Ok(vec![self.control(control)?]);
        }
        self.close("else")?;
        match self.list()? {
            (nodes, Ended::End) => Ok(nodes),
            (_, Ended::Else) => Err("expected end; found {{else}}".to_owned()),
            (_, Ended::Text) => Err("unexpected EOF".to_owned()),
        }
    }

    /// A pipeline and the token that ends it.
    fn pipe(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let at = self.peek_visible().at;
        let (variables, assigns) = self.declarations(context)?;
        let mut commands: Vec<Command> = Vec::new();
        loop {
            let token = self.peek_visible().clone();
            let ends = token.kind == end
                || (end == Kind::Sign && token.kind == Kind::Sign && token.text == ")");
            if ends && (token.kind == Kind::Close || token.text == ")") {
                self.next += 1;
                break;
            }
            match token.kind {
                Kind::Word
                | Kind::Field
                | Kind::Dot
                | Kind::Variable
                | Kind::Number
                | Kind::Quoted => {}
                Kind::Sign if token.text == "(" => {}
                _ => {
                    self.next += 1;
                    return Self::unexpected(&token, context);
                }
            }
            commands.push(self.command()?);
        }
        if commands.is_empty() {
            return Err(format!("missing value for {context}"));
        }
        for (stage, command) in commands.iter().enumerate().skip(1) {
            let executable = matches!(
                command.operands[0].kind,
                OperandKind::Function(_)
                    | OperandKind::Fields(_)
                    | OperandKind::Variable(..)
                    | OperandKind::Pipe(_)
                    | OperandKind::Chain(..)
            );
            if !executable {
                return Err(format!("non executable command in pipeline stage {}", stage + 1));
            }
        }
        Ok(Pipe { at, variables, assigns, commands })
    }

    /// `$x :=`, `$x =`, and for `range` also `$i, $x :=`.
    fn declarations(&mut self, context: &str) -> Parsed<(Vec<String>, bool)> {
        let mut variables = Vec::new();
        loop {
            let before = self.next;
            if self.peek_visible().kind != Kind::Variable {
                self.next = before;
                return Ok((variables, false));
            }
            let name = self.take().text;
            let sign = self.peek_visible().clone();
            match sign.text.as_str() {
                ":=" | "=" if sign.kind == Kind::Sign => {
                    self.next += 1;
                    variables.push(name);
                    self.variables.extend(variables.iter().cloned());
                    return Ok((variables, sign.text == "="));
                }
                "," if sign.kind == Kind::Sign => {
                    self.next += 1;
                    if context != "range" || !variables.is_empty() {
                        return Err(format!("too many declarations in {context}"));
                    }
                    variables.push(name);
                    if self.peek_visible().kind != Kind::Variable {
                        return Err("range can only initialize variables".to_owned());
                    }
                }
                _ => {
                    self.next = before;
                    return Ok((variables, false));
                }
            }
        }
    }

    /// Operands separated by space, up to `|` or the end of the pipeline.
    fn command(&mut self) -> Parsed<Command> {
        let at = self.peek_visible().at;
        let mut operands = Vec::new();
        loop {
            if let Some(operand) = self.operand()? {
                operands.push(operand);
            }
            let token = self.peek().clone();
            match token.text.as_str() {
                _ if token.kind == Kind::Space => {
                    self.peek_visible();
                }
                "|" if token.kind == Kind::Sign => {
                    self.next += 1;
                    break;
                }
                ")" if token.kind == Kind::Sign => break,
                _ if token.kind == Kind::Close => break,
                _ => {
                    self.next += 1;
                    return Self::unexpected(&token, "operand");
                }
            }
        }
        if operands.is_empty() {
            Err("empty command".to_owned())
        } else {
            Ok(Command { at, operands })
        }
    }

    /// An operand with the fields that follow it directly; nothing if something else comes next.
    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let token = self.peek_visible().clone();
        let Some(kind) = self.term(&token)? else { return Ok(None) };
        let mut operand = Operand { at: token.at, kind };
        if self.peek().kind != Kind::Field {
            return Ok(Some(operand));
        }
        // Go counts the place of such a chain from its second part.
        let at = self.peek().at;
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(self.take().text.split_off(1));
        }
        let kind = match operand.kind {
            OperandKind::Fields(mut names) => {
                names.append(&mut fields);
                OperandKind::Fields(names)
            }
            OperandKind::Variable(name, _) => OperandKind::Variable(name, fields),
            OperandKind::Function(_) | OperandKind::Pipe(_) => {
                operand = Operand { at: operand.at, kind: operand.kind };
                OperandKind::Chain(Box::new(operand), fields)
            }
            _ => return Err(format!("unexpected . after term {}", quote(&operand.to_string()))),
        };
        Ok(Some(Operand { at, kind }))
    }

    fn term(&mut self, token: &Token) -> Parsed<Option<OperandKind>> {
        let text = token.text.as_str();
        if token.kind == Kind::Sign && text != "(" {
            return Ok(None);
        }
        self.next += 1;
        Ok(Some(match token.kind {
            Kind::Word => self.word(text)?,
            Kind::Dot => OperandKind::Dot,
            Kind::Field => OperandKind::Fields(vec![text[1..].to_owned()]),
            Kind::Variable if self.variables.iter().any(|known| known == text) => {
                OperandKind::Variable(text.to_owned(), Vec::new())
            }
            Kind::Variable => return Err(format!("undefined variable {}", quote(text))),
            Kind::Number => match parse_number(text) {
                Some(value) => OperandKind::Number(text.to_owned(), value),
                None => return Err(format!("illegal number syntax: {}", quote(text))),
            },
            Kind::Quoted => OperandKind::Text(text.to_owned(), unquote(text)?),
            Kind::Sign => {
                OperandKind::Pipe(Box::new(self.pipe("parenthesized pipeline", Kind::Sign)?))
            }
            Kind::Error | Kind::End | Kind::Text | Kind::Open | Kind::Close | Kind::Space => {
                self.next -= 1;
                return Ok(None);
            }
        }))
    }

    #[expect(clippy::unused_self, reason = "reads like the other parts of a term")]
    fn word(&self, text: &str) -> Parsed<OperandKind> {
        Ok(match text {
            "true" | "false" => OperandKind::Bool(text == "true"),
            "nil" => OperandKind::Nil,
            _ if KEYWORDS.contains(&text) => return Err(format!("unexpected <{text}> in operand")),
            _ if Function::named(text).is_some() => OperandKind::Function(text.to_owned()),
            _ if Function::UNSUPPORTED.contains(&text) => {
                return Err(format!("function {} is not supported here", quote(text)));
            }
            _ => return Err(format!("function {} not defined", quote(text))),
        })
    }
}
