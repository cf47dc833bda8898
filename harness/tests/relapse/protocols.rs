//! What stores speak makes no difference to a verdict.

use relapse::judge::{Verdict, judge};
use relapse::lab::{drive, sim};
use relapse::recording::Recording;
use relapse::spec::{Scenario, StoresSpeak};

use crate::repo::{Copy, scenarios};

#[test]
fn over_s3_the_scenarios_of_a_store_that_goes_away_end_as_they_do_over_the_plain_protocol() {
    let hour = |scenario: &Scenario| scenario.title().starts_with("one of two, for an hour");
    let mut chosen: Vec<Scenario> = scenarios("stores").into_iter().filter(hour).collect();
    assert_eq!(chosen.len(), 3);
    // One run serves all three: the longest.
    chosen.sort_by_key(|scenario| scenario.spec.end);
    let mut spec = chosen[2].spec.clone();
    spec.stores = StoresSpeak::S3;
    let recording = drive(sim::lab(1), &spec, |_| {}).unwrap();
    let folder = Copy::new();
    let path = folder.path().join("recording");
    recording.write(&path, &spec, 1).unwrap();
    let recording = Recording::read(&path).unwrap();
    for scenario in &mut chosen {
        scenario.spec.stores = StoresSpeak::S3;
        let judgement = judge(scenario, &recording);
        assert_eq!(judgement.verdict, Verdict::Pass, "{}: {judgement:?}", scenario.title());
    }
}
