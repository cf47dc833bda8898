@control
Feature: A plain day

  Nothing happens but what happens every day: night and morning, a bot, a link that flaps, a store that hiccups, a deploy.

  Scenario: a day with noise and nothing else
    Given the topology "kv-2023-07" with its traffic
    And customers send 12 requests a second
    And the replay starts at 2023-07-11 00:00
    And every data center runs the current build
    When it is 2023-07-12 00:00
    Then the share of failed requests stays below 0.02 %
    And at least 500000 requests were sent
    And no alert of severity "page" fired
