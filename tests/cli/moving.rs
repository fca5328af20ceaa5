//! `opsctl state export` and `import`: waiting actions from one orchestrator to another and back, none lost and none twice.

use std::os::unix::fs::PermissionsExt;

use crate::service::Service;
use crate::world::{Done, World};

/// A service that is paused, as the context `name`.
fn paused(world: &World, name: &str) -> Service {
    let service = Service::start(world.line(&format!("serve -o jsonl --listen 127.0.0.1:0 --data-dir {name}")));
    let token = world.path(name).join("admin.token");
    let context =
        format!("[contexts.{name}]\nurl = \"{}\"\ncredential.file = \"{}\"\n", service.url(), token.display());
    let before =
        if world.path("config/config.toml").exists() { world.read("config/config.toml") } else { String::new() };
    world.write("config/config.toml", &(before + &context));
    world.line(&format!("--context {name} queue pause --reason moving")).run().code(0);
    service
}

fn queued(world: &World, context: &str) -> u64 {
    let status = world.line(&format!("--context {context} -o json queue status")).run().code(0).json();
    status["totalQueued"].as_u64().unwrap()
}

fn fill(world: &World, context: &str, n: u64) {
    for n in 0..n {
        let action =
            format!(r#"{{"type":"create","platform":"trello","data":{{"name":"card-{n}"}},"correlationId":"c-{n}"}}"#);
        world.write("action.json", &action);
        let line = format!("--context {context} api POST /admin/v1/actions --data @action.json --reason test");
        world.line(&format!("{line} --confirm={context}")).run().code(0);
    }
}

fn export(world: &World, context: &str, file: &str) -> Done {
    world.line(&format!("--context {context} -o json state export {file} --yes --reason moving")).run()
}

fn import(world: &World, context: &str, file: &str) -> Done {
    world.line(&format!("--context {context} -o json state import {file} --yes --reason moving")).run()
}

/// The receipt of the newest change of a verb.
fn receipt(world: &World, verb: &str) -> String {
    let all = world.line("-o json history").run().code(0).json();
    let found = all.as_array().unwrap().iter().find(|receipt| receipt["verb"] == verb).unwrap();
    found["id"].as_str().unwrap().to_owned()
}

#[test]
fn the_queue_moves_to_another_orchestrator_and_back() {
    let world = World::new();
    let _one = paused(&world, "one");
    let _two = paused(&world, "two");
    fill(&world, "one", 3);
    assert_eq!((queued(&world, "one"), queued(&world, "two")), (3, 0));

    let declined = world.line("--context one state export queue.jsonl").run().code(10);
    assert!(declined.stderr.contains("move 3 waiting actions"), "{declined:?}");
    world.line("--context one state export queue.jsonl --dry-run").run().code(0);
    assert!(!world.path("queue.jsonl").exists() && queued(&world, "one") == 3);

    let moved = world.line("--context one -o json state export queue.jsonl --yes --reason moving").run().code(0).json();
    assert_eq!((moved["exported"].as_u64(), moved["left"].as_u64()), (Some(3), Some(0)));
    assert_eq!(queued(&world, "one"), 0);
    let mode = std::fs::metadata(world.path("queue.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "others can read what was sent");
    assert!(!world.path("queue.jsonl.part").exists());
    world.line("--context one state export queue.jsonl --yes --reason moving").run().code(2);

    let counts =
        |done: serde_json::Value| ["imported", "restored", "alreadyThere"].map(|name| done[name].as_u64().unwrap());
    assert_eq!(counts(import(&world, "two", "queue.jsonl").code(0).json()), [3, 0, 0]);
    assert_eq!(counts(import(&world, "two", "queue.jsonl").code(0).json()), [0, 0, 3], "twice is once");
    assert_eq!(queued(&world, "two"), 3);

    // And back: a key that an operator's removal released is good again.
    world.line("--context two state export back.jsonl --yes --reason moving").run().code(0);
    assert_eq!((queued(&world, "one"), queued(&world, "two")), (0, 0));
    let back = world.line("--context one -o json state import back.jsonl --yes --reason moving").run().code(0).json();
    assert_eq!(counts(back), [3, 0, 0]);
    assert_eq!((queued(&world, "one"), queued(&world, "two")), (3, 0));

    world.line("--context one queue resume").run().code(0);
    let busy = world.line("--context one state export again.jsonl --yes --reason moving").run().code(6);
    assert!(busy.stderr.contains("while it is worked on"), "{busy:?}");
    let busy = world.line("--context one state import queue.jsonl --yes --reason moving").run().code(6);
    assert!(busy.stderr.contains("cannot fill a queue that is worked on"), "{busy:?}");
    world.write("other.jsonl", "hello\n");
    let wrong = world.line("--context two state import other.jsonl --yes --reason moving").run().code(2);
    assert!(wrong.stderr.contains("its first line is not that of"), "{wrong:?}");
}

#[test]
fn what_was_put_in_elsewhere_is_not_taken_back_as_well() {
    let world = World::new();
    let _one = paused(&world, "one");
    let _two = paused(&world, "two");
    let _three = paused(&world, "three");
    fill(&world, "one", 2);
    export(&world, "one", "queue.jsonl").code(0);
    let exported = receipt(&world, "state export");

    // Nobody knows here what became of the file elsewhere: it takes more than a yes.
    let undo = format!("--context one undo {exported} --reason back");
    let asked = world.line(&format!("{undo} --yes")).run().code(10);
    assert!(asked.stderr.contains("EXECUTED TWICE") && asked.stderr.contains("--confirm=one"), "{asked:?}");
    import(&world, "two", "queue.jsonl").code(0);
    for consent in ["--yes", "--confirm=one", "--dry-run"] {
        let refused = world.line(&format!("{undo} {consent}")).run().code(6);
        assert!(refused.stderr.contains("was put into `two` by r-"), "{refused:?}");
        assert!(refused.stderr.contains("opsctl --context two state export FILE"), "{refused:?}");
    }
    assert_eq!((queued(&world, "one"), queued(&world, "two")), (0, 2));

    // Into a third one it takes more than a yes, too.
    let third = import(&world, "three", "queue.jsonl").code(10);
    assert!(third.stderr.contains("put this file into `two`") && third.stderr.contains("--confirm=three"), "{third:?}");
    assert_eq!(queued(&world, "three"), 0);
}

#[test]
fn what_was_taken_back_is_not_put_in_elsewhere_as_well() {
    let world = World::new();
    let _one = paused(&world, "one");
    let _two = paused(&world, "two");
    fill(&world, "one", 2);
    export(&world, "one", "queue.jsonl").code(0);
    let exported = receipt(&world, "state export");
    world.line(&format!("--context one undo {exported} --confirm=one --reason back")).run().code(0);
    assert_eq!(queued(&world, "one"), 2);
    let refused = import(&world, "two", "queue.jsonl").code(6);
    assert!(refused.stderr.contains("taken back in `one` by r-"), "{refused:?}");
    assert_eq!(queued(&world, "two"), 0);
}

#[test]
fn an_export_that_was_interrupted_is_finished_by_the_same_command() {
    let world = World::new();
    let _one = paused(&world, "one");
    let _two = paused(&world, "two");
    fill(&world, "one", 3);
    export(&world, "one", "queue.jsonl").code(0);
    // As if it had been killed after everything was taken out, and before the file had its name.
    let part = world.read("queue.jsonl").replacen("opsctl queue 1", "opsctl queue 1, unfinished", 1);
    world.write("queue.jsonl.part", &part);
    std::fs::remove_file(world.path("queue.jsonl")).unwrap();
    let refused = import(&world, "two", "queue.jsonl.part").code(2);
    assert!(refused.stderr.contains("its export did not end"), "{refused:?}");
    let other = export(&world, "two", "queue.jsonl").code(6);
    assert!(other.stderr.contains("cannot go on with"), "{other:?}");

    let done = export(&world, "one", "queue.jsonl").code(0).json();
    assert_eq!((done["exported"].as_u64(), done["left"].as_u64()), (Some(3), Some(0)));
    assert!(!world.path("queue.jsonl.part").exists());
    import(&world, "two", "queue.jsonl").code(0);
    assert_eq!((queued(&world, "one"), queued(&world, "two")), (0, 3));
    // What was interrupted earlier, before anything was taken out, is taken out then.
    let part = world.read("queue.jsonl").replacen("opsctl queue 1", "opsctl queue 1, unfinished", 1);
    fill(&world, "one", 3);
    world.write("again.jsonl.part", &part);
    let gone = export(&world, "one", "again.jsonl").code(0).json();
    assert_eq!((gone["exported"].as_u64(), gone["left"].as_u64()), (Some(3), Some(3)), "others are left alone");
}

#[test]
fn a_file_that_is_not_as_it_was_written_is_refused_and_an_empty_queue_is_said() {
    let world = World::new();
    let _one = paused(&world, "one");
    let empty = world.line("--context one state export queue.jsonl --yes --reason moving").run().code(0);
    assert!(
        empty.stderr.contains("nothing to move: nothing waits") && !world.path("queue.jsonl").exists(),
        "{empty:?}"
    );
    fill(&world, "one", 2);
    export(&world, "one", "queue.jsonl").code(0);
    let whole = world.read("queue.jsonl");
    let torn = &whole[..whole.len() - 9];
    for (text, why) in [
        (whole.replace("card-1", "card-2"), "it was changed after it was written"),
        (torn.to_owned(), "it was changed after it was written"),
        (whole.trim_end().rsplit_once('\n').unwrap().0.to_owned(), "it has 1 actions, and says 2"),
        ("hello\n".to_owned(), "its first line is not that of"),
    ] {
        world.write("bad.jsonl", &text);
        let refused = world.line("--context one state import bad.jsonl --yes --reason moving").run().code(2);
        assert!(refused.stderr.contains(why) && refused.stderr.contains("hint: "), "{refused:?}");
        assert!(!refused.stderr.contains("card-"), "{refused:?}");
    }
    world.line("--context one state import none.jsonl --yes --reason moving").run().code(5);
    assert_eq!(queued(&world, "one"), 0);
}

#[test]
fn two_imports_of_a_file_at_once_put_it_in_once() {
    let world = World::new();
    let _one = paused(&world, "one");
    let _two = paused(&world, "two");
    fill(&world, "one", 3);
    export(&world, "one", "queue.jsonl").code(0);
    let line = "--context two -o json state import queue.jsonl --yes --reason moving";
    // Another person on the same machine has another journal, and other leases.
    let start = |state: &str| {
        let mut command = world.line(line).env("OPSCTL_STATE_DIR", world.path(state).to_str().unwrap()).command();
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    let imports = [start("state-1"), start("state-2")];
    let imported = imports.map(|child| {
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(0));
        let done: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        done["imported"].as_u64().unwrap()
    });
    assert_eq!((imported.iter().sum::<u64>(), queued(&world, "two")), (3, 3));
}
