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

  Rule: with the page of today, and people who know the switch
    Scenario: without the new backend Africa asks the stores, of which one stands in America
      Given the topology "kv-2023-10" with its traffic
      And every data center runs the current build
      When it is 10:30
      And these faults act for 15 minutes:
        | fault     | from      | to        | amount | share |
        | partition | region AF | region EU |        | 100 % |
      And operators do:
        | when                             | what                                        |
        | 3 minutes after StatusClassShift | the new backend is switched off in "JNB"    |
      And it is 10:45
      Then R7-h1 holds
