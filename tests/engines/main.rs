//! One suite for every engine: what the verbs promise has to hold over the native backend and over a real Restate cluster
//! alike, with the same Trello simulator behind both. And what the Restate backend says when its cluster misbehaves.
//!
//! The real cluster runs where `OPSCTL_RESTATE` names a folder with `tests/counterparts/restate` in it and its npm
//! packages installed.

mod failures;
mod kills;
mod moving;
mod restate;
#[path = "../served/mod.rs"]
mod served;
mod stub;
mod suite;
mod workflows;
mod world;

use std::path::PathBuf;

use restate::Workers;
use world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_native_engine_keeps_what_the_verbs_promise() {
    suite::run(&World::native().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restate_keeps_what_the_verbs_promise() {
    over_restate(Workers::InJavaScript).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restate_with_our_workers_keeps_what_the_verbs_promise() {
    over_restate(Workers::Ours(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restate_loses_nothing_when_nodes_and_workers_are_killed() {
    if let Some(folder) = packages("the kill loop over a Restate cluster") {
        kills::run(&folder).await;
    }
}

async fn over_restate(workers: Workers) {
    if let Some(folder) = packages("the suite over a real Restate") {
        let world = World::restate(&folder, workers).await;
        suite::run(&world).await;
        moving::over_and_back(&World::native().await, &world).await;
    }
}

/// Where Restate is, or a word about what is skipped.
fn packages(what: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("OPSCTL_RESTATE").map(PathBuf::from);
    if folder.is_none() {
        served::note(&format!("SKIPPED: {what}: set OPSCTL_RESTATE to a folder that has it"));
    }
    folder
}
