@incident:2022-10-25
Feature: Cleared control headers

  Tracing is added at the entry of tiers. The wrapper reads the control headers of each request, and clears them. Whoever serves upper
  tiers then asks the resolver for a name that nobody has, and customers get 530. The resolver is in release on the same day.

  Rule: as it happened
    Background:
      Given the topology "cdn-2022" with its traffic
      # As many as power needs: small shares of the world in the first stage, of a small region from 11:20 on, a small difference
      # from 13:37 on, the peak.
      And customers send 24 requests a second
      And customers send 10 requests a second from 10:40 on
      And customers send 45 requests a second from 11:20 on
      And customers send 15 requests a second from 12:30 on
      And customers send 85 requests a second from 13:37 on
      And customers send 11 requests a second from 14:12 on
      And customers send 30 requests a second from 16:50 on
      And customers send 10 requests a second from 17:40 on
      And every data center runs build "kv-2022-10"
      # The small one that was taken for the cause.
      And data center "AKL" goes down for maintenance at 11:20 and returns at 18:32

    Scenario: the release reaches the largest upper tiers, and one of them is the proof
      # From the small ones to the largest, which get it in quarters.
      When it is 08:40
      And "the tracing team" releases:
        """
        environment = "production"

        [supercache]
        build = "kv-2022-10-25"
        steps = [
            { classes = ["test", "small"], soak_s = 13_800 },
            { classes = ["more"], soak_s = 6_720 },
            { classes = ["largest"], percent = 25, soak_s = 2_640 },
            { classes = ["largest"], percent = 50, soak_s = 2_640 },
            { classes = ["largest"], percent = 75, soak_s = 5_460 },
            { classes = ["largest"] },
        ]
        """
      # The decoy: it has nothing to do with it, and is taken back in vain.
      And "the resolver team" releases:
        """
        environment = "production"

        [resolver]
        build = "kv-2022-10-resolver"
        """
      And it is 13:56
      And "the resolver team" releases:
        """
        environment = "production"
        rollback = "resolver"
        """
      And it is 17:03
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "supercache"
        dcs = ["ATL"]
        """
      # The accelerated rollback: those of middle size first, then the largest.
      And it is 17:33
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "supercache"
        dcs = ["ORD", "MAD", "SIN"]
        """
      And it is 17:38
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "supercache"
        dcs = ["IAD"]
        """
      And it is 17:47
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "supercache"
        dcs = ["FRA"]
        """
      And it is 17:56
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "supercache"
        dcs = ["LHR", "NRT"]
        """
      And it is 18:04
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "supercache"
        dcs = ["SYD", "AKL", "GRU", "SCL"]
        """
      And it is 18:30
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "supercache"
        """
      And it is 18:40
      Then R5-1, R5-2, R5-3 and R5-4 hold
      And R5-5, R5-6, R5-7, R5-8 and R5-9 hold
      And R5-12a, R5-14a and R5-15 hold

  Rule: had they done otherwise
    Background:
      Given the topology "cdn-2022" with its traffic
      And customers send 15 requests a second
      # The peak is to be found among minutes that hardly differ.
      And customers send 23 requests a second from 16:33 on
      And customers send 8 requests a second from 17:38 on
      And the replay starts at 2022-10-25 16:30
      And every data center runs build "kv-2022-10"
      # As far as the release had come, but at once.
      When it is 16:33
      And "the tracing team" releases:
        """
        environment = "production"

        [supercache]
        build = "kv-2022-10-25"
        steps = [
            { classes = ["test", "small", "more"], soak_s = 1 },
            { classes = ["largest"], percent = 75 },
        ]
        """

    Scenario: frozen when the cause is known, and taken back in lower tiers first
      When it is 17:03
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "supercache"
        dcs = ["ATL"]
        """
      And it is 17:38
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "supercache"
        dcs = ["DFW", "LAX", "SEA", "MIA", "DEN"]
        """
      And it is 17:50
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "supercache"
        dcs = ["CDG", "WAW", "ARN", "LIS", "HKG", "BOM", "KUL", "BNE", "PER", "EZE", "BOG"]
        """
      And it is 18:05
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "supercache"
        dcs = ["IAD", "FRA"]
        """
      And it is 18:31
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "supercache"
        """
      And it is 18:40
      Then R5-7f and R5-10 hold

  Rule: twelve minutes of it, in containers as well
    Scenario: an upper tier that is reverted is well again, and so are all when all are
      Given the topology "slice-2022-10" with its traffic and without noise
      And containers run it 10 times as fast
      And the replay starts at 2022-10-25 16:55
      And every data center runs build "kv-2022-10"
      When it is 16:57
      And "the tracing team" releases:
        """
        environment = "production"

        [supercache]
        build = "kv-2022-10-25"
        """
      And it is 17:03
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "supercache"
        dcs = ["ATL"]
        """
      And it is 17:05
      And "an engineer" releases:
        """
        environment = "production"
        rollback = "supercache"
        dcs = ["IAD", "FRA"]
        """
      And it is 17:07
      Then R5-s1, R5-s2 and R5-s3 hold

  Rule: with the safeguards that would have prevented it
    Background:
      Given the topology "cdn-2022" with its traffic
      And the replay starts at 2022-10-25 16:50

    Scenario: before it is released, a topology with tiers is enough to see it
      Given every data center runs build "kv-2022-10-25"
      And customers send 60 requests a second
      When it is 16:53
      Then R5-13 holds

    Scenario: the wrapper passes on what it reads, and nothing is lost
      Given every data center runs build "kv-2022-10"
      And customers send 20 requests a second
      When it is 16:55
      And "the tracing team" releases:
        """
        environment = "production"

        [supercache]
        build = "kv-2022-10-28"
        """
      And it is 17:15
      Then R5-14 holds

    Scenario: it clears them, but whoever lacks them refuses and says so
      Given every data center runs the current build without "canary-first"
      And customers send 200 requests a second from 17:02 on
      And customers send 30 requests a second from 17:05 on
      When it is 17:03
      And "the tracing team" releases:
        """
        environment = "production"

        [supercache]
        build = "kv-2022-10-26"
        steps = [{ classes = ["test"], dcs = ["ATL"], soak_s = 3600 }, {}]
        """
      And it is 17:08
      Then R5-11 holds

    Scenario: nobody says so, but the first stage has a large upper tier, and the release is taken back
      Given every data center runs the current build
      And customers send 200 requests a second from 16:56 on
      And customers send 30 requests a second from 17:03 on
      When it is 16:57
      And "the tracing team" releases:
        """
        environment = "production"

        [supercache]
        build = "kv-2022-10-25"
        steps = [{ classes = ["test"], dcs = ["ATL"], percent = 10, soak_s = 3600 }, {}]
        """
      And it is 17:05
      Then R5-12 and R5-d hold
