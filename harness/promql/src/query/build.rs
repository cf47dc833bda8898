//! From the parser's tree to the plan, refusing what cannot be evaluated.

use std::sync::Once;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use promql_parser::label::{MatchOp, Matchers};
use promql_parser::parser::function::Function as ParserFunction;
use promql_parser::parser::value::ValueType as ParserType;
use promql_parser::parser::{self, token};
use promql_parser::parser::{AtModifier, LabelModifier, Offset, VectorMatchCardinality};
use regex::Regex;

use super::functions::Function;
use super::plan::{
    Aggregate, Aggregator, At, Binary, Call, Cardinality, Condition, Expr, Grouping, Matcher,
    Moment, Operator, Selection, Subquery,
};
use super::{Fault, reach};
use crate::labels::METRIC_NAME;

type Built<T> = Result<T, Fault>;

/// Parses a text and plans its evaluation. Returns how many nodes remember something, too.
pub(super) fn build(text: &str) -> Built<(Expr, usize)> {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        let smoothing = vec![ParserType::Matrix, ParserType::Scalar, ParserType::Scalar];
        let function = ParserFunction::new("holt_winters", smoothing, 0, ParserType::Vector, false);
        // Refused only for a name that the parser has already, and then there is nothing to add.
        let _ = parser::register_extra_functions(vec![function]);
    });
    let tree = parser::parse(text).map_err(|message| Fault::of_parser(text, message))?;
    let mut builder = Builder { nodes: 0, names_infinity: text.to_lowercase().contains("inf") };
    let plan = builder.expr(&tree)?;
    Ok((plan, builder.nodes))
}

struct Builder {
    nodes: usize,
    /// Whether the text contains "inf" at all; if not, an infinite number is one that was too large.
    names_infinity: bool,
}

impl Builder {
    fn node(&mut self) -> usize {
        self.nodes += 1;
        self.nodes - 1
    }

    fn expr(&mut self, tree: &parser::Expr) -> Built<Expr> {
        Ok(match tree {
            parser::Expr::Paren(paren) => self.expr(&paren.expr)?,
            parser::Expr::NumberLiteral(number)
                if number.val.is_infinite() && !self.names_infinity =>
            {
                return Err(Fault::new("a number is out of range"));
            }
            parser::Expr::NumberLiteral(number) => Expr::Number(number.val),
            parser::Expr::StringLiteral(text) => Expr::Text(text.val.clone()),
            parser::Expr::VectorSelector(selector) => Expr::Select(self.selection(selector)?),
            parser::Expr::MatrixSelector(matrix) => {
                let range_ms = milliseconds(matrix.range, "range")?;
                Expr::Range {
                    selection: self.selection(&matrix.vs)?,
                    range_ms: positive(range_ms, "range")?,
                }
            }
            parser::Expr::Subquery(subquery) => self.subquery(subquery)?,
            parser::Expr::Unary(unary) => {
                let operand = Box::new(self.expr(&unary.expr)?);
                Expr::Negate { node: self.node(), operand }
            }
            parser::Expr::Aggregate(aggregate) => self.aggregate(aggregate)?,
            parser::Expr::Binary(binary) => self.binary(binary)?,
            parser::Expr::Call(call) => self.call(call)?,
            parser::Expr::Extension(_) => {
                return Err(Fault::new("extensions of the language are not supported"));
            }
        })
    }

    fn selection(&mut self, selector: &parser::VectorSelector) -> Built<Selection> {
        let mut matchers = matchers(&selector.matchers)?;
        let mut metric = selector.name.clone();
        if metric.is_none() {
            let fixes = |matcher: &Matcher| {
                matcher.label == METRIC_NAME
                    && matches!(matcher.condition, Condition::Equal)
                    && !matcher.value.is_empty()
            };
            if let Some(at) = matchers.iter().position(fixes) {
                metric = Some(matchers.remove(at).value);
            } else if matchers.iter().all(|matcher| matcher.accepts("")) {
                return Err(Fault::new(
                    "a selector must have at least one matcher that does not match the empty value",
                ));
            }
        }
        let moment = moment(selector.at.as_ref(), selector.offset.as_ref())?;
        Ok(Selection { node: self.node(), metric, matchers, moment })
    }

    fn subquery(&mut self, subquery: &parser::SubqueryExpr) -> Built<Expr> {
        expect(&subquery.expr, ParserType::Vector, "a subquery")?;
        let inner = self.expr(&subquery.expr)?;
        let step_ms =
            subquery.step.map(|step| positive(milliseconds(step, "step")?, "step")).transpose()?;
        let range_ms = positive(milliseconds(subquery.range, "range")?, "range")?;
        let moment = moment(subquery.at.as_ref(), subquery.offset.as_ref())?;
        let lookahead_ms = reach::lookahead_ms(&inner);
        Ok(Expr::Subquery(Box::new(Subquery {
            node: self.node(),
            inner,
            range_ms,
            step_ms,
            moment,
            lookahead_ms,
        })))
    }

