@control
Feature: What is planned

  People do what they do every week, with noise. Nobody is to be paged for it.

  Background:
    Given the topology "kv-2023-07" with its traffic
    And customers send 13 requests a second
    And the replay starts at 2023-07-11 08:00

  Scenario: a data center goes and comes back, and its region does not notice
    Given every data center runs the current build
    And data center "VIE02" goes down for maintenance at 08:30 and returns at 09:30
    When it is 10:30
    Then the share of failed requests stays below 0.02 %
    And at least 100000 requests were sent
    And no alert of severity "page" fired

  Scenario: three times as many requests come for half an hour
    Given every data center runs the current build
    And customers send 39 requests a second from 08:30 on
    And customers send 13 requests a second from 09:00 on
    When it is 09:30
    Then the share of failed requests stays below 0.02 %
    And at least 110000 requests were sent
    And no alert of severity "page" fired

  Scenario: a bot asks for what is not there and writes one key, for a minute
    Given every data center runs the current build
    When it is 08:30
    And a bot sends 60 requests a second for 1 minute
    And it is 09:00
    Then the share of failed requests stays below 0.02 %
    And no alert of severity "page" fired

  Scenario: nodes begin anew one after the other, with empty caches
    Given every data center runs the current build
    When it is 08:30
    And data center "AMS" crashes
    And 10 s pass
    And data center "AMS" is started again
    And 5 minutes pass
    And data center "ORD" crashes
    And 10 s pass
    And data center "ORD" is started again
    And 5 minutes pass
    And data center "SYD" crashes
    And 10 s pass
    And data center "SYD" is started again
    And it is 09:00
    Then no alert of severity "page" fired
