use super::*;

fn refused(text: &str) -> String {
    match Query::parse(text) {
        Ok(_) => panic!("{text} was accepted"),
        Err(error) => error.to_string(),
    }
}

fn parsed(text: &str) -> Query {
    Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    assert_eq!(refused("info(up)"), "1:1: info is not supported");
    assert_eq!(
        refused("1 + histogram_sum(up)"),
        "1:5: histogram_sum needs native histograms, which are not supported"
    );
    assert_eq!(
        refused("limitk(2, up)"),
        "1:1: limitk is an experimental aggregation, which is not supported"
    );
    assert!(refused("rate(up[5m] smoothed)").contains("experimental"));
    assert!(refused("up[5m+1s]").contains("experimental"));
    assert!(refused("a + fill(0) b").contains("experimental"));
}

#[test]
fn errors_say_where() {
    assert_eq!(refused("sum(\n  up[5m"), "2:5: this bracket is not closed");
    assert_eq!(refused("sum(up))"), "1:8: this bracket closes none");
    assert_eq!(refused("up{job=\"x}"), "1:8: this quote is not closed");
    assert!(refused("rat(up[5m])").starts_with("1:1: "));
    let error = Query::parse("sum by (job) (rate(up))").unwrap_err();
    assert_eq!((error.offset, error.line_column), (Some(14), Some((1, 15))));
}

#[test]
fn what_prometheus_refuses_is_refused() {
    for text in [
        "",
        "1 < 2",
        "1 and 2",
        "a and 1",
        "a + bool b",
        "a + on(x) 1",
        "sum(1)",
        "rate(up)",
        "abs(up[5m])",
        "exp(1)",
        "{}",
        "{job=~\".*\"}",
        "{job=\"\"}",
        "up[0s]",
        "up[5m:0s]",
        "up[5m][5m:1m]",
        "topk(up)",
        "topk(\"a\", up)",
        "count_values(1, up)",
        "a + on(x) group_left(x) b",
        "a and on(x) group_left b",
        "up{job=~\"(\"}",
        "-\"a\"",
        "foo{__name__=\"bar\"}",
        "a[9.5e10]",
        "a + 1e999",
    ] {
        refused(text);
    }
}

#[test]
fn metrics_and_selectors_are_listed() {
    let query = parsed(
        "sum by (dc) (rate(a{code=~\"5..\"}[5m])) / on(dc) group_left(zone) {__name__=\"b\", x!=\"\"} > {job=\"c\"}",
    );
    let metrics = query.metrics();
    assert_eq!(
        (metrics.names.into_iter().collect::<Vec<_>>(), metrics.any),
        (vec!["a".into(), "b".into()], true)
    );
    let selectors = query.selectors();
    assert_eq!(selectors[0].matchers, [("code".into(), "=~", "5..".into())]);
    assert_eq!(selectors[0].grouping.iter().collect::<Vec<_>>(), ["dc", "zone"]);
    assert_eq!(selectors[2].metric, None);
    assert_eq!(query.value_type(), ValueType::Vector);
    assert_eq!(parsed("up[5m]").value_type(), ValueType::Matrix);
    assert_eq!(parsed("scalar(up) + 1").value_type(), ValueType::Scalar);
    assert_eq!(parsed("\"a\"").value_type(), ValueType::String);
}

#[test]
fn the_reach_adds_ranges_subqueries_and_offsets() {
    let settings = Settings::default();
    let minute = 60_000;
    for (text, minutes) in [
        ("1", 0),
        ("a", 5),
        ("a offset 1m", 6),
        ("rate(a[10m] offset -2m)", 8),
        ("max_over_time(rate(a[5m])[1h:1m] offset 1m)", 66),
        ("a + rate(a[20m])", 20),
        ("max_over_time(rate(a[5m] @ end())[1h:1m])", 5),
    ] {
        assert_eq!(parsed(text).reach_ms(&settings), minutes * minute, "{text}");
    }
    assert_eq!(parsed("a @ 5").reach_ms(&settings), i64::MAX);
    let by_metric = parsed("a + rate(a[20m]) + b").reach_by_metric(&settings);
    assert_eq!(
        by_metric.into_iter().collect::<Vec<_>>(),
        [("a".into(), 20 * minute), ("b".into(), 5 * minute)]
    );
}
