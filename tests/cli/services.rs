//! Restarting and checking through what runs the services: real commands and processes, and a `systemctl` of our own.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::port;
use crate::service::Service;
use crate::world::{Done, Run, World};

/// Without any key no executor runs.
const KEY: &str = "ntn_of_an_executor_that_runs";

/// A world whose orchestrator is not there, with these services.
fn world(services: &str) -> World {
    World::configured(&format!("[contexts.local]\nurl = \"http://127.0.0.1:{}\"\n{services}", port::free()))
}

/// A world with an orchestrator, and these services beside it.
fn served(services: &str) -> (World, Service) {
    let world = World::new();
    let service = Service::start(world.line("serve -o jsonl --listen 127.0.0.1:0").env("NOTION_API_KEY", KEY));
    world.write("config/config.toml", &format!("[contexts.local]\nurl = \"{}\"\n{services}", service.url()));
    (world, service)
}

fn script(world: &World, name: &str, text: &str) {
    world.write(name, &format!("#!/bin/sh\n{text}"));
    std::fs::set_permissions(world.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// With this world's programs first.
fn here(world: &World, run: Run) -> Run {
    run.env("PATH", &format!("{}:/usr/bin:/bin", world.path("bin").display()))
}

fn run(world: &World, line: &str) -> Done {
    here(world, world.line(line)).run()
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A `systemctl` whose one unit is a process that has its number in a file.
const SYSTEMCTL: &str = r#"
echo "$*" >> "$HOME/asked"
case "$*" in
*restart*)
    SERVE >/dev/null 2>&1 &
    echo $! > "$HOME/unit.pid" ;;
*)
    pid=$(cat "$HOME/unit.pid" 2>/dev/null)
    echo LoadState=loaded
    echo InvocationID=$pid
    if [ -n "$pid" ] && grep -q '^State:.[RSD]' "/proc/$pid/status" 2>/dev/null; then
        echo ActiveState=active; echo SubState=running
    else
        echo ActiveState=inactive; echo SubState=dead
    fi ;;
esac
"#;

/// What `systemctl` started; it ends with the value.
struct Unit<'a>(&'a World);

impl Unit<'_> {
    fn kill(&self) {
        let pid = std::fs::read_to_string(self.0.path("unit.pid")).unwrap_or_default();
        if !pid.trim().is_empty() {
            let _ = Command::new("kill").args(["-9", pid.trim()]).stderr(Stdio::null()).status();
            until("it is gone", || {
                !std::path::Path::new(&format!("/proc/{}/cmdline", pid.trim())).exists() || is_dead(&pid)
            });
        }
    }
}

/// Nobody may have taken note of its end.
fn is_dead(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}

impl Drop for Unit<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn a_dead_orchestrator_is_started_through_its_unit_and_its_parts_come_up_with_it() {
    let port = port::free();
    let world = World::configured(&format!(
        "[contexts.local]\nurl = \"http://127.0.0.1:{port}\"\n[contexts.local.services.orchestrator]\nunit = \
         \"opsctl.service\"\nstable = \"100ms\"\n"
    ));
    let serve = format!("NOTION_API_KEY={KEY} {} serve -q --listen 127.0.0.1:{port}", env!("CARGO_BIN_EXE_opsctl"));
    script(&world, "bin/systemctl", &SYSTEMCTL.replace("SERVE", &serve));
    let unit = Unit(&world);

    let refused = run(&world, "queue clear --yes").code(7);
    assert!(refused.stderr.contains("`opsctl restart orchestrator` (unit opsctl.service)"), "{refused:?}");
    let dry = run(&world, "restart orchestrator --dry-run").code(0);
    assert!(dry.stdout.contains("would run systemctl --no-ask-password restart opsctl.service"), "{dry:?}");
    assert!(!world.read("asked").contains("restart"), "a dry run only looks");
    run(&world, "restart orchestrator").code(10);
    assert!(!world.read("asked").contains("restart"));

    // The first start makes the token that the parts are asked with.
    let started = run(&world, "restart all --yes -o json").code(0).json();
    assert_eq!((&started[0]["result"], &started[0]["state"]), (&"restarted".into(), &"up".into()), "{started}");
    assert!(started[0]["tookMs"].is_u64() && started[0]["via"] == "unit opsctl.service", "{started}");
    assert_eq!((started.as_array().unwrap().len(), &started[5]["result"]), (6, &"came-up".into()), "{started}");
    unit.kill();
    run(&world, "restart orchestrator --yes").code(0);
    run(&world, "queue status").code(0);

    unit.kill();
    let one = run(&world, "restart queue --yes").code(7).stdout("");
    assert!(one.stderr.contains("start it with `opsctl restart orchestrator`"), "{one:?}");
    let all = run(&world, "restart all --yes").code(0);
    let lines: Vec<_> = all.stdout.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>()).collect();
    assert_eq!(lines[1], ["orchestrator", "restarted"], "{all:?}");
    assert_eq!((lines.len(), &lines[2][..]), (7, &["database", "came"][..]), "{all:?}");
    // One that answers keeps its process.
    let before = world.read("unit.pid");
    run(&world, "restart all --yes").code(0);
    assert_eq!(world.read("unit.pid"), before);
}

