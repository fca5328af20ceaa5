//! The runbook's issues with workflows, from symptom to resolution.

use opsctl::sandbox::{Place, ground::Ground};
use serde_json::{Value, json};

use super::Sandbox;

impl Sandbox {
    pub(super) fn line(&self, line: &str) -> super::Done {
        self.run(&format!("{line} --context sandbox"))
    }

    pub(super) fn answer(&self, line: &str) -> Value {
        self.json(&format!("{line} --context sandbox"))
    }

    /// What a placeholder of the runbook stands for now.
    pub(super) fn placeholder(&self, name: &str) -> String {
        let status = self.json("sandbox status");
        status["placeholders"][name].as_str().unwrap_or_else(|| panic!("no {name}: {status}")).to_owned()
    }

    /// What the simulators hold, whatever the orchestrator thinks of it.
    pub(super) fn platforms(&self) -> Value {
        let ground = Ground::enter(&Place::at(self.world.path("state/sandbox"))).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _: Value = runtime.block_on(ground.control.post("/save", &json!({}))).unwrap();
        serde_json::from_str(&self.world.read("state/sandbox/sims.json")).unwrap()
    }

    /// Whether the file of a workflow is in Drive's trash.
    pub(super) fn is_in_trash(&self, workflow: &str) -> bool {
        let file = self.answer(&format!("workflow steps {workflow}"))[0]["result"]["fileId"].clone();
        let found = self.platforms()["drive"]["files"][file.as_str().unwrap()].clone();
        assert!(found.is_object(), "{file} is not on Drive");
        !found["trashed"].is_null()
    }

    /// Requests that came in at Drive so far.
    pub(super) fn drive_requests(&self) -> Value {
        self.json("sandbox status")["requests"]["drive"]["total"].clone()
    }

    /// Brings issue 4 about; gives its workflow.
    pub(super) fn failed_rollback(&self) -> String {
        self.run("sandbox scenario issue-4").code(0);
        self.placeholder("workflowId")
    }
}

