@control
Feature: A rolling deploy

  A gateway that is as good as the one before goes from class to class, with noise. Nobody is paged, nothing is taken back.

  Scenario: from a sliver of one class to all of the world in an hour
    Given the topology "kv-2023-10" with its traffic
    And customers send 15 requests a second
    And the replay starts at 2023-10-30 18:00
    And every data center runs the current build
    When it is 18:15
    And "an engineer" releases:
      """
      environment = "production"

      [gateway]
      build = "kv-2023-10-30"
      steps = [
          { classes = ["test"], soak_s = 600 },
          { classes = ["test", "small"], soak_s = 600 },
          { classes = ["test", "small", "more"], soak_s = 600 },
          {},
      ]
      """
    And it is 19:10
    Then the share of failed requests stays below 0.02 %
    And no alert of severity "page" fired
    When 5 minutes pass
    # A scrape is missed now and then.
    Then this query over telemetry stays above 13.5:
      """
      sum(max_over_time(node_build_info{script="gateway",build="kv-2023-10-30"}[1m]))
      """
