//! Graceful stops, and a second service on the same data.

use std::time::Duration;

use crate::launch;
use crate::served::api::card;
use crate::served::trello::Trello;
use crate::served::{self, Launch, TempDir};

/// Waits for a condition that has to come; the limit only ends a broken run.
async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut holds: F) {
    for _ in 0..6000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not happen");
}

async fn all_succeed(launch: &Launch, ids: &[String]) {
    for id in ids {
        eventually(&format!("the end of {id}"), async || launch.status_of(id).await == "success").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_finishes_or_hands_back_what_is_in_flight() {
    let folder = TempDir::new("sigterm");
    let trello = Trello::start(Duration::from_millis(150)).await;
    let launch = launch(&folder).envs(trello.env()).endpoints(&trello.endpoints()).env("QUEUE_WORKERS", 4);
    let (serve, _) = launch.start().await;
    let ids: Vec<String> = (0..40).map(|n| format!("term-{n}")).collect();
    let cards: Vec<_> = ids.iter().map(|id| card(id)).collect();
    assert_eq!(launch.submit(&cards).await.status / 100, 2);
    eventually("a request at the platform", async || trello.arrived() > trello.served()).await;

    assert_eq!(serve.stop().code(), Some(0));
    assert!(trello.served() < ids.len(), "nothing was left to hand back; the stop came too late to show anything");
    let finished = trello.arrived();
    assert_eq!(finished, trello.served(), "a request was cut off by a graceful stop");

    let (_serve, _) = launch.start().await;
    all_succeed(&launch, &ids).await;
    assert_eq!(trello.arrived(), ids.len(), "each card is made once");
}

#[tokio::test]
async fn a_second_service_on_the_same_data_is_refused() {
    let folder = TempDir::new("two-serves");
    let first = launch(&folder);
    let (_serve, _) = first.start().await;
    let mut second = launch(&folder);
    second.address = crate::launch(&folder).address;

    let refused = served::output(&mut second.command());
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(6), "{stderr}");
    assert!(stderr.starts_with("error: ") && stderr.contains("hint: "), "{stderr}");
    assert!(stderr.contains(&first.data_dir.display().to_string()), "{stderr}");

    // The first one did not notice.
    first.pause().await;
    assert_eq!(first.submit(&[card("still-here")]).await.status / 100, 2);
    assert_eq!(first.queued().await, 1);
}
