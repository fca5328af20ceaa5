//! What a Tab offers, in the shells themselves: live values with their state, and what is left when nobody answers.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use opsctl::commands::completions::Shell;

use crate::service::Scene;
use crate::world::{World, has};

/// What a shell offers after this line.
fn offered(world: &World, shell: &str, line: &str) -> String {
    for (shell, name) in Shell::FILES {
        world.write(&format!("completions/{name}"), &shell.registration().unwrap());
    }
    let words: Vec<&str> = line.split(' ').collect();
    let script = match shell {
        "fish" => format!("source $COMPLETIONS/opsctl.fish; complete -C '{line}'"),
        _ => format!(
            "source \"$COMPLETIONS/opsctl.bash\"; COMP_WORDS=({}); COMP_CWORD={}; COMP_TYPE=9; \
             _clap_complete_opsctl opsctl \"${{COMP_WORDS[$COMP_CWORD]}}\" \"\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" "),
            words.len() - 1
        ),
    };
    let directory = Path::new(env!("CARGO_BIN_EXE_opsctl")).parent().unwrap();
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap_or_default());
    let own = world.line("version").command();
    let output = Command::new(shell)
        .args(["-c", &script])
        .env_clear()
        .envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", path)
        .env("COMPLETIONS", world.path("completions"))
        .current_dir(world.path(""))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What of it is a value: where a word may be a flag too, the flags are offered after the values.
fn words(offered: &str) -> Vec<&str> {
    offered.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('-')).collect()
}

#[test]
fn ids_are_offered_while_the_orchestrator_answers_and_remembered_when_it_does_not() {
    if !has("bash") {
        return;
    }
    let scene = Scene::start();
    let world = &scene.world;
    assert_eq!(
        words(&offered(world, "bash", "opsctl circuit reset ")),
        ["notion", "trello", "slack", "drive", "sheets"]
    );
    assert_eq!(words(&offered(world, "bash", "opsctl circuit reset tr")), ["trello"]);
    scene.line("queue pause --yes").run().code(0);
    let data = r#"{"id":"act-of-the-tab","type":"create","platform":"trello","data":{"listId":"5f0000000000000000000001","name":"x"}}"#;
    world.opsctl(["api", "POST", "/admin/v1/actions", "--confirm=local", "--data", data]).run().code(0);
    assert_eq!(words(&offered(world, "bash", "opsctl queue remove ")), ["act-of-the-tab"]);
    let receipt = scene.line("history -o json").run().code(0).json()[0]["id"].as_str().unwrap().to_owned();
    assert!(words(&offered(world, "bash", "opsctl undo ")).contains(&receipt.as_str()));
    assert_eq!(words(&offered(world, "bash", "opsctl context use lo")), ["local"]);
    assert_eq!(words(&offered(world, "bash", "opsctl queue status --context sa")), ["sandbox"]);
    assert!(words(&offered(world, "bash", "opsctl config get QUEUE_W")).contains(&"QUEUE_WORKERS"));
    assert_eq!(words(&offered(world, "bash", "opsctl runbook run o")), ["outage"]);
    if has("fish") {
        let told = offered(world, "fish", "opsctl queue remove ");
        assert!(told.contains("act-of-the-tab\tcreate trello normal, queued"), "{told}");
        let told = offered(world, "fish", "opsctl circuit reset no");
        assert!(told.contains("notion\tcircuit CLOSED"), "{told}");
    }

    let Scene { world, service, .. } = scene;
    service.stop();
    assert_eq!(words(&offered(&world, "bash", "opsctl queue remove ")), ["act-of-the-tab"]);
    if has("fish") {
        let told = offered(&world, "fish", "opsctl queue remove ");
        assert!(told.contains(", queued, ") && told.contains(" ago"), "{told}");
    }
}

#[test]
fn a_tab_asks_nobody_for_a_password_and_waits_for_nobody() {
    if !has("bash") {
        return;
    }
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let world = World::configured(&format!(
        "[contexts.keyring]\nurl = \"{url}\"\ncredential = {{ command = \"touch ran; echo secret\" }}\n\
         [contexts.silent]\nurl = \"{url}\"\n"
    ));
    for context in ["keyring", "silent", "nowhere"] {
        let line = format!("opsctl --context {context} circuit reset s");
        assert_eq!(words(&offered(&world, "bash", &line)), ["slack", "sheets"], "{context}");
        let line = format!("opsctl --context {context} queue remove ");
        assert_eq!(words(&offered(&world, "bash", &line)), Vec::<&str>::new(), "{context}");
    }
    assert!(!world.path("ran").exists(), "a Tab ran the credential's command");
    assert_eq!(words(&offered(&world, "bash", "opsctl --context sandbox queue show ")), Vec::<&str>::new());
    assert!(!world.path("state/sandbox").exists(), "a Tab started a sandbox");
}
