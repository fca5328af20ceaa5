//! `--watch` where nobody looks at a screen: one record per change, a gap instead of an end.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::orchestrator::{Orchestrator, TOKEN};
use crate::world::World;

/// Ends with the test, however that ends.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_record_per_change_and_a_lost_api_is_a_gap() {
    let orchestrator = Orchestrator::start("staging");
    let world = World::configured(&orchestrator.config(""));
    let run = world.line("queue status --watch=500ms -o jsonl --timeout 1s").env("HERE_TOKEN", TOKEN);
    let mut child =
        Killed(run.command().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut answers = BufReader::new(child.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut notes = BufReader::new(child.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut queued = || {
        let record: serde_json::Value = serde_json::from_str(&answers.next().unwrap()).unwrap();
        record["totalQueued"].as_u64().unwrap()
    };
    assert_eq!(queued(), 2);
    orchestrator.put("act-1", "removed");
    assert_eq!(queued(), 1, "the same answer again is not a record");
    orchestrator.set_down(true);
    let gap = notes.next().unwrap();
    assert!(gap.starts_with("warning: ") && gap.contains("no answer"), "{gap}");
    orchestrator.put("act-2", "removed");
    orchestrator.set_down(false);
    let back = notes.next().unwrap();
    assert!(back.contains("answers again after"), "{back}");
    assert_eq!(queued(), 0);
    assert_eq!(child.0.try_wait().unwrap(), None, "a gap is no end");
}

#[test]
fn another_failure_ends_a_watch() {
    let orchestrator = Orchestrator::start("staging");
    let world = World::configured(&orchestrator.config(""));
    let done = world.line("queue status --watch").env("HERE_TOKEN", "another").run().code(4);
    assert!(done.stderr.contains("the token is not valid"), "{done:?}");
    world.line("queue status --watch=10ms").run().code(2);
}
