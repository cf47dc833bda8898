@incident:2023-07-17
Feature: Data centers returning from maintenance

  Three data centers come back with isolates that kept a setting from the time when they were out of service. Whatever they own
  fails, in every data center of their regions, and nothing says why.

  Rule: as it happened
    Background:
      Given the topology "kv-2023-07" with its traffic
      # As many as power needs while something is measured: the baseline, the evening, the morning. In between, and after the
      # second alerts, only that nobody recovers; whether a count of errors would have alerted in the middle of the night is not asked.
      And customers send 10 requests a second
      And customers send 20 requests a second from 20:26 on
      And customers send 10 requests a second from 20:52 on
      And customers send 65 requests a second from 21:45 on
      And customers send 10 requests a second from 00:10 the next day on
      And customers send 3 requests a second from 02:30 the next day on
      And customers send 65 requests a second from 05:00 the next day on
      And customers send 2 requests a second from 05:59 the next day on
      And customers send 12 requests a second from 13:40 the next day on
      And every data center runs build "kv-2023-07"
      And data centers "MEL01", "VIE02" and "JNB01" go down for maintenance at 20:52 and return at 21:52

    Scenario: a sliver of the world's traffic, nearly a fifth of one customer's
      When it is 00:09 the next day
      Then R1-1 and R1-2 hold
      And R1-3, R1-4, R1-5 and R1-10 hold

    Scenario: on-call sees where, never why
      When it is 00:09 the next day
      Then R1-9 and R1-11 hold
      And R1-13 holds

    Scenario: switching the new backend off in one data center helps its region only
      When it is 00:09 the next day
      And the new backend is switched off in "MEL01"
      And it is 02:26
      Then R1-6 holds

    Scenario: it lasts until the new backend is switched off everywhere
      When it is 00:09 the next day
      And the new backend is switched off in "MEL01"
      And it is 13:51
      And the new backend is switched off everywhere
      And it is 14:51
      Then R1-7, R1-8 and R1-12 hold

  Rule: had an alert named the owner
    Scenario: the same people switch the new backend off ten minutes after the page
      Given the topology "kv-2023-07" with its traffic
      And customers send 10 requests a second
      And customers send 30 requests a second from 21:45 on
      # Many when the switch comes: the last that fails must be near it.
      And customers send 90 requests a second from 22:01 on
      And customers send 20 requests a second from 22:05 on
      And the replay starts at 2023-07-17 21:32
      And every data center runs build "kv-2023-07"
      And data centers "MEL01", "VIE02" and "JNB01" go down for maintenance at 21:40 and return at 21:52
      When operators do:
        | when                          | what                                       |
        | 10 minutes after OwnerFailing | the new backend is switched off everywhere |
      And it is 22:22
      Then R1-o1 holds

  Rule: nineteen minutes of it, in containers as well
    Background:
      Given the topology "slice-2023-07" with its traffic and without noise
      And containers run it 10 times as fast
      And the replay starts at 2023-07-17 21:44
      And every data center runs build "kv-2023-07"
      And data centers "MEL01" and "VIE02" go down for maintenance at 21:47 and return at 21:52

    Scenario: where it fails, what on-call sees, and that the switch ends it
      When it is 21:59
      And the new backend is switched off in "MEL01"
      And it is 22:03
      Then R1-s1, R1-s2, R1-s3 and R1-s4 hold

  Rule: at the pace of the clock, beside a real Prometheus
    Background:
      Given the topology "slice-2023-07" with its traffic and without noise
      And containers run it 1 time as fast
      And the replay starts at 2023-07-17 21:48
      And every data center runs build "kv-2023-07"
      And data center "MEL01" goes down for maintenance at 21:49 and returns at 21:52

    @nightly
    Scenario: the monitor sees what a real Prometheus sees
      When it is 21:56
      Then R1-s5 holds

  Rule: in the live lab, in real time
    Background:
      Given the topology "small" with its traffic and without noise
      And the replay starts at 2023-07-17 21:48
      And every data center runs build "kv-2023-07"
      And data center "MEL" goes down for maintenance at 21:49 and returns at 21:52

    @live
    Scenario: one data center returns, and on-call learns where
      When it is 22:00
      # Three minutes after it returned. Half of the region's keys are its own, so its neighbor's customers suffer as much.
      Then alert "DataCenterHttp500" fired for "MEL" within 7 minutes

  Rule: with the safeguards that would have prevented it
    Background:
      Given the topology "kv-2023-07" with its traffic
      And customers send 5 requests a second
      And customers send 20 requests a second from 20:26 on
      And customers send 5 requests a second from 20:52 on
      And customers send 15 requests a second from 21:45 on
      And data centers "MEL01", "VIE02" and "JNB01" go down for maintenance at 20:52 and return at 21:52

    Scenario: with every safeguard the return goes unnoticed
      Given every data center runs the current build
      # Of the customer in one region it takes a thousand to tell.
      And customers send 25 requests a second from 21:46 on
      When it is 22:52
      Then R1-h1 holds

    Scenario: with nothing but the report, one alert names the cause
      Given every data center runs the current build without "request-scoped-env", "return-gate", "owner-quarantine" and "owner-fallback"
      When it is 22:02
      Then R1-h2, R1-h2l and R1-d hold

    Scenario: without the request's own env, the gate keeps unfit data centers out
      Given every data center runs the current build without "request-scoped-env"
      When it is 22:52
      Then R1-h3 holds

    Scenario: without the gate as well, failing owners are quarantined
      Given every data center runs the current build without "request-scoped-env", "return-gate" and "owner-fallback"
      When it is 22:52
      Then R1-h4 holds

    Scenario: without the quarantine as well, the next owner answers
      Given every data center runs the current build without "request-scoped-env", "return-gate" and "owner-quarantine"
      When it is 22:52
      Then R1-h5 holds
