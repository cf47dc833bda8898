@incident:2023-07-20-1912
Feature: An older configuration carried forward

  The new backend is off, because data centers that returned from maintenance fail what they own. A list of accounts that may use it
  again is drafted. The deploy script is told to release another configuration: the one from before the switch.

  Rule: as it happened
    Background:
      Given the topology "kv-2023-07" with its traffic
      And customers send 10 requests a second
      And customers send 56 requests a second from 19:10 on
      And customers send 10 requests a second from 19:36 on
      And every data center runs build "kv-2023-07"
      And data centers "MEL01", "VIE02" and "JNB01" go down for maintenance at 18:22 and return at 18:32
      When it is 18:42
      And the new backend is switched off everywhere
      And it is 19:00
      And "an engineer" releases:
        """
        environment = "production"

        [new_backend]
        on = true
        allow = ["products"]
        draft = true
        """
      And it is 19:12
      And "the deploy script" releases:
        """
        environment = "production"
        revision = "live-1"
        """

    Scenario: twenty-one minutes of what had been switched off
      When it is 19:33
      And the new backend is switched off everywhere
      And it is 20:03
      Then R2-1, R2-2 and R2-3 hold
      And R2-4 and R2-7 hold

  Rule: six minutes of it, in containers as well
    Scenario: what was switched off is on again, and fails as before
      Given the topology "slice-2023-07" with its traffic and without noise
      And containers run it 10 times as fast
      And the replay starts at 2023-07-20 19:00
      And every data center runs build "kv-2023-07"
      And data centers "MEL01" and "VIE02" go down for maintenance at 19:02 and return at 19:04
      When it is 19:06
      And the new backend is switched off everywhere
      And it is 19:12
      And "the deploy script" releases:
        """
        environment = "production"
        revision = "live-1"
        """
      And it is 19:18
      And the new backend is switched off everywhere
      And it is 19:22
      Then R2-s1 and R2-s2 hold

  Rule: with the safeguards that would have prevented it
    Background:
      Given the topology "kv-2023-07" with its traffic
      And customers send 10 requests a second
      And the replay starts at 2023-07-20 18:52

    Scenario Outline: a release cannot carry what was live before, and a switch that is off stays off
      Given <build>
      When the new backend is switched off everywhere
      And it is 19:12
      And "the deploy script" releases:
        """
        environment = "production"
        revision = "live-1"
        """
      And it is 19:33
      Then R2-5 holds

      Examples:
        | build                                                     |
        | every data center runs the current build                  |
        | every data center runs the current build without "forward-only" |

    Scenario: with neither, what runs and what was ordered are seen to differ
      Given every data center runs the current build without "forward-only" and "kill-switch-apart"
      When the new backend is switched off everywhere
      And it is 19:12
      And "the deploy script" releases:
        """
        environment = "production"
        revision = "live-1"
        """
      And it is 19:33
      Then R2-6 and R2-d hold
