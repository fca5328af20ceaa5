//! `opsctl state export` and `import`: waiting actions from one orchestrator to another and back, none lost and none twice.

use std::os::unix::fs::PermissionsExt;

use crate::service::Service;
use crate::world::World;

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

#[test]
fn the_queue_moves_to_another_orchestrator_and_back() {
    let world = World::new();
    let _one = paused(&world, "one");
    let _two = paused(&world, "two");
    for n in 0..3 {
        let action =
            format!(r#"{{"type":"create","platform":"trello","data":{{"name":"card-{n}"}},"correlationId":"c-{n}"}}"#);
        world.write("action.json", &action);
        let sent = world
            .line("--context one api POST /admin/v1/actions --data @action.json --confirm=one --reason test")
            .run();
        sent.code(0);
    }
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
    let import = |context: &str| {
        world.line(&format!("--context {context} -o json state import queue.jsonl --yes --reason moving")).run()
    };
    assert_eq!(counts(import("two").code(0).json()), [3, 0, 0]);
    assert_eq!(counts(import("two").code(0).json()), [0, 0, 3], "twice is once");
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
