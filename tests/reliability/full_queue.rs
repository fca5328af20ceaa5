//! A queue at `QUEUE_MAX_SIZE`.

use serde_json::Value;

use crate::launch;
use crate::served::TempDir;
use crate::served::api::card;

fn cards(range: std::ops::Range<usize>) -> Vec<Value> {
    range.map(|n| card(&format!("full-{n}"))).collect()
}

#[tokio::test]
async fn a_full_queue_refuses_and_takes_nothing_half() {
    let folder = TempDir::new("full-queue");
    let launch = launch(&folder).env("QUEUE_MAX_SIZE", 10);
    let (serve, _) = launch.start().await;
    launch.pause().await;
    assert_eq!(launch.submit(&cards(0..8)).await.status / 100, 2);
    let repeated = launch.submit(&cards(0..1)).await;
    assert_eq!((repeated.status / 100, &repeated.body["actions"][0]["duplicate"]), (2, &Value::Bool(true)));

    // Three where there is room for two: none is taken.
    let refused = launch.submit(&cards(8..11)).await;
    assert_eq!((refused.code(), refused.status / 100), ("QUEUE_FULL", 5), "{refused:?}");
    assert_eq!(refused.body["error"]["retriable"], true, "{refused:?}");
    let message = refused.body["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("10") && message.contains("QUEUE_MAX_SIZE"), "{message}");
    assert_eq!(launch.queued().await, 8);
    for n in 8..11 {
        assert_eq!(launch.status_of(&format!("full-{n}")).await, "absent");
    }

    // The room that is left can be used.
    assert_eq!(launch.submit(&cards(8..10)).await.status / 100, 2);
    assert_eq!(launch.submit(&cards(10..11)).await.code(), "QUEUE_FULL");
    assert_eq!(launch.queued().await, 10);

    // A refusal leaves nothing behind for the next start either.
    serve.kill();
    let (_serve, _) = launch.start().await;
    assert_eq!(launch.queued().await, 10);
    assert_eq!(launch.status_of("full-10").await, "absent");
}
