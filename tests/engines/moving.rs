//! Waiting actions taken out of one queue and put into another, or back: none lost and none twice.

use futures_util::future::join;
use opsctl::wire::*;

use crate::suite::{done, pause, queues, resume, submit, waiting};
use crate::world::{World, ada, until};

/// Actions that are moved.
const SOME: usize = 7;

async fn fill(world: &World, prefix: &str) {
    pause(world).await;
    for n in 0..SOME {
        submit(world, &format!("{prefix} {n}")).await;
    }
    all_wait(world).await;
}

async fn all_wait(world: &World) {
    until("all of them wait", || async { (waiting(world).await == SOME as u64).then_some(()) }).await;
}

/// What waits, written down and then taken out.
async fn take(world: &World) -> Vec<WaitingRequest> {
    // What is just being tried does not wait.
    let found = until("all of them can be moved", || async {
        let found = queues(world).requests(100).await.expect("requests");
        (found.requests.len() == SOME).then_some(found)
    })
    .await;
    let ids = found.requests.iter().map(|waiting| waiting.action_id.clone()).collect();
    let request = ClearRequest { stuck_only: false, older_than: None, ids: Some(ids) };
    let cleared = queues(world).clear(request.clone(), &ada()).await.expect("cleared");
    assert_eq!(cleared.effect, EffectKind::Applied, "{}", cleared.message);
    let again = queues(world).clear(request, &ada()).await.expect("cleared");
    assert_eq!(again.effect, EffectKind::AlreadySo, "what is out is out");
    assert_eq!(waiting(world).await, 0);
    found.requests
}

async fn put(world: &World, requests: &[WaitingRequest]) -> Vec<Put> {
    let items = queues(world).put_in(requests.to_vec(), &ada()).await.expect("an answer");
    assert_eq!(items.len(), requests.len());
    let ids: Vec<_> = items.iter().map(|item| &item.action_id).collect();
    assert_eq!(ids, requests.iter().map(|waiting| &waiting.action_id).collect::<Vec<_>>());
    items.into_iter().map(|item| item.put).collect()
}

fn keys(requests: &[WaitingRequest]) -> Vec<Option<String>> {
    let mut keys: Vec<_> = requests.iter().map(|waiting| waiting.request.idempotency_key.clone()).collect();
    keys.sort();
    keys
}

fn is_new(put: &Put) -> bool {
    matches!(put, Put::Imported | Put::Restored)
}

/// Out of an engine and back into the same one, twice, and by two at once.
pub async fn out_and_back(world: &World) {
    fill(world, "out").await;
    let first = take(world).await;
    let (one, two) = join(put(world, &first), put(world, &first)).await;
    for (one, two) in one.iter().zip(&two) {
        assert!(is_new(one) != is_new(two), "each by one of the two: {one}, {two}");
    }
    all_wait(world).await;
    assert_eq!(put(world, &first).await, [Put::AlreadyThere; SOME]);

    let second = take(world).await;
    assert_eq!(keys(&second), keys(&first), "a caller's repetition is still recognised");
    assert!(put(world, &second).await.iter().all(is_new));
    all_wait(world).await;
    assert_eq!(put(world, &first).await, [Put::AlreadyThere; SOME], "the older file is of the same actions");

    let mut other = first[0].clone();
    other.request.data["name"] = "other parameters".into();
    assert_eq!(put(world, &[other]).await, [Put::Failed]);
    resume(world).await;
    until("all of them are done", || async { (world.cards_of("out ") == SOME as u64).then_some(()) }).await;
    // A card is there a moment before its action is done; what was done is not put in again.
    until("each is known to be done", || async { (put(world, &second).await == [Put::Done; SOME]).then_some(()) })
        .await;
    assert_eq!((world.cards_of("out "), waiting(world).await), (SOME as u64, 0));
    done(world, &format!("{SOME} taken out and put back twice, by two at once: once each"));
}

/// From one engine to another and back.
pub async fn over_and_back(here: &World, there: &World) {
    fill(here, "moved").await;
    pause(there).await;
    let over = take(here).await;
    assert_eq!(put(there, &over).await, [Put::Imported; SOME]);
    all_wait(there).await;
    assert_eq!(put(there, &over).await, [Put::AlreadyThere; SOME]);
    let back = take(there).await;
    assert_eq!(keys(&back), keys(&over));
    assert!(put(here, &back).await.iter().all(is_new));
    all_wait(here).await;
    resume(there).await;
    resume(here).await;
    until("all of them are done", || async { (here.cards_of("moved ") == SOME as u64).then_some(()) }).await;
    until("nothing waits", || async { (waiting(here).await == 0).then_some(()) }).await;
    assert_eq!((here.cards_of("moved "), there.cards_of("moved "), waiting(there).await), (SOME as u64, 0, 0));
    done(there, &format!("{SOME} moved over from the {} engine and back: once each", here.engine));
}
