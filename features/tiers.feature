Feature: Tiers

  What a build must pass before it is released: a topology with upper tiers of several sizes, whose stores are reached by name.

  Scenario: what misses everywhere is answered by way of an upper tier
    Given the topology "cdn-2022" with its traffic and without noise
    And the replay starts at 2022-10-25 16:50
    And customers send 60 requests a second
    When 3 minutes pass
    Then no request fails
    And this query over telemetry stays above 0:
      """
      min(sum by (build) (node_tier_control_hosts_total))
      """
    And this query over telemetry stays below 0.5:
      """
      sum(node_missing_control_context_total)
      """
