//! The language, as a specification: what is loaded, what is asked, what comes out.

mod notation;

use notation::{duration_ms, load, series};
use promql::{Database, Dialect, Engine, Query, Settings, Value};

/// A sample a minute. Three counters, a gauge with gaps that ends, and a histogram.
const DATA: &str = r#"
    requests{dc="a", code="200"} 0+60x60
    requests{dc="a", code="500"} 0+6x60
    requests{dc="b", code="200"} 0+120x60
    up{dc="a", node="1"} 1x60
    up{dc="a", node="2"} 1x9 stale _x30
    up{dc="b", node="3"} 1x9
    temperature 20 21 _ 23 24 19 22 NaN 25
    latency_bucket{le="0.1"} 0+5x60
    latency_bucket{le="1"} 0+9x60
    latency_bucket{le="+Inf"} 0+10x60
    zone{dc="a", name="west"} 1x60
    zone{dc="b", name="east"} 1x60
    restarts 0 10 20 5 15 25
    late _ _ 5 10 15 20
"#;

fn database(data: &str) -> Database {
    let mut database = Database::new();
    for line in data.lines().filter(|line| !line.trim().is_empty()) {
        load(&mut database, &series(line).expect("a series"), 60_000);
    }
    database
}

fn result(dialect: Dialect, at: &str, text: &str) -> String {
    let query = Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let engine = Engine::new(Settings { dialect, ..Settings::default() });
    match engine.instant(&query, &database(DATA), duration_ms(at).expect("a time")) {
        Err(error) => format!("error: {error}"),
        Ok(Value::Scalar(value)) => value.to_string(),
        Ok(Value::String(text)) => format!("{text:?}"),
        Ok(Value::Vector(vector)) => {
            let elements: Vec<String> =
                vector.iter().map(|sample| format!("{} {}", sample.labels, sample.value)).collect();
            elements.join("; ")
        }
        Ok(Value::Matrix(matrix)) => {
            let elements = matrix.iter().map(|series| {
                let points =
                    series.points.iter().map(|(time, value)| format!("{value}@{}", time / 1000));
                format!("{} {}", series.labels, points.collect::<Vec<_>>().join(" "))
            });
            elements.collect::<Vec<_>>().join("; ")
        }
    }
}

fn check(at: &str, query: &str, expected: &str) {
    assert_eq!(result(Dialect::V3, at, query), expected, "{query} at {at}");
}

