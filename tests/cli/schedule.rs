//! Jobs of a schedule: one at a time, ended at their limit, quiet; how they get into a schedule.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{World, has};

/// Nobody listens there.
const DEAD: &str = "[contexts.local]\nurl = \"http://127.0.0.1:9\"\n";

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 30s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[test]
fn a_hung_job_is_ended_with_everything_it_started_and_another_waits_for_nothing() {
    // The token's command starts something and never ends.
    let world = World::new();
    let script = world.path("hang.sh");
    world.write("hang.sh", "sleep 1000 & echo $! > pid; wait\n");
    let command = format!("sh {}", script.display());
    world.write("config/config.toml", &format!("{DEAD}[contexts.local.credential]\ncommand = \"{command}\"\n"));
    let mut first = world.line("cron run slow --timeout 4s -- queue status").command();
    let first = first.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = world.path("pid");
    eventually("it has started something", || std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')));
    let started = std::fs::read_to_string(&pid).unwrap();
    assert!(runs(&started));
    let second = world.line("cron run slow -- queue status").run().code(6);
    assert!(second.stderr.starts_with("error: the job slow is still running\n"), "{second:?}");
    assert!(second.stderr.contains("queue status"), "{second:?}");

    let ended = first.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(7), "{said}");
    assert!(said.contains("the job slow was ended") && said.contains("after 4s"), "{said}");
    eventually("what it started is gone", || !runs(&started));
    let jobs = world.line("check jobs").run().code(3);
    assert!(jobs.stdout.contains("ended at its limit"), "{jobs:?}");
    let log = world.read("state/jobs/local/slow.log");
    assert!(log.contains("opsctl queue status") && log.contains("ended at its limit"), "{log}");

    // Whoever ends the job itself ends what it runs.
    std::fs::remove_file(&pid).unwrap();
    let mut third = world.line("cron run slow --timeout 60s -- queue status").command();
    let mut third = third.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("it has started something again", || {
        std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n'))
    });
    let started = std::fs::read_to_string(&pid).unwrap();
    assert!(runs(&started));
    let kill = std::process::Command::new("kill").arg(third.id().to_string()).status();
    assert!(kill.unwrap().success());
    assert_eq!(third.wait().unwrap().code(), Some(1));
    eventually("what it started is gone, too", || !runs(&started));
}

#[test]
fn a_job_passes_its_end_on_and_is_quiet_unless_there_is_news() {
    let world = World::configured(DEAD);
    let line = "cron run health --every 5m -- check health";
    let first = world.line(line).env("OPSCTL_COLOR", "always").run().code(7);
    assert!(first.stderr.contains("error: "), "{first:?}");
    assert!(!first.stderr.contains('\u{1b}'), "no colour: {first:?}");
    world.line(line).run().stdout("").stderr("").code(7);
    let verbose = world.line("cron run health -v -- check health").run().code(7);
    assert!(verbose.stderr.contains("error: "), "{verbose:?}");
    assert_eq!(world.read("state/jobs/local/health.log").matches("exit 7").count(), 3);
    let jobs = world.line("check jobs").run().code(3);
    assert!(jobs.stdout.contains("it ended with 7, 3 times in a row"), "{jobs:?}");

    for (wrong, code) in [
        ("cron run ../x -- check health", 2),
        ("cron run x -- check helth", 2),
        ("cron run x", 2),
        ("cron run x --every soon -- check health", 2),
        ("cron install alrts", 2),
    ] {
        let refused = world.line(wrong).run().code(code);
        assert!(refused.stderr.contains("hint: ") || refused.stderr.contains("tip: "), "{refused:?}");
    }
}

#[test]
fn late_and_idle_jobs_are_found() {
    let world = World::configured(DEAD);
    world.line("check jobs").run().stderr("No jobs: put them into a schedule with `opsctl cron install`.\n").code(0);
    for _ in 0..7 {
        world.line("cron run tidy --every 1h -- alerts unsilence queue-50").run().stdout("").code(0);
    }
    let idle = world.line("check jobs").run().code(3);
    assert!(idle.stdout.contains("it succeeded 7 times and changed nothing"), "{idle:?}");
    // One that changes something.
    let changed = world.line("cron run tidy -- cron install alerts --file tab").run().code(0);
    assert!(changed.stdout.starts_with("written: "), "an effect is news: {changed:?}");
    world.line("check jobs").run().code(0);
    let ledger = world.read("state/jobs/local/tidy.json");
    let job: Value = serde_json::from_str(&ledger).unwrap();
    let last = job["runs"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["effects"], &last["code"], &job["everyMs"]), (&1.into(), &0.into(), &3_600_000.into()));
    world
        .write("state/jobs/local/tidy.json", &ledger.replace(last["at"].as_str().unwrap(), "2026-01-01T00:00:00.000Z"));
    let late = world.line("check jobs --exit-style check").run().code(2);
    assert!(late.stdout.starts_with("JOBS CRITICAL - tidy FAIL: late by "), "{late:?}");
}

