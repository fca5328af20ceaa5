//! The way to every change: plan, question, approval, receipt, undo.

use crate::orchestrator::{Orchestrator, TOKEN};
use crate::world::{Run, World};

struct Scene {
    world: World,
    orchestrator: Orchestrator,
}

impl Scene {
    /// A context at an orchestrator whose environment word is this; `more` goes into the context's table.
    fn new(environment: &str, more: &str) -> Self {
        let orchestrator = Orchestrator::start(environment);
        Scene { world: World::configured(&orchestrator.config(more)), orchestrator }
    }

    fn line(&self, line: &str) -> Run {
        self.world.line(line).env("HERE_TOKEN", TOKEN)
    }

    #[track_caller]
    fn assert_nothing_sent(&self) {
        assert_eq!(self.orchestrator.lines(), Vec::<String>::new());
    }

    /// The id in the last receipt line.
    fn receipt(stderr: &str) -> String {
        let line = stderr.lines().rev().find_map(|l| l.strip_prefix("receipt: ")).expect(stderr);
        line.split(' ').next().unwrap().to_owned()
    }
}

#[test]
fn nobody_to_ask_and_no_consent_sends_nothing() {
    let scene = Scene::new("staging", "");
    let done = scene.line("queue remove act-1").run().stdout("").code(10);
    let (plan, error) = done.stderr.split_once("error: ").unwrap();
    assert_eq!(
        error,
        "take 1 item out of the queue needs confirmation\n  hint: review with --dry-run, then pass --yes\n"
    );
    let first = plan.lines().next().unwrap();
    let place = format!("in here (staging) http://{}", scene.orchestrator.address);
    assert!(first.ends_with(&place), "the first line names context, environment and URL: {first}");
    scene.assert_nothing_sent();
    // No variable ever means yes.
    let run = scene.line("queue remove act-1").env("CI", "1").env("OPSCTL_YES", "1").env("OPSCTL_CONFIRM", "1");
    run.run().code(10);
    scene.assert_nothing_sent();
}

#[test]
fn a_dry_run_is_the_same_plan_and_sends_nothing() {
    let scene = Scene::new("staging", "");
    let dry = scene.line("queue remove act-1 --dry-run").run().code(0);
    assert_eq!(dry.stderr, "nothing was sent (--dry-run)\n");
    scene.assert_nothing_sent();
    let real = scene.line("queue remove act-1 --yes").run().code(0);
    assert!(real.stderr.starts_with(&dry.stdout), "{real:?}");
    assert_eq!(scene.orchestrator.lines(), ["DELETE /admin/v1/queue/items/act-1"]);
    let json = scene.line("queue remove act-2 --dry-run -o json").run().code(0).json();
    assert_eq!((&json["class"], &json["items"], &json["undoable"]), (&"M3".into(), &1.into(), &true.into()));
    assert_eq!(json["steps"][0]["target"], "act-2");
}

#[test]
fn consent_reason_and_operator_travel_with_the_change() {
    let scene = Scene::new("staging", "");
    scene.line("queue remove act-1 --confirm --reason stück --ticket INC-1").run().code(0);
    let write = scene.orchestrator.writes().remove(0);
    let sent = |name: &str| write.headers.get(name).map(String::as_str).unwrap_or_default();
    assert_eq!(sent("x-opsctl-reason"), "st%C3%BCck");
    assert_eq!(sent("x-opsctl-ticket"), "INC-1");
    assert!(sent("x-opsctl-operator").starts_with("ana@"), "{write:?}");
    assert_eq!(sent("if-match"), "\"3\"");
    assert!(!sent("idempotency-key").is_empty());
}

#[test]
fn the_wrong_name_is_no_consent() {
    let scene = Scene::new("staging", "");
    let done = scene.line("queue remove act-1 --confirm=prod-us").run().code(10);
    assert!(done.stderr.contains("the plan is for `here`"), "{done:?}");
    scene.line("queue remove --confirm here act-1").run().code(2);
    scene.assert_nothing_sent();
    scene.line("queue remove act-1 --confirm=here").run().code(0);
}

#[test]
fn production_wants_a_reason_for_what_destroys() {
    let scene = Scene::new("production", "environment = \"production\"");
    let done = scene.line("queue remove act-1 --yes").run().code(10);
    assert!(done.stderr.contains("needs a reason") && done.stderr.contains("--reason TEXT"), "{done:?}");
    scene.assert_nothing_sent();
    scene.line("queue remove act-1 --yes --reason stuck").run().code(0);
}

#[test]
fn the_brake_never_asks_and_a_repeat_says_already() {
    let scene = Scene::new("production", "environment = \"production\"");
    let done = scene.line("pause all").run().code(0);
    assert!(done.stderr.contains("no question"), "{done:?}");
    let again = scene.line("pause:all").run().code(0);
    assert!(again.stderr.contains("already"), "{again:?}");
    assert_eq!(scene.orchestrator.lines(), ["POST /admin/v1/pauses"]);
    scene.line("resume all").run().code(10);
    scene.line("resume all --yes").run().code(0);
}

#[test]
fn a_context_can_refuse_changes_and_has_to_be_what_it_says() {
    let scene = Scene::new("staging", "protection = \"read-only\"");
    let done = scene.line("pause all").run().code(6);
    assert!(done.stderr.contains("the context `here` is read-only"), "{done:?}");
    let dry = scene.line("pause all --dry-run").run().code(0);
    assert!(dry.stderr.contains("the real run would be refused"), "{dry:?}");
    scene.assert_nothing_sent();
    let scene = Scene::new("production", "environment = \"staging\"");
    let done = scene.line("pause all").run().code(6);
    assert!(done.stderr.contains("it says `staging`, the server at"), "{done:?}");
    scene.assert_nothing_sent();
}