#[test]
fn selectors_match_labels() {
    check("10m", "up", r#"up{dc="a", node="1"} 1; up{dc="b", node="3"} 1"#);
    check("10m", r#"requests{dc="a", code!="200"}"#, r#"requests{code="500", dc="a"} 60"#);
    check("10m", r#"{__name__=~"up|zone", dc!~"b.*", name=""}"#, r#"up{dc="a", node="1"} 1"#);
    check("10m", r#"{"up", node=~"1|2"}"#, r#"up{dc="a", node="1"} 1"#);
    check("10m", "nothing", "");
}

#[test]
fn a_stale_marker_ends_a_series_and_lookback_ends_one_without() {
    check("9m59s", r#"up{node="2"}"#, r#"up{dc="a", node="2"} 1"#);
    check("10m", r#"up{node="2"}"#, "");
    check("12m", r#"up{node="3"}"#, r#"up{dc="b", node="3"} 1"#);
    check("14m", r#"up{node="3"}"#, "");
    check("12m", r#"count_over_time(up{node="2"}[5m])"#, r#"{dc="a", node="2"} 2"#);
}

#[test]
fn ranges_and_lookback_exclude_their_start_since_version_3() {
    let query = r#"up{node="3"} or count_over_time(requests{dc="b"}[5m]) or count_over_time(requests{dc="b"}[5m:1m])"#;
    assert_eq!(result(Dialect::V3, "14m", query), r#"{code="200", dc="b"} 5"#);
    assert_eq!(
        result(Dialect::V2, "14m", query),
        r#"up{dc="b", node="3"} 1; {code="200", dc="b"} 6"#
    );
    assert_eq!(
        result(Dialect::V3, "14m", r#"count_over_time(requests{dc="b"}[5m:1m])"#),
        r#"{code="200", dc="b"} 5"#
    );
    assert_eq!(
        result(Dialect::V2, "14m", r#"count_over_time(requests{dc="b"}[5m:1m])"#),
        r#"{code="200", dc="b"} 6"#
    );
}

#[test]
fn modifiers_move_the_time() {
    let query = r#"requests{dc="b"}"#;
    check("10m", &format!("{query} offset 5m"), r#"requests{code="200", dc="b"} 600"#);
    check("10m", &format!("{query} offset -5m"), r#"requests{code="200", dc="b"} 1800"#);
    check("10m", &format!("{query} @ 120"), r#"requests{code="200", dc="b"} 240"#);
    check("10m", &format!("{query} @ end() offset 1m"), r#"requests{code="200", dc="b"} 1080"#);
    check("10m", &format!("{query}[2m] @ 300"), r#"requests{code="200", dc="b"} 480@240 600@300"#);
    check(
        "10m",
        &format!("max_over_time({query}[3m:1m] offset 5m)"),
        r#"{code="200", dc="b"} 600"#,
    );
}

#[test]
fn subqueries_lie_on_multiples_of_their_step() {
    check("10m30s", r#"up{node="3"}[2m30s:1m]"#, r#"up{dc="b", node="3"} 1@540 1@600"#);
    check("10m", "vector(time())[2m:30s]", "{} 510@510 540@540 570@570 600@600");
    // Without a step: the global evaluation interval, a minute here.
    check("10m", "count_over_time(vector(1)[10m:])", "{} 10");
    check(
        "10m",
        r#"max_over_time(rate(requests{dc="b"}[2m])[5m:1m])"#,
        r#"{code="200", dc="b"} 2"#,
    );
}

#[test]
fn rates_extrapolate_and_see_resets() {
    check("10m", r#"rate(requests{dc="b"}[5m])"#, r#"{code="200", dc="b"} 2"#);
    check("10m", r#"increase(requests{dc="b"}[5m])"#, r#"{code="200", dc="b"} 600"#);
    check("10m", r#"irate(requests{dc="b"}[5m])"#, r#"{code="200", dc="b"} 2"#);
    check("10m", r#"rate(requests{dc="b"}[1m])"#, "");
    // 0 10 20 5 15 25: up by 45, where a gauge changed by 25. The window reaches a minute beyond both ends' samples.
    check("5m", "increase(restarts[10m])", "{} 45");
    check("5m", "resets(restarts[10m]) + changes(restarts[10m])", "{} 6");
    check("5m", "delta(restarts[10m])", "{} 27.500000000000004");
    check("5m", "idelta(restarts[10m]) + deriv(restarts[10m]) * 60", "{} 13.571428571428571");
    check("10m", r#"predict_linear(requests{dc="b"}[5m], 60)"#, r#"{code="200", dc="b"} 1320"#);
}

#[test]
fn extrapolation_to_zero_comes_later_in_version_3() {
    // The first sample comes at 2m with 5, so the counter was 0 at 1m: a minute more in 2.x. In 3, the start of the range is too
    // far away, which leaves half a minute, and zero is farther than that.
    assert_eq!(result(Dialect::V3, "5m", "increase(late[10m])"), "{} 17.5");
    assert_eq!(result(Dialect::V2, "5m", "increase(late[10m])"), "{} 20");
}

#[test]
fn functions_over_time() {
    let of = |function: &str| format!("{function}(temperature[9m])");
    check("8m", &of("min_over_time"), "{} 19");
    check("8m", &of("max_over_time"), "{} 25");
    check("8m", &of("count_over_time"), "{} 8");
    check("8m", &of("last_over_time"), "temperature 25");
    check("8m", &of("present_over_time"), "{} 1");
    check("8m", &of("sum_over_time"), "{} NaN");
    check("6m", "sum_over_time(temperature[7m])", "{} 129");
    check("6m", "avg_over_time(temperature[7m])", "{} 21.5");
    check("6m", "quantile_over_time(0.5, temperature[7m])", "{} 21.5");
    check("6m", "stdvar_over_time(temperature[2m])", "{} 2.25");
    check("6m", "stddev_over_time(temperature[2m])", "{} 1.5");
    check("6m", "double_exponential_smoothing(temperature[7m], 0.5, 0.5)", "{} 21.9296875");
    check("6m", "holt_winters(temperature[7m], 0.5, 0.5)", "{} 21.9296875");
    check(
        "6m",
        "holt_winters(temperature[7m], 1, 0.5)",
        "error: invalid smoothing factor. Expected: 0 < sf < 1, got: 1.000000",
    );
}

#[test]
fn aggregations_group() {
    check("10m", "sum by (dc) (requests)", r#"{dc="a"} 660; {dc="b"} 1200"#);
    check("10m", "sum without (code) (requests)", r#"{dc="a"} 660; {dc="b"} 1200"#);
    check("10m", "sum(requests)", "{} 1860");
    check("10m", "count by (dc) (requests)", r#"{dc="a"} 2; {dc="b"} 1"#);
    check("10m", "avg(requests)", "{} 620");
    check("10m", "min(requests) + max(requests)", "{} 1260");
    check("10m", "group by (code) (requests)", r#"{code="200"} 1; {code="500"} 1"#);
    check("10m", r#"stdvar(requests{dc="a"})"#, "{} 72900");
    check("10m", r#"stddev(requests{dc="a"})"#, "{} 270");
    check("10m", "topk(1, requests)", r#"requests{code="200", dc="b"} 1200"#);
    check(
        "10m",
        "bottomk by (dc) (1, requests)",
        r#"requests{code="500", dc="a"} 60; requests{code="200", dc="b"} 1200"#,
    );
    check("10m", "quantile(0.5, requests)", "{} 600");
    check("10m", r#"count_values("value", up)"#, r#"{value="1"} 2"#);
    check("10m", "topk(scalar(nothing), requests)", "error: Scalar value NaN overflows int64");
}

#[test]
fn operators_match_labels() {
    let total = "sum by (dc) (requests)";
    check(
        "10m",
        &format!(r#"requests{{code="500"}} / on (dc) {total}"#),
        r#"{dc="a"} 0.09090909090909091"#,
    );
    check(
        "10m",
        &format!("requests / on (dc) group_left {total} < 0.5"),
        r#"{code="500", dc="a"} 0.09090909090909091"#,
    );
    check(
        "10m",
        &format!("{total} * on (dc) group_left (name) zone"),
        r#"{dc="a", name="west"} 660; {dc="b", name="east"} 1200"#,
    );
    check(
        "10m",
        &format!("zone * on (dc) group_right (name) {total}"),
        r#"{dc="a", name="west"} 660; {dc="b", name="east"} 1200"#,
    );
    check(
        "10m",
        r#"requests{code="200"} - ignoring (code) requests{code="500"}"#,
        r#"{dc="a"} 540"#,
    );
    check("10m", "requests > 600", r#"requests{code="200", dc="b"} 1200"#);
    check(
        "10m",
        "600 < bool requests",
        r#"{code="200", dc="a"} 0; {code="500", dc="a"} 0; {code="200", dc="b"} 1"#,
    );
    check("10m", "2 ^ 3 % 5 + -1", "2");
    check("10m", "-zone", r#"{dc="a", name="west"} -1; {dc="b", name="east"} -1"#);
    check("10m", "1 == bool 1", "1");
    check(
        "10m",
        "requests / on (dc) requests",
        concat!(
            r#"error: found duplicate series for the match group {dc="a"} on the right hand-side of the operation: "#,
            r#"[requests{code="200", dc="a"}, requests{code="500", dc="a"}];"#,
            "many-to-many matching not allowed: matching labels must be unique on one side",
        ),
    );
    check(
        "10m",
        &format!("requests / on (dc) {total}"),
        "error: multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
    );
    check(
        "10m",
        &format!(r#"label_replace(requests, "code", "x", "", "") * on (dc) group_left {total}"#),
        "error: vector cannot contain metrics with the same labelset",
    );
    check(
        "10m",
        r#"-{__name__=~"up|zone", dc="a", name=""} or -{__name__=~"temperature|restarts"}"#,
        r#"{dc="a", node="1"} -1; {} -25"#,
    );
}

#[test]
fn sets_keep_what_they_keep() {
    check("10m", r#"up and on (dc) requests{code="500"}"#, r#"up{dc="a", node="1"} 1"#);
    check("10m", r#"up unless on (dc) requests{code="500"}"#, r#"up{dc="b", node="3"} 1"#);
    check(
        "10m",
        r#"zone{dc="a"} or on (dc) up"#,
        r#"zone{dc="a", name="west"} 1; up{dc="b", node="3"} 1"#,
    );
    check("10m", "nothing or vector(7)", "{} 7");
}

#[test]
fn histograms_interpolate() {
    check("10m", "histogram_quantile(0.7, latency_bucket)", "{} 0.55");
    check("10m", "histogram_quantile(0.95, rate(latency_bucket[5m]))", "{} 1");
    check("10m", "histogram_quantile(0.25, latency_bucket)", "{} 0.05");
    check("10m", r#"histogram_quantile(0.5, latency_bucket{le!="+Inf"})"#, "{} NaN");
    check("10m", "histogram_quantile(2, latency_bucket)", "{} inf");
    check("10m", "histogram_fraction(0, 0.55, latency_bucket)", "{} 0.7");
}

#[test]
fn labels_are_rewritten() {
    check(
        "10m",
        r#"label_replace(zone, "region", "$1-x", "name", "(w).*")"#,
        r#"zone{dc="a", name="west", region="w-x"} 1; zone{dc="b", name="east"} 1"#,
    );
    check("10m", r#"label_replace(zone{dc="a"}, "name", "", "", "")"#, r#"zone{dc="a"} 1"#);
    check(
        "10m",
        r#"label_join(zone{dc="a"}, "both", "/", "name", "dc")"#,
        r#"zone{both="west/a", dc="a", name="west"} 1"#,
    );
    check(
        "10m",
        r#"label_replace(zone, "name", "x", "name", ".*") * 1"#,
        r#"{dc="a", name="x"} 1; {dc="b", name="x"} 1"#,
    );
    check(
        "10m",
        r#"label_replace(zone, "dc", "x", "", "") + 0 or label_join(zone, "", "", "dc")"#,
        "error: invalid destination label name in label_join(): ",
    );
}

#[test]
fn absence_is_an_element() {
    check("10m", r#"absent(nothing{job="a", node=~"b.*", x="1", x="2"})"#, r#"{job="a"} 1"#);
    check("10m", "absent(up)", "");
    check("10m", "absent(sum(nothing))", "{} 1");
    check("20m", r#"absent_over_time(up{node="3"}[5m])"#, r#"{node="3"} 1"#);
    check("20m", r#"absent_over_time(up{node="3"}[15m])"#, "");
}

#[test]
fn values_are_changed_one_by_one() {
    check("5m", "abs(temperature - 20)", "{} 1");
    check(
        "5m",
        "clamp(temperature, 20, 30) + clamp_max(temperature, 5) + clamp_min(temperature, 30)",
        "{} 55",
    );
    check("5m", "clamp(temperature, 3, 2)", "");
    check("5m", "round(temperature / 10) + round(temperature, 5)", "{} 22");
    check("5m", "sgn(-temperature) + ceil(temperature / 2) + floor(temperature / 2)", "{} 18");
    check(
        "5m",
        "sqrt(temperature + 6) + exp(vector(0)) + ln(vector(1)) + log2(vector(8)) + log10(vector(100))",
        "{} 11",
    );
    check("5m", "deg(vector(pi())) + sin(vector(0)) + cos(vector(0))", "{} 181");
    check("5m", "scalar(temperature) + 1", "20");
    check("5m", "scalar(up)", "NaN");
}

#[test]
fn times_are_utc() {
    // 29 February 2024 was a Thursday.
    let of = |function: &str| format!("{function}(vector(1709210096))");
    for (function, value) in [
        ("minute", 34),
        ("hour", 12),
        ("day_of_week", 4),
        ("day_of_month", 29),
        ("day_of_year", 60),
        ("days_in_month", 29),
        ("month", 2),
        ("year", 2024),
    ] {
        check("5m", &of(function), &format!("{{}} {value}"));
    }
    check("5m", "time() + scalar(minute())", "305");
    check("5m", "timestamp(temperature)", "{} 300");
    check("2m30s", "timestamp(temperature)", "{} 60");
    check("2m30s", "timestamp(temperature + 0)", "{} 150");
    check("5m", "year(vector(-1))", "{} 1969");
}

#[test]
fn sorting_puts_what_is_no_number_last() {
    check(
        "10m",
        "sort_desc(requests)",
        r#"requests{code="200", dc="b"} 1200; requests{code="200", dc="a"} 600; requests{code="500", dc="a"} 60"#,
    );
    check("7m", r#"sort({__name__=~"temperature|restarts"})"#, "restarts 25; temperature NaN");
    check(
        "10m",
        r#"sort_by_label(zone, "name")"#,
        r#"zone{dc="b", name="east"} 1; zone{dc="a", name="west"} 1"#,
    );
}

#[test]
fn sums_are_compensated_since_version_3() {
    let query = "sum(label_replace(vector(1e100), \"n\", \"1\", \"\", \"\") or label_replace(vector(1), \"n\", \"2\", \"\", \"\") \
                 or label_replace(vector(-1e100), \"n\", \"3\", \"\", \"\"))";
    assert_eq!(result(Dialect::V3, "0s", query), "{} 1");
    assert_eq!(result(Dialect::V2, "0s", query), "{} 0");
}

#[test]
fn a_range_query_evaluates_at_each_step() {
    let engine = Engine::new(Settings::default());
    let query = Query::parse("up > 0").unwrap();
    let series = engine.range(&query, &database(DATA), 480_000..=840_000, 120_000).unwrap();
    let lengths: Vec<(String, usize)> = series
        .iter()
        .map(|series| (series.labels.get("node").unwrap_or_default().into(), series.points.len()))
        .collect();
    assert_eq!(lengths, [("1".into(), 4), ("2".into(), 1), ("3".into(), 3)]);
    let matrix = Query::parse("up[5m]").unwrap();
    assert!(engine.range(&matrix, &database(DATA), 0..=1, 1).is_err());
    assert!(engine.range(&query, &database(DATA), 0..=1, 0).is_err());
}

#[test]
fn what_evaluates_may_move_to_another_thread() {
    fn moves<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    moves::<Engine>();
    is_shared::<Database>();
    is_shared::<Query>();
}
