Feature: What on-call sees

  Alerts, log lines, exception reports and traces of small things that go wrong, each on its own and without noise.

  Background:
    Given the topology "small" with its traffic and without noise
    And customers send 30 requests a second
    And the replay starts at 2023-07-11 12:00

  Rule: of a fault of the network
    Background:
      When 5 minutes pass

    Scenario: where nothing goes wrong nobody is told anything
      When 10 minutes pass
      Then no alert of severity "page" fired
      And no alert of severity "ticket" fired
      And this query over telemetry stays above 0.5:
        """
        min(up)
        """
      And this query over truth stays below 0.1 %:
        """
        (sum(increase(truth_requests_total{failed="true"}[5m])) or vector(0))
          / sum(increase(truth_requests_total[5m]))
        """

    Scenario: a node that cannot be scraped is missed, whatever its customers say
      When these faults act for 4 minutes:
        | fault     | from    | to  | amount | share |
        | partition | monitor | SYD |        | 100 % |
      And 4 minutes pass
      Then alert "TargetDown" fired for "SYD" within 2 minutes
      And alert "TargetDown" fired for "SYD" and for no other data center
      And alert "DataCenterUnreachable" stayed silent
      And no request fails

    Scenario: a store that goes is named before anything fails
      When these faults act for 10 minutes:
        | fault     | from   | to      | amount | share |
        | partition | anyone | store-a |        | 100 % |
      And 10 minutes pass
      Then these alerts fired, and no other:
        | alert          | for           | within    |
        | RedundancyLost | store=store-a | 2 minutes |

    Scenario: a tier that is asked without a signature tells of it in its log
      When these faults act for 5 minutes:
        | fault        | from   | to       | amount         | share |
        | strip header | anyone | SYD:tier | x-relapse-auth | 100 % |
      And 5 minutes pass
      Then the response log has lines with 401 of data center "SYD"
      And no log line or exception names "TypeError"
      # The next owner answers, and the one that refuses is taken out of placement.
      And no request fails

    Scenario: a tier that loses the trace says so
      When these faults act for 5 minutes:
        | fault        | from   | to       | amount      | share |
        | strip header | anyone | SYD:tier | traceparent | 100 % |
      And 5 minutes pass
      Then alert "MissingContext" fired for "SYD" within 90 s
      And no request fails

  Rule: of a data center that comes back unfit
    Scenario: a request that fails is traced to the owner that failed it
      Given every data center runs the current build without "request-scoped-env", "return-gate", "owner-quarantine" and "owner-fallback"
      And data center "SYD" goes down for maintenance at 12:00 and returns at 12:03
      When 10 minutes pass
      Then failed requests are traced from data center "MEL" to "SYD"
      And exception "TypeError" of script "supercache" is reported from data center "SYD" within 3 minutes
      And alert "UnhandledException" fired for "SYD" within 3 minutes
      And the response log has lines with 500 of data center "MEL"
      And no log line or exception names "k000001"
