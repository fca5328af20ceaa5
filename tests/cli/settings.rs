//! `config`: values that hold, values that wait, secrets, and the way back.

use crate::service::Scene;
use crate::world::World;

const SECRET: &str = "ntn_4f1c0a77d2b94e6f9a3bc0ffee12345678901234567890";

/// The id in the last receipt line.
fn receipt(stderr: &str) -> &str {
    let line = stderr.lines().rev().find_map(|l| l.strip_prefix("receipt: ")).expect(stderr);
    line.split(' ').next().unwrap()
}

#[test]
fn a_value_waits_for_its_restart_and_both_are_shown() {
    let scene = Scene::start();
    let dry = scene.line("config set QUEUE_WORKERS=10 --dry-run").run().code(0);
    assert!(dry.stdout.contains("(5 -> 10, holds after `opsctl restart workers`)"), "{dry:?}");
    scene.line("config set QUEUE_WORKERS=10").run().code(10);
    let untouched = scene.line("config list --pending").run().code(0).stdout("");
    assert_eq!(untouched.stderr, "No setting waits for a restart.\n");

    let set = scene.line("config set QUEUE_WORKERS=10 --yes").run().code(0);
    assert_eq!(set.stdout, "QUEUE_WORKERS  5 in force, 10 after `opsctl restart workers`\n");
    assert!(set.stderr.ends_with("next: opsctl restart workers\n"), "{set:?}");
    let entry = scene.line("config get QUEUE_WORKERS -o json").run().code(0).json();
    assert_eq!((&entry["value"], &entry["pending"]), (&"5".into(), &"10".into()));
    let again = scene.line("config set QUEUE_WORKERS=10").run().code(0).stdout("");
    assert_eq!(again.stderr, "QUEUE_WORKERS is already 10\n");
    let pending = scene.line("config list --pending -o json").run().code(0).json();
    assert_eq!(pending.as_array().unwrap().len(), 1);
    scene.line("restart workers --yes").run().code(0);
    let entry = scene.line("config:get QUEUE_WORKERS").run().code(0).stdout;
    assert!(entry.contains("Value               10\n") && !entry.contains("Pending"), "{entry}");

    let undo = format!("undo {} --yes", receipt(&set.stderr));
    scene.line(&undo).run().code(0);
    let back = scene.line("config get QUEUE_WORKERS -o json").run().code(0).json();
    assert_eq!((&back["value"], &back["pending"]), (&"10".into(), &"5".into()));
    let unset = scene.line("config unset QUEUE_WORKERS").run().code(0);
    assert!(unset.stderr.starts_with("QUEUE_WORKERS is already not set"), "{unset:?}");
}

#[test]
fn several_at_once_and_one_for_a_time() {
    let scene = Scene::start();
    let many = scene.line("config set LOG_LEVEL=debug QUEUE_MAX_SIZE=50 --yes -o json").run().code(0).json();
    assert_eq!((&many[0]["name"], &many[1]["name"]), (&"LOG_LEVEL".into(), &"QUEUE_MAX_SIZE".into()));
    let bypass = "config set NOTION_CIRCUIT_BREAKER_ENABLED=false --yes";
    let refused = scene.line(bypass).run().code(2);
    assert!(refused.stderr.contains("hint: opsctl config set NOTION_CIRCUIT_BREAKER_ENABLED=false --expires 30m"));
    let set = scene.line(&format!("{bypass} --expires 30m -o json")).run().code(0).json();
    assert!(set["expiresAt"].is_string(), "{set}");
    scene.line("config unset NOTION_CIRCUIT_BREAKER_ENABLED --yes").run().code(0);
}

#[test]
fn who_stands_in_is_shown_with_what_is_recommended_and_changed_by_flags() {
    let scene = Scene::start();
    let shown = scene.line("config:update-fallback -o json").run().code(0).json();
    let one = &shown[0];
    assert_eq!(
        (&one["platform"], &one["standIn"], &one["enabled"]),
        (&"notion".into(), &"trello".into(), &false.into())
    );
    assert_eq!((&one["recommended"], &one["sample"]), (&false.into(), &0.into()));
    let dry = scene.line("config update-fallback notion --to trello --dry-run").run().code(0);
    assert!(
        dry.stdout.contains("PUT /admin/v1/config/NOTION_FALLBACK_ENABLED  (false -> true, holds at once)"),
        "{dry:?}"
    );
    scene.line("config update-fallback notion --on").run().code(10);
    assert_eq!(scene.line("config update-fallback -o json").run().code(0).json(), shown, "nothing changed");

    let on = scene.line("config update-fallback notion --on --expires 2h --yes -o json").run().code(0).json();
    assert_eq!((&on["name"], &on["value"]), (&"NOTION_FALLBACK_ENABLED".into(), &"true".into()));
    assert!(on["expiresAt"].is_string(), "{on}");
    let table = scene.line("config update-fallback").run().code(0);
    assert!(table.stdout.contains("notion    trello    on"), "{table:?}");
    scene.line("config update-fallback notion --off --yes").run().code(0);
    let already = scene.line("config update-fallback notion --off").run().code(0).stdout("");
    assert_eq!(already.stderr, "NOTION_FALLBACK_ENABLED is already false\n");
    for (line, says) in [
        ("notion --to slack", "these can: trello"),
        ("slack --on", "nobody can stand in for slack"),
        ("--on", "whose fallback is it?"),
        ("notion --expires 1h", "--expires without a change"),
        ("notion --on --off", "cannot be used with"),
    ] {
        let refused = scene.line(&format!("config update-fallback {line} --yes")).run().code(2);
        assert!(refused.stderr.contains(says), "{line}: {refused:?}");
    }
}

