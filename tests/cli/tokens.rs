//! `token` and `api`: who may do what, and any call at all.

use crate::service::Scene;

#[test]
fn a_token_is_shown_once_works_in_its_role_and_ends() {
    let scene = Scene::start();
    scene.line("token create ci --role viewer").run().code(10);
    let made = scene.line("token create ci --role viewer --expires 30d --yes").run().code(0);
    let value = made.stdout.trim_end();
    assert_eq!(made.stdout, format!("{value}\n"), "the value alone, for a script");
    assert!(value.len() > 20 && !made.stderr.contains(value), "{made:?}");
    assert!(made.stderr.contains("this is the only time its value is shown"), "{made:?}");
    let list = scene.line("token list -o json").run().code(0);
    assert!(!list.stdout.contains(value));
    let tokens = list.json();
    let token = tokens.as_array().unwrap().iter().find(|t| t["name"] == "ci").unwrap();
    let id = token["id"].as_str().unwrap();

    let config = format!("[contexts.viewer]\nurl = \"{}\"\ncredential = {{ env = \"VIEWER\" }}\n", scene.service.url());
    let config = format!("{}{config}", scene.world.read("config/config.toml"));
    scene.world.write("config/config.toml", &config);
    let as_viewer = |line: &str| scene.line(&format!("--context viewer {line}")).env("VIEWER", value).run();
    as_viewer("check health").code(0);
    let refused = as_viewer("config set QUEUE_WORKERS=9 --yes").code(4);
    assert!(refused.stderr.contains("role") && refused.stderr.contains("hint: "), "{refused:?}");
    as_viewer("token list").code(4);

    scene.line(&format!("token revoke {id} --yes")).run().code(10);
    scene.line(&format!("token revoke {id} --confirm=local")).run().code(0);
    as_viewer("check health").code(4);
    let again = scene.line(&format!("token revoke {id}")).run().code(0);
    assert!(again.stderr.contains("is already revoked"), "{again:?}");
    scene.line("token revoke tok_none --confirm=local").run().code(5);
    scene.line("token create x --role boss --yes").run().code(2);
}

#[test]
fn undoing_a_new_token_ends_it() {
    let scene = Scene::start();
    let made = scene.line("token create ci --role operator --yes").run().code(0);
    let receipt = made.stderr.lines().find(|l| l.starts_with("receipt: ")).unwrap_or_else(|| panic!("{made:?}"));
    let undo = receipt.split_once("undo: opsctl ").unwrap().1;
    scene.line(&format!("{undo} --yes")).run().code(0);
    let tokens = scene.line("token list -o json").run().code(0).json();
    let token = tokens.as_array().unwrap().iter().find(|t| t["name"] == "ci").unwrap().clone();
    assert!(token["revokedAt"].is_string(), "{token}");
}

#[test]
fn any_call_goes_through_the_guard_unless_it_reads() {
    let scene = Scene::start();
    let info = scene.line("api GET /admin/v1").run().code(0).json();
    assert_eq!(info["environment"], "staging");
    let spec = scene.line("api spec").run().code(0).json();
    assert!(spec["openapi"].as_str().unwrap().starts_with("3.1") && spec["paths"]["/queue"].is_object());
    let pause = ["api", "POST", "/admin/v1/pauses", "--data", "{\"scope\":\"queue\"}"];
    let run = |more: &[&str]| scene.world.opsctl(pause.iter().chain(more)).run();
    run(&[]).code(10);
    run(&["--yes"]).code(10);
    run(&["--dry-run"]).code(0);
    assert_eq!(scene.line("api GET /admin/v1/pauses").run().json(), serde_json::json!([]));
    let paused = run(&["--confirm=local"]).code(0);
    assert_eq!(paused.json()["effect"], "applied");
    scene.world.write("body", "{\"scope\":\"queue\"}");
    scene.line("api POST /admin/v1/pauses/resume --data @body --confirm=local").run().code(0);
}

#[test]
fn a_call_that_makes_no_sense_is_refused() {
    let scene = Scene::start();
    for (line, code, says) in [
        ("api TRACE /x", 2, "is not a method"),
        ("api GET", 2, "a path is missing"),
        ("api GET http://example.com/", 2, "it has to start with one slash"),
        ("api GET //example.com/", 2, "it has to start with one slash"),
        ("api GET /queue --data {}", 2, "a GET has no body"),
        ("api POST /queue --data {", 2, "--data is not JSON"),
        ("api POST /queue --data @nowhere", 2, "cannot read nowhere"),
        ("api spec /x", 2, "takes no path"),
        ("api GET /nothing/here", 5, "there is no route"),
        ("api GET /admin/v1/queue/items?view=nonsense", 2, "view"),
    ] {
        let done = scene.line(line).run().code(code);
        assert!(done.stderr.contains(says) && done.stderr.contains("\n  hint: "), "{line}: {done:?}");
    }
}
