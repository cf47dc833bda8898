//! Two stores that hold different writes of one key, in every way in which that can come about.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use kv_store::Object;
use serde_json::json;

use crate::bench::Speaks;
use crate::plan::Plan;
use crate::several::{Place, World};
use crate::wires::Fault;

type Objects = BTreeMap<String, Object>;

/// What a key's last two writes were; in one store the second is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Nothing,
    Put,
    Delete,
}

use Write::{Delete, Nothing, Put};

/// Every order in which two of them can follow each other.
const ORDERS: [(Write, Write); 6] =
    [(Nothing, Put), (Nothing, Delete), (Put, Put), (Put, Delete), (Delete, Put), (Delete, Delete)];

/// How one case differs from another.
#[derive(Clone, Copy, Debug)]
struct Case {
    order: (Write, Write),
    /// Which store has both writes.
    newer: usize,
    quicker: usize,
    /// Whether the store that is behind refuses the first write that would bring it level.
    repair_fails_once: bool,
    speaks: Speaks,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for order in ORDERS {
        for bits in 0..16 {
            cases.push(Case {
                order,
                newer: bits & 1,
                quicker: bits >> 1 & 1,
                repair_fails_once: bits & 4 > 0,
                speaks: if bits & 8 > 0 { Speaks::S3 } else { Speaks::Plain },
            });
        }
    }
    cases
}

fn held(world: &World, store: usize) -> Objects {
    let path = kv_store::plain::list_path("", "", 1_000);
    let request = http::Request::get(path).body(Bytes::new()).unwrap();
    let body = world.store(store).serve(request).into_body();
    let names = std::str::from_utf8(&body).unwrap().lines();
    let names = names.map(|line| kv_store::plain::decode(line).unwrap());
    names.map(|name| (name.clone(), world.store(store).object(&name).unwrap())).collect()
}

/// A data center that writes and one that reads: whoever wrote a key himself never goes back behind that.
fn world_of(case: Case) -> World {
    let dcs = vec![("WRITER", "R", 0, 0), ("READER", "R", 0, 0)];
    World::new(&Plan { dcs, ..Plan::one() }.speaking(case.speaks))
}

/// Makes a store hold these and nothing else.
fn hold(world: &World, store: usize, objects: &Objects) {
    for name in held(world, store).keys() {
        world.store(store).take(name);
    }
    for (name, object) in objects {
        world.store(store).seed(name, object.clone());
    }
}

/// Writes a key; what the stores hold then.
async fn write(place: Place<'_>, what: Write, value: &str) -> Objects {
    match what {
        Nothing => {}
        Put => place.put("k", value).await,
        Delete => place.delete("k").await,
    }
    place.wait(1).await;
    assert_eq!(held(place.world, 0), held(place.world, 1));
    held(place.world, 0)
}

fn value_of(write: Write, value: &str) -> Option<String> {
    (write == Put).then(|| value.to_owned())
}

/// Lets the stores hold older and newer states of the key, and sees them come to the newer.
async fn comes_to_the_newer(
    world: &World,
    case: Case,
    (older, newer): (&Objects, &Objects),
    (old, new): (Option<String>, Option<String>),
) {
    let place = world.at("READER");
    // From now on a store alone is believed.
    place.wait(61).await;
    hold(world, case.newer, newer);
    hold(world, 1 - case.newer, older);
    world.set_delay(case.quicker, 5);
    world.set_delay(1 - case.quicker, 20);
    if case.repair_fails_once {
        let behind = ["store-a", "store-b"][1 - case.newer];
        world.fault(Fault::status(behind, 500).only(Method::PUT, 1));
    }
    // The quicker store's value counts at once; that it has none counts only if the other has none either.
    let quicker = if case.quicker == case.newer { new.clone() } else { old };
    let expected = quicker.or_else(|| new.clone());
    assert_eq!(place.get("k").await.value, expected, "{case:?}");
    place.wait(61).await;
    assert_eq!(place.get("k").await.value, new, "for readers: {case:?}");
    let listed = place.rest(Method::GET, "/ns/keys", "").await.result();
    let names = if new.is_some() { json!([{"name": "k"}]) } else { json!([]) };
    assert_eq!(listed, names, "in the index: {case:?}");
    assert_eq!(held(world, 0), *newer, "in one store: {case:?}");
    assert_eq!(held(world, 1), *newer, "in the other: {case:?}");
}

#[tokio::test(start_paused = true)]
async fn of_two_conflicting_writes_the_newer_comes_everywhere() {
    for case in cases() {
        let world = world_of(case);
        let place = world.at("WRITER");
        let older = write(place, case.order.0, "old").await;
        let newer = write(place, case.order.1, "new").await;
        let values = (value_of(case.order.0, "old"), value_of(case.order.1, "new"));
        comes_to_the_newer(&world, case, (&older, &newer), values).await;
    }
}

/// A tombstone of a version.
fn tombstone(version: String, speaks: Speaks) -> Objects {
    // Over S3 every body begins with its version.
    let body = match speaks {
        Speaks::Plain => Bytes::new(),
        Speaks::S3 => Bytes::copy_from_slice(version.as_bytes()),
    };
    let object = Object { version, meta: HeaderValue::from_static("t;;"), body };
    BTreeMap::from([("v/ns/k".to_owned(), object)])
}

#[tokio::test(start_paused = true)]
async fn of_two_writes_in_one_microsecond_all_choose_the_same() {
    // The value's own order is told by what is drawn for the deletion: just below its tie or just above.
    for case in
        cases().into_iter().filter(|case| matches!(case.order, (Put, Delete) | (Delete, Put)))
    {
        let world = world_of(case);
        let put = write(world.at("WRITER"), Put, "v").await;
        let version = put["v/ns/k"].version.clone();
        let (at, tie) = version.split_at(16);
        let tie = u32::from_str_radix(tie, 16).unwrap();
        let tied = |tie: u32| tombstone(format!("{at}{tie:08x}"), case.speaks);
        let value = Some("v".to_owned());
        if case.order == (Put, Delete) {
            comes_to_the_newer(&world, case, (&put, &tied(tie + 1)), (value, None)).await;
        } else {
            comes_to_the_newer(&world, case, (&tied(tie - 1), &put), (None, value)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_only_one_store_took_survives() {
    for speaks in [Speaks::Plain, Speaks::S3] {
        for failing in ["store-a", "store-b"] {
            let world = World::settled(&Plan::one().speaking(speaks)).await;
            let place = world.at("ONE");
            place.put("k", "old").await;
            place.wait(1).await;
            world.fault(Fault::status(failing, 500).only(Method::PUT, 2));
            let put = place.rest(Method::PUT, "/ns/values/k", "new").await;
            assert_eq!(put.status, StatusCode::OK, "one success is one");
            place.wait(61).await;
            assert!(place.get("k").await.is("new"));
            assert_eq!(held(&world, 0), held(&world, 1));
        }
    }
}
