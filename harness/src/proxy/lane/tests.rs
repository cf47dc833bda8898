//! A lane in made-up time: whatever toxics come and go, nothing is lost, nothing comes twice, and the end comes last.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::flow::{End, Event};
use super::super::http::Exchange;
use super::super::toxic::{Direction, Toxic};
use super::Lane;
use crate::lab::Seeds;

fn toxic(id: u64, kind: &str, attributes: &Value) -> Arc<Toxic> {
    let input = json!({
        "name": id.to_string(), "type": kind, "stream": "downstream", "attributes": attributes,
    });
    let input = serde_json::from_value(input).unwrap();
    Arc::new(Toxic::new(id, input, &Seeds::new(1)).unwrap())
}

/// A lane that time passes for.
struct Timed {
    lane: Lane,
    exchange: Exchange,
    now: Instant,
    wake: Option<Instant>,
    written: Vec<u8>,
    end: Option<End>,
}

impl Timed {
    fn new() -> Self {
        Self {
            lane: Lane::new(Direction::Downstream, 0),
            exchange: Exchange::default(),
            now: Instant::now(),
            wake: None,
            written: Vec::new(),
            end: None,
        }
    }

    fn arrive(&mut self, bytes: &[u8]) {
        self.lane.arrived(Bytes::copy_from_slice(bytes), self.now, &mut self.exchange);
        self.run();
    }

    fn change(&mut self, toxics: &[Arc<Toxic>]) {
        self.lane.change(toxics, self.now);
        self.run();
    }

    fn end(&mut self) {
        self.lane.ended(End::Half, self.now, &mut self.exchange);
        self.run();
    }

    fn run(&mut self) {
        self.wake = self.lane.run(self.now, &self.exchange);
        while let Some(event) = self.lane.out.pop() {
            assert_eq!(self.end, None, "something came after the end");
            match event {
                Event::Chunk(bytes, _) => self.written.extend_from_slice(&bytes),
                Event::End(end) => self.end = Some(end),
            }
        }
    }

    /// Lets time pass, from one moment at which something is due to the next.
    fn pass(&mut self, until: Instant) {
        while let Some(wake) = self.wake.filter(|wake| *wake <= until) {
            assert!(wake > self.now, "it wants to be run again at once");
            self.now = wake;
            self.run();
        }
        self.now = until;
    }

    fn pass_ms(&mut self, ms: u64) {
        self.pass(self.now + Duration::from_millis(ms));
    }

    /// Lets as much time pass as it takes.
    fn drain(&mut self) {
        while let Some(wake) = self.wake {
            self.pass(wake);
        }
    }
}

#[test]
fn latency_is_what_was_asked_for_to_the_millisecond() {
    let mut timed = Timed::new();
    timed.change(&[toxic(1, "latency", &json!({"latency": 50}))]);
    timed.arrive(b"first");
    timed.pass_ms(20);
    timed.arrive(b"second");
    timed.pass_ms(29);
    assert_eq!(timed.written, b"");
    timed.pass_ms(1);
    assert_eq!(timed.written, b"first");
    timed.end();
    timed.pass_ms(19);
    assert_eq!(timed.end, None);
    timed.pass_ms(1);
    assert_eq!((timed.written.as_slice(), timed.end), (b"firstsecond".as_slice(), Some(End::Half)));
}

#[test]
fn latencies_in_a_row_add_up() {
    let mut timed = Timed::new();
    let latency = |id, ms: u64| toxic(id, "latency", &json!({"latency": ms}));
    timed.change(&[latency(1, 50), latency(2, 30)]);
    timed.arrive(b"x");
    timed.pass_ms(79);
    assert_eq!(timed.written, b"");
    timed.pass_ms(1);
    assert_eq!(timed.written, b"x");
}

#[test]
fn jitter_stays_within_its_bounds() {
    let mut timed = Timed::new();
    timed.change(&[toxic(1, "latency", &json!({"latency": 50, "jitter": 10}))]);
    let mut waits = Vec::new();
    for _ in 0..200 {
        timed.arrive(b"x");
        let wake = timed.wake.unwrap();
        waits.push(wake - timed.now);
        timed.pass(wake);
    }
    assert!(waits.iter().all(|wait| (40..60).contains(&wait.as_millis())), "{waits:?}");
    waits.sort();
    let (first, last) = (waits[0], waits[199]);
    assert!(last > first + Duration::from_millis(15), "from {first:?} to {last:?}");
}

