Feature: Faults of the network

  Each kind of fault, on its own and without noise, does what it says and leaves a witness.

  Background:
    Given the topology "small" with its traffic and without noise
    And customers send 30 requests a second
    And the replay starts at 2023-07-11 12:00
    When 2 minutes pass

  Scenario: without a fault nothing fails
    When 5 minutes pass
    Then no request fails

  Scenario: latency is added to what it takes anyway
    When these faults act for 5 minutes:
      | fault   | from    | to       | amount | share |
      | latency | clients | SYD:rest | 300 ms | 100 % |
    And 5 minutes pass
    Then the median latency in data center "SYD" is between 200 ms and 450 ms
    And no request fails

  Scenario: jitter spreads it
    When these faults act for 5 minutes:
      | fault  | from    | to       | amount | share |
      | jitter | clients | SYD:rest | 400 ms | 100 % |
    And 5 minutes pass
    Then the median latency in data center "SYD" is between 100 ms and 500 ms
    And no request fails

  Scenario: loss costs a retransmission
    When these faults act for 5 minutes:
      | fault | from    | to       | amount | share |
      | loss  | clients | SYD:rest |        | 60 %  |
    And 5 minutes pass
    Then the median latency in data center "SYD" is between 100 ms and 500 ms

  Scenario: a reset is an error for whoever waits
    When these faults act for 5 minutes:
      | fault | from    | to       | amount | share |
      | reset | clients | SYD:rest |        | 20 %  |
    And 5 minutes pass
    Then the share of failed requests in data center "SYD" is above 15 %
    And the share of failed requests in data center "MEL" stays below 0.1 %

  Scenario: whoever is cut off from its customers answers none of them
    When these faults act for 5 minutes:
      | fault     | from    | to  | amount | share |
      | partition | clients | SYD |        | 100 % |
    And 4 minutes pass
    Then the share of failed requests in data center "SYD" is above 90 %

  Scenario: a status is what customers get
    When these faults act for 5 minutes:
      | fault  | from    | to       | amount | share |
      | status | clients | SYD:rest | 418    | 30 %  |
    And 4 minutes pass
    Then the share of answers 418 in data center "SYD" is between 25 % and 35 %

  Scenario: without its signature a tier request is refused
    When these faults act for 5 minutes:
      | fault        | from   | to       | amount         | share |
      | strip header | anyone | SYD:tier | x-relapse-auth | 100 % |
    And 5 minutes pass
    # The next owner answers: the current build has the fallback.
    Then no request fails

  Scenario: one store of two can go
    When these faults act for 5 minutes:
      | fault     | from   | to      | amount | share |
      | partition | anyone | store-a |        | 100 % |
    And 4 minutes pass
    Then no request fails
