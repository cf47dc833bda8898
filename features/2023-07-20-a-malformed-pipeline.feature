@incident:2023-07-20-2346
Feature: A malformed pipeline

  A gateway is released by hand. The value that names its build is malformed. The release tool takes it, and the share of the
  traffic that was meant for the new build goes to nobody.

  Rule: as it happened
    Background:
      Given the topology "kv-2023-07" with its traffic
      And customers send 20 requests a second
      And customers send 200 requests a second from 23:45 on
      And customers send 50 requests a second from 23:57 on
      And every data center runs build "kv-2023-07"
      When it is 23:46
      And "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "kv-2023-07-20,kv-2023-07"
        percent = 5
        """

    Scenario: ten minutes in which one request of twenty is never answered
      When it is 23:56
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "gateway"
        """
      And it is 00:06 the next day
      Then R3-1, R3-2 and R3-3 hold
      And R3-4, R3-6 and R3-8 hold

  Rule: six minutes of it, in containers as well
    Scenario: a twentieth is never answered, and the balance tells
      Given the topology "small" with its traffic and without noise
      And customers send 30 requests a second
      And containers run it 10 times as fast
      And the replay starts at 2023-07-20 23:42
      And every data center runs build "kv-2023-07"
      When it is 23:46
      And "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "kv-2023-07-20,kv-2023-07"
        percent = 5
        """
      And it is 23:52
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "gateway"
        """
      And it is 23:56
      Then R3-s1 and R3-s2 hold

  Rule: with the safeguards that would have prevented it
    Background:
      Given the topology "small" with its traffic
      And the replay starts at 2023-07-20 23:40

    Scenario Outline: what is malformed is refused, and so is what is not there
      Given <build>
      When it is 23:46
      And "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "kv-2023-07-20,kv-2023-07"
        percent = 5
        """
      And it is 23:49
      Then R3-5 holds

      Examples:
        | build                                                             |
        | every data center runs the current build                          |
        | every data center runs the current build without "release-schema" |

    Scenario: with neither, a sliver of the traffic shows it, and the release is halted
      Given every data center runs the current build without "release-schema", "build-exists" and "unknown-build-answered"
      # A thousandth of that is one request in two seconds: enough to be seen within a minute.
      And customers send 500 requests a second from 23:45 on
      And customers send 50 requests a second from 23:48 on
      When it is 23:46
      And "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "kv-2023-07-20,kv-2023-07"
        percent = 5
        """
      And it is 23:56
      Then R3-5c and R3-d hold

    Scenario: without the sliver as well, requests that fall to nobody are answered
      Given every data center runs the current build without "release-schema", "build-exists", "canary-first" and "halt-on-alert"
      And customers send 100 requests a second from 23:45 on
      When it is 23:46
      And "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "kv-2023-07-20,kv-2023-07"
        percent = 5
        """
      And it is 23:56
      Then R3-7 holds
