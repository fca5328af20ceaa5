//! `runbook lint` and `escalate`: what needs no orchestrator, and what is told to whom.

use crate::service::Scene;
use crate::world::World;

#[test]
fn a_runbook_is_held_against_the_parser() {
    let world = World::new();
    world.write("good.md", "```bash\nnpm run check:health --all\nopsctl circuit reset <platform>\n```\n");
    let good = world.line("runbook:lint good.md").run().code(0);
    assert!(good.stdout.ends_with("2 commands, 0 outputs: 0 errors, 1 notes\n"), "{good:?}");
    world.write("bad.md", "# x\n\n```bash\nnpm run circuit:rest notion\nexport STATE_STORAGE=redis\n```\n");
    let bad = world.line("runbook lint bad.md").run().code(3);
    assert!(bad.stdout.contains("bad.md:4: error: `npm run circuit:rest notion`: "), "{bad:?}");
    assert!(bad.stdout.contains("did you mean `opsctl circuit reset`"), "{bad:?}");
    assert!(bad.stdout.contains("bad.md:5: error: STATE_STORAGE=redis: it cannot be `redis`"), "{bad:?}");
    let json = world.line("runbook lint bad.md -o json").run().code(3).json();
    assert_eq!((&json["errors"], &json["findings"][0]["line"]), (&2.into(), &4.into()));
    world.line("runbook lint nowhere.md").run().code(2);
}

#[test]
fn a_run_shows_its_path_and_needs_somebody_to_answer() {
    let world = World::configured("[contexts.local]\nurl = \"http://127.0.0.1:1\"\n");
    let path = world.line("runbook run outage --dry-run -o json").run().code(0).json();
    let lines: Vec<&str> = path["steps"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|step| step["lines"].as_array().unwrap())
        .map(|line| line.as_str().unwrap())
        .collect();
    assert_eq!((lines[0], lines[2], lines.len()), ("check health --all", "pause all", 13));
    let stopped = world.line("runbook run outage").run().stdout("").code(10);
    assert!(stopped.stderr.contains("step 1 of 6") && stopped.stderr.contains("--dry-run"), "{stopped:?}");
    assert!(!world.path("state/runbook").exists(), "nothing was run, nothing is recorded");
    world.line("runbook run outage --resume").run().code(5);
    world.line("runbook run issue-2").run().code(2);
    world.line("runbook transcript").run().code(5);
    assert_eq!(world.line("runbook transcript --list -o json").run().code(0).json(), serde_json::json!([]));
}

#[test]
fn whom_to_call_is_shown_without_an_orchestrator() {
    let world = World::configured(
        "[contexts.local]\nurl = \"http://127.0.0.1:1\"\n[contexts.local.contacts]\n\
         level-2 = \"Ana Lead, +49 30 1234, slack:#eng-leads\"\n",
    );
    let shown = world.line("escalate -o json").run().code(0).json();
    assert_eq!(shown["levels"][1]["contacts"], serde_json::json!(["Ana Lead", "+49 30 1234", "slack:#eng-leads"]));
    let several = &shown["levels"][1]["conditions"][1];
    assert_eq!(
        (&several["condition"], &several["verdict"]),
        (&"several platforms are affected".into(), &"unknown".into())
    );
    let nobody = world.line("escalate --level 3 --yes").run().code(5);
    assert!(nobody.stderr.contains("level-3 = "), "{nobody:?}");
    world.line("escalate --level 4").run().code(2);
    world.line("escalate --message x").run().code(2);
}

#[test]
fn a_level_is_told_on_its_channels_after_consent() {
    let scene = Scene::start();
    let world = &scene.world;
    let contacts = "[contexts.local.contacts]\nlevel-2 = \"slack:#general, pagerduty, Ana Lead\"\n";
    world.write("config/config.toml", &format!("{}{contacts}", world.read("config/config.toml")));
    let healthy = scene.line("escalate -o json").run().code(0).json();
    assert_eq!(healthy["recommended"], 1);
    assert_eq!(healthy["levels"][2]["conditions"][1]["verdict"], "no");
    let tell = |flags: &str| {
        let line = format!("escalate --level 2 --message stuck {flags} -o json");
        scene.keyed(&line).run()
    };
    tell("").code(10);
    let dry = tell("--dry-run").code(0);
    assert!(dry.stdout.contains("a message to slack:#general"), "{dry:?}");
    let told = tell("--yes").code(0).json();
    let arrived = |to| serde_json::json!({"to": to, "state": "ARRIVED"});
    assert_eq!(told["channels"], serde_json::json!([arrived("slack:#general"), arrived("pagerduty")]));
    assert_eq!(told["call"], serde_json::json!(["Ana Lead"]));
}
