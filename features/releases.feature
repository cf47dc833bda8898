Feature: Releases

  A release is a text. It is taken as a whole or refused as a whole, and the journal says who it was. It goes through data centers by
  their class, and an alert takes it back.

  Rule: what is taken
    Background:
      Given the topology "small" with its traffic
      And customers send 15 requests a second
      And the replay starts at 2023-10-30 09:00
      And every data center runs the current build

    Scenario: a build goes from class to class, and then runs everywhere
      When "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "kv-2023-10"
        steps = [
            { classes = ["test"], soak_s = 600 },
            { classes = ["test", "small"], soak_s = 600 },
            {},
        ]
        """
      # Three minutes of a sliver come first. A scrape is missed now and then: what is asked for is the last minute.
      And 12 minutes pass
      Then this query over telemetry stays below 1.5:
        """
        sum(max_over_time(node_build_info{script="gateway",build="kv-2023-10"}[1m]))
        """
      When 2 minutes pass
      And 8 minutes pass
      Then this query over telemetry stays below 2.5:
        """
        sum(max_over_time(node_build_info{script="gateway",build="kv-2023-10"}[1m]))
        """
      When 3 minutes pass
      Then no alert of severity "page" fired
      When 5 minutes pass
      Then this query over telemetry stays above 5.5:
        """
        sum(max_over_time(node_build_info{script="gateway",build="kv-2023-10"}[1m]))
        """
      And this query over telemetry stays below 0.5:
        """
        sum(max_over_time(node_build_info{script="gateway",build="current"}[1m]))
        """
      And no request fails

    Scenario: a share that is given by hand stays until somebody goes on or takes it back
      When "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "kv-2023-10"
        percent = 20
        """
      And 8 minutes pass
      When "an engineer" releases:
        """
        environment = "production"
        rollback = "gateway"
        """
      And 5 minutes pass
      Then this query over telemetry stays above 0:
        """
        sum(rate(node_responses_total{script="gateway",build="current"}[2m]))
        """
      And no alert of severity "page" fired

  Rule: what is refused
    Background:
      Given the topology "small" with its traffic
      And customers send 10 requests a second
      And the replay starts at 2023-10-30 09:00
      And every data center runs the current build

    Scenario Outline: <wrong>
      When "an engineer" releases:
        """
        environment = "<environment>"

        [gateway]
        build = "<build>"
        percent = <percent>
        """
      And 2 minutes pass
      Then a release is refused, and the reason names <named>
      And no request fails

      Examples:
        | wrong                                | environment | build               | percent | named                                                             |
        | a build that is not there            | production  | kv-2023-11          | 5       | "environment production", "line 4", "gateway.build", "kv-2023-10"  |
        | a build of another environment       | production  | kv-2023-10-staging  | 5       | "environment production", "line 4", "gateway.build", "staging"     |
        | a share that is none                 | production  | kv-2023-10          | 500     | "environment production", "line 5", "gateway.percent", "500"       |
        | a value of another type              | production  | kv-2023-10          | "5 %"   | "environment production", "line 5", "gateway.percent", "revision 1" |
        | an environment that there is not     | prod        | kv-2023-10          | 5       | "environment prod", "line 1", "environment"                        |
