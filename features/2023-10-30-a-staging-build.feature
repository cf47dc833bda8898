@incident:2023-10-30
Feature: Production pointed at a build of staging

  A gateway is rolled out step by step. The list that the release tool reads does not know environments, so the next step ships a
  build of staging, which has no rights in production. The rollback goes by the same list. Whoever wants to mend it must log in, and
  the login reads KV.

  Rule: as it happened
    Background:
      Given the topology "kv-2023-10" with its traffic
      And customers send 20 requests a second
      And customers send 30 requests a second from 19:30 on
      # A hundredth of the world is told from half of that.
      And customers send 100 requests a second from 20:29 on
      And customers send 20 requests a second from 20:31 on
      And every data center runs build "kv-2023-10"
      When it is 18:58
      And "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "newest"
        percent = 1
        """
      And it is 19:40
      And "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "newest"
        percent = 20
        """
      And it is 19:54
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "gateway"
        """
      And it is 20:00
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "gateway"
        """
      And it is 20:06
      And "CI" releases:
        """
        environment = "production"
        rollback = "gateway"
        """
      And it is 20:15
      And "an engineer" releases:
        """
        environment = "production"
        break_glass = "routes edited by hand, for most of the traffic"

        [gateway]
        build = "kv-2023-10"
        steps = [{ classes = ["small", "more"] }]
        """
      And it is 20:29
      And "an engineer" releases:
        """
        environment = "production"
        break_glass = "routes edited by hand, the largest"

        [gateway]
        build = "kv-2023-10"
        steps = [{ classes = ["largest"] }]
        """
      And it is 20:31
      And "an engineer" releases:
        """
        environment = "production"
        break_glass = "routes edited by hand, the rest"

        [gateway]
        build = "kv-2023-10"
        """

    Scenario: a rollback that makes a small error a large one, and a login that needs what is broken
      When it is 20:50
      Then R4-1, R4-2, R4-3 and R4-4 hold
      And R4-6, R4-7, R4-8 and R4-9 hold
      And R4-13, R4-14 and R4-15 hold

    Scenario: what needs KV fails closed, open, in part, or not at all, each by what it reads
      When it is 20:50
      Then R4-5a, R4-5b, R4-5c and R4-5d hold

  Rule: half an hour of it, in containers as well
    Scenario: the share of the rollout, then everything
      Given the topology "small" with its traffic and without noise
      And customers send 20 requests a second
      And containers run it 10 times as fast
      And the replay starts at 2023-10-30 19:22
      And every data center runs build "kv-2023-10"
      When it is 19:26
      And "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "newest"
        percent = 1
        """
      And it is 19:40
      And "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "newest"
        percent = 20
        """
      And it is 19:44
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "gateway"
        """
      And it is 19:48
      And "an engineer" releases:
        """
        environment = "production"
        break_glass = "routes edited by hand"

        [gateway]
        build = "kv-2023-10"
        """
      And it is 19:51
      Then R4-s1 holds

  Rule: with the safeguards that would have prevented it
    Scenario Outline: <what>
      Given the topology "small" with its traffic
      And the replay starts at 2023-10-30 19:37
      And <build>
      When it is 19:40
      And "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "newest"
        percent = 20
        """
      And it is 19:51
      Then <rows>

      Examples:
        | what                                              | build                                                                | rows        |
        | a list of one environment has no build of another | every data center runs the current build                             | R4-h1 holds |
        | a build is refused where it does not belong       | every data center runs the current build without "environment-filter" | R4-10 holds |

    Scenario: past both, a sliver shows it, and what is known to be good comes back
      Given the topology "small" with its traffic
      And the replay starts at 2023-10-30 19:37
      And every data center runs the current build without "environment-filter" and "build-of-environment"
      # A thousandth of that is one request in two or three seconds.
      And customers send 400 requests a second from 19:39 on
      And customers send 50 requests a second from 19:42 on
      When it is 19:40
      And "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "newest"
        percent = 20
        """
      And it is 19:51
      Then R4-11 and R4-d hold

    Scenario: a rollback by hand brings what is known to be good
      Given the topology "small" with its traffic
      And customers send 30 requests a second
      And the replay starts at 2023-10-30 19:22
      And every data center runs the current build without "environment-filter", "build-of-environment", "canary-first" and "halt-on-alert"
      When it is 19:26
      And "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "newest"
        percent = 1
        """
      And it is 19:40
      And "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "newest"
        percent = 20
        """
      And it is 19:44
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "gateway"
        """
      And it is 19:51
      Then R4-11b holds

    Scenario: a rollback while nobody can log in
      Given the topology "kv-2023-10" with its traffic
      And the replay starts at 2023-10-30 19:37
      And every data center runs the current build
      When it is 19:40
      And "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "newest"
        percent = 20
        """
      And it is 19:44
      # So late that no alert has the release tool take it back before anybody does.
      And 40 s pass
      And these faults act for 6 minutes:
        | fault     | from         | to  | amount | share |
        | partition | IAD-products | IAD |        | 100 % |
      And it is 19:45
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "gateway"
        """
      And it is 19:46
      And "an engineer" releases:
        """
        environment = "production"

        [gateway]
        build = "kv-2023-10-30"
        percent = 5
        """
      And it is 19:51
      Then R4-12 and R4-14h hold