#[test]
fn a_secret_is_read_from_a_file_and_shown_nowhere() {
    let scene = Scene::start();
    let typed = scene.line(&format!("config set NOTION_API_KEY={SECRET}")).run().code(2);
    assert!(typed.stderr.contains("--value-file") && !typed.stderr.contains(SECRET), "{typed:?}");
    let nobody = scene.line("config set NOTION_API_KEY").run().code(2);
    assert!(nobody.stderr.contains("there is nobody to ask"), "{nobody:?}");
    scene.world.write("key", &format!("{SECRET}\n"));
    let set = scene.line("config set NOTION_API_KEY --value-file key --yes -o json").run().code(0);
    assert!(set.json()["pending"].as_str().unwrap().contains("sha256:"), "{set:?}");
    assert!(set.stderr.contains("-> sha256:") && set.stderr.contains("next: opsctl restart executors"), "{set:?}");
    let list = scene.line("config list -o json").run().code(0);
    let receipts = scene.line("history -o json").run().code(0);
    for text in [&set.stdout, &set.stderr, &list.stdout, &receipts.stdout] {
        assert!(!text.contains(SECRET), "{text}");
    }
    scene.line("config set NOTION_API_KEY --value-file nowhere --yes").run().code(2);
    scene.line("config set QUEUE_WORKERS=5 --value-file key --yes").run().code(2);
}

#[test]
fn what_cannot_be_a_value_changes_nothing() {
    let scene = Scene::start();
    for (line, code, says) in [
        ("config set QUEUE_WORKERS=many --yes", 2, "it must be a whole number from 1 to 256, not `many`"),
        ("config set QUEUE_WORKERS=0 --yes", 2, "it must be a whole number from 1 to 256, not `0`"),
        ("config set LOG_LEVEL=debug QUEUE_WORKERS=0 --yes", 2, "cannot set QUEUE_WORKERS"),
        ("config set STATE_STORAGE=redis --yes", 2, "cannot be `redis`"),
        ("config set QUEUE_WORKERS=1 QUEUE_WORKERS=2 --yes", 2, "QUEUE_WORKERS is set twice"),
        ("config set LOG_LEVEL QUEUE_WORKERS=2 --yes", 2, "`LOG_LEVEL` has no value"),
        ("config set QUEUE_WORKRES=5 --yes", 5, "cannot find the setting QUEUE_WORKRES"),
        ("config set NODE_ENV=staging --yes", 5, "the environment word is given at start"),
        ("config get NOTHING", 5, "hint: list the settings with `opsctl config list`"),
        ("config unset NOTHING --yes", 5, "cannot find the setting NOTHING"),
        ("config set QUEUE_WORKERS=5 --expires soon", 2, "is not a duration"),
    ] {
        let done = scene.line(line).run().code(code);
        assert!(done.stderr.contains(says) && done.stderr.contains("\n  hint: "), "{line}: {done:?}");
    }
    let changed = scene.line("config list -o json").run().code(0).json();
    assert!(changed.as_array().unwrap().iter().all(|e| e["source"] != "set" && e.get("pending").is_none()));
}

#[test]
fn findings_decide_the_exit_code() {
    let scene = Scene::start();
    let sound = scene.line("config:validate").run().code(0);
    assert!(sound.stdout.contains("settings looked at"), "{sound:?}");
    scene.line("config set NOTION_FALLBACK_ENABLED=true --yes").run().code(0);
    let json = scene.line("config validate -o json").run().json();
    assert!(json["checked"].as_u64().unwrap() > 50 && json["findings"].is_array(), "{json}");
}

#[test]
fn what_needs_nobody_to_be_refused_is_refused_without_an_orchestrator() {
    let world = World::configured("[contexts.local]\nurl = \"http://127.0.0.1:1\"\n");
    world.line(&format!("config set SLACK_BOT_TOKEN={SECRET} --yes")).run().code(2);
    world.line("config set QUEUE_WORKERS=zero --yes").run().code(2);
    world.line("config set QUEUE_WORKERS=9 --yes").run().code(7);
}
