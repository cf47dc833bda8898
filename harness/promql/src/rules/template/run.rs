//! Runs a parsed template, as Go's text/template does, with its messages.

use super::TemplateData;
use super::function::{Function, Takes};
use super::lexer::Constant;
use super::tree::{Branch, Command, Node, Operand, OperandKind, Pipe};
use super::value::Value;
use crate::labels::quote;

/// Runs `nodes` of the template called `name`.
///
/// # Errors
/// Go's message, which names the place.
pub(super) fn run(
    name: &str,
    text: &str,
    nodes: &[Node],
    data: &TemplateData<'_>,
) -> Result<String, String> {
    let mut run =
        Run { data, variables: vec![("$", Value::Data)], out: String::new(), place: None };
    match run.nodes(nodes, &Value::Data) {
        Ok(_) => Ok(run.out),
        Err(message) => Err(match run.place {
            None => format!("template: {name}: {message}"),
            Some(place) => {
                let (at, shown) = place.shown();
                let before = &text[..at];
                let line = 1 + before.matches('\n').count();
                let column = at - before.rfind('\n').map_or(0, |newline| newline + 1);
                format!(
                    "template: {name}:{line}:{column}: executing {} at <{shown}>: {message}",
                    quote(name)
                )
            }
        }),
    }
}

type Ran<T> = Result<T, String>;

