//! Nothing acknowledged is lost, nothing keyed is done twice: a real `opsctl serve` killed at random moments, stopped,
//! filled to its limit, given a store that is damaged, unwritable or full, and taken back to a backup.

mod backups;
mod full_queue;
mod kill_loop;
mod restores;
#[path = "../served/mod.rs"]
mod served;
mod stopping;
mod store_faults;
mod workflow_kills;
mod writers;

use served::Launch;

/// A service of the binary under test with its data in `folder`.
fn launch(folder: &served::TempDir) -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_opsctl"), folder.path().join("data"))
}
