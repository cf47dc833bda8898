@control
Feature: A planned maintenance with a normal return

  Scenario: a data center goes and comes back, and its region does not notice
    Given the topology "kv-2023-07" with its traffic
    And customers send 20 requests a second
    And the replay starts at 2023-07-11 08:00
    And every data center runs the current build
    And data center "VIE02" goes down for maintenance at 08:30 and returns at 09:30
    When it is 10:30
    Then the share of failed requests stays below 0.02 %
    And at least 130000 requests were sent
    And alert "DataCenterHttp500" stayed silent
    And alert "UnhandledException" stayed silent
