//! What customers do to each other: nothing.

use futures_util::future::join_all;
use http::{Method, StatusCode};

use crate::bench::NAMESPACE;
use crate::plan::{NEIGHBOR, Plan};
use crate::several::{Place, World};

/// How long a customer goes on.
const FOR_MS: usize = 2_000;
/// What a store serves at once. A request takes it 10 ms.
const CAPACITY: usize = 256;
/// What a neighbor reads: once in so many milliseconds.
const NEIGHBOR_EVERY_MS: usize = 4;

/// Reads keys that nobody has read before, so many a millisecond; the milliseconds and the status of each read.
async fn reads(
    place: Place<'_>,
    (namespace, run): (&str, &str),
    moments: impl Iterator<Item = usize>,
) -> Vec<(u64, StatusCode)> {
    let reads = moments.enumerate().map(|(turn, at_ms)| async move {
        place.world.wait_ms(at_ms as u64).await;
        let since = place.world.now_ms();
        let path = format!("/{namespace}/values/{run}-{turn}");
        let answer = place.rest(Method::GET, &path, "").await;
        (place.world.now_ms() - since, answer.status)
    });
    join_all(reads).await
}

/// The 99th percentile of what a neighbor waits while a customer reads so many keys a second, and how many reads of that
/// customer were refused.
async fn beside(place: Place<'_>, a_second: usize) -> (u64, usize) {
    let run = format!("{a_second}");
    let flood = (0..FOR_MS * a_second / 1_000).map(|turn| turn * 1_000 / a_second);
    let quiet = (0..FOR_MS / NEIGHBOR_EVERY_MS).map(|turn| turn * NEIGHBOR_EVERY_MS);
    let (flood, neighbor) = futures_util::future::join(
        reads(place, (NAMESPACE, &run), flood),
        reads(place, (NEIGHBOR, &run), quiet),
    )
    .await;
    assert!(neighbor.iter().all(|(_, status)| *status == StatusCode::NOT_FOUND));
    let refused = flood.iter().filter(|(_, status)| *status != StatusCode::NOT_FOUND).count();
    let mut waited: Vec<u64> = neighbor.into_iter().map(|(ms, _)| ms).collect();
    waited.sort_unstable();
    (waited[waited.len() * 99 / 100], refused)
}

/// At first so many reads a second, then ten times as many.
async fn a_flood_beside(plan: &Plan, dc: &str, usual: usize) {
    let world = World::settled(plan).await;
    for store in 0..2 {
        world.set_capacity(store, CAPACITY, 10);
    }
    let (usual_ms, refused) = beside(world.at(dc), usual).await;
    assert_eq!(refused, 0, "what is usual is served");
    let (tenfold_ms, refused) = beside(world.at(dc), 10 * usual).await;
    assert!(refused > 0, "ten times as much is more than one customer may ask for");
    // Five in a hundred, either way.
    assert!(
        100 * usual_ms.abs_diff(tenfold_ms) <= 5 * usual_ms,
        "{usual_ms} ms, then {tenfold_ms} ms"
    );
}

#[tokio::test(start_paused = true)]
async fn ten_times_the_load_of_one_customer_is_nothing_to_its_neighbor() {
    // An eighth of what a store can serve, and more than all of it.
    a_flood_beside(&Plan::one(), "ONE", 3_000).await;
}

#[tokio::test(start_paused = true)]
async fn nor_is_it_where_they_share_the_tiers() {
    // A read takes nearly half a second there.
    a_flood_beside(&Plan::several(), "EDGE1", 250).await;
}