#[test]
fn bandwidth_gives_out_portions_of_a_tenth_of_a_second() {
    let mut timed = Timed::new();
    timed.change(&[toxic(1, "bandwidth", &json!({"rate": 10}))]);
    timed.arrive(&[0; 2_500]);
    for written in [0, 1_000] {
        timed.pass_ms(99);
        assert_eq!(timed.written.len(), written);
        timed.pass_ms(1);
        assert_eq!(timed.written.len(), written + 1_000);
    }
    // The rest is half a portion.
    timed.pass_ms(49);
    assert_eq!(timed.written.len(), 2_000);
    timed.pass_ms(1);
    assert_eq!(timed.written.len(), 2_500);
}

#[test]
fn a_full_stage_takes_no_more_and_a_latency_takes_much() {
    let mut timed = Timed::new();
    timed.change(&[toxic(1, "bandwidth", &json!({"rate": 0}))]);
    timed.arrive(&vec![0; 64 << 10]);
    assert!(!timed.lane.wants(&timed.exchange));
    let mut timed = Timed::new();
    timed.change(&[toxic(1, "latency", &json!({"latency": 100}))]);
    timed.arrive(&vec![0; 1 << 20]);
    assert!(timed.lane.wants(&timed.exchange));
    timed.arrive(&vec![0; 16 << 20]);
    assert!(!timed.lane.wants(&timed.exchange));
}

/// Something that happens to a lane.
#[derive(Clone, Debug)]
enum Step {
    Arrive(Vec<u8>),
    Pass(u64),
    Add(usize),
    Remove(usize),
    Update(usize, i64),
}

const KINDS: [(&str, &str); 4] = [
    ("latency", "latency"),
    ("bandwidth", "rate"),
    ("slicer", "average_size"),
    ("slow_close", "delay"),
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 1..200).prop_map(Step::Arrive),
        2 => (0..50_u64).prop_map(Step::Pass),
        1 => (0..KINDS.len()).prop_map(Step::Add),
        1 => any::<usize>().prop_map(Step::Remove),
        1 => (any::<usize>(), 0..40_i64).prop_map(|(at, value)| Step::Update(at, value)),
    ]
}

proptest! {
    #[test]
    fn nothing_is_lost_whatever_toxics_come_and_go(
        steps in prop::collection::vec(step(), 1..40),
        removed in any::<bool>(),
    ) {
        let mut timed = Timed::new();
        let (mut sent, mut toxics, mut next) = (Vec::new(), Vec::<Arc<Toxic>>::new(), 0);
        for step in steps {
            match step {
                Step::Arrive(bytes) => {
                    sent.extend_from_slice(&bytes);
                    timed.arrive(&bytes);
                }
                Step::Pass(ms) => timed.pass_ms(ms),
                Step::Add(kind) => {
                    let (name, attribute) = KINDS[kind];
                    next += 1;
                    toxics.push(toxic(next, name, &json!({attribute: 20})));
                    timed.change(&toxics);
                }
                Step::Remove(at) if !toxics.is_empty() => {
                    toxics.remove(at % toxics.len());
                    timed.change(&toxics);
                }
                Step::Update(at, value) if !toxics.is_empty() => {
                    let at = at % toxics.len();
                    let (_, attribute) =
                        KINDS.into_iter().find(|(name, _)| *name == toxics[at].kind.name()).unwrap();
                    // A black hole would hold back what is looked for.
                    let value = value.max(1);
                    let input = json!({"attributes": {attribute: value}});
                    let updated = toxics[at].updated(serde_json::from_value(input).unwrap());
                    toxics[at] = Arc::new(updated.unwrap());
                    timed.change(&toxics);
                }
                Step::Remove(_) | Step::Update(..) => {}
            }
            prop_assert!(sent.starts_with(&timed.written));
        }
        timed.end();
        if removed {
            timed.change(&[]);
        }
        timed.drain();
        prop_assert_eq!(timed.written, sent);
        prop_assert_eq!(timed.end, Some(End::Half));
    }
}
