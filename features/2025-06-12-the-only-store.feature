@incident:2025-06-12
Feature: The only store goes away

  Two stores had been reduced to one. That one goes away for two and a half hours: whatever is not held at the edge fails, and what is
  held runs out. When the store returns, every edge asks for everything at once.

  Rule: as it happened
    Background:
      Given the topology "kv-2025-06" with its traffic
      And customers send 10 requests a second
      And customers send 20 requests a second from 17:20 on
      And every data center runs build "kv-2025-06"
      When it is 17:52
      And these faults act for 148 minutes:
        | fault  | from   | to      | amount | share |
        | status | anyone | store-b | 503    | 100 % |

    Scenario: nine requests of ten fail, the rest is what edges hold
      When it is 20:20
      Then R6-5 and R6-6 hold
      And R6-8 holds

    Scenario: the return is a rush, and nothing is lost
      When it is 21:10
      Then R6-7a and R6-9 hold

  Rule: ten minutes of it, in containers as well
    Scenario: what edges do not hold fails, and an alert names the store
      Given the topology "kv-2025-06" with its traffic and without noise
      And containers run it 10 times as fast
      And the replay starts at 2025-06-12 17:44
      And every data center runs build "kv-2025-06"
      When it is 17:52
      And these faults act for 10 minutes:
        | fault  | from   | to      | amount | share |
        | status | anyone | store-b | 503    | 100 % |
      And it is 18:07
      Then R6-s1 and R6-s2 hold

  Rule: with the safeguards that would have tamed the return
    Scenario: whoever misses with others waits for them, and the store is asked little more than usual
      Given the topology "kv-2025-06" with its traffic
      And customers send 10 requests a second
      And customers send 20 requests a second from 17:20 on
      # While all is lost that can be lost, fewer are enough.
      And customers send 5 requests a second from 18:15 on
      And customers send 20 requests a second from 20:10 on
      And every data center runs the current build
      When it is 17:52
      And these faults act for 148 minutes:
        | fault  | from   | to      | amount | share |
        | status | anyone | store-b | 503    | 100 % |
      And it is 21:10
      Then R6-7b, R6-d and R6-9 hold

    # Edges begin anew with nothing, all at once, and the store is slow: everybody misses the same few keys.
    Scenario: of many who miss one key of a slow store, one asks
      Given the topology "hot" with its traffic and without noise
      And customers send 60 requests a second
      And customers send 200 requests a second from 20:13 on
      And the replay starts at 2025-06-12 20:10
      And every data center runs the current build
      When it is 20:20
      And these faults act for 5 minutes:
        | fault   | from   | to     | amount | share |
        | latency | anyone | stores | 1.5 s  | 100 % |
      And it is 20:21
      And operators do:
        | when  | what                                 |
        | 20:21 | data center "IAD" crashes             |
        | 20:21 | data center "SJC" crashes             |
        | 20:21 | data center "FRA" crashes             |
        | 20:21 | data center "VIE" crashes             |
        | 20:21 | data center "SYD" crashes             |
        | 20:21 | data center "MEL" crashes             |
      And 5 s pass
      And data center "IAD" is started again
      And data center "SJC" is started again
      And data center "FRA" is started again
      And data center "VIE" is started again
      And data center "SYD" is started again
      And data center "MEL" is started again
      And it is 20:25
      Then R6-7c holds
