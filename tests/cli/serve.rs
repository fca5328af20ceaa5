//! `opsctl serve` as a process: what it needs to start, what it says, how it ends.

use std::os::unix::fs::PermissionsExt;

use crate::service::Service;
use crate::world::{Run, World};

fn serve(world: &World, more: &str) -> Run {
    world.line(&format!("serve -o jsonl --listen 127.0.0.1:0 {more}"))
}

fn point_local_at(world: &World, service: &Service) {
    world.write("config/config.toml", &format!("[contexts.local]\nurl = \"{}\"\n", service.url()));
}

#[test]
fn the_local_context_reaches_it_and_sigterm_ends_it_in_order() {
    let world = World::new();
    let service = Service::start(serve(&world, ""));
    assert_eq!(service.listening["environment"], "production");
    point_local_at(&world, &service);
    let status = world.line("-o json queue status").run().code(0).json();
    assert_eq!(status["totalQueued"], 0);
    let restarted = world.line("restart workers --yes -o json").run().code(0);
    assert!(restarted.stdout.contains("workers"), "{restarted:?}");
    for file in ["admin.token", "break-glass.token", "tokens.json", "audit.jsonl"] {
        let mode = std::fs::metadata(world.path("data/serve").join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file} can be read by others");
    }
    let audit = world.read("data/serve/audit.jsonl");
    assert!(audit.contains("POST /admin/v1/components/workers/restart") && audit.contains("applied"), "{audit}");
    let (code, said) = service.stop();
    assert_eq!((code, said.as_str()), (Some(0), "Stopping: actions in flight may finish. Once more stops at once.\n"));
    world.line("queue status").run().code(7);
}

#[test]
fn a_token_of_the_first_start_still_works_after_the_second() {
    let world = World::new();
    Service::start(serve(&world, "")).stop();
    let token = world.read("data/serve/admin.token");
    let service = Service::start(serve(&world, ""));
    assert_eq!(world.read("data/serve/admin.token"), token);
    point_local_at(&world, &service);
    world.line("queue stuck").run().code(0);
}

#[test]
fn a_data_directory_and_a_port_have_one_service_each() {
    let world = World::new();
    let service = Service::start(serve(&world, ""));
    let second = world.line("serve --listen 127.0.0.1:0").run().code(6);
    assert!(second.stderr.contains("error: the data directory ~/data/serve is in use"), "{second:?}");
    assert!(second.stderr.contains(&format!("process {}", service.pid())), "{second:?}");
    let address = service.url().trim_start_matches("http://");
    let third = world.line(&format!("serve --data-dir other --listen {address}")).run().code(6);
    assert!(third.stderr.contains("caused by: the port is in use\n  hint: "), "{third:?}");
}

#[test]
fn it_is_not_opened_to_others_by_mistake() {
    let world = World::new();
    let refused = world.line("serve --listen 0.0.0.0:0").run().code(2);
    assert!(refused.stderr.contains("pass --allow-remote"), "{refused:?}");
    assert!(!world.path("data/serve").exists(), "nothing was made");
    let service = Service::start(world.line("serve -o jsonl --listen 0.0.0.0:0 --allow-remote"));
    let port = service.url().rsplit(':').next().unwrap();
    let text =
        format!("context = \"x\"\n[contexts.x]\nurl = \"http://127.0.0.1:{port}\"\ncredential = {{ env = \"T\" }}\n");
    world.write("config/config.toml", &text);
    world.line("queue status").env("T", "wrong").run().code(4);
}

#[test]
fn the_environment_word_comes_from_the_flag_or_from_node_env() {
    let world = World::new();
    let service = Service::start(serve(&world, "").env("NODE_ENV", "staging"));
    assert_eq!(service.listening["environment"], "staging");
    drop(service);
    let service = Service::start(serve(&world, "--environment qa").env("NODE_ENV", "staging"));
    assert_eq!(service.listening["environment"], "qa");
    world.line("serve --environment sandbox").run().code(2);
    world.opsctl(["serve", "--environment", "two words"]).run().code(2);
    world.line("serve --clock-offset 5").run().code(2);
}

#[test]
fn what_the_environment_has_wrong_is_said_and_not_used() {
    let world = World::new();
    let run = serve(&world, "").env("QUEUE_WORKERS", "many").env("STATE_STORAGE", "redis");
    let service = Service::start(run);
    point_local_at(&world, &service);
    let (code, said) = service.stop();
    assert_eq!(code, Some(0));
    assert!(said.contains("must be a whole number from 1 to 256, not `many`; 5 is used"), "{said}");
    assert!(said.contains("STATE_STORAGE cannot be `redis`"), "{said}");
}

#[test]
fn files_that_cannot_be_read_are_clear_errors_and_stay_as_they_are() {
    let damaged = "this is not what the service wrote ".repeat(300);
    for file in ["orchestrator.db", "settings.json", "secrets.json", "tokens.json"] {
        let world = World::new();
        world.write(&format!("data/serve/{file}"), &damaged);
        let done = world.line("serve --listen 127.0.0.1:0").run().code(1);
        assert!(done.stderr.contains("~/data/serve"), "{file}: {done:?}");
        assert!(done.stderr.contains("caused by:") && done.stderr.contains("hint:"), "{file}: {done:?}");
        assert_eq!(world.read(&format!("data/serve/{file}")), damaged);
    }
    let world = World::new();
    world.write("file", "");
    let done = serve(&world, "--data-dir file/data").run().code(1);
    assert!(done.stderr.contains("~/file/data"), "{done:?}");
}
