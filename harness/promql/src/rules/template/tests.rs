use super::{Template, TemplateData};
use crate::{Labels, Sample, TimestampMs};

/// Saturday, 24 November 2012, 11:14:12: the time of Prometheus' own tests.
const AT: TimestampMs = 1_353_755_652_000;

fn expand_with(text: &str, value: f64, result: &[(&[(&str, &str)], f64)]) -> String {
    let labels =
        Labels::new([("__name__", "errors"), ("dc", "fra1"), ("instance", "kv-1.fra1:9090")]);
    let external_labels = Labels::new([("cluster", "live")]);
    let samples: Vec<Sample> = result
        .iter()
        .map(|(labels, value)| Sample {
            labels: Labels::new(labels.iter().copied()),
            value: *value,
        })
        .collect();
    let query = move |text: &str, at: TimestampMs| {
        assert_eq!(at, AT);
        if text == "broken(" { Err("1:8: parse error".to_owned()) } else { Ok(samples.clone()) }
    };
    let data = TemplateData {
        labels: &labels,
        external_labels: &external_labels,
        external_url: "http://testhost:9090/path/prefix",
        value,
        at: AT,
        query: &query,
    };
    match Template::parse("X", text) {
        Ok(template) => template.expand(&data),
        Err(error) => error.message,
    }
}

fn expand(text: &str) -> String {
    expand_with(text, 0.25, &[])
}

/// Each row: a template, and what it becomes.
fn check(rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        assert_eq!(expand(text), *expected, "{text}");
    }
}

