use super::Server;
use crate::rules::webhook;

#[test]
fn the_body_tells_what_began_and_ceased_to_fire() {
    let mut server = Server::new(
        r#"
groups:
  - name: g
    rules:
      - {alert: A, expr: errors > 0, for: 1m, labels: {severity: page}, annotations: {summary: "{{ $labels.dc }} fails"}}
"#,
    );
    let fra1: &[(&str, &str)] = &[("__name__", "errors"), ("dc", "fra1")];
    let ams1: &[(&str, &str)] = &[("__name__", "errors"), ("dc", "ams1")];
    let steps = server.run(&[(fra1, "1 1 0"), (ams1, "0 1 1")]);
    // At minute 2, ams1 begins and fra1 ceases to fire.
    insta::assert_debug_snapshot!(webhook("people", &steps[2].transitions, "http://testbed"), @r#"
    Notification {
        receiver: "people",
        status: "firing",
        alerts: [
            NotifiedAlert {
                status: "firing",
                labels: {
                    "alertname": "A",
                    "dc": "ams1",
                    "severity": "page",
                },
                annotations: {
                    "summary": "ams1 fails",
                },
                starts_at: "1970-01-01T00:02:00Z",
                ends_at: "0001-01-01T00:00:00Z",
                generator_url: "http://testbed/graph?g0.expr=errors+%3E+0&g0.tab=1",
                fingerprint: "2f3e4ece9e1aeda2",
            },
            NotifiedAlert {
                status: "resolved",
                labels: {
                    "alertname": "A",
                    "dc": "fra1",
                    "severity": "page",
                },
                annotations: {
                    "summary": "fra1 fails",
                },
                starts_at: "1970-01-01T00:01:00Z",
                ends_at: "1970-01-01T00:02:00Z",
                generator_url: "http://testbed/graph?g0.expr=errors+%3E+0&g0.tab=1",
                fingerprint: "4efa0769e89e02c6",
            },
        ],
        group_labels: {},
        common_labels: {
            "alertname": "A",
            "severity": "page",
        },
        common_annotations: {},
        external_url: "http://testbed",
        version: "4",
        group_key: "{}:{}",
        truncated_alerts: 0,
    }
    "#);
    // Pending alerts notify nobody.
    assert_eq!(webhook("people", &steps[0].transitions, "http://testbed").alerts, []);
}