#[test]
fn a_command_is_drained_restarted_and_checked_in_that_order() {
    let world = world(
        "[contexts.local.services.database]\nrestart = [\"restart-db\", \"--now\"]\ncheck = [\"test\", \"-e\", \
         \"up\"]\ndrain = \"echo drain >> order\"\nstable = \"100ms\"\n",
    );
    script(&world, "bin/restart-db", "echo restart $1 >> order; touch up\n");
    let dry = run(&world, "restart database --dry-run").code(0);
    let drain = dry.stdout.find("would run echo drain").unwrap_or_else(|| panic!("{dry:?}"));
    assert!(dry.stdout.find("would run restart-db --now").is_some_and(|restart| restart > drain), "{dry:?}");
    assert!(dry.stdout.contains("database: down") && !world.path("order").exists(), "{dry:?}");

    let check = run(&world, "db check").code(3);
    assert!(
        check.stdout.contains("FAIL") && check.stderr.contains("only command `restart-db --now` was asked"),
        "{check:?}"
    );
    let done = run(&world, "restart database --yes --reason INC-7").code(0);
    assert!(done.stdout.contains("restarted") && done.stdout.contains("drained"), "{done:?}");
    assert_eq!(world.read("order"), "drain\nrestart --now\n");
    let check = run(&world, "db check -o json").code(0).json();
    assert_eq!((&check["ok"], &check["checks"][0]["ok"]), (&true.into(), &true.into()));
    let history = run(&world, "history -o json").code(0).json();
    assert_eq!(history[0]["verb"], "restart database", "{history}");
}

#[test]
fn one_that_is_never_ready_stops_the_rest_and_all_are_told_apart() {
    let (world, _service) = served(
        "[contexts.local.services.eventbus]\nrestart = [\"true\"]\ncheck = [\"sh\", \"-c\", \"echo no route to \
         broker; exit 1\"]\ntimeout = \"500ms\"\nstable = \"100ms\"\n",
    );
    let done = run(&world, "restart all --yes").code(7);
    let row = |name: &str| {
        let line = done.stdout.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{done:?}"));
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("database")[1..3], ["restarted", "up"]);
    assert_eq!(row("eventbus")[1..3], ["FAILED", "down"]);
    assert_eq!(row("queue")[1..3], ["not touched", "up"]);
    let says = "the restart stopped at the eventbus; up: database, queue, executors, workers; not up: eventbus; not \
                touched: queue, executors, workers";
    for part in
        [says, "the eventbus did not become ready within 500ms", "no route to broker", "hint: see what its check says"]
    {
        assert!(done.stderr.contains(part), "{part}: {done:?}");
    }
    let seen = run(&world, "eventbus check").code(3);
    assert!(seen.stdout.lines().count() > 2 && seen.stdout.contains("FAIL"), "both looks are shown: {seen:?}");
}

#[test]
fn one_that_flaps_is_not_ready() {
    let world = world(
        "[contexts.local.services.database]\nrestart = [\"true\"]\ncheck = [\"flap\"]\nstable = \"20s\"\ntimeout = \
         \"40s\"\n",
    );
    script(&world, "bin/flap", "echo x >> looks\n[ $(( $(wc -l < looks) % 2 )) = 0 ]\n");
    let done = run(&world, "restart database --yes").code(1);
    assert!(done.stderr.contains("the database did not stay up"), "{done:?}");
    assert!(done.stderr.contains("it came up and went down again, 3 times"), "{done:?}");
}

#[test]
fn a_missing_manager_is_named_and_nothing_is_called_healthy() {
    let world = world(
        "[contexts.local.services.database]\nunit = \"pg.service\"\n[contexts.local.services.queue]\nrestart = \
         [\"no-such-manager\"]\ncheck = [\"true\"]\n[contexts.local.services.eventbus]\nrestart = [\"true\"]\ncheck = \
         [\"no-such-check\"]\ndrain = [\"no-such-drain\"]\n",
    );
    world.write("bin/empty", "");
    let run = |line: &str| world.line(line).env("PATH", world.path("bin").to_str().unwrap()).run();
    let unit = run("restart database --yes").code(1);
    assert!(unit.stderr.contains("there is no command `systemctl` here"), "{unit:?}");
    assert!(unit.stderr.contains("hint: run this where systemd runs the service"), "{unit:?}");
    let command = run("restart queue --yes").code(1);
    assert!(command.stderr.contains("there is no command `no-such-manager` here"), "{command:?}");
    let drain = run("restart eventbus --yes").code(1);
    assert!(drain.stderr.contains("nothing was restarted"), "{drain:?}");
    let check = run("db check").code(7);
    assert!(check.stdout.contains("\nUNKNOWN  unit pg.service") && !check.stdout.contains("\nOK"), "{check:?}");
    assert_eq!(run("eventbus check -o json").code(7).json().get("ok"), None);
}