#[test]
fn labels_and_values_are_printed_as_go_prints_them() {
    check(&[
        ("plain text", "plain text"),
        ("{{ $labels.dc }}/{{ .Labels.dc }}", "fra1/fra1"),
        ("{{$labels.missing}}|{{ $labels.__name__ }}", "|errors"),
        ("{{ $value }} {{ .Value }}", "0.25 0.25"),
        (
            "{{ $externalLabels.cluster }} {{ $externalURL }}",
            "live http://testhost:9090/path/prefix",
        ),
        ("{{ $labels }}", "map[__name__:errors dc:fra1 instance:kv-1.fra1:9090]"),
        ("{{ 1 }} {{ 1.0 }} {{ 1e6 }} {{ 0x10 }} {{ 'a' }} {{ true }}", "1 1 1e+06 16 97 true"),
        (r#"{{ "a\tb\u00e9\x41\"" }}{{ `raw\n` }}"#, "a\tb\u{e9}A\"raw\\n"),
    ]);
    for (value, printed) in [
        (0.0, "0"),
        (0.1, "0.1"),
        (1e5, "100000"),
        (1e6, "1e+06"),
        (1_234_567.0, "1.234567e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1.0 / 3.0, "0.3333333333333333"),
        (1e100, "1e+100"),
        (-2.5, "-2.5"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
    ] {
        assert_eq!(expand_with("{{ $value }}", value, &[]), printed);
    }
}

#[test]
fn humanize_rounds_to_four_digits() {
    check(&[
        (
            "{{ humanize 0.0 }}:{{ humanize 1.0 }}:{{ humanize 1234567.0 }}:{{ humanize .12 }}",
            "0:1:1.235M:120m",
        ),
        (
            r#"{{ humanize "1234567.0" }}:{{ humanize -1 }}:{{ humanize 9223372036854775807 }}"#,
            "1.235M:-1:9.223E",
        ),
        (
            "{{ humanize1024 0.0 }}:{{ humanize1024 1048576.0 }}:{{ humanize1024 .12 }}",
            "0:1Mi:0.12",
        ),
        ("{{ humanize1024 1234567 }}", "1.177Mi"),
        (
            "{{ humanizePercentage -0.22222 }}:{{ 0.1234567 | humanizePercentage }}",
            "-22.22%:12.35%",
        ),
        ("{{ humanizePercentage 1.23456 }}:{{ humanizePercentage 1234567 }}", "123.5%:1.235e+08%"),
        ("{{ 1435065584.128 | humanizeTimestamp }}", "2015-06-23 13:19:44.128 +0000 UTC"),
        (r#"{{ "-1" | humanizeTimestamp }}"#, "1969-12-31 23:59:59 +0000 UTC"),
    ]);
    for (seconds, text) in [
        ("0", "0s"),
        ("1", "1s"),
        ("60", "1m 0s"),
        ("3600", "1h 0m 0s"),
        ("90000", "1d 1h 0m 0s"),
        ("-183845", "-2d 3h 4m 5s"),
        ("899.99", "14m 59s"),
        (".1", "100ms"),
        (".0001", "100us"),
        (".12345", "123.5ms"),
        ("60.5", "1m 0s"),
        ("1.2345", "1.234s"),
        ("12.345", "12.35s"),
        ("\"+Inf\"", "+Inf"),
    ] {
        assert_eq!(expand(&format!("{{{{ humanizeDuration {seconds} }}}}")), text, "{seconds}");
    }
}

#[test]
fn printf_prints_what_go_prints() {
    check(&[
        (r#"{{ printf "%.2f" $value }}|{{ $value | printf "%.1f%%" }}"#, "0.25|0.2%"),
        (
            r#"{{ printf "%f %e %g %v %G" $value $value $value $value 1e-7 }}"#,
            "0.250000 2.500000e-01 0.25 0.25 1E-07",
        ),
        (r#"{{ printf "%s-%q-%v" "a" "b\"" "c" }}"#, r#"a-"b\""-c"#),
        (
            r#"{{ printf "%d|%5d|%-5d|%05d|%+d|%x|%X|%o|%b|%c" 42 42 42 42 42 255 255 8 5 65 }}"#,
            "42|   42|42   |00042|+42|ff|FF|10|101|A",
        ),
        (
            r#"{{ printf "%8.3f|%-8.1f|%08.2f|%+.1f" 3.14159 2.5 -1.5 1.0 }}"#,
            "   3.142|2.5     |-0001.50|+1.0",
        ),
        (r#"{{ printf "%6s|%-6s|%.2s|%x" "abc" "abc" "abc" "hi" }}"#, "   abc|abc   |ab|6869"),
        (r#"{{ printf "%.3g %.3g %.3g" 1234.0 0.00001234 100.0 }}"#, "1.23e+03 1.23e-05 100"),
        (r#"{{ printf "%x %x %x" 1.5 0.0 -0.1 }}"#, "0x1.8p+00 0x0p+00 -0x1.999999999999ap-04"),
        (r#"{{ printf "%d" $value }}"#, "%!d(float64=0.25)"),
        (r#"{{ printf "%s" 1 }}|{{ printf "%s" $value }}"#, "%!s(int=1)|%!s(float64=0.25)"),
        (r#"{{ printf "%s %s" "a" }}"#, "a %!s(MISSING)"),
        (
            r#"{{ printf "a" 1 }}|{{ printf "%" }}|{{ printf "%y" 1 }}"#,
            "a%!(EXTRA int=1)|%!(NOVERB)|%!y(int=1)",
        ),
        (r#"{{ printf "%t %v" true false }}{{ printf "%*d" 4 7 }}"#, "true false   7"),
        (r#"{{ print "a" 1 2 "b" }}|{{ println 1 "x" }}"#, "a1 2b|1 x\n"),
    ]);
}

#[test]
fn texts_are_changed_and_matched() {
    check(&[
        (
            r#"{{ "aa bb CC" | title }} {{ "foo-bar_baz don't" | title }}"#,
            "Aa Bb CC Foo-Bar_baz Don't",
        ),
        (r#"{{ toUpper "aB" }}{{ toLower "aB" }}"#, "ABab"),
        (r#"{{ match "a+" "aa" }} {{ match "^a+$" "b" }}"#, "true false"),
        (
            r#"{{ reReplaceAll "(a)b" "x$1" "ab" }}{{ reReplaceAll "(.*):.*" "$1" $labels.instance }}"#,
            "xakv-1.fra1",
        ),
        (
            "{{ $labels.instance | stripPort }} {{ stripDomain $labels.instance }}",
            "kv-1.fra1 kv-1:9090",
        ),
        (
            r#"{{ stripPort "[2001:db8::1]:80" }} {{ stripDomain "192.0.2.1:1" }}"#,
            "2001:db8::1 192.0.2.1:1",
        ),
        (
            r#"{{ graphLink "up{a=\"b\"}" }} {{ tableLink "up" }}"#,
            "/graph?g0.expr=up%7Ba%3D%22b%22%7D&g0.tab=0 /graph?g0.expr=up&g0.tab=1",
        ),
        (
            "{{ pathPrefix }} {{ externalURL }} {{ now }}",
            "/path/prefix http://testhost:9090/path/prefix 1.353755652e+09",
        ),
        (r#"{{ printf "%0.2f" (parseDuration "-1h2m10ms") }}"#, "-3720.01"),
        (
            r#"{{ len "abc" }} {{ len $labels }} {{ index $labels "dc" }} {{ urlQueryEscape "a b" }}"#,
            "3 3 fra1 a+b",
        ),
    ]);
}

#[test]
fn conditions_compare_values_of_one_kind() {
    check(&[
        ("{{ if gt $value 0.2 }}high{{ else }}low{{ end }}", "high"),
        ("{{ if lt $value 0.2 }}a{{ else if ge $value 0.25 }}b{{ else }}c{{ end }}", "b"),
        (
            r#"{{ if eq $labels.dc "ams1" "fra1" }}known{{ end }}{{ if ne .Labels.dc "fra1" }}x{{ end }}"#,
            "known",
        ),
        (r#"{{ if and (eq $labels.dc "fra1") (not $labels.missing) }}yes{{ end }}"#, "yes"),
        (r#"{{ or $labels.missing "nobody" }} {{ and "a" "" "c" }}{{ le 1 1 }}"#, "nobody true"),
        // `and` stops at the first false value: the query is not run.
        (r#"{{ if and false (query "broken(") }}x{{ else }}y{{ end }}"#, "y"),
        (
            "{{ with $labels.dc }}<{{ . }}>{{ end }}{{ with $labels.missing }}x{{ else }}none{{ end }}",
            "<fra1>none",
        ),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $y := 3 }}{{ $y }}{{ end }}{{ $x }}", "32"),
        (
            "{{ if gt $value 0 }}x{{ end }}",
            "<error expanding template: error executing template __alert_X: template: __alert_X:1:118: executing \
             \"__alert_X\" at <gt $value 0>: error calling gt: incompatible types for comparison>",
        ),
    ]);
}

#[test]
fn queries_can_be_ranged_over() {
    let result: &[(&[(&str, &str)], f64)] = &[(&[("dc", "fra1")], 21.0), (&[("dc", "ams1")], 1e6)];
    let rows = [
        (r#"{{ query "x" | first | value }}"#, "21"),
        (r#"{{ query "x" | first | label "dc" }}/{{ query "x" | first | label "no" }}"#, "fra1/"),
        (
            r#"{{ range query "x" | sortByLabel "dc" }}{{ .Labels.dc }}:{{ .Value }} {{ end }}"#,
            "ams1:1e+06 fra1:21 ",
        ),
        (
            r#"{{ range $i, $s := query "x" }}{{ $i }}={{ $s.Value | humanize }};{{ end }}"#,
            "0=21;1=1M;",
        ),
        (
            r#"{{ range query "x" }}{{ if eq .Labels.dc "ams1" }}{{ break }}{{ end }}{{ .Value }}{{ end }}!"#,
            "21!",
        ),
        (
            "{{ range $name, $value := $labels }}{{ $name }}={{ $value }} {{ end }}",
            "__name__=errors dc=fra1 instance=kv-1.fra1:9090 ",
        ),
        (
            r#"{{ with query "x" }}{{ . | first | value }}{{ end }}{{ (query "x" | first).Labels.dc }}"#,
            "21fra1",
        ),
        (r#"{{ $x := query "x" | first }}{{ $x.Labels.foo }}{{ $x.Value }}"#, "21"),
    ];
    for (text, expected) in rows {
        assert_eq!(expand_with(text, 0.0, result), expected, "{text}");
    }
    assert_eq!(expand(r#"{{ range query "x" }}x{{ else }}nothing{{ end }}"#), "nothing");
}

#[test]
fn hyphens_trim_space_and_comments_vanish() {
    check(&[
        ("a  {{- 1 -}}  b", "a1b"),
        ("a {{- /* why */ -}} b{{/* no */}} c", "ab c"),
        ("a\n  {{- if true }}\n  b\n  {{- end }}\n", "a\n  b\n"),
        ("{{ -1 }}{{- 2 }}", "-12"),
        ("{{ if true }}\n{{ printf \"%d\"\n 3 }}{{ end }}", "\n3"),
    ]);
}

#[test]
fn a_template_that_does_not_parse_says_where() {
    check(&[
        ("{{", "template: __alert_X:1: unclosed action"),
        ("a\n{{ $nope }}", "template: __alert_X:2: undefined variable \"$nope\""),
        ("{{ nope 1 }}", "template: __alert_X:1: function \"nope\" not defined"),
        ("{{ toTime 1 }}", "template: __alert_X:1: function \"toTime\" is not supported here"),
        ("{{ if true }}x", "template: __alert_X:1: unexpected EOF"),
        ("x{{ end }}", "template: __alert_X:1: unexpected {{end}}"),
        ("{{ }}", "template: __alert_X:1: missing value for command"),
        ("{{ \u{a0} }}", "template: __alert_X:1: unrecognized character in action: U+00A0"),
        ("{{ \"a }}", "template: __alert_X:1: unterminated quoted string"),
        ("{{ (1 }}", "template: __alert_X:1: unclosed left paren"),
        ("{{ 1 | 2 }}", "template: __alert_X:1: non executable command in pipeline stage 2"),
        ("{{ $labels.a-b }}", "template: __alert_X:1: bad character U+002D '-'"),
        ("{{ 3x }}", "template: __alert_X:1: bad number syntax: \"3x\""),
        ("{{ define \"a\" }}{{ end }}", "template: __alert_X:1: {{define}} is not supported here"),
    ]);
}

#[test]
fn a_template_that_fails_says_so_in_its_text() {
    let rows = [
        (
            r#"{{ query "x" | first }}"#,
            "1:127: executing \"__alert_X\" at <first>: error calling first: first() called on vector with no elements",
        ),
        (
            r#"{{ humanize "one" }}"#,
            "1:115: executing \"__alert_X\" at <humanize \"one\">: error calling humanize: strconv.ParseFloat: parsing \"one\": invalid syntax",
        ),
        (
            r#"{{ query "broken(" }}"#,
            "1:115: executing \"__alert_X\" at <query \"broken(\">: error calling query: 1:8: parse error",
        ),
        (
            "{{ toUpper $value }}",
            "1:123: executing \"__alert_X\" at <$value>: wrong type for value; expected string; got float64",
        ),
        ("{{ toUpper 1 }}", "1:123: executing \"__alert_X\" at <1>: expected string; found 1"),
        (
            "{{ toUpper }}",
            "1:115: executing \"__alert_X\" at <toUpper>: wrong number of args for toUpper: want 1 got 0",
        ),
        (
            "x\n {{ .Labels.dc.x }}",
            "2:11: executing \"__alert_X\" at <.Labels.dc.x>: can't evaluate field x in type string",
        ),
        (
            "{{ .Labels.dc 1 }}",
            "1:122: executing \"__alert_X\" at <.Labels.dc>: dc is not a method but has arguments",
        ),
    ];
    for (text, message) in rows {
        let whole = format!(
            "<error expanding template: error executing template __alert_X: template: __alert_X:{message}>"
        );
        assert_eq!(expand(text), whole, "{text}");
    }
}
