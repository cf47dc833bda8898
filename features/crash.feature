Feature: Crash and restart of a node

  Background:
    Given the topology "small" with its traffic and without noise
    And the replay starts at 2023-07-11 12:00
    When 2 minutes pass

  Scenario: customers go elsewhere, and owners are asked in turn
    When data center "SYD" crashes
    And 3 minutes pass
    Then the share of failed requests stays below 0.5 %

  Scenario: a node that is started again serves again
    When data center "SYD" crashes
    And 2 minutes pass
    And data center "SYD" is started again
    And 1 minute passes
    Then the share of failed requests stays below 0.5 %
    When 5 minutes pass
    Then no request fails

  Scenario: customers of a node that stands still wait in vain, and are served again when it goes on
    When data center "SYD" stands still
    And 2 minutes pass
    # Who came less than ten seconds before it goes on is answered then: the other eleven twelfths of the time are not.
    Then the share of failed requests in data center "SYD" is above 85 %
    When data center "SYD" goes on
    And 3 minutes pass
    Then the share of failed requests stays below 0.5 %