    fn aggregate(&mut self, aggregate: &parser::AggregateExpr) -> Built<Expr> {
        let operator = aggregator(aggregate.op.id()).ok_or_else(|| {
            Fault::at(
                &aggregate.op.to_string(),
                "is an experimental aggregation, which is not supported",
            )
        })?;
        expect(&aggregate.expr, ParserType::Vector, "an aggregation")?;
        let wanted = match operator {
            Aggregator::TopK | Aggregator::BottomK | Aggregator::Quantile => {
                Some(ParserType::Scalar)
            }
            Aggregator::CountValues => Some(ParserType::String),
            _ => None,
        };
        let parameter = match (&aggregate.param, wanted) {
            (Some(parameter), Some(wanted)) => {
                expect(parameter, wanted, "an aggregation's parameter")?;
                Some(self.expr(parameter)?)
            }
            (None, None) => None,
            _ => {
                return Err(Fault::at(
                    &aggregate.op.to_string(),
                    "has the wrong number of arguments",
                ));
            }
        };
        let operand = self.expr(&aggregate.expr)?;
        let grouping = match &aggregate.modifier {
            None => Grouping::By(Vec::new()),
            Some(modifier) => grouping(modifier),
        };
        Ok(Expr::Aggregate(Box::new(Aggregate {
            node: self.node(),
            operator,
            grouping,
            parameter,
            operand,
        })))
    }

    fn binary(&mut self, binary: &parser::BinaryExpr) -> Built<Expr> {
        let operator = operator(binary.op.id()).ok_or_else(|| {
            Fault::at(&binary.op.to_string(), "is an operator that is not supported")
        })?;
        let types = (binary.lhs.value_type(), binary.rhs.value_type());
        let scalars = types == (ParserType::Scalar, ParserType::Scalar);
        let vectors = types == (ParserType::Vector, ParserType::Vector);
        let modifier = binary.modifier.clone().unwrap_or_default();
        let word = binary.op.to_string();
        if modifier.return_bool && !operator.is_comparison() {
            return Err(Fault::at(&word, "is no comparison, so it takes no bool"));
        }
        if operator.is_comparison() && scalars && !modifier.return_bool {
            return Err(Fault::at(&word, "compares scalars, so it needs bool"));
        }
        if operator.is_set() && !vectors {
            return Err(Fault::at(&word, "works on instant vectors only"));
        }
        if modifier.fill_values.lhs.is_some() || modifier.fill_values.rhs.is_some() {
            return Err(Fault::at("fill", "is experimental syntax, which is not supported"));
        }
        let (cardinality, include) = match modifier.card {
            VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany => {
                (Cardinality::OneToOne, Vec::new())
            }
            VectorMatchCardinality::ManyToOne(labels) => (Cardinality::ManyToOne, labels.labels),
            VectorMatchCardinality::OneToMany(labels) => (Cardinality::OneToMany, labels.labels),
        };
        if !vectors && (modifier.matching.is_some() || cardinality != Cardinality::OneToOne) {
            return Err(Fault::at(&word, "matches labels between instant vectors only"));
        }
        if operator.is_set() && cardinality != Cardinality::OneToOne {
            return Err(Fault::at(&word, "takes no group_left and no group_right"));
        }
        let matching = modifier.matching.as_ref().map_or(Grouping::Without(Vec::new()), grouping);
        if let Some(label) = include.iter().find(|label| matching.names().contains(label))
            && matches!(matching, Grouping::By(_))
        {
            return Err(Fault::new(format!(
                "label {label:?} must not occur both in on() and in group_left() or group_right()"
            )));
        }
        Ok(Expr::Binary(Box::new(Binary {
            operator,
            left: self.expr(&binary.lhs)?,
            right: self.expr(&binary.rhs)?,
            returns_bool: modifier.return_bool,
            matching,
            cardinality,
            include,
            node: self.node(),
        })))
    }

    fn call(&mut self, call: &parser::Call) -> Built<Expr> {
        let name = call.func.name;
        let function = Function::named(name).ok_or_else(|| Fault::at(name, refusal(name)))?;
        for (at, argument) in call.args.args.iter().enumerate() {
            let types = &call.func.arg_types;
            if let Some(wanted) = types.get(at).or(types.last()) {
                expect(argument, *wanted, name)?;
            }
        }
        let arguments =
            call.args.args.iter().map(|argument| self.expr(argument)).collect::<Built<Vec<_>>>()?;
        let pattern = match (function, arguments.last()) {
            (Function::LabelReplace, Some(Expr::Text(pattern))) => Some(regex(pattern)?),
            _ => None,
        };
        Ok(Expr::Call(Box::new(Call { node: self.node(), function, arguments, pattern })))
    }
}

/// Why a function that the parser knows is refused.
fn refusal(name: &str) -> &'static str {
    if name == "info" {
        "is not supported"
    } else if name.starts_with("histogram_") {
        "needs native histograms, which are not supported"
    } else {
        "is an experimental function, which is not supported"
    }
}

