//! The dashboard of the metrics, written and chosen.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::service::Scene;
use crate::world::World;

/// What a scraper gets.
fn scraped(url: &str) -> String {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: {address}\r\nAccept: application/openmetrics-text; version=1.0.0\r\n\
         Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// The questions of every panel.
fn questions(board: &Value) -> Vec<String> {
    let panels = board["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_metric_and_label_of_the_dashboard_is_exposed() {
    let scene = Scene::start();
    assert_eq!(scene.card("one"), "success");
    let names: Vec<&str> = opsctl::dashboard::PANELS.iter().map(|panel| panel.name).collect();
    let all = names.iter().map(|name| format!(" --add {name}")).collect::<String>();
    scene.line(&format!("dashboard configure{all}")).run().code(0);
    let written = scene.line("dashboard:refresh --file board.json -o json").run().code(0).json();
    assert_eq!((&written["checked"], &written["leftOut"]), (&true.into(), &serde_json::json!([])));
    assert_eq!(written["panels"].as_array().unwrap().len(), names.len());

    let board: Value = serde_json::from_str(&scene.world.read("board.json")).unwrap();
    let exposed = scraped(scene.service.url());
    let samples: BTreeSet<&str> = exposed.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    let families = opsctl::dashboard::families(&exposed);
    for question in questions(&board) {
        for word in question.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if word.starts_with("opsctl_") {
                let family = ["_total", "_bucket"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
                assert!(samples.contains(word) || families.contains(family), "{word} of {question}");
            }
        }
        // `by (platform)`, `{result="success"}`: a label that no sample has would draw nothing.
        let labels = question.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
        let by = labels.flat_map(|labels| labels.split(", ")).map(|label| format!("{label}=\""));
        let chosen = question.split('{').skip(1).filter_map(|rest| rest.split('=').next()).map(|l| format!("{l}=\""));
        for label in by.chain(chosen).filter(|label| label != "code=\"") {
            assert!(exposed.contains(&label), "{label} of {question}");
        }
    }
}

#[test]
fn it_is_written_without_an_orchestrator_too_and_only_when_it_is_another_one() {
    let world = World::configured("[contexts.local]\nurl = \"http://127.0.0.1:1\"\n");
    let plan = world.line("dashboard refresh --dry-run").run().code(0);
    assert!(plan.stdout.contains("would write ~/data/grafana/opsctl.json"), "{plan:?}");
    assert!(!world.path("data/grafana/opsctl.json").exists());
    let written = world.line("dashboard refresh -o json").run().code(0);
    assert_eq!((&written.json()["changed"], &written.json()["checked"]), (&true.into(), &false.into()));
    assert!(written.stderr.contains("could not be asked"), "{written:?}");
    let again = world.line("dashboard refresh -o json").run().code(0).json();
    assert_eq!(again["changed"], false);
    world.write("in-the-way", "");
    world.line("dashboard refresh --file in-the-way/x.json").run().code(1);
}

#[test]
fn panels_are_shown_chosen_and_refused() {
    let world = World::new();
    let shown = world.line("dashboard:configure -o json").run().code(0).json();
    let row = |name: &str| shown["panels"].as_array().unwrap().iter().find(|row| row["panel"] == name).unwrap().clone();
    assert_eq!((&row("circuits")["shown"], &row("probing")["shown"]), (&true.into(), &false.into()));
    world.line("dashboard configure --add probing --leave-out paused --dry-run").run().code(0);
    assert!(!world.path("config/config.toml").exists(), "--dry-run writes nothing");

    let done = world.line("dashboard configure --add probing --leave-out paused --file b.json -o json").run().code(0);
    assert!(done.stderr.contains("+probing -paused") && done.stderr.contains("next: opsctl dashboard refresh"));
    let done = world.line("dashboard refresh -o json").run().code(0).json();
    let panels = done["panels"].as_array().unwrap();
    assert!(panels.contains(&"probing".into()) && !panels.contains(&"paused".into()), "{done}");
    assert!(world.path("b.json").exists());
    let again = world.line("dashboard configure --add probing").run().code(0).stdout("");
    assert_eq!(again.stderr, "the dashboard is already so\n");

    let wrong = world.line("dashboard configure --add succes-rate").run().code(2);
    assert!(wrong.stderr.contains("did you mean `success-rate`?"), "{wrong:?}");
    let none = opsctl::dashboard::PANELS.iter().map(|panel| format!(" --leave-out {}", panel.name)).collect::<String>();
    world.line(&format!("dashboard configure{none}")).run().code(2);
}
