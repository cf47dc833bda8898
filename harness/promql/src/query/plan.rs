//! What a query is made of, in the form that the evaluator walks.

use regex::Regex;

use super::functions::Function;
use crate::TimestampMs;

/// One part of a query. `node` numbers the parts that have something to remember between evaluations.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Number(f64),
    Text(String),
    Select(Selection),
    Range { selection: Selection, range_ms: i64 },
    Subquery(Box<Subquery>),
    Negate { node: usize, operand: Box<Expr> },
    Aggregate(Box<Aggregate>),
    Binary(Box<Binary>),
    Call(Box<Call>),
}

/// A selector, without the range that may follow.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) node: usize,
    /// The metric name, if one matcher fixes it; that matcher is not among the others.
    pub(crate) metric: Option<String>,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) moment: Moment,
}

/// Which time a selector or a subquery looks at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) at: Option<At>,
    pub(crate) offset_ms: i64,
}

/// The argument of an `@` modifier.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    Start,
    End,
    Time(TimestampMs),
}

/// A condition on one label; a label that a series lacks has an empty value.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    pub(crate) label: String,
    pub(crate) value: String,
    pub(crate) condition: Condition,
}

/// How a matcher compares.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Equal,
    NotEqual,
    Regex(Regex),
    NotRegex(Regex),
}

impl Matcher {
    pub(crate) fn accepts(&self, value: &str) -> bool {
        match &self.condition {
            Condition::Equal => self.value == value,
            Condition::NotEqual => self.value != value,
            Condition::Regex(regex) => regex.is_match(value),
            Condition::NotRegex(regex) => !regex.is_match(value),
        }
    }

    pub(crate) fn operator(&self) -> &'static str {
        match self.condition {
            Condition::Equal => "=",
            Condition::NotEqual => "!=",
            Condition::Regex(_) => "=~",
            Condition::NotRegex(_) => "!~",
        }
    }
}

/// `expression[range:step]`.
#[derive(Clone, Debug)]
pub(crate) struct Subquery {
    pub(crate) node: usize,
    pub(crate) inner: Expr,
    pub(crate) range_ms: i64,
    pub(crate) step_ms: Option<i64>,
    pub(crate) moment: Moment,
    /// How far after a step's time the inner expression looks, if its results depend on nothing but samples and that time.
    pub(crate) lookahead_ms: Option<i64>,
}

/// The aggregation operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregator {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    TopK,
    BottomK,
    Quantile,
    CountValues,
}

/// Which labels make a group, or a match.
#[derive(Clone, Debug)]
pub(crate) enum Grouping {
    By(Vec<String>),
    Without(Vec<String>),
}

impl Grouping {
    pub(crate) fn names(&self) -> &[String] {
        match self {
            Self::By(names) | Self::Without(names) => names,
        }
    }
}

/// `operator by (..) (parameter, operand)`.
#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    pub(crate) node: usize,
    pub(crate) operator: Aggregator,
    pub(crate) grouping: Grouping,
    pub(crate) parameter: Option<Expr>,
    pub(crate) operand: Expr,
}

/// The binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    And,
    Or,
    Unless,
}

impl Operator {
    pub(crate) fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::Greater
                | Self::Less
                | Self::GreaterOrEqual
                | Self::LessOrEqual
        )
    }

    pub(crate) fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

/// How many elements of each side may match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cardinality {
    OneToOne,
    /// `group_left`: the right side is the one.
    ManyToOne,
    /// `group_right`: the left side is the one.
    OneToMany,
}

/// `left operator right`.
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    pub(crate) node: usize,
    pub(crate) operator: Operator,
    pub(crate) left: Expr,
    pub(crate) right: Expr,
    /// `bool`: a comparison returns 0 or 1 instead of dropping elements.
    pub(crate) returns_bool: bool,
    pub(crate) matching: Grouping,
    pub(crate) cardinality: Cardinality,
    /// The labels copied from the one side.
    pub(crate) include: Vec<String>,
}

/// `function(arguments)`.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) node: usize,
    pub(crate) function: Function,
    pub(crate) arguments: Vec<Expr>,
    /// The pattern of `label_replace`, compiled once.
    pub(crate) pattern: Option<Regex>,
}

impl Expr {
    /// The direct parts, from left to right.
    pub(crate) fn parts(&self) -> Vec<&Expr> {
        match self {
            Self::Number(_) | Self::Text(_) | Self::Select(_) | Self::Range { .. } => Vec::new(),
            Self::Subquery(subquery) => vec![&subquery.inner],
            Self::Negate { operand, .. } => vec![operand],
            Self::Aggregate(aggregate) => {
                aggregate.parameter.iter().chain([&aggregate.operand]).collect()
            }
            Self::Binary(binary) => vec![&binary.left, &binary.right],
            Self::Call(call) => call.arguments.iter().collect(),
        }
    }
}
