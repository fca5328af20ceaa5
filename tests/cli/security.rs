//! `security`: shutting everybody out, and the way back.

use std::os::unix::fs::PermissionsExt;

use opsctl::platforms::Platform;
use opsctl::sandbox::sim::{Api, Fault as Broken, FaultSpec, SimOptions, Sims};

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
    let unasked = scene.line("resume all -o json").run().code(6);
    assert!(unasked.stderr.contains("LOCKED_DOWN"), "before anybody is asked: {unasked:?}");
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

/// New keys that a person would have made, each in a file: `notion=new/notion trello=…`.
fn made_by_hand(scene: &Scene) -> Vec<String> {
    let apis = [("notion", Api::Notion), ("trello", Api::Trello), ("slack", Api::Slack)];
    apis.iter()
        .map(|(name, api)| {
            let value = scene.sims.mint(*api).unwrap();
            scene.world.write(&format!("new/{name}"), &format!("{}\n", value.expose()));
            format!("--value-file {name}=new/{name}")
        })
        .collect()
}

/// Every file of the machine and the service but those that keep keys, with the text of it.
fn elsewhere(scene: &Scene) -> Vec<(String, String)> {
    let root = scene.world.path("");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            match path.is_dir() {
                true if name == "new" => {}
                true => folders.push(path),
                false if ["data/serve/secrets.json", "service-account.json"].contains(&name.as_str()) => {}
                false => found.push((name, String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())),
            }
        }
    }
    found
}

#[test]
fn keys_that_only_a_person_can_make_are_asked_for_by_name() {
    let scene = Scene::start();
    scene.sims.reset_stats();
    let refused = scene.keyed("security rotate-keys --all --emergency --confirm=local").run().code(10);
    assert!(refused.stderr.contains("NOTION_API_KEY: https://www.notion.so/"), "{refused:?}");
    assert!(refused.stderr.contains("--value-file notion=FILE --value-file trello=FILE"), "{refused:?}");
    let dry = scene.keyed("security rotate-keys --all --dry-run").run().code(0);
    assert!(dry.stdout.contains("IAM makes a new key") && dry.stdout.contains("https://trello.com/"), "{dry:?}");
    scene.world.write("empty", "\n");
    scene.world.write("short", "abc\n");
    for (line, code, says) in [
        ("security rotate-keys", 2, "whose keys?"),
        ("security rotate-keys asana", 2, "there is no platform `asana`"),
        ("security rotate-keys notion --all", 2, "cannot be used with"),
        ("security rotate-keys --all --value-file short", 2, "whose value is in `short`?"),
        ("security rotate-keys notion --value-file trello=short", 2, "the trello key is not being replaced"),
        ("security rotate-keys notion --value-file empty", 2, "empty is empty"),
        ("security rotate-keys notion --value-file nowhere", 2, "cannot read nowhere"),
        ("security rotate-keys notion --value-file short --yes", 10, "--confirm=local"),
        ("security rotate-keys --resume", 0, "No interrupted rotation."),
        ("security rotate-keys --left", 0, "No old key is left to revoke."),
    ] {
        let done = scene.keyed(line).run().code(code);
        assert!(done.stderr.contains(says), "{line}: {done:?}");
    }
    let stats = scene.sims.stats();
    assert!(stats.values().all(|api| api.writes == 0), "{stats:?}");
    assert!(!scene.world.path("data/serve/secrets.json").exists());
}