#[test]
fn a_change_leaves_a_receipt_and_can_be_taken_back_once() {
    let scene = Scene::new("staging", "");
    scene.line("history").run().stdout("").stderr("No changes.\n").code(0);
    let removed = scene.line("queue remove act-1 --yes --reason stuck").run().code(0);
    let id = Scene::receipt(&removed.stderr);
    assert!(removed.stderr.contains(&format!("undo: opsctl undo {id}")), "{removed:?}");
    let receipt = scene.line(&format!("history show {id} -o json")).run().code(0).json();
    assert_eq!(
        (&receipt["state"], &receipt["reason"], &receipt["context"]),
        (&"done".into(), &"stuck".into(), &"here".into())
    );
    assert_eq!(receipt["items"][0]["undo"], serde_json::json!({"do": "restore-item", "id": "act-1"}));

    let dry = scene.line(&format!("undo {id} --dry-run")).run().code(0);
    assert!(dry.stdout.contains("would send POST /admin/v1/queue/restore"), "{dry:?}");
    scene.line(&format!("undo {id}")).run().code(10);
    assert_eq!(scene.orchestrator.state("act-1"), "removed");
    let undone = scene.line(&format!("undo {id} --yes")).run().code(0);
    assert_eq!(undone.stdout, format!("{id}: 1 taken back, 0 left alone, 0 failed\n"));
    assert_eq!(scene.orchestrator.state("act-1"), "queued");
    let again = scene.line(&format!("undo {id} --yes")).run().code(0);
    assert!(again.stderr.contains("already taken back"), "{again:?}");
    let list = scene.line("history -o json").run().code(0).json();
    assert_eq!(list.as_array().unwrap().len(), 2);
}

#[test]
fn what_somebody_touched_since_is_left_alone() {
    let scene = Scene::new("staging", "");
    let id = Scene::receipt(&scene.line("queue remove act-1 --yes").run().stderr);
    scene.orchestrator.put("act-1", "queued");
    let done = scene.line(&format!("undo {id} --yes")).run().code(0);
    assert!(done.stderr.contains("left alone: act-1: it is no longer among the removed items"), "{done:?}");
    assert_eq!(scene.orchestrator.lines().len(), 1, "only the removal");
}

#[test]
fn a_pause_is_undone_by_a_resume_and_back() {
    let scene = Scene::new("staging", "");
    let pause = Scene::receipt(&scene.line("queue pause").run().code(0).stderr);
    let resume = Scene::receipt(&scene.line(&format!("undo {pause} --yes")).run().code(0).stderr);
    scene.line(&format!("undo {resume} --yes")).run().code(0);
    let paths = ["POST /admin/v1/pauses", "POST /admin/v1/pauses/resume", "POST /admin/v1/pauses"];
    assert_eq!(scene.orchestrator.lines(), paths);
}

#[test]
fn a_receipt_of_elsewhere_or_nowhere_is_refused() {
    let scene = Scene::new("staging", "");
    scene.line("undo r-0101-0000").run().code(5);
    scene.line("history show ../../config/config").run().code(5);
    let id = Scene::receipt(&scene.line("queue pause").run().stderr);
    let done = scene.line(&format!("undo {id} --context local --yes")).run().code(6);
    assert!(done.stderr.contains("it was made in `here`"), "{done:?}");
}

#[test]
fn without_a_place_for_receipts_only_the_brake_works() {
    let scene = Scene::new("staging", "");
    scene.world.write("state", "a file where the directory should be");
    let done = scene.line("queue remove act-1 --yes").run().code(1);
    assert!(done.stderr.contains("every change leaves a receipt"), "{done:?}");
    scene.assert_nothing_sent();
    let done = scene.line("pause all").run().code(0);
    assert!(done.stderr.contains("no receipt will be kept"), "{done:?}");
}

#[test]
fn a_check_of_a_context_has_a_line_for_each_thing() {
    let scene = Scene::new("staging", "environment = \"staging\"");
    let lines = scene.line("context check -o json").run().code(0).json();
    let state = |name: &str| {
        let lines = lines.as_array().unwrap();
        lines.iter().find(|l| l["name"] == name).unwrap_or_else(|| panic!("{name}: {lines:#?}"))["state"].clone()
    };
    for name in ["URL", "version", "token", "environment", "platform keys", "state folder"] {
        assert_eq!(state(name), "OK", "{name}");
    }
    assert_eq!(state("clock"), "WARN", "the small orchestrator's clock stands still");
    let wrong = scene.world.line("context check").env("HERE_TOKEN", "another").run().code(3);
    assert!(wrong.stdout.contains("the token is not valid"), "{wrong:?}");
    let nobody = World::configured("[contexts.here]\nurl = \"http://127.0.0.1:1\"\n");
    let done = nobody.line("context check here").run().code(7);
    assert!(done.stdout.lines().nth(1).unwrap().starts_with("URL            FAIL"), "{done:?}");
    let missing = World::configured(&scene.orchestrator.config("")).line("context check").run().code(3);
    assert!(missing.stdout.contains("HERE_TOKEN is not set"), "{missing:?}");
}

#[test]
fn a_secret_never_leaves_as_text() {
    let scene = Scene::new("staging", "");
    // The reason holds the token by mistake.
    let line = format!("queue remove act-1 --yes --reason {TOKEN}");
    let id = Scene::receipt(&scene.line(&line).run().code(0).stderr);
    let shown = scene.line(&format!("history show {id}")).env("OPSCTL_TOKEN", TOKEN).run().code(0);
    assert!(shown.stdout.contains("(hidden)") && !shown.stdout.contains(TOKEN), "{shown:?}");
}
