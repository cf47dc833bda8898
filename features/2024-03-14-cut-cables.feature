@incident:2024-03-14
Feature: Cut cables

  Four cables along the coast of West Africa go at once. What a data center in Africa holds it goes on to serve; for the rest it
  has to ask Europe.

  Rule: as it happened
    Scenario: Africa waits in vain for what lies in Europe, and nobody else notices
      Given the topology "kv-2023-10" with its traffic
      And every data center runs build "kv-2023-07"
      When it is 10:30
      And these faults act for 15 minutes:
        | fault     | from      | to        | amount | share |
        | partition | region AF | region EU |        | 100 % |
      And it is 10:45
      Then R7-1 and R7-2 hold

  Rule: with the safeguards that would have prevented it
    Scenario: whoever cannot reach Europe asks elsewhere, and customers wait instead of failing
      Given the topology "kv-2023-10" with its traffic
      And every data center runs the current build
      When it is 10:30
      And these faults act for 15 minutes:
        | fault     | from      | to        | amount | share |
        | partition | region AF | region EU |        | 100 % |
      And it is 10:45
      Then R7-h1 holds