fn expect(tree: &parser::Expr, wanted: ParserType, place: &str) -> Built<()> {
    let found = tree.value_type();
    if found == wanted {
        return Ok(());
    }
    Err(Fault::at(place, format!("takes an expression of type {wanted}, not {found}")))
}

fn grouping(modifier: &LabelModifier) -> Grouping {
    match modifier {
        LabelModifier::Include(labels) => Grouping::By(labels.labels.clone()),
        LabelModifier::Exclude(labels) => Grouping::Without(labels.labels.clone()),
    }
}

fn matchers(from: &Matchers) -> Built<Vec<Matcher>> {
    if !from.or_matchers.is_empty() {
        return Err(Fault::at("or", "between matchers is not supported"));
    }
    let build = |matcher: &promql_parser::label::Matcher| {
        let condition = match matcher.op {
            MatchOp::Equal => Condition::Equal,
            MatchOp::NotEqual => Condition::NotEqual,
            MatchOp::Re(_) => Condition::Regex(regex(&matcher.value)?),
            MatchOp::NotRe(_) => Condition::NotRegex(regex(&matcher.value)?),
        };
        Ok(Matcher { label: matcher.name.clone(), value: matcher.value.clone(), condition })
    };
    from.matchers.iter().map(build).collect()
}

/// Anchored at both ends, and `.` matches a line break, as since Prometheus 3.
fn regex(pattern: &str) -> Built<Regex> {
    Regex::new(&format!("^(?s:{pattern})$"))
        .map_err(|_| Fault::at(pattern, "is not a valid regular expression"))
}

fn moment(at: Option<&AtModifier>, offset: Option<&Offset>) -> Built<Moment> {
    let at = match at {
        None => None,
        Some(AtModifier::Start) => Some(At::Start),
        Some(AtModifier::End) => Some(At::End),
        Some(AtModifier::At(time)) => Some(At::Time(since_epoch(*time)?)),
    };
    let offset_ms = match offset {
        None => 0,
        Some(Offset::Pos(duration)) => milliseconds(*duration, "offset")?,
        Some(Offset::Neg(duration)) => -milliseconds(*duration, "offset")?,
    };
    Ok(Moment { at, offset_ms })
}

fn since_epoch(time: SystemTime) -> Built<i64> {
    let (sign, distance) = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (1, after),
        Err(before) => (-1, before.duration()),
    };
    // As far as seconds with a fraction are exact; sums with durations cannot overflow.
    let ms = i64::try_from(distance.as_millis()).ok().filter(|ms| *ms < 1 << 53);
    ms.map(|ms| sign * ms).ok_or_else(|| Fault::at("@", "is out of bounds"))
}

/// Go counts durations in nanoseconds of 64 bits, which end after 292 years.
fn milliseconds(duration: Duration, place: &str) -> Built<i64> {
    let fits = i64::try_from(duration.as_nanos()).is_ok();
    let ms = i64::try_from(duration.as_millis()).ok().filter(|_| fits);
    ms.ok_or_else(|| Fault::at(place, "is out of bounds"))
}

fn positive(ms: i64, place: &str) -> Built<i64> {
    if ms > 0 { Ok(ms) } else { Err(Fault::at(place, "must be greater than 0")) }
}

fn aggregator(id: token::TokenId) -> Option<Aggregator> {
    Some(match id {
        token::T_SUM => Aggregator::Sum,
        token::T_AVG => Aggregator::Avg,
        token::T_MIN => Aggregator::Min,
        token::T_MAX => Aggregator::Max,
        token::T_COUNT => Aggregator::Count,
        token::T_GROUP => Aggregator::Group,
        token::T_STDDEV => Aggregator::Stddev,
        token::T_STDVAR => Aggregator::Stdvar,
        token::T_TOPK => Aggregator::TopK,
        token::T_BOTTOMK => Aggregator::BottomK,
        token::T_QUANTILE => Aggregator::Quantile,
        token::T_COUNT_VALUES => Aggregator::CountValues,
        _ => return None,
    })
}

fn operator(id: token::TokenId) -> Option<Operator> {
    Some(match id {
        token::T_ADD => Operator::Add,
        token::T_SUB => Operator::Subtract,
        token::T_MUL => Operator::Multiply,
        token::T_DIV => Operator::Divide,
        token::T_MOD => Operator::Modulo,
        token::T_POW => Operator::Power,
        token::T_ATAN2 => Operator::Atan2,
        token::T_EQLC => Operator::Equal,
        token::T_NEQ => Operator::NotEqual,
        token::T_GTR => Operator::Greater,
        token::T_LSS => Operator::Less,
        token::T_GTE => Operator::GreaterOrEqual,
        token::T_LTE => Operator::LessOrEqual,
        token::T_LAND => Operator::And,
        token::T_LOR => Operator::Or,
        token::T_LUNLESS => Operator::Unless,
        _ => return None,
    })
}
