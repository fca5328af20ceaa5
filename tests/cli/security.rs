//! `security`: shutting everybody out, and the way back.

use opsctl::sandbox::sim::Api;

use crate::service::Scene;

fn lock(scene: &Scene) {
    let done = scene.line("security lockdown --yes --reason drill").run().code(0);
    assert!(done.stdout.starts_with("locked down: nothing is taken in, work is paused, "), "{done:?}");
}

#[test]
fn a_dry_run_tries_the_break_glass_token_and_shuts_nothing() {
    let scene = Scene::start();
    scene.line("security lockdown").run().code(10);
    let dry = scene.line("security lockdown --dry-run").run().code(0);
    assert!(dry.stdout.contains("the break-glass token works (file "), "{dry:?}");
    assert!(!scene.line("api GET /admin/v1/security -o json").run().code(0).stdout.contains("since"));
    let file = "data/serve/break-glass.token";
    let kept = scene.world.read(file);
    scene.world.write(file, "opsctl_something_else\n");
    let dry = scene.line("security lockdown --dry-run").run().code(3);
    assert!(dry.stdout.contains("the way back is missing"), "{dry:?}");
    scene.world.write(file, &kept);
}

#[test]
fn locked_down_everything_but_the_way_out_waits() {
    let scene = Scene::start();
    let viewer = scene.line("token create ci --role viewer --yes").run().code(0).stdout.trim().to_owned();
    lock(&scene);
    let status = scene.line("system status").run();
    assert!(status.stdout.contains("the service is locked down"), "{status:?}");
    assert!(status.stderr.contains("using the break-glass token (file "), "{status:?}");
    let resume = scene.line("resume all --yes").run().code(6);
    assert!(resume.stderr.contains("the service is locked down since"), "{resume:?}");
    assert!(resume.stderr.contains("hint: only the break-glass token works"), "{resume:?}");
    let again = scene.line("security lockdown").run().code(0);
    assert!(again.stderr.contains("already locked down"), "{again:?}");
    scene.line("token create x --role admin --yes").run().code(6);

    // A context with no break-glass token of its own stays outside, and hears why.
    let config = format!("[contexts.viewer]\nurl = \"{}\"\ncredential = {{ env = \"V\" }}\n", scene.service.url());
    scene.world.write("config/config.toml", &format!("{}{config}", scene.world.read("config/config.toml")));
    let out = scene.line("--context viewer queue status").env("V", &viewer).run().code(6);
    assert!(out.stderr.contains("locked down") && out.stderr.contains("there is no break-glass token"), "{out:?}");

    let audit = scene.line("security audit --since 1h -o json").run().code(0).json();
    assert!(audit["findings"].as_array().unwrap().iter().any(|f| f["rule"] == "token-made"), "{audit}");
    assert!(audit["deeds"].as_array().unwrap().iter().any(|d| d["outcome"] == "LOCKED_DOWN"), "{audit}");
    let shown = scene.line("security audit").run().code(0);
    assert!(shown.stdout.contains("Suspicious, by these rules:"), "{shown:?}");
}

#[test]
fn a_lockdown_ends_when_every_key_is_new_and_lets_us_in() {
    let scene = Scene::start();
    lock(&scene);
    let early = scene.line("security restore").run().code(2);
    assert!(early.stderr.contains("does not end without --verified") && early.stderr.contains("hint: "), "{early:?}");
    let refused = scene.line("security restore --verified --yes").run().code(6);
    assert!(refused.stderr.contains("notion key: NOTION_API_KEY is still the one from before"), "{refused:?}");
    let checks = scene.line("security restore --dry-run").run().code(3);
    assert!(checks.stdout.contains("rotate-keys notion --emergency"), "{checks:?}");

    for (api, name) in [
        (Api::Notion, "NOTION_API_KEY"),
        (Api::Trello, "TRELLO_TOKEN"),
        (Api::Slack, "SLACK_BOT_TOKEN"),
        (Api::Google, "GOOGLE_SERVICE_ACCOUNT_KEY"),
    ] {
        let new = scene.sims.mint(api).unwrap();
        let value = match api {
            Api::Google => {
                scene.sims.credentials(&scene.world.path("")).unwrap();
                scene.world.read("service-account.json")
            }
            _ => new.expose().to_owned(),
        };
        scene.world.write("value", &value);
        scene.line(&format!("config set {name} --value-file value --yes")).run().code(0);
    }
    let pending = scene.line("security restore --verified --yes").run().code(6);
    assert!(pending.stderr.contains("the new NOTION_API_KEY is not in use yet"), "{pending:?}");
    scene.line("restart executors --yes").run().code(0);
    let old = scene.world.read("data/serve/admin.token");
    let opened = scene.line("security restore --verified --yes").run().code(0);
    assert!(opened.stdout.contains("the lockdown has ended") && opened.stdout.contains("resumed: "), "{opened:?}");
    assert_ne!(scene.world.read("data/serve/admin.token"), old);
    let after = scene.line("queue status").run().code(0);
    assert!(!after.stderr.contains("break-glass"), "{after:?}");
    assert_eq!(scene.card("after-the-lockdown"), "success");
    let again = scene.line("security restore --verified --yes").run().code(0);
    assert!(again.stderr.contains("already open"), "{again:?}");
}

#[test]
fn where_nobody_answers_a_lockdown_says_what_to_do() {
    let world = crate::world::World::configured("[contexts.local]\nurl = \"http://127.0.0.1:9\"\n");
    let done = world.line("security lockdown --yes").run().code(7);
    assert!(done.stderr.starts_with("error: cannot lock the service down\n"), "{done:?}");
    assert!(done.stderr.contains("hint: what does not run takes nothing in: stop its process"), "{done:?}");
}
