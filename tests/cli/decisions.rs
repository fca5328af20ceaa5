//! `opsctl approvals` and `opsctl idempotency`: deciding, expiring, explaining a key, forgetting it.

use serde_json::{Value, json};

use crate::service::Scene;

fn submit(scene: &Scene, action: &Value) -> Value {
    let body = action.to_string();
    let run =
        scene.world.opsctl(["api", "POST", "/admin/v1/actions", "--confirm=local", "--data", body.as_str()]).run();
    run.code(0).json()["actions"][0].clone()
}

/// Waits until an action is over; gives its record.
fn over(scene: &Scene, id: &str) -> Value {
    for _ in 0..200 {
        let record = scene.line(&format!("api GET /admin/v1/actions/{id}")).run().code(0).json();
        if !["pending", "executing"].contains(&record["status"].as_str().unwrap()) {
            return record;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{id} is not over")
}

fn asks(id: &str) -> Value {
    json!({"id": id, "type": "create", "platform": "trello", "data": {"name": id}, "requiresApproval": true})
}

#[test]
fn an_action_waits_for_its_decision_and_only_the_first_counts() {
    let scene = Scene::start();
    for id in ["wanted", "unwanted"] {
        assert_eq!(submit(&scene, &asks(id))["status"], "pending");
    }
    let pending = scene.line("approvals pending -o json").run().code(0).json();
    let ids: Vec<&str> = pending.as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2, "{pending}");
    for field in ["id", "action", "priority", "riskLevel", "createdAt", "expiresAt", "timeRemaining"] {
        assert!(pending[0].get(field).is_some(), "{field}: {pending}");
    }
    scene.line("approvals overdue --threshold 1h").run().code(0);
    scene.line("approvals overdue --threshold 1ms").run().code(3);

    let nobody_asked = scene.line("approvals approve wanted").run().code(10);
    assert!(nobody_asked.stderr.contains("--yes"), "{nobody_asked:?}");
    scene.line("approvals approve wanted --dry-run").run().code(0);
    assert_eq!(scene.line("approvals pending -o json").run().json().as_array().unwrap().len(), 2);
    scene.line("approvals approve wanted --yes").run().code(0);
    assert_eq!(over(&scene, "wanted")["status"], "success");

    scene.line("approvals reject unwanted --yes").run().code(2);
    scene.line("approvals reject unwanted --reason duplicate --yes").run().code(0);
    let rejected = over(&scene, "unwanted");
    assert_eq!(rejected["status"], "failed");
    assert!(rejected["error"]["message"].as_str().unwrap().contains("duplicate"), "{rejected}");

    let late = scene.line("approvals approve unwanted --yes").run().code(6);
    assert!(late.stderr.contains("rejected by"), "{late:?}");
    scene.line("approvals approve nobody --yes").run().code(5);
    assert_eq!(scene.line("approvals pending -o json").run().json(), json!([]));
}

#[test]
fn a_key_is_explained_and_forgotten() {
    let scene = Scene::start();
    let card = |name: &str| json!({"type": "create", "platform": "trello", "data": {"name": name}, "idempotencyKey": "invoice-1760697045123"});
    let first = submit(&scene, &card("one"));
    let id = first["id"].as_str().unwrap().to_owned();
    assert_eq!(over(&scene, &id)["status"], "success");
    assert_eq!(
        (&submit(&scene, &card("one"))["id"], &submit(&scene, &card("one"))["duplicate"]),
        (&first["id"], &true.into())
    );
    let other = card("another").to_string();
    let collided = ["api", "POST", "/admin/v1/actions", "--confirm=local", "--data", other.as_str()];
    assert!(scene.world.opsctl(collided).run().stderr.contains("other parameters"));

    let key = scene.line("idempotency check invoice-1760697045123 -o json").run().code(0).json();
    assert_eq!(
        (&key["state"], &key["actionId"], &key["prevented"], &key["collisions"]),
        (&"done".into(), &first["id"], &2.into(), &1.into())
    );
    let told = scene.line("idempotency check invoice-1760697045123").run().code(0).stdout;
    assert!(told.contains("ends in a moment"), "{told}");
    let collisions = scene.line("logs idempotency --collisions -o json").run().code(0).json();
    assert_eq!(collisions[0]["key"], "invoice-1760697045123");
    assert_eq!(scene.line("idempotency list --limit 1 -o json").run().code(0).json().as_array().unwrap().len(), 1);

    scene.line("idempotency clear invoice-1760697045123").run().code(10);
    scene.line("idempotency clear invoice-1760697045123 --yes").run().code(0);
    scene.line("idempotency check invoice-1760697045123").run().code(5);
    assert_eq!(submit(&scene, &card("another"))["duplicate"], false);
}

#[test]
fn a_workflows_key_is_explained_too() {
    let scene = Scene::start();
    let define = |id: &str, content: &str| {
        let data = json!({"name": "invoice.txt", "content": content});
        let step = json!({"id": "file", "type": "file", "platform": "drive", "data": data});
        let workflow = json!({"id": id, "name": "File an invoice", "idempotencyKey": "invoice-7", "steps": [step]});
        scene.world.write("workflow.json", &workflow.to_string());
    };
    let execute = "workflow execute --file workflow.json --yes";
    define("first", "one");
    scene.line(execute).run().code(0);
    define("second", "one");
    let same = scene.line(execute).run().code(0);
    assert!(same.stderr.contains("already submitted: workflow first"), "{same:?}");
    define("second", "two");
    let other = scene.line(execute).run().code(6);
    assert!(other.stderr.contains("the idempotency key `invoice-7` was used for workflow first"), "{other:?}");

    let listed = scene.line("idempotency list -o json").run().code(0).json();
    assert_eq!((&listed[0]["owner"], &listed[0]["workflowId"]), (&"workflow".into(), &"first".into()), "{listed}");
    let told = scene.line("idempotency check invoice-7").run().code(0).stdout;
    for part in ["Workflow    first (completed)", "File an invoice, 1 step", "gets the id of first, which is done"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(scene.line("logs idempotency").run().code(0).stdout.contains("prevented 1 duplicate"));
    scene.line("idempotency clear invoice-7 --yes").run().code(0);
    scene.line("idempotency check invoice-7").run().code(5);
    scene.line(execute).run().code(0);
}
