@incident:2023-06-ramp
Feature: Raise the share, surface an error, roll back, repeat

  From June to July 2023 more and more traffic was moved to the new backend. Each step showed an error that nobody had seen at the
  share before; it was rolled back, mended, and done again.

  Rule: as it happened
    Scenario: two steps, two errors, and the third try holds
      Given the topology "slice-2023-07" with its traffic
      And customers send 20 requests a second
      And every data center runs build "kv-2023-07"
      And data center "MEL01" goes down for maintenance at 10:04 and returns at 10:12
      And data center "SYD" goes down for maintenance at 10:37 and returns at 10:43
      When it is 10:02
      And namespace "access-sessions" is taken off the new backend
      And namespace "shop-oceania" is taken off the new backend
      And operators do:
        | when  | what                                                       |
        | 10:20 | namespace "access-sessions" is enrolled in the new backend |
        | 10:30 | namespace "access-sessions" is taken off the new backend   |
        | 10:32 | data center "MEL01" crashes                                |
        | 10:33 | data center "MEL01" is started again                       |
        | 10:36 | namespace "access-sessions" is enrolled in the new backend |
        | 10:46 | namespace "shop-oceania" is enrolled in the new backend    |
        | 10:53 | namespace "shop-oceania" is taken off the new backend      |
        | 10:53 | namespace "access-sessions" is taken off the new backend   |
        | 10:55 | data center "SYD" crashes                                  |
        | 10:56 | data center "SYD" is started again                         |
        | 11:00 | namespace "access-sessions" is enrolled in the new backend |
        | 11:00 | namespace "shop-oceania" is enrolled in the new backend    |
      And it is 11:15
      Then R0-1, R0-2, R0-3 and R0-4 hold

  Rule: with the safeguards that would have prevented it
    Scenario: the same steps show nothing
      Given the topology "slice-2023-07" with its traffic
      And customers send 13 requests a second
      And every data center runs the current build
      And data center "MEL01" goes down for maintenance at 10:04 and returns at 10:12
      And data center "SYD" goes down for maintenance at 10:37 and returns at 10:43
      When it is 10:02
      And namespace "access-sessions" is taken off the new backend
      And namespace "shop-oceania" is taken off the new backend
      And operators do:
        | when  | what                                                       |
        | 10:20 | namespace "access-sessions" is enrolled in the new backend |
        | 10:30 | namespace "access-sessions" is taken off the new backend   |
        | 10:32 | data center "MEL01" crashes                                |
        | 10:33 | data center "MEL01" is started again                       |
        | 10:36 | namespace "access-sessions" is enrolled in the new backend |
        | 10:46 | namespace "shop-oceania" is enrolled in the new backend    |
        | 10:53 | namespace "shop-oceania" is taken off the new backend      |
        | 10:53 | namespace "access-sessions" is taken off the new backend   |
        | 10:55 | data center "SYD" crashes                                  |
        | 10:56 | data center "SYD" is started again                         |
        | 11:00 | namespace "access-sessions" is enrolled in the new backend |
        | 11:00 | namespace "shop-oceania" is enrolled in the new backend    |
      And it is 11:15
      Then R0-h1 holds
