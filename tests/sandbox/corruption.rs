//! Damage to stored state and to the platforms' objects, from symptom to resolution: issue 8 and procedure 2, in the
//! runbook's words; and comparisons that something comes in between of.

use serde_json::{Value, json};

use super::{Done, Sandbox, eventually, kill};

impl Sandbox {
    /// What a comparison that found something says.
    fn found(&self, line: &str) -> Value {
        self.line(&format!("{line} -o json")).code(3).json()
    }

    /// The workflows that a scenario is about, as the findings about their states name them.
    fn disagreeing(&self) -> Vec<String> {
        let found = self.found("state:check");
        let findings = found["findings"].as_array().unwrap().iter();
        let mut ids: Vec<String> = findings.map(|f| f["workflowId"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    }

    /// Runs what each finding says comes next.
    fn follow(&self, found: &Value) -> Vec<Done> {
        let findings = found["findings"].as_array().unwrap().iter();
        findings.map(|f| self.line(f["next"].as_str().unwrap().strip_prefix("opsctl ").unwrap()).code(0)).collect()
    }

    fn status_of(&self, workflow: &str) -> Value {
        self.answer(&format!("workflow:status {workflow}"))["status"].clone()
    }

    /// The receipt of the last change.
    fn last_receipt(&self) -> String {
        let history = self.json("history --limit 1");
        history[0]["id"].as_str().unwrap_or_else(|| panic!("no receipt: {history}")).to_owned()
    }
}

/// The kinds of what was found, with how many of each.
fn counts(found: &Value) -> &Value {
    &found["counts"]
}

#[test]
fn issue_8_state_is_restored_and_undone_and_rebuilt() {
    let sandbox = Sandbox::up();
    sandbox.run("sandbox traffic off").code(0);
    sandbox.line("state:check").code(0);
    sandbox.run("sandbox scenario issue-8").code(0);
    let id = sandbox.placeholder("workflowId");
    sandbox.line("pause:all").code(0);

    // Diagnosis.
    let found = sandbox.found("state:check");
    assert_eq!(counts(&found), &json!({"lost": 2}), "{found}");
    let harmed = sandbox.disagreeing();
    assert!(harmed.len() == 2 && harmed.contains(&id), "{harmed:?}");
    for plan in sandbox.follow(&found) {
        assert!(plan.stdout.contains("the log says"), "{plan:?}");
    }
    assert_eq!(sandbox.found(&format!("workflow:check-state {id}"))["workflows"], 1);
    assert_eq!(sandbox.line(&format!("workflow:state {id} -o json")).code(3).json()["status"], "unknown");
    sandbox.line("logs:state --since 1h").code(0);
    sandbox.line("db:check").code(0);

    // Option 1: from a backup.
    let backup = sandbox.placeholder("timestamp");
    assert!(sandbox.line("state:backups").code(0).stdout.contains(&backup));
    let requests = sandbox.drive_requests();
    sandbox.line(&format!("state:restore --backup {backup}")).code(0);
    let restored = sandbox.answer("state:check");
    assert_eq!(counts(&restored), &json!({}));
    for id in &harmed {
        assert_eq!(sandbox.status_of(id), "completed");
        let steps = sandbox.answer(&format!("workflow:steps {id}"));
        assert!(steps.as_array().unwrap().iter().all(|step| step["status"] == "completed"), "{steps}");
        assert!(!sandbox.is_in_trash(id));
    }
    assert_eq!(sandbox.drive_requests(), requests, "no step runs again");

    // It can be taken back, and then option 2: from the log.
    sandbox.run(&format!("undo {} --context sandbox", sandbox.last_receipt())).code(0);
    assert_eq!(sandbox.disagreeing(), harmed);
    for id in &harmed {
        sandbox.line(&format!("state:rebuild {id}")).code(0);
        assert_eq!(sandbox.status_of(id), "completed");
        let again = sandbox.line(&format!("state:rebuild {id}")).code(0);
        assert!(again.stderr.contains("already agree"), "{again:?}");
    }
    sandbox.line("verify:integrity --all").code(0);
    sandbox.line("resume:all --slow-start").code(0);
    sandbox.run("sandbox scenario clear").code(0);
}

#[test]
fn procedure_2_from_pause_to_resume() {
    let sandbox = Sandbox::up();
    sandbox.run("sandbox traffic off").code(0);
    sandbox.run("sandbox scenario procedure-2").code(0);
    let clean = sandbox.placeholder("clean-timestamp");

    sandbox.line("pause:all").code(0);
    let found = sandbox.found("analyze:corruption --since 24h");
    assert_eq!(counts(&found), &json!({"altered": 1, "missing": 1, "state_differs": 2}), "{found}");
    assert_eq!(counts(&sandbox.found("analyze:corruption --timestamp 24h")), counts(&found));
    let of_kind = |found: &Value, kind: &str| -> Value {
        let findings = found["findings"].as_array().unwrap();
        findings.iter().find(|f| f["kind"] == kind).unwrap_or_else(|| panic!("no {kind}: {found}")).clone()
    };
    let (missing, altered) = (of_kind(&found, "missing"), of_kind(&found, "altered"));
    assert_eq!((&missing["platform"], &missing["stepId"]), (&"drive".into(), &"create_file".into()));
    assert_eq!((&altered["platform"], &altered["stepId"]), (&"sheets".into(), &"update_sheet".into()));
    assert!(missing["what"].as_str().unwrap().ends_with("is in the trash"), "{missing}");
    assert!(missing["evidence"][1].as_str().unwrap().contains("(delete) wrote to it"), "{missing}");
    assert!(altered["evidence"][1].as_str().unwrap().contains("(update) wrote to it"), "{altered}");
    let again = sandbox.found("analyze:corruption --since 24h");
    assert_eq!(again["findings"], found["findings"], "looking puts nothing right");

    sandbox.line("backup:create --full").code(0);
    sandbox.line(&format!("restore:point --timestamp {clean}")).code(0);
    sandbox.line("state:check").code(0);
    // The platforms are not restored: what is wrong there is said again.
    let left = sandbox.found("verify:integrity --all");
    assert_eq!(counts(&left), &json!({"altered": 1, "missing": 1}), "{left}");
    for plan in sandbox.follow(&left) {
        assert!(plan.stdout.contains("roll back workflow"), "{plan:?}");
    }
    sandbox.line("resume:all --slow-start").code(0);

    // What was damaged on the platforms is taken back by its workflows.
    // Its message only a person can put right.
    let id = |finding: &Value| finding["workflowId"].as_str().unwrap().to_owned();
    let (missing, altered) = (id(&missing), id(&altered));
    let undone = sandbox.line(&format!("workflow:rollback {missing}")).code(8);
    assert!(undone.stdout.contains("is in the trash") && undone.stdout.contains("manual"), "{undone:?}");
    let guarded = sandbox.line(&format!("workflow:rollback {altered}")).code(8);
    assert!(guarded.stdout.contains("changed since"), "{guarded:?}");
    assert_eq!(counts(&sandbox.found(&format!("verify:integrity {altered}"))), &json!({"altered": 1}));
    let forced = sandbox.line(&format!("rollback:force {altered}")).code(8);
    assert!(forced.stdout.contains("gave up on: update_sheet"), "a row that is all somebody else's stays: {forced:?}");
    for id in [missing, altered] {
        sandbox.line(&format!("workflow:mark-resolved {id} --comment said-so")).code(0);
    }
    let agreed = sandbox.answer("verify:integrity --all");
    assert_eq!(counts(&agreed), &json!({}), "{agreed}");
    sandbox.run("sandbox scenario clear").code(0);
}

#[test]
fn a_dead_platform_is_unknown_and_a_second_or_a_killed_comparison_is_told() {
    let sandbox = Sandbox::up();
    sandbox.run("sandbox traffic off").code(0);
    // Two workflows that are completed and mended.
    sandbox.run("sandbox scenario issue-8").code(0);
    sandbox.run("sandbox scenario clear").code(0);
    let whole = sandbox.answer("verify:integrity --all");
    assert_eq!((counts(&whole), &whole["ok"]), (&json!({}), &whole["objects"]), "{whole}");
    let nobody = sandbox.line("verify:integrity nobody").code(5);
    for part in ["there is no workflow `nobody`", "opsctl workflow list"] {
        assert!(nobody.stderr.contains(part), "{nobody:?}");
    }
    sandbox.line("state:check nobody").code(5);

    sandbox.run("sandbox fault drive down").code(0);
    let unknown = sandbox.found("verify:integrity --all");
    let findings = unknown["findings"].as_array().unwrap();
    assert!(findings.iter().all(|f| f["kind"] == "unknown" && f["platform"] == "drive"), "{unknown}");
    assert_eq!(findings[0]["next"], "opsctl check health drive");
    sandbox.run("sandbox fault clear drive").code(0);

    // Whoever comes second is told who is first, and how to end that. Asking for nobody is over at once when it comes first
    // itself, and then the other one tries again.
    sandbox.run("sandbox fault drive slow=20000").code(0);
    let begin = || {
        loop {
            let done = sandbox.line("verify:integrity --all");
            if done.code != Some(6) {
                return done;
            }
        }
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(begin);
        let mut second = None;
        eventually("the first is at work", || {
            let line = sandbox.line("verify:integrity nobody");
            let refused = line.code == Some(6);
            second = Some(line);
            refused
        });
        let second = second.unwrap();
        assert!(second.stderr.contains("at work already, since 20"), "{second:?}");
        let stop = second.stderr.split('`').find(|part| part.starts_with("opsctl api DELETE /admin/v1/jobs/"));
        let stop = stop.unwrap_or_else(|| panic!("no way to end it: {second:?}"));
        sandbox.line(stop.strip_prefix("opsctl ").unwrap()).code(0);
        let first = first.join().unwrap().code(1);
        assert!(first.stderr.contains("it was stopped before its end"), "{first:?}");

        // The job of a killed service is lost, and that is said.
        let first = scope.spawn(begin);
        eventually("it is at work again", || sandbox.line("verify:integrity nobody").code == Some(6));
        kill(sandbox.pids()[1]);
        let first = first.join().unwrap();
        assert!(matches!(first.code, Some(7)), "{first:?}");
    });
    sandbox.run("sandbox up").code(0);
    sandbox.run("sandbox fault clear drive").code(0);
    sandbox.line("verify:integrity --all").code(0);
}
