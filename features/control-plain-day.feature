@control
Feature: Plain days

  Nothing happens but what happens every day: night and morning, a bot, a link that flaps, a store that hiccups, a deploy.

  # Less than three requests a second in the mean, in 43 data centers: what pages on few failures is tried harder than by many requests.
  Scenario: three days with noise and nothing else
    Given the topology "kv-2023-07" with its traffic
    And customers send 2.7 requests a second
    And the replay starts at 2023-07-11 00:00
    And every data center runs the current build
    When it is 2023-07-14 00:00
    Then the share of failed requests stays below 0.02 %
    And at least 700000 requests were sent
    And no alert of severity "page" fired

  @nightly
  Scenario: thirty days with noise and nothing else
    Given the topology "kv-2023-07" with its traffic
    And customers send 2.7 requests a second
    And the replay starts at 2023-07-11 00:00
    And every data center runs the current build
    When it is 2023-08-10 00:00
    Then the share of failed requests stays below 0.02 %
    And at least 7000000 requests were sent
    And no alert of severity "page" fired