#[test]
fn a_key_that_does_not_work_changes_nothing_and_an_emergency_passes_it() {
    let scene = Scene::start();
    let files = made_by_hand(&scene);
    scene.world.write("new/notion", &format!("ntn_{}{}\n", "1".repeat(11), "a".repeat(35)));
    let line = format!("security rotate-keys --all --confirm=local {}", files.join(" "));
    let careful = scene.keyed(&format!("{line} -o json")).run().code(8).json();
    let states = |answer: &serde_json::Value| {
        let lines = answer["credentials"].as_array().unwrap().iter();
        lines.map(|line| line["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(states(&careful), ["FAILED", "FAILED", "FAILED", "FAILED"], "{careful}");
    assert!(careful["credentials"][0]["detail"].as_str().unwrap().contains("the new key does not work"), "{careful}");
    assert!(careful["credentials"][1]["detail"].as_str().unwrap().contains("not begun"), "{careful}");
    scene.line("test auth --all").run().code(0);

    let brave = scene.keyed(&format!("{line} --emergency -o json")).run().code(8);
    assert!(brave.stderr.contains("next: opsctl security rotate-keys notion"), "{brave:?}");
    assert_eq!(states(&brave.json()), ["FAILED", "ROTATED", "ROTATED", "ROTATED"], "{brave:?}");
    scene.line("test auth --all").run().code(0);
    assert!(!scene.accepts(&[], Platform::Trello) && !scene.accepts(&[], Platform::Drive));
    assert!(scene.accepts(&[], Platform::Notion), "the old key of what failed is in use");
    let history = scene.line("history -o json").run().code(0).json();
    assert_eq!(history[0]["state"], "done", "{history}");
}

#[test]
fn a_service_that_cannot_use_the_new_key_goes_back_to_the_old_one() {
    let scene = Scene::start();
    // From here another Slack answers than the service has: the new key works only here.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let other = runtime.block_on(Sims::start(SimOptions::default())).unwrap();
    let config = scene.world.read("config/config.toml");
    let moved = config.replace(&scene.sims.endpoints().slack, &other.endpoints().slack);
    scene.world.write("config/config.toml", &moved);
    scene.world.write("new", other.mint(Api::Slack).unwrap().expose());
    let line = "security rotate-keys slack --value-file new --confirm=local -o json";
    let done = scene.keyed(line).run().code(8);
    let detail = done.json()["credentials"][0]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("the service did not get in with the new key"), "{detail}");
    assert!(detail.contains("the old key is in use again; withdraw the new key at https://api.slack.com"), "{detail}");
    let entry = scene.line("config get SLACK_BOT_TOKEN -o json").run().code(0).json();
    assert_eq!((entry["source"].as_str(), entry["pending"].as_str()), (Some("environment"), None), "{entry}");
    scene.line("test auth slack").run().code(0);
    assert!(scene.accepts(&[], Platform::Slack));
}

#[test]
fn procedure_3_from_the_lockdown_to_the_way_back() {
    let scene = Scene::start();
    let olds: Vec<String> = ["NOTION_API_KEY", "TRELLO_TOKEN", "SLACK_BOT_TOKEN"]
        .iter()
        .map(|name| scene.credential(name).to_owned())
        .collect();
    lock(&scene);
    let files = made_by_hand(&scene);
    let news: Vec<String> =
        ["notion", "trello", "slack"].map(|name| scene.world.read(&format!("new/{name}")).trim().to_owned()).into();
    let line = format!("security rotate-keys --all --emergency --confirm=local --reason INC-311 {}", files.join(" "));
    let done = scene.keyed(&line).run().code(0);
    assert!(done.stderr.contains("using the break-glass token"), "{done:?}");
    assert!(done.stdout.contains("TO REVOKE"), "Notion's is withdrawn on its page: {done:?}");
    assert!(done.stderr.contains("rotate-keys --revoked PLATFORM"), "{done:?}");
    assert!(!scene.accepts(&[], Platform::Trello) && !scene.accepts(&[], Platform::Slack));
    assert!(!scene.accepts(&[], Platform::Drive), "Google's old key is deleted");
    assert!(scene.accepts(&[("TRELLO_TOKEN", &news[1])], Platform::Trello));

    let pem = opsctl::platforms::Credentials::from_env(
        &[("GOOGLE_SERVICE_ACCOUNT_KEY".to_owned(), scene.world.path("service-account.json").display().to_string())]
            .into(),
    );
    let pem = pem.secrets().pop().unwrap().expose().lines().nth(3).unwrap().to_owned();
    for (name, text) in elsewhere(&scene) {
        for value in olds.iter().chain(&news).chain([&pem]) {
            assert!(!text.contains(value.as_str()), "a key is in {name}");
        }
    }
    let store = scene.world.read("data/serve/secrets.json");
    assert!(olds.iter().all(|old| !store.contains(old.as_str())), "the old ones are kept nowhere");

    let left = scene.line("security rotate-keys --left -o json").run().code(0).json();
    assert_eq!((left.as_array().unwrap().len(), left[0]["credential"].as_str()), (1, Some("notion")), "{left}");
    scene.line("security rotate-keys --revoked notion").run().code(0);
    assert_eq!(scene.line("security rotate-keys --left -o json").run().json(), serde_json::json!([]));

    let audit = scene.line("security audit --since 1h -o json").run().code(0).json();
    assert!(audit["findings"].as_array().unwrap().iter().any(|f| f["rule"] == "key-replaced"), "{audit}");
    scene.line("logs security --suspicious").run().code(0);
    // The machine's own key is the old one: Slack refuses it, PagerDuty is told all the same.
    let told = scene.keyed("notify security-team --incident \"INC-311: a key was seen in public\" --yes").run().code(8);
    assert!(told.stdout.contains("pagerduty") && told.stdout.contains("ARRIVED"), "{told:?}");
    let opened = scene.line("security restore --verified --yes --reason INC-311").run().code(0);
    assert!(opened.stdout.contains("the lockdown has ended"), "{opened:?}");
    assert_eq!(scene.card("after-procedure-3"), "success");
}

#[test]
fn connections_that_rotate_get_their_next_pair_by_api() {
    let scene = Scene::start();
    let (id, secret, refresh) = scene.sims.notion_app();
    scene.world.write("notion.refresh", refresh.expose());
    std::fs::set_permissions(scene.world.path("notion.refresh"), PermissionsExt::from_mode(0o600)).unwrap();
    let config = scene.world.read("config/config.toml");
    let file = scene.world.path("notion.refresh").display().to_string();
    let keys = format!("[contexts.local.keys]\nNOTION_REFRESH_TOKEN = {{ file = \"{file}\" }}\n");
    scene.world.write("config/config.toml", &format!("{config}{keys}"));
    let line =
        |line: &str| scene.keyed(line).env("NOTION_CLIENT_ID", &id).env("NOTION_CLIENT_SECRET", secret.expose()).run();
    let plan = line("security rotate-keys notion --dry-run").code(0);
    assert!(plan.stdout.contains("its connection's refresh token is exchanged"), "{plan:?}");
    let done = line("security rotate-keys notion --confirm=local --grace 0s -o json").code(0);
    assert_eq!(done.json()["credentials"][0]["state"], "ROTATED", "{done:?}");
    assert!(!scene.accepts(&[], Platform::Notion), "the old token ended by API");
    let next = scene.world.read("notion.refresh");
    assert!(next.starts_with("nrt_") && next != refresh.expose());
    assert!(elsewhere(&scene).iter().all(|(name, text)| name == "notion.refresh" || !text.contains(&next)));
    scene.line("test auth notion").run().code(0);

    // Slack's rotate once the long-lived token was exchanged for a pair.
    let (id, secret) = scene.sims.slack_app();
    let token = scene.credential("SLACK_BOT_TOKEN");
    let url = format!("{}/oauth.v2.exchange", scene.sims.endpoints().slack);
    let form = [("client_id", id.as_str()), ("client_secret", secret.expose()), ("token", token)];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pair: serde_json::Value = runtime.block_on(async {
        let body = form.map(|(name, value)| format!("{name}={value}")).join("&");
        let request = reqwest::Client::new().post(url).header("content-type", "application/x-www-form-urlencoded");
        serde_json::from_slice(&request.body(body).send().await.unwrap().bytes().await.unwrap()).unwrap()
    });
    let refresh = pair["refresh_token"].as_str().unwrap();
    scene.world.write("slack.refresh", refresh);
    std::fs::set_permissions(scene.world.path("slack.refresh"), PermissionsExt::from_mode(0o600)).unwrap();
    let file = scene.world.path("slack.refresh").display().to_string();
    let keys = format!("{keys}SLACK_REFRESH_TOKEN = {{ file = \"{file}\" }}\n");
    scene.world.write("config/config.toml", &format!("{config}{keys}"));
    let line =
        |line: &str| scene.keyed(line).env("SLACK_CLIENT_ID", &id).env("SLACK_CLIENT_SECRET", secret.expose()).run();
    let done = line("security rotate-keys slack --confirm=local --grace 0s -o json").code(0);
    assert_eq!(done.json()["credentials"][0]["state"], "ROTATED", "{done:?}");
    let next = scene.world.read("slack.refresh");
    assert!(next.starts_with("xoxe-") && next != refresh, "the next refresh token is kept where the last one was");
    assert!(elsewhere(&scene).iter().all(|(name, text)| name == "slack.refresh" || !text.contains(&next)));
    assert_eq!(
        scene.line("api GET /admin/v1/health -o json").run().code(0).json()["executors"]["slack"]["status"],
        "healthy"
    );
}

#[test]
fn the_security_team_hears_of_an_incident_once() {
    let scene = Scene::start();
    let line = "notify security-team --incident \"INC-1: somebody was in\"";
    scene.keyed(line).run().code(10);
    let told = scene.keyed(&format!("{line} --yes -o json")).run().code(0).json();
    assert_eq!(told["channels"].as_array().unwrap().len(), 2, "{told}");
    let writes = || (scene.sims.stats_of(Api::Slack).writes, scene.sims.stats_of(Api::PagerDuty).writes);
    let before = writes();
    let again = scene.keyed("notify security-team --incident \"inc-1:  somebody was in\" --yes -o json").run();
    assert_eq!(again.code(0).json()["dedupKey"], told["dedupKey"]);
    assert_eq!(writes().0, before.0, "the message is there already");
    scene.keyed(&format!("{line} --resolve --yes")).run().code(0);

    for (line, code, says) in [
        (format!("{line} --dedup-key {}", "x".repeat(256)), 2, "it has 256 characters"),
        (format!("{line} --severity loud"), 2, "`loud` is no severity"),
        (format!("{line} --to mail:x"), 2, "is nowhere to notify"),
        ("notify security-team --incident \" \"".to_owned(), 2, "the incident is empty"),
    ] {
        let done = scene.keyed(&line).run().code(code);
        assert!(done.stderr.contains(says), "{line}: {done:?}");
    }
    // Slack lets in one message a second, and the orchestrator sends too: it is asked until this one is through.
    let busy = FaultSpec::from(Broken::RateLimited { retry_after_secs: 1 }).times(3).only("write");
    scene.sims.fault(Api::Slack, busy).unwrap();
    scene.keyed(&format!("{line} --yes --dedup-key inc-4")).run().code(0);
    scene.sims.fault(Api::PagerDuty, Broken::Down).unwrap();
    let some = scene.keyed(&format!("{line} --yes --dedup-key inc-2")).run().code(8);
    assert!(some.stdout.contains("NOT SENT") || some.stdout.contains("UNKNOWN"), "{some:?}");
    scene.sims.fault(Api::Slack, Broken::Down).unwrap();
    let none = scene.keyed(&format!("{line} --yes --dedup-key inc-3")).run().code(7);
    assert!(none.stderr.contains("the security team was not reached"), "{none:?}");
}

#[test]
fn the_team_is_told_although_nobody_answers_at_the_orchestrator() {
    let scene = Scene::start();
    let config = scene.world.read("config/config.toml");
    scene.world.write("config/config.toml", &config.replace(scene.service.url(), "http://127.0.0.1:9"));
    let told = scene.keyed("notify security-team --incident INC-9 --yes").run().code(0);
    assert_eq!(told.stdout.matches("ARRIVED").count(), 2, "{told:?}");
    let silent = scene.keyed("security rotate-keys --all --emergency --confirm=local").run().code(7);
    assert!(silent.stderr.contains("no key can be replaced while the service does not answer"), "{silent:?}");
    let pages = scene.keyed("security rotate-keys --all --emergency --dry-run").run().code(0);
    assert!(pages.stdout.contains("https://www.notion.so/profile/integrations"), "{pages:?}");
}
