//! Nothing acknowledged is lost, nothing keyed is done twice: a real `opsctl serve` killed at random moments, stopped,
//! filled to its limit, given a store that is damaged, unwritable or full, started and taken back from a
//! backup, and drilled for it; and a rotation of its keys killed at every stage.

mod backups;
mod bulk_kills;
mod disk_full;
mod drills;
mod full_queue;
mod key_kills;
mod kill_loop;
mod rescues;
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