/// How a list of parts ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// What was being evaluated last: messages name it.
#[derive(Clone, Copy)]
enum Place<'t> {
    Pipe(&'t Pipe),
    Command(&'t Command),
    Operand(&'t Operand),
}

impl Place<'_> {
    fn shown(self) -> (usize, String) {
        match self {
            Self::Pipe(pipe) => (pipe.at, pipe.to_string()),
            Self::Command(command) => (command.at, command.to_string()),
            Self::Operand(operand) => (operand.at, operand.to_string()),
        }
    }
}

struct Run<'t, 'd> {
    data: &'d TemplateData<'d>,
    /// The variables in scope, the innermost last.
    variables: Vec<(&'t str, Value)>,
    out: String,
    place: Option<Place<'t>>,
}

impl<'t> Run<'t, '_> {
    fn nodes(&mut self, nodes: &'t [Node], dot: &Value) -> Ran<Flow> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    self.out.push_str(text);
                    Flow::Next
                }
                Node::Action(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        value.print(&mut self.out);
                    }
                    Flow::Next
                }
                Node::If(branch) | Node::With(branch) => {
                    self.branch(branch, dot, matches!(node, Node::With(_)))?
                }
                Node::Range(branch) => self.range(branch, dot)?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn branch(&mut self, branch: &'t Branch, dot: &Value, moves_dot: bool) -> Ran<Flow> {
        let scope = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let flow = match (value.is_true(), moves_dot) {
            (true, true) => self.nodes(&branch.then, &value)?,
            (true, false) => self.nodes(&branch.then, dot)?,
            (false, _) => self.nodes(&branch.otherwise, dot)?,
        };
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn range(&mut self, branch: &'t Branch, dot: &Value) -> Ran<Flow> {
        let scope = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let inside = self.variables.len();
        let entries: Vec<(Value, Value)> = match &value {
            Value::Nil => Vec::new(),
            Value::Samples(samples) => (0..)
                .zip(samples.iter())
                .map(|(at, sample)| (Value::Int(at), Value::Sample(sample.clone())))
                .collect(),
            Value::Labels(labels) => {
                labels.iter().map(|(name, value)| (Value::text(name), Value::text(value))).collect()
            }
            Value::Int(count) => (0..*count).map(|at| (Value::Int(at), Value::Int(at))).collect(),
            other => return Err(format!("range can't iterate over {}", other.printed())),
        };
        let mut flow = Flow::Next;
        if entries.is_empty() {
            flow = self.nodes(&branch.otherwise, dot)?;
        }
        for (key, element) in entries {
            match branch.pipe.variables.len() {
                0 => {}
                1 => self.variables[inside - 1].1 = element.clone(),
                _ => {
                    self.variables[inside - 2].1 = key;
                    self.variables[inside - 1].1 = element.clone();
                }
            }
            let ended = self.nodes(&branch.then, &element)?;
            self.variables.truncate(inside);
            if ended == Flow::Break {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn pipe(&mut self, pipe: &'t Pipe, dot: &Value) -> Ran<Value> {
        self.place = Some(Place::Pipe(pipe));
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        let value = value.unwrap_or(Value::Nil);
        for name in &pipe.variables {
            match self
                .variables
                .iter_mut()
                .rev()
                .find(|(known, _)| known == name)
                .filter(|_| pipe.assigns)
            {
                Some((_, variable)) => *variable = value.clone(),
                None => self.variables.push((name, value.clone())),
            }
        }
        Ok(value)
    }

    /// A command; `last` is what the command before it in the pipeline returned.
    fn command(&mut self, command: &'t Command, dot: &Value, last: Option<Value>) -> Ran<Value> {
        let first = &command.operands[0];
        if let OperandKind::Function(name) = &first.kind {
            self.place = Some(Place::Operand(first));
            let call = Call {
                name,
                place: Place::Command(command),
                operands: &command.operands[1..],
                last,
            };
            return self.call(call, dot);
        }
        let has_arguments = command.operands.len() > 1 || last.is_some();
        if !has_arguments {
            return self.operand(first, dot);
        }
        self.place = Some(Place::Operand(first));
        match &first.kind {
            OperandKind::Fields(names) | OperandKind::Chain(_, names) => Err(no_method(names)),
            OperandKind::Variable(_, names) if !names.is_empty() => Err(no_method(names)),
            _ => Err(format!("can't give argument to non-function {first}")),
        }
    }

    /// The value of an operand that gets no arguments.
    fn operand(&mut self, operand: &'t Operand, dot: &Value) -> Ran<Value> {
        self.place = Some(Place::Operand(operand));
        match &operand.kind {
            OperandKind::Dot => Ok(dot.clone()),
            OperandKind::Nil => Err("nil is not a command".to_owned()),
            OperandKind::Bool(value) => Ok(Value::Bool(*value)),
            OperandKind::Number(_, Constant::Int(value)) => Ok(Value::Int(*value)),
            OperandKind::Number(_, Constant::Float(value)) => Ok(Value::Float(*value)),
            OperandKind::Text(_, text) => Ok(Value::Text(text.clone())),
            OperandKind::Function(name) => self.call(
                Call { name, place: Place::Operand(operand), operands: &[], last: None },
                dot,
            ),
            OperandKind::Fields(names) => self.fields(dot.clone(), names),
            OperandKind::Variable(name, names) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                let value = known
                    .map(|(_, value)| value.clone())
                    .ok_or_else(|| format!("undefined variable: {name}"))?;
                self.fields(value, names)
            }
            OperandKind::Pipe(pipe) => self.pipe(pipe, dot),
            OperandKind::Chain(inner, names) => {
                let value = self.operand(inner, dot)?;
                self.fields(value, names)
            }
        }
    }

    fn fields(&self, value: Value, names: &[String]) -> Ran<Value> {
        names.iter().try_fold(value, |value, name| self.field(&value, name))
    }

    fn field(&self, value: &Value, name: &str) -> Ran<Value> {
        match (value, name) {
            (Value::Nil, _) => Ok(Value::Nil),
            (Value::Data, "Labels") => Ok(Value::Labels(self.data.labels.clone())),
            (Value::Data, "ExternalLabels") => Ok(Value::Labels(self.data.external_labels.clone())),
            (Value::Data, "ExternalURL") => Ok(Value::text(self.data.external_url)),
            (Value::Data, "Value") => Ok(Value::Float(self.data.value)),
            (Value::Sample(sample), "Labels") => Ok(Value::Labels(sample.labels.clone())),
            (Value::Sample(sample), "Value") => Ok(Value::Float(sample.value)),
            // Prometheus asks for the zero value where a key is missing: an empty text.
            (Value::Labels(labels), name) => Ok(Value::text(labels.get(name).unwrap_or_default())),
            (other, name) => {
                Err(format!("can't evaluate field {name} in type {}", other.type_name()))
            }
        }
    }

    fn call(&mut self, call: Call<'t>, dot: &Value) -> Ran<Value> {
        let Call { name, place, operands, last } = call;
        let function = Function::named(name)
            .ok_or_else(|| format!("{} is not a defined function", quote(name)))?;
        let given = operands.len() + usize::from(last.is_some());
        let wanted = function.takes.len();
        if function.variadic && given < wanted {
            return Err(format!(
                "wrong number of args for {name}: want at least {wanted} got {given}"
            ));
        }
        if !function.variadic && given != wanted {
            return Err(format!("wrong number of args for {name}: want {wanted} got {given}"));
        }
        let takes = |at: usize| function.takes.get(at).copied().unwrap_or(Takes::Any);
        let mut values = Vec::with_capacity(given);
        for (at, operand) in operands.iter().enumerate() {
            let value = self.argument(operand, takes(at), dot)?;
            // `and` and `or` stop at the first value that decides.
            if matches!(name, "and" | "or") && value.is_true() == (name == "or") {
                return Ok(value);
            }
            values.push(value);
        }
        if let Some(value) = last {
            values.push(validated(value, takes(operands.len()))?);
        }
        (function.call)(self.data, &values).map_err(|message| {
            self.place = Some(place);
            format!("error calling {name}: {message}")
        })
    }

    fn argument(&mut self, operand: &'t Operand, takes: Takes, dot: &Value) -> Ran<Value> {
        self.place = Some(Place::Operand(operand));
        match (&operand.kind, takes) {
            (OperandKind::Nil, Takes::Text) => Err("cannot assign nil to string".to_owned()),
            (OperandKind::Nil, _) => Ok(Value::Nil),
            (OperandKind::Bool(_) | OperandKind::Number(..), Takes::Text) => {
                Err(format!("expected string; found {operand}"))
            }
            (
                OperandKind::Bool(_) | OperandKind::Number(..) | OperandKind::Text(..),
                Takes::Sample | Takes::Samples,
            ) => Err(format!("can't handle {operand} for arg of type {}", takes.name())),
            _ => validated(self.operand(operand, dot)?, takes),
        }
    }
}

/// A function with what it is given.
struct Call<'t> {
    name: &'t str,
    /// What messages of the function itself name.
    place: Place<'t>,
    operands: &'t [Operand],
    last: Option<Value>,
}

fn no_method(names: &[String]) -> String {
    format!("{} is not a method but has arguments", names.last().map_or("", String::as_str))
}

fn validated(value: Value, takes: Takes) -> Ran<Value> {
    match (&value, takes) {
        (Value::Nil, Takes::Text) => Err("invalid value; expected string".to_owned()),
        _ if takes.fits(&value) || matches!(value, Value::Nil) => Ok(value),
        _ => Err(format!(
            "wrong type for value; expected {}; got {}",
            takes.name(),
            value.type_name()
        )),
    }
}
