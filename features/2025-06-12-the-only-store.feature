@incident:2025-06-12
Feature: The only store goes away

  Two stores had been reduced to one. That one goes away for two and a half hours: whatever is not held at the edge fails, and what is
  held runs out. When the store returns, every edge asks for everything at once.

  Rule: as it happened
    Background:
      Given the topology "kv-2025-06" with its traffic
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
      And every data center runs the current build
      When it is 17:52
      And these faults act for 148 minutes:
        | fault  | from   | to      | amount | share |
        | status | anyone | store-b | 503    | 100 % |
      And it is 21:10
      Then R6-7b, R6-d and R6-9 hold