#[test]
fn what_systemd_refuses_is_told_in_its_words() {
    let world = world("[contexts.local.services.database]\nunit = \"pg.service\"\nuser = true\n");
    script(
        &world,
        "bin/systemctl",
        "case \"$*\" in *restart*) echo 'Job for pg.service failed.' >&2; exit 1 ;; esac\necho LoadState=loaded\necho \
         ActiveState=failed\necho Result=exit-code\n",
    );
    let done = run(&world, "restart database --yes").code(1);
    assert!(done.stderr.contains("Job for pg.service failed.") && done.stdout.contains("FAILED"), "{done:?}");
    assert!(done.stderr.contains("hint: see what it says: journalctl --user -n 30 -u pg.service"), "{done:?}");
    let check = run(&world, "db check").code(3);
    assert!(check.stdout.contains("pg.service is failed (exit-code)"), "{check:?}");
}

#[test]
fn of_two_restarts_at_once_one_waits_for_its_turn_outside() {
    let world = world(
        "[contexts.local.services.database]\nrestart = \"touch begun; while [ ! -e go ]; do sleep 0.02; done\"\ncheck = \
         [\"true\"]\nstable = \"50ms\"\n",
    );
    let mut first = here(&world, world.line("restart database --yes")).command();
    let mut first = first.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the first has begun", || world.path("begun").exists());
    let second = run(&world, "restart database --yes").code(6);
    assert!(second.stderr.contains("services in local is being changed by somebody else"), "{second:?}");
    assert!(second.stderr.contains("restart the database, 0 of 1 ready, at the database"), "{second:?}");
    world.write("go", "");
    assert_eq!(first.wait().unwrap().code(), Some(0));
}

#[test]
fn without_an_entry_it_says_what_to_write() {
    let bare = world("");
    for line in ["restart all --yes", "restart queue --yes", "executor restart notion --yes", "db check"] {
        let done = run(&bare, line).code(7).stdout("");
        assert!(done.stderr.contains("[contexts.local.services."), "{line}: {done:?}");
    }
    let process = run(&bare, "restart orchestrator --yes").code(5);
    assert!(process.stderr.contains("with unit = \"opsctl.service\""), "{process:?}");
    // What would work is named; a plan that cannot be finished is not begun.
    let some = world("[contexts.local.services.database]\nrestart = \"touch begun\"\ncheck = [\"true\"]\n");
    let done = run(&some, "restart all --yes").code(7);
    assert!(done.stderr.contains("hint: `opsctl restart database` works"), "{done:?}");
    assert!(!some.path("begun").exists());
}

#[test]
fn an_unknown_service_and_a_bad_entry_name_what_there_is() {
    let done = run(&world("[contexts.local.services.databse]\nunit = \"pg.service\"\n"), "db check").code(2);
    assert!(
        done.stderr.contains("services.databse: there is no service `databse`: did you mean `database`?"),
        "{done:?}"
    );
    assert!(
        done.stderr.contains("there are orchestrator, database, eventbus, queue, executors, workers, executor-notion")
    );
    let verb = run(&world(""), "restart postgres").code(2);
    assert!(verb.stderr.contains("restart has all, database, eventbus, executors, orchestrator"), "{verb:?}");
}

#[test]
fn no_secret_is_shown_of_what_a_command_says_or_holds() {
    let world = world(
        "[contexts.local.services.database]\nrestart = \"PGPASSWORD=hunter2hunter2 true; echo key $NOTION_API_KEY; echo \
         postgres://ana:s3cret-word@db; exit 1\"\ncheck = [\"true\"]\n",
    );
    for line in ["restart database --yes", "restart database --dry-run", "context show", "db check"] {
        let done = here(&world, world.line(line)).env("NOTION_API_KEY", "ntn_planted_secret_value").run();
        let all = format!("{}{}", done.stdout, done.stderr);
        for secret in ["hunter2", "s3cret-word", "ntn_planted"] {
            assert!(!all.contains(secret), "{line}: {all}");
        }
    }
    let journal: String = std::fs::read_dir(world.path("state/journal"))
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok())
        .collect();
    assert!(
        journal.contains("restart database") && !journal.contains("s3cret-word") && !journal.contains("ntn_planted")
    );
}

#[test]
fn the_context_shows_and_checks_its_services() {
    let (world, _service) = served(
        "[contexts.local.services.database]\nrestart = [\"true\"]\ncheck = [\"true\"]\n[contexts.local.services.queue]\n\
         restart = [\"true\"]\ncheck = [\"false\"]\n",
    );
    let shown = run(&world, "context show").code(0);
    assert!(shown.stdout.contains("Services") && shown.stdout.contains("command `true`"), "{shown:?}");
    let checked = run(&world, "context check").code(3);
    let line = |name: &str| checked.stdout.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("service database").contains("OK") && line("service queue").contains("FAIL"), "{checked:?}");
}
