//! Checks that a schedule runs: what heartbeat services and channels are told.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use opsctl::platforms::Platform;
use serde_json::{Value, json};

use crate::service::Scene;

/// A request as a receiver saw it.
struct Heard {
    line: String,
    body: String,
}

/// A heartbeat service that says yes to everything.
fn receiver() -> (String, mpsc::Receiver<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ping/5f0c-secret", listener.local_addr().unwrap());
    let (tell, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for caller in listener.incoming() {
            if tell.send(answer(caller.unwrap())).is_err() {
                return;
            }
        }
    });
    (url, heard)
}

fn answer(mut caller: TcpStream) -> Heard {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:").map(str::to_owned));
            if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
                caller.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nOK").unwrap();
                return Heard { line: head.lines().next().unwrap().to_owned(), body: body.to_owned() };
            }
        }
        let read = caller.read(&mut part).unwrap();
        assert!(read > 0, "the request ends early: {text}");
        request.extend_from_slice(&part[..read]);
    }
}

#[test]
fn a_heartbeat_has_a_start_and_an_end_with_the_answer_and_its_address_is_told_to_nobody() {
    let scene = Scene::start();
    let (url, heard) = receiver();
    let check = || scene.line(&format!("check alerts --now --ping {url}")).run();
    let well = check().code(0);
    let (start, end) = (heard.recv().unwrap(), heard.recv().unwrap());
    assert!(start.line.starts_with("POST /ping/5f0c-secret/start?rid=") && start.body.is_empty(), "{}", start.line);
    let run = start.line.split_once("rid=").unwrap().1;
    assert_eq!(end.line, format!("POST /ping/5f0c-secret/0?rid={run}"), "one id for both");
    assert!(end.body.contains("within their thresholds"), "{}", end.body);

    many_wait(&scene);
    let found = check().code(3);
    heard.recv().unwrap();
    let end = heard.recv().unwrap();
    assert!(end.line.starts_with("POST /ping/5f0c-secret/3?rid=") && end.body.contains("queue-50"), "{}", end.body);

    // The job matters more than its heartbeat.
    let dead = scene.line("check alerts --now --ping http://127.0.0.1:9/ping/5f0c-secret").run().code(3);
    assert!(dead.stderr.contains("heartbeat"), "{dead:?}");
    for said in [well, found, dead] {
        assert!(!format!("{}{}", said.stdout, said.stderr).contains("5f0c-secret"), "{said:?}");
    }
}

#[test]
fn a_channel_is_told_when_something_begins_and_when_it_is_over() {
    let scene = Scene::start();
    let told = || -> Vec<String> {
        let channels = scene.sims.contents(Platform::Slack).unwrap()["channels"].clone();
        let all = channels
            .as_object()
            .unwrap()
            .values()
            .flat_map(|channel| channel["messages"].as_object().unwrap().values());
        let ours = all.filter_map(|message| message["text"].as_str()).filter(|text| text.contains(" in local"));
        ours.map(str::to_owned).collect()
    };
    let check = || scene.keyed("check alerts --notify slack:#general").run();
    check().code(0);
    assert_eq!(told(), Vec::<String>::new());
    many_wait(&scene);
    check().code(3);
    check().code(3);
    assert!(matches!(told().as_slice(), [one] if one.starts_with("FIRING ")), "{:?}", told());
    scene.line("queue clear --confirm=local").run().code(0);
    check().code(0);
    check().code(0);
    assert!(matches!(told().as_slice(), [_, over] if over.starts_with("RESOLVED ")), "{:?}", told());
}

/// More waits than is well; in tens, since a person would have to agree to more at once.
fn many_wait(scene: &Scene) {
    scene.line("queue pause --yes").run().code(0);
    for ten in 0..6 {
        let action =
            |n: usize| json!({"type": "create", "platform": "trello", "data": {"name": format!("card {ten}-{n}")}});
        scene.world.write("actions.json", &Value::from((0..10).map(action).collect::<Vec<_>>()).to_string());
        scene.line("api POST /admin/v1/actions --data @actions.json --confirm=local").run().code(0);
    }
}
