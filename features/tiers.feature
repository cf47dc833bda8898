Feature: Tiers

  What a build must pass before it is released: a topology with upper tiers of several sizes, whose stores are reached by name, and
  regions that hear of each other's writes by a third only.

  Scenario: what misses everywhere is answered by way of an upper tier
    Given the topology "cdn-2022" with its traffic and without noise
    And the replay starts at 2022-10-25 16:50
    And customers send 60 requests a second
    When 1 minute passes
    Then no request fails
    When 2 minutes pass
    Then no request fails
    And this query over telemetry stays above 0:
      """
      min(sum by (build) (node_tier_control_hosts_total))
      """
    And this query over telemetry stays below 0.5:
      """
      sum(node_missing_control_context_total)
      """

  # That nobody reads what is older than a minute is asked in every scenario; here it takes purges that find another road.
  Scenario: two regions that cannot reach each other hear of each other's writes
    Given the topology "small" with its traffic and without noise
    And the replay starts at 2023-07-11 12:00
    And customers send 100 requests a second
    When 1 minute passes
    And these faults act for 3 minutes:
      | fault     | from      | to        | amount | share |
      | partition | region EU | region OC |        | 100 % |
    And 1 minute passes
    Then no request fails
    When 2 minutes pass
    Then no request fails
    And this query over telemetry stays above 0:
      """
      sum(node_purge_passed_on_total)
      """
    When 1 minute passes
    Then no request fails
