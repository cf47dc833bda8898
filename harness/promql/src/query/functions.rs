//! The functions that can be evaluated.

macro_rules! functions {
    ($($(#[$attribute:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// A function of the query language.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Function {
            $($(#[$attribute])* $variant),+
        }

        impl Function {
            /// The function of this name, if it can be evaluated.
            pub(crate) fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

functions! {
    Abs = "abs", Absent = "absent", AbsentOverTime = "absent_over_time", Acos = "acos", Acosh = "acosh", Asin = "asin",
    Asinh = "asinh", Atan = "atan", Atanh = "atanh", AvgOverTime = "avg_over_time", Ceil = "ceil", Changes = "changes",
    Clamp = "clamp", ClampMax = "clamp_max", ClampMin = "clamp_min", Cos = "cos", Cosh = "cosh",
    CountOverTime = "count_over_time", DayOfMonth = "day_of_month", DayOfWeek = "day_of_week", DayOfYear = "day_of_year",
    DaysInMonth = "days_in_month", Deg = "deg", Delta = "delta", Deriv = "deriv",
    DoubleExponentialSmoothing = "double_exponential_smoothing", Exp = "exp", FirstOverTime = "first_over_time",
    Floor = "floor", HistogramFraction = "histogram_fraction", HistogramQuantile = "histogram_quantile",
    /// What 2.x calls double exponential smoothing.
    HoltWinters = "holt_winters", Hour = "hour", Idelta = "idelta", Increase = "increase", Irate = "irate",
    LabelJoin = "label_join", LabelReplace = "label_replace", LastOverTime = "last_over_time", Ln = "ln", Log10 = "log10",
    Log2 = "log2", MadOverTime = "mad_over_time", MaxOverTime = "max_over_time", MinOverTime = "min_over_time",
    Minute = "minute", Month = "month", Pi = "pi", PredictLinear = "predict_linear", PresentOverTime = "present_over_time",
    QuantileOverTime = "quantile_over_time", Rad = "rad", Rate = "rate", Resets = "resets", Round = "round",
    Scalar = "scalar", Sgn = "sgn", Sin = "sin", Sinh = "sinh", Sort = "sort", SortByLabel = "sort_by_label",
    SortByLabelDesc = "sort_by_label_desc", SortDesc = "sort_desc", Sqrt = "sqrt", StddevOverTime = "stddev_over_time",
    StdvarOverTime = "stdvar_over_time", SumOverTime = "sum_over_time", Tan = "tan", Tanh = "tanh", Time = "time",
    Timestamp = "timestamp", TsOfFirstOverTime = "ts_of_first_over_time", TsOfLastOverTime = "ts_of_last_over_time",
    TsOfMaxOverTime = "ts_of_max_over_time", TsOfMinOverTime = "ts_of_min_over_time", Vector = "vector", Year = "year",
}
