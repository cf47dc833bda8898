//! Functions of one value.

use super::math;
use crate::query::Function;

/// The function to apply to each value, if it is one of those.
pub(super) fn of(function: Function) -> Option<fn(f64) -> f64> {
    Some(match function {
        Function::Abs => f64::abs,
        Function::Ceil => f64::ceil,
        Function::Floor => f64::floor,
        Function::Sqrt => f64::sqrt,
        Function::Exp => libm::exp,
        Function::Ln => libm::log,
        Function::Log2 => math::log2,
        Function::Log10 => math::log10,
        Function::Sin => libm::sin,
        Function::Cos => libm::cos,
        Function::Tan => libm::tan,
        Function::Asin => libm::asin,
        Function::Acos => libm::acos,
        Function::Atan => libm::atan,
        Function::Sinh => libm::sinh,
        Function::Cosh => libm::cosh,
        Function::Tanh => libm::tanh,
        Function::Asinh => libm::asinh,
        Function::Acosh => libm::acosh,
        Function::Atanh => libm::atanh,
        Function::Rad => |degrees| degrees * std::f64::consts::PI / 180.0,
        Function::Deg => |radians| radians * 180.0 / std::f64::consts::PI,
        Function::Sgn => |value| {
            if value < 0.0 {
                -1.0
            } else if value > 0.0 {
                1.0
            } else {
                value
            }
        },
        _ => return None,
    })
}
