Feature: A store goes away

  Of two stores one may be gone for an hour: customers notice nothing, on-call is told at once, and what it missed it gets when
  it is back. Where both fail now and then, two are ten times as good as one (R6-1 to R6-4 of the facts about 12 June 2025).

  Rule: one of two, for an hour
    Background:
      Given the topology "small" with its traffic
      And customers send 12 requests a second
      And the replay starts at 2023-07-11 12:00
      When 20 minutes pass

    Scenario: customers notice nothing
      When these faults act for 60 minutes:
        | fault     | from   | to      | amount | share |
        | partition | anyone | store-a |        | 100 % |
      And 60 minutes pass
      # What fails is the noise's: both stores in a burst at once, a deploy, a flapping link.
      Then the share of failed requests stays below 0.05 %
      And these alerts fired, and no other of severity "page":
        | alert          | for           | within    |
        | RedundancyLost | store=store-a | 2 minutes |

    Scenario: what it missed it has ten minutes after it is back, and nobody is flooded
      When these faults act for 60 minutes:
        | fault     | from   | to      | amount | share |
        | partition | anyone | store-a |        | 100 % |
      And 60 minutes pass
      And 11 minutes pass
      Then every key that was written is the same in all stores

    Scenario: the return is no storm
      When these faults act for 60 minutes:
        | fault     | from   | to      | amount | share |
        | partition | anyone | store-a |        | 100 % |
      And 60 minutes pass
      Then the share of failed requests stays below 0.05 %
      # Long enough that one burst of the other store's errors, at the moment of the return, is not all that is seen.
      When 25 minutes pass
      Then the share of failed requests stays below 0.05 %
      And this query over telemetry stays below 1.5:
        """
        (sum(increase(node_purge_sent_total[10m])) / sum(increase(node_responses_total{script="gateway",operation=~"put|delete"}[10m])))
        / (sum(increase(node_purge_sent_total[10m] offset 70m)) / sum(increase(node_responses_total{script="gateway",operation=~"put|delete"}[10m] offset 70m)))
        """

  Rule: one of two, for ten minutes, in containers as well
    Scenario: customers notice nothing, on-call is told at once, and in the end both hold the same
      Given the topology "small" with its traffic and without noise
      And customers send 30 requests a second
      And containers run it 10 times as fast
      And the replay starts at 2023-07-11 12:00
      When 3 minutes pass
      And these faults act for 10 minutes:
        | fault     | from   | to      | amount | share |
        | partition | anyone | store-a |        | 100 % |
      And 10 minutes pass
      Then the share of failed requests stays below 0.05 %
      And these alerts fired, and no other of severity "page":
        | alert          | for           | within    |
        | RedundancyLost | store=store-a | 5 minutes |
      When 11 minutes pass
      Then the share of failed requests stays below 0.05 %
      And every key that was written is the same in all stores

  Rule: configured away
    Scenario: a store that is configured away is missed before anything fails
      Given the topology "small" with its traffic
      And the replay starts at 2023-07-11 12:00
      And store "store-b" is the only one that is configured
      When 10 minutes pass
      Then these alerts fired, and no other:
        | alert          | for           | within    |
        | RedundancyLost | store=store-b | 2 minutes |
      And the share of failed requests stays below 1 %

  # Each store fails for 1 % of the time, 9.2 % of that together with the other: 0.092 % + (0.908 %)² is a tenth.
  Rule: both fail now and then
    Background:
      Given the topology "cold" with its traffic and without noise
      And the replay starts at 2023-07-11 12:00

    Scenario: two stores fail a tenth as often as one does
      # A hundred and seventy failures.
      Given customers send 0.65 requests a second
      When these faults act for 72 hours:
        | fault  | from   | to      | amount | share                     |
        | status | anyone | store-a | 503    | 0.908 % in bursts of 10 s |
        | status | anyone | store-b | 503    | 0.908 % in bursts of 10 s |
        | status | anyone | stores  | 503    | 0.092 % in bursts of 10 s |
      And 72 hours pass
      Then the share of failed requests is between 0.075 % and 0.125 %

    Scenario: one store alone fails customers as often as it fails
      Given customers send 0.35 requests a second
      And store "store-b" is the only one that is configured
      When these faults act for 36 hours:
        | fault  | from   | to      | amount | share                 |
        | status | anyone | store-b | 503    | 1 % in bursts of 10 s |
      And 36 hours pass
      Then the share of failed requests is between 0.85 % and 1.15 %
