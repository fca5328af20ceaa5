//! Workflows over a real service: what is wrong in a definition, how one ends, and two engineers at once.

use opsctl::sandbox::sim::{Api, Fault, FaultSpec};
use serde_json::{Value, json};

use crate::service::Scene;

/// A step on Drive.
fn file(id: &str) -> Value {
    json!({"id": id, "type": "file", "platform": "drive", "data": {"name": format!("{id}.txt"), "content": id}})
}

/// A step that fails for good: there is no such channel.
fn message() -> Value {
    json!({"id": "notify", "type": "notify", "platform": "slack", "data": {"channel": "C0CLOSED0001", "text": "x"}})
}

fn definition(id: &str, steps: &[Value]) -> String {
    json!({"id": id, "name": id, "steps": steps}).to_string()
}

impl Scene {
    fn define(&self, id: &str, steps: &[Value]) {
        self.world.write("workflow.json", &definition(id, steps));
    }
}

#[test]
fn what_is_wrong_in_a_definition_is_named() {
    let scene = Scene::start();
    let execute = "workflow execute --file workflow.json --confirm=local";
    let with = |step: Value, name: &str, value: Value| {
        let mut step = step;
        step[name] = value;
        step
    };
    let cases = [
        ("{\"name\": \"x\",\n \"steps\": [],\n}".to_owned(), vec!["line 3 column 1"]),
        (definition("w", &[]), vec!["steps: a workflow needs at least one"]),
        (definition("w", &[with(file("a"), "type", "fax".into())]), vec!["fax"]),
        (
            definition("w", &[with(file("a"), "dependsOn", "b".into()), file("b")]),
            vec!["step `a`: dependsOn: `b` comes later; move `b` before `a`"],
        ),
        (
            definition("w", &[with(file("a"), "dependsOn", "b".into()), with(file("b"), "dependsOn", "a".into())]),
            vec!["step `a`: dependsOn: a cycle, a -> b -> a; take one of them out"],
        ),
        (definition("w", &vec![file("a"); 21]), vec!["steps: 21 are more than MAX_WORKFLOW_STEPS=20"]),
        (definition("w", &[with(file("a"), "dependsOn", "a".into())]), vec!["step `a`"]),
        (
            definition("w", &[file("a"), file("a"), with(file("c"), "data", json!({"name": "$d.fileId"}))]),
            vec!["caused by: step `a`: steps 1 and 2 have the same id; rename one", "caused by: step `c`: `$d`"],
        ),
    ];
    for (text, parts) in cases {
        scene.world.write("workflow.json", &text);
        // A plan is of something that can be done: there is none, and the dry run says the same.
        for more in ["", " --dry-run"] {
            let wrong = scene.line(&format!("{execute}{more}")).run().stdout("").code(2);
            for part in &parts {
                assert!(wrong.stderr.contains(part), "{part}: {wrong:?}");
            }
            assert!(!wrong.stderr.contains("plan:"), "{wrong:?}");
        }
    }
    assert_eq!(scene.line("workflow list -o json").run().code(0).json()["total"], 0, "nothing of it was accepted");
    for line in ["workflow status none", "workflow steps none", "logs workflow none", "rollback retry none"] {
        let unknown = scene.line(line).run().stdout("").code(5);
        assert!(unknown.stderr.contains("hint: list them with `opsctl workflow list`"), "{unknown:?}");
    }
}

#[test]
fn a_workflow_is_followed_to_its_end() {
    let scene = Scene::start();
    scene.define("files", &[file("a"), file("b")]);
    let done = scene.line("workflow execute --file workflow.json --yes").run().code(0);
    assert!(done.stdout.ends_with("files: completed\n"), "{done:?}");
    let again = scene.line("workflow execute --file workflow.json --yes").run().code(0);
    assert!(again.stderr.contains("already submitted: workflow files"), "{again:?}");
    scene.line("workflow execute files --yes").run().stderr("workflow files is already completed\n").code(0);

    // A message cannot be undone: the plan says so, and `--yes` is not enough.
    scene.define("told", &[file("a"), message()]);
    let asks = scene.line("workflow execute --file workflow.json --yes").run().stdout("").code(10);
    assert!(asks.stderr.contains("--confirm=local"), "{asks:?}");
    let failed = scene.line("workflow execute --file workflow.json --confirm=local").run().code(1);
    assert!(failed.stdout.ends_with("told: rolled_back\n"), "{failed:?}");
    assert!(failed.stderr.contains("step `notify` on slack: NOT_FOUND: channel_not_found"), "{failed:?}");
    let none = scene.line("workflow rollback-failures told").run().stdout("").code(0);
    assert_eq!(none.stderr, "No failed rollbacks: told is rolled_back.\n");

    scene.define("nothing", &[message(), file("a")]);
    scene.line("workflow execute --file workflow.json --confirm=local").run().code(1);
    let empty = scene.line("workflow compensate nothing").run().stdout("").code(6);
    assert!(empty.stderr.starts_with("error: cannot compensate workflow `nothing`\n"), "{empty:?}");
}

#[test]
fn of_two_engineers_one_wins_and_the_other_is_told_who() {
    let scene = Scene::start();
    scene.define("shared", &[file("a"), file("b"), file("c")]);
    scene.line("workflow execute --file workflow.json --yes").run().code(0);
    // An undo that takes its time.
    let slow = FaultSpec::from(Fault::Slow { ms: 4000 }).only("files.trash").times(1);
    scene.sims.fault(Api::Drive, slow).unwrap();
    let begun = scene.line("workflow rollback shared --yes --no-wait -o json").run().code(0).json();
    assert_eq!(begun["effect"], "accepted");
    for line in
        ["workflow rollback shared --yes", "rollback force shared --yes", "workflow mark-completed shared --yes"]
    {
        let told = scene.line(line).run().stdout("").code(6);
        assert!(told.stderr.contains("ana@") && told.stderr.contains("is under way since"), "{told:?}");
        assert!(told.stderr.contains("opsctl workflow status shared --watch"), "{told:?}");
    }
    for _ in 0..200 {
        let status = scene.line("workflow status shared -o json").run().code(0).json();
        if status["status"] != "rolling_back" {
            assert_eq!(status["status"], "rolled_back");
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the rollback does not end");
}

#[test]
fn what_can_be_undone_is_written_down() {
    let world = crate::world::World::new();
    let written = world.line("docs generate --rollback-limitations --file limits.md").run().stdout("").code(0);
    assert!(written.stderr.starts_with("wrote "), "{written:?}");
    let page = world.read("limits.md");
    assert!(page.starts_with("# What a rollback can undo\n") && page.contains("| slack | notify | non_reversible |"));
    world.line("docs generate").run().code(2);
}