#[test]
fn timers_are_shown_written_once_and_replaced_only_with_consent() {
    let world = World::configured(DEAD);
    let install = "cron install --dir units --notify slack:#ops-alerts";
    let dry = world.line(&format!("{install} --dry-run")).run().code(0);
    assert!(dry.stderr.contains("+ OnCalendar=Mon *-*-01..07 09:00:00"), "{dry:?}");
    assert!(dry.stdout.contains("12 changes, class M1") && !world.path("units").exists(), "{dry:?}");
    let done = world.line(install).run().code(0);
    assert!(done.stdout.contains("next: systemctl --user daemon-reload"), "{done:?}");
    let again = world.line(install).run().code(0);
    assert!(again.stderr.contains("already in the schedule"), "{again:?}");
    assert_eq!(std::fs::read_dir(world.path("units")).unwrap().count(), 12);
    if has("systemd-analyze") {
        let mut verify = std::process::Command::new("systemd-analyze");
        let units = std::fs::read_dir(world.path("units")).unwrap().map(|unit| unit.unwrap().path());
        let out =
            verify.args(["verify", "--man=no", "--user"]).args(units).env("XDG_RUNTIME_DIR", world.path("")).output();
        let out = out.unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    let service = "units/opsctl-local-daily.service";
    let old = world.read(service).replace("--timeout 10m", "--timeout 99m");
    world.write(service, &old);
    let refused = world.line(install).run().code(10);
    assert!(refused.stderr.contains("  - ExecStart=") && refused.stderr.contains("  + ExecStart="), "{refused:?}");
    assert_eq!(world.read(service), old);
    world.line(&format!("{install} --yes")).run().code(0);
    assert_eq!(world.read(&format!("{service}.before")), old);
    assert!(world.read(service).contains("--timeout 10m"));
}

#[test]
fn a_crontab_keeps_what_is_not_ours_and_its_guard_says_monday() {
    let world = World::configured(DEAD);
    world.write("tab", "0 1 * * * mine\n");
    world.line("cron install --file tab").run().code(0);
    let tab = world.read("tab");
    assert!(tab.starts_with("0 1 * * * mine\n# BEGIN opsctl local\n"), "{tab}");
    world.line("cron install --file tab").run().code(0);
    assert_eq!(world.read("tab"), tab);

    // The guard itself, in a shell, with a clock that says the day.
    let line = tab.lines().find(|line| line.contains("cron run monthly")).unwrap();
    let guard = line.strip_prefix("0 9 1-7 * * ").unwrap().split(" || ").next().unwrap().replace("\\%", "%");
    world.write("bin/date", "#!/bin/sh\nexec /bin/date -d \"$DAY\" \"$@\"\n");
    let date = world.path("bin/date");
    std::fs::set_permissions(&date, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for (day, is_monday) in [("2026-12-06", false), ("2026-12-07", true), ("2027-01-01", false), ("2027-02-01", true)] {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("{guard} || echo runs")]).env("DAY", day);
        shell.env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()));
        let said = String::from_utf8(shell.output().unwrap().stdout).unwrap();
        assert_eq!(said == "runs\n", is_monday, "{day}: {guard}");
    }
}

#[test]
fn an_orchestrator_that_never_answers_is_down_before_the_minute_is_over() {
    // It takes connections and says nothing.
    let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let world = World::configured(&format!("[contexts.local]\nurl = \"http://{}\"\n", hole.local_addr().unwrap()));
    let line = "cron run alerts --timeout 50s -- check alerts --timeout 2s";
    for _ in 0..2 {
        let pending = world.line(line).run().code(7);
        assert!(!pending.stderr.contains("was ended"), "{pending:?}");
    }
    let fired = world.line(line).run().code(3);
    assert!(fired.stdout.contains("FIRING   system-down  critical, respond at once"), "{fired:?}");
}
