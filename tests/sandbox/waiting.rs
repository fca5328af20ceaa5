//! Waiting for a state, following a platform, and what changed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::Value;

use super::{Sandbox, kill};

/// Ends with the test, however that ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_circuit_is_waited_for_followed_and_told_of() {
    let sandbox = Sandbox::up();
    sandbox.run("--context sandbox config set QUEUE_WORKERS=7 --reason load --yes").code(0);
    let follow = sandbox.world.line("--context sandbox monitor platform notion --interval 1s -o jsonl").command();
    let mut follow =
        Killed({ follow }.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut looks = BufReader::new(follow.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut look = || -> Value { serde_json::from_str(&looks.next().unwrap()).unwrap() };
    let first = look();
    assert_eq!(
        (&first["platform"], &first["vendor"], &first["circuit"]),
        (&"notion".into(), &"OK".into(), &"CLOSED".into())
    );

    sandbox.run("sandbox scenario issue-2").code(0);
    let wait = |rest: &str| sandbox.run(&format!("--context sandbox wait circuit notion {rest} -o json"));
    let open = wait("--for state=OPEN,failureCount>=5 --timeout 20s").code(0).json();
    assert_eq!((&open["result"], &open["seen"]["state"]), (&"met".into(), &"OPEN".into()));
    while look()["circuit"] != "OPEN" {}
    assert_eq!(
        wait("--fail-on state=OPEN --timeout 20s").code(3).json()["conditions"],
        serde_json::json!(["state=OPEN"])
    );
    let late = wait("--for state=OPEN --stable 1s --for failureCount>1000 --timeout 1500ms").code(7);
    assert_eq!((&late.json()["result"], &late.json()["seen"]["state"]), (&"timeout".into(), &"OPEN".into()));

    sandbox.run("sandbox fault clear notion").code(0);
    sandbox.run("--context sandbox circuit reset notion --yes").code(0);
    let told = sandbox.run("--context sandbox wait circuit notion --stable 1s --timeout 30s").code(0);
    assert!(told.stdout.starts_with("MET  circuit notion: state=CLOSED after "), "{told:?}");

    let changes = sandbox.json("--context sandbox changes --since 1h");
    let told: Vec<_> = changes.as_array().unwrap().iter().map(|c| [&c["what"], &c["subject"], &c["change"]]).collect();
    let place = |what: &str, subject: &str, change: &str| {
        let found = told.iter().position(|told| *told == [what, subject, change]);
        found.unwrap_or_else(|| panic!("no {what} {subject} {change} in {told:?}"))
    };
    let line_of_time = [
        place("config", "QUEUE_WORKERS", "set"),
        place("circuit", "notion", "CLOSED -> OPEN"),
        place("circuit", "notion", "reset"),
    ];
    assert!(line_of_time.is_sorted(), "{told:?}");
    assert!(told.iter().any(|told| told[0] == "service" && told[2] == "started"), "{told:?}");
}

#[test]
fn what_is_not_there_is_told_from_what_does_not_answer() {
    let sandbox = Sandbox::up();
    let line = |line: &str| sandbox.run(&format!("--context sandbox {line}"));
    let none = line("wait workflow nothing-of-this-name --timeout 20s").code(5);
    assert!(none.stderr.contains("nothing-of-this-name"), "{none:?}");
    assert_eq!(line("wait workflow nothing-of-this-name --for gone -o json").code(0).json()["seen"], Value::Null);
    for wrong in
        ["wait circuit", "wait queue notion", "wait circuit notio", "wait circuit notion --for open", "wait all"]
    {
        let refused = line(wrong).code(2);
        assert!(refused.stderr.contains("hint: ") || refused.stderr.contains("tip: "), "{refused:?}");
    }
    line("pause all --yes").code(0);
    let [_, serve] = sandbox.pids()[..] else { panic!("two processes") };
    kill(serve);
    let gap = line("wait queue --for totalQueued>=0 --timeout 2s").code(7);
    assert!(gap.stdout.starts_with("TIMEOUT  queue: ") && gap.stderr.contains("no answer"), "{gap:?}");
    let known = line("changes --since 1h -o json").code(7);
    assert_eq!(known.json()[0]["what"], "pause", "{known:?}");
    assert!(known.stderr.contains("only what was changed from this machine"), "{known:?}");
}