#[test]
fn issue_4_is_retried_resolved_by_hand_and_compensated() {
    let sandbox = Sandbox::up();
    sandbox.run("sandbox traffic off").code(0);

    // The first: diagnosed, mended, retried.
    let id = sandbox.failed_rollback();
    assert_eq!(id, "invoice-001");
    assert_eq!(
        sandbox.answer("workflow:status invoice-001"),
        json!({
            "workflowId": "invoice-001",
            "status": "rollback_failed",
            "completedSteps": ["create_file", "update_sheet"],
            "rolledBackSteps": ["update_sheet"],
            "failedRollbacks": ["create_file"],
            "error": "File deletion failed: permission denied",
        })
    );
    let log = sandbox.line("logs rollback --workflow invoice-001").code(0);
    assert!(log.stdout.contains("undo_failed") && log.stdout.contains("undo_completed"), "{log:?}");
    let steps = sandbox.answer("workflow steps invoice-001");
    let file = steps[0]["result"]["fileId"].as_str().unwrap();
    let log = sandbox.line("logs workflow invoice-001 --grep create_file").code(0);
    assert!(log.stdout.contains(&format!("fileId={file}")), "{log:?}");
    let failures = sandbox.line("workflow rollback-failures invoice-001").code(0);
    for part in ["File deletion failed: permission denied", "HTTP 403", "opsctl rollback retry invoice-001", file] {
        assert!(failures.stdout.contains(part), "{part}: {failures:?}");
    }
    let refused = sandbox.line("rollback retry invoice-001").code(8);
    assert!(refused.stdout.contains("rollback_failed") && !sandbox.is_in_trash(&id), "{refused:?}");
    let plan = sandbox.line("rollback retry invoice-001 --dry-run").code(0);
    assert!(plan.stdout.contains(file) && !plan.stdout.contains("update_sheet"), "only what failed: {plan:?}");

    sandbox.run("sandbox fault clear drive").code(0);
    let retried = sandbox.line("rollback retry invoice-001").code(0);
    assert!(retried.stdout.contains("is in the trash"), "{retried:?}");
    assert!(sandbox.is_in_trash(&id));
    let requests = sandbox.drive_requests();
    for again in ["rollback retry", "rollback force", "workflow rollback"] {
        let again = sandbox.line(&format!("{again} invoice-001")).code(0);
        assert_eq!(again.stderr, "workflow invoice-001 is already rolled back\n");
    }
    assert_eq!(sandbox.drive_requests(), requests, "nothing is undone twice");

    // The second: put right by hand.
    sandbox.run("sandbox scenario clear").code(0);
    let id = sandbox.failed_rollback();
    let early = sandbox.line(&format!("workflow clear-failed {id}")).code(6);
    assert!(early.stderr.contains(&format!("opsctl workflow mark-resolved {id}")), "{early:?}");
    let said = ["workflow", "mark-resolved", &id, "--comment", "Manual cleanup completed", "--context", "sandbox"];
    sandbox.world.opsctl(said).run().code(0);
    let state = sandbox.answer(&format!("workflow state {id}"));
    assert_eq!((&state["status"], &state["resolution"]["comment"]), (&"resolved".into(), &said[4].into()));
    assert!(sandbox.answer("workflows:failed")["workflows"].to_string().contains(&id));
    sandbox.line(&format!("workflow clear-failed {id}")).code(0);
    assert!(!sandbox.answer("workflows:failed")["workflows"].to_string().contains(&id));
    assert!(!sandbox.is_in_trash(&id), "a word sends nothing");

    // The third: compensated.
    sandbox.run("sandbox scenario clear").code(0);
    let id = sandbox.failed_rollback();
    let made = sandbox.answer(&format!("workflow compensate {id}"));
    assert_eq!((&made["status"], &made["duplicate"]), (&"pending".into(), &false.into()));
    let compensating = sandbox.placeholder("compensatingWorkflowId");
    assert_eq!(made["workflowId"], compensating.as_str());
    assert_eq!(sandbox.answer(&format!("workflow compensate {id}"))["duplicate"], true);
    assert!(!sandbox.is_in_trash(&id), "made, not run");
    sandbox.run("sandbox fault clear drive").code(0);
    sandbox.line(&format!("workflow execute {compensating}")).code(0);
    assert!(sandbox.is_in_trash(&id));
    assert_eq!(sandbox.answer(&format!("workflow status {id}"))["status"], "rolled_back");
}

#[test]
fn issue_3_makes_real_duplicates_and_real_collisions() {
    let sandbox = Sandbox::up();
    sandbox.run("sandbox traffic off").code(0);
    let made = sandbox.json("sandbox scenario issue-3");
    assert_eq!(sandbox.answer("config get ENABLE_IDEMPOTENCY")["value"], "false");
    let platforms = sandbox.platforms();
    let number = made["facts"][0].as_str().unwrap().split(' ').find(|w| w.parse::<u32>().is_ok()).unwrap();
    for title in [format!("Pay invoice {number}"), format!("Review invoice {number}")] {
        for (platform, objects) in [("notion", "pages"), ("trello", "cards")] {
            let objects = platforms[platform][objects].as_object().unwrap().values();
            let found = objects.filter(|object| object.to_string().contains(&title)).count();
            assert_eq!(found, 2, "{title} on {platform}");
        }
    }
    let collisions = sandbox.answer("api GET /admin/v1/idempotency/collisions");
    assert_eq!(collisions["collisions"].as_array().unwrap().len(), 1, "{collisions}");
    let key = sandbox.placeholder("key");
    let keys = sandbox.answer(&format!("api GET /admin/v1/idempotency/keys/{key}"));
    assert_eq!(keys["endsInTimestamp"], true, "{keys}");

    let id = sandbox.placeholder("workflowId");
    sandbox.line(&format!("workflow mark-completed {id}")).code(0);
    assert_eq!(sandbox.answer(&format!("workflow status {id}"))["status"], "completed");
    let steps = sandbox.answer(&format!("workflow steps {id}"));
    assert_eq!(steps[2]["status"], "skipped", "what has not run will not: {steps}");
    sandbox.run("sandbox scenario clear").code(0);
    assert_eq!(sandbox.answer("config get ENABLE_IDEMPOTENCY")["value"], "true");
}
