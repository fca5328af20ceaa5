//! Twelve secrets of every kind are planted, platforms echo whatever they were sent in every spelling, people paste
//! them into the wrong place: none is found in what opsctl says or keeps.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::orchestrator::{Orchestrator, TOKEN};
use crate::service::Service;
use crate::world::{Done, World};

/// Variables and their values.
type Planted = &'static [(&'static str, &'static str)];

/// What is planted: the variable and its value. Some have what every encoding writes in another way.
const PLANTED: Planted = &[
    ("HERE_TOKEN", TOKEN),
    ("NOTION_API_KEY", "ntn_11122233344aB9+cD8/eF7=gH6jK5mN4pQ3rS2tU1vW0"),
    ("TRELLO_API_KEY", "0123456789abcdef0123456789abcdef"),
    ("TRELLO_TOKEN", "ATTA5f4e3d2c1b0a99887766554433221100ffeeddccbbaa99887766554433221100ABCDEF12"),
    ("SLACK_BOT_TOKEN", "xoxb-1234567890123-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx"),
    ("SLACK_SIGNING_SECRET", "8f742231b10e8888abcd99yyyzzz85a5"),
    ("GOOGLE_CLIENT_SECRET", "GOCSPX-a_b/c+d=e&f?g#h i"),
    ("GOOGLE_REFRESH_TOKEN", "1//0gXyZ-abc_DEF\\ghi\"jkl"),
    ("EMAIL_PASSWORD", "p\"ass w\u{f6}rd\\with/every+thing&%"),
    ("COMPOSIO_API_KEY", "composio key with <angle> 'quotes' \u{2028}"),
    ("PAGERDUTY_ROUTING_KEY", "R0123456789ABCDEFGHIJKLMNOPQRSTU"),
    ("FALLBACK_WEBHOOK_URL", "https://hooks.example.com/services/T00/B00/XXXX?sig=a%2Fb+c"),
];

/// What the service is started with: its own secrets and their stand-ins.
const OF_THE_SERVICE: Planted = &[
    ("NOTION_API_KEY", "ntn_11122233344aB9+cD8/eF7=gH6jK5mN4pQ3rS2tU1vW0"),
    ("NOTION_API_KEY_BACKUP", "secret_99988877766zY1xW2vU3tS4rQ5pN6mL7kJ8hG9f"),
    ("TRELLO_API_KEY", "0123456789abcdef0123456789abcdef"),
    ("TRELLO_API_KEY_BACKUP", "fedcba9876543210fedcba9876543210"),
    ("TRELLO_TOKEN", "ATTA5f4e3d2c1b0a99887766554433221100ffeeddccbbaa99887766554433221100ABCDEF12"),
    ("TRELLO_TOKEN_BACKUP", "ATTA0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef98FEDCBA"),
    ("SLACK_BOT_TOKEN", "xoxb-1234567890123-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx"),
    ("SLACK_BOT_TOKEN_BACKUP", "xoxb-9876543210987-9876543210987-zYxWvUtSrQpOnMlKjIhGfEdC"),
    ("GOOGLE_CLIENT_SECRET", "GOCSPX-a_b/c+d=e&f?g#h i"),
    ("GOOGLE_CLIENT_SECRET_BACKUP", "GOCSPX-\u{f6}ther <one> 'quoted' \u{2028}"),
    ("GOOGLE_REFRESH_TOKEN", "1//0gXyZ-abc_DEF\\ghi\"jkl"),
    ("GOOGLE_REFRESH_TOKEN_BACKUP", "1//0aBcD%65-100%+every&thing"),
];

fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn url_encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A value as programs write it: raw, in an address, in base64, in JSON.
fn spellings(value: &str) -> [String; 4] {
    [value.to_owned(), url_encoded(value), STANDARD.encode(value), json_escaped(value)]
}

/// A platform that refuses everything and says back what it was sent, and all that was planted, in every spelling.
fn echo(planted: Planted) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        listener.incoming().for_each(|client| drop(std::thread::spawn(move || refuse(client.unwrap(), planted))))
    });
    address
}

fn refuse(mut client: TcpStream, planted: Planted) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        let sent = String::from_utf8_lossy(&buffer[..length]);
        let planted = planted.iter().flat_map(|(_, value)| spellings(value)).collect::<Vec<_>>().join(" ");
        let message = format!("planted: {planted} sent: {sent}");
        let body = serde_json::json!({
            "object": "error", "status": 400, "code": "validation_error", "message": message, "request_id": message,
            "error": {"code": 400, "message": message, "errors": [{"reason": "invalid"}]},
        });
        let body = body.to_string();
        let answer = format!(
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if client.write_all(answer.as_bytes()).is_err() {
            break;
        }
    }
}

/// Addresses of all platforms, each the echo's.
fn addresses(echo: SocketAddr) -> BTreeMap<&'static str, String> {
    let names = ["notion", "trello", "slack", "drive", "drive_upload", "sheets", "google_token", "google_tokeninfo"];
    names.into_iter().map(|name| (name, format!("http://{echo}/{name}"))).collect()
}

/// The planted secrets that stand in a text in any spelling.
fn found_in(bytes: &[u8], planted: Planted) -> Vec<&'static str> {
    let has = |needle: &str| memchr::memmem::find(bytes, needle.as_bytes()).is_some();
    let names = planted.iter().filter(|(_, value)| spellings(value).iter().any(|spelling| has(spelling)));
    names.map(|(name, _)| *name).collect()
}

/// Every file under a folder that holds one.
fn files_with_secrets(folder: &Path, planted: Planted, found: &mut Vec<String>, count: &mut usize) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_with_secrets(&path, planted, found, count);
        } else if let Ok(bytes) = std::fs::read(&path) {
            *count += 1;
            let names = found_in(&bytes, planted);
            if !names.is_empty() {
                found.push(format!("{}: {names:?}", path.display()));
            }
        }
    }
}

#[test]
fn twelve_planted_secrets_are_found_nowhere() {
    let (orchestrator, echo) = (Orchestrator::start("staging"), echo(PLANTED));
    let platforms: String = addresses(echo).iter().map(|(name, url)| format!("{name} = \"{url}\"\n")).collect();
    let world = World::configured(&orchestrator.config(&format!("[contexts.here.platforms]\n{platforms}")));
    let run = |args: &[&str]| -> Done {
        let run = world.opsctl(args).env("GOOGLE_CLIENT_ID", "1.apps.googleusercontent.com");
        PLANTED.iter().fold(run, |run, (name, value)| run.env(name, value)).run()
    };
    let mut said = Vec::new();
    let mut check = |args: &[&str], codes: &[i32]| {
        let done = run(args);
        assert!(codes.iter().any(|code| done.code == Some(*code)), "{args:?}: {done:#?}");
        for (stream, text) in [("stdout", &done.stdout), ("stderr", &done.stderr)] {
            let names = found_in(text.as_bytes(), PLANTED);
            if !names.is_empty() {
                said.push(format!("{args:?} {stream}: {names:?}\n{text}"));
            }
        }
    };
    let id = "1f0c2b3a4d5e6f708192a3b4c5d6e7f8";
    let board = "5f0000000000000000000001";
    for format in ["table", "json"] {
        let line = |text: &str| text.split(' ').chain(["-o", format]).map(str::to_owned).collect::<Vec<_>>();
        for (text, codes) in [
            (format!("notion delete {id}"), &[1][..]),
            (format!("notion find-duplicates --database {id}"), &[1]),
            (format!("trello archive-duplicates --board {board} --yes"), &[1]),
            ("drive delete 1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms".to_owned(), &[1, 4]),
            ("slack send --channel #ops --text hello".to_owned(), &[1]),
            ("test auth --direct".to_owned(), &[3]),
            ("test sdk trello".to_owned(), &[3]),
            ("check key-permissions notion".to_owned(), &[1]),
            ("check key-expiration".to_owned(), &[3]),
            ("validate env --all".to_owned(), &[3]),
            ("google refresh-token".to_owned(), &[1, 4]),
            ("context show".to_owned(), &[0]),
        ] {
            check(&line(&text).iter().map(String::as_str).collect::<Vec<_>>(), codes);
        }
    }
    // Into the wrong place: a reason, a ticket, an id, a message, a flag that is none; in every spelling.
    for (number, (_, value)) in PLANTED.iter().enumerate() {
        for (place, spelling) in spellings(value).iter().enumerate() {
            orchestrator.put("act-1", "queued");
            check(&["queue", "remove", "act-1", "--yes", "--reason", spelling, "--ticket", spelling], &[0]);
            // Some have the shape of an id.
            check(&["notion", "delete", spelling], &[1, 2]);
            let plan = format!("plan-{number}-{place}");
            check(&["queue", "remove", "act-2", "--save-plan", &plan, "--reason", spelling], &[0]);
        }
        check(&["queue", "show", value], &[5]);
        check(&["history", "--no-such-flag", value, "-o", "json"], &[2]);
    }
    check(&["history", "-o", "json"], &[0]);
    check(&["history"], &[0]);
    check(&["history", "verify"], &[0]);
    assert!(said.is_empty(), "{}", said.join("\n"));
    let (mut found, mut count) = (Vec::new(), 0);
    files_with_secrets(&world.path(""), PLANTED, &mut found, &mut count);
    assert!(count > PLANTED.len() * 4, "plans and a journal were looked at: {count}");
    assert_eq!(found, Vec::<String>::new());
}

/// One request as it stands; gives the whole answer.
fn ask(address: &str, token: &str, line: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut head =
        format!("{line} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len()));
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_service_keeps_what_is_planted_in_its_environment_out_of_its_logs_and_its_store() {
    let (world, echo) = (World::new(), echo(OF_THE_SERVICE));
    world.write("endpoints.json", &serde_json::to_string(&addresses(echo)).unwrap());
    let serve = world.line("serve -o jsonl --listen 127.0.0.1:0 --environment staging --endpoints endpoints.json");
    let serve = serve.env("GOOGLE_CLIENT_ID", "1.apps.googleusercontent.com");
    let serve = OF_THE_SERVICE.iter().fold(serve, |run, (name, value)| run.env(name, value));
    let service = Service::start(serve);
    world.write("config/config.toml", &format!("[contexts.local]\nurl = \"{}\"\n", service.url()));
    let (address, token) =
        (service.url().trim_start_matches("http://").to_owned(), world.read("data/serve/admin.token"));
    let token = token.trim();

    // Actions whose platforms say back everything.
    let actions = serde_json::json!([
        {"id": "a-1", "type": "update", "platform": "notion", "data": {"page_id": "1f0c2b3a4d5e6f708192a3b4c5d6e7f8", "title": "x"}},
        {"id": "a-2", "type": "create", "platform": "trello", "data": {"listId": "0123456789abcdef01234567", "name": "x"}},
        {"id": "a-3", "type": "notify", "platform": "slack", "data": {"channel": "#operations", "text": "x"}},
        {"id": "a-4", "type": "create", "platform": "drive", "data": {"name": "x", "content": "x"}},
        {"id": "a-5", "type": "log", "platform": "sheets", "data": {"spreadsheetId": "1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms", "values": ["x"]}},
    ]);
    let taken = ask(&address, token, "POST /admin/v1/actions", &[], &actions.to_string());
    assert!(taken.starts_with("HTTP/1.1 2"), "{taken}");
    for n in 1..=5 {
        let over = (0..200).any(|_| {
            let record = ask(&address, token, &format!("GET /admin/v1/actions/a-{n}"), &[], "");
            let is_over = record.contains("\"status\":\"failed\"");
            if !is_over {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            is_over
        });
        assert!(over, "a-{n} does not end");
    }
    // Into the wrong place: the reason of a change, the path of a request, and the name of an action; in every spelling.
    let mut said = Vec::new();
    let mut see = |what: &str, text: &str| {
        let names = found_in(text.as_bytes(), OF_THE_SERVICE);
        if !names.is_empty() {
            said.push(format!("{what}: {names:?}"));
        }
    };
    for (_, value) in OF_THE_SERVICE {
        for spelling in spellings(value) {
            let encoded = url_encoded(&spelling);
            let headers =
                [("x-opsctl-reason", encoded.as_str()), ("x-opsctl-ticket", &encoded), ("x-opsctl-operator", &encoded)];
            ask(&address, token, "POST /admin/v1/pauses", &headers, "{\"scope\":\"notion\"}");
            ask(&address, token, &format!("DELETE /admin/v1/queue/items/{encoded}"), &headers, "");
            ask(&address, "no-token", &format!("DELETE /admin/v1/queue/items/{encoded}"), &headers, "");
        }
    }
    world.line("backup create --yes").run().code(0);
    for line in [
        "logs errors -o json",
        "logs actions",
        "queue failed -o json",
        "security audit",
        "config list --all",
        "executor status",
        "test auth -o json",
        "issues export",
        "queue show a-1 -o json",
        "pause all --yes",
        "history -o json",
        "analyze failures",
    ] {
        let done = world.line(line).run();
        see(line, &done.stdout);
        see(line, &done.stderr);
    }
    for path in
        ["/recent-errors", "/admin/v1/audit", "/admin/v1/pauses", "/metrics", "/health", "/admin/v1/actions/a-1"]
    {
        see(path, &ask(&address, token, &format!("GET {path}"), &[], ""));
    }
    assert!(said.is_empty(), "{}", said.join("\n"));
    let (_, words) = service.stop();
    assert_eq!(found_in(words.as_bytes(), OF_THE_SERVICE), Vec::<&str>::new());
    for file in ["audit.jsonl", "logs/errors.log"] {
        assert!(world.read(&format!("data/serve/{file}")).contains("(hidden)"), "{file} was told them");
    }
    let (mut found, mut count) = (Vec::new(), 0);
    files_with_secrets(&world.path(""), OF_THE_SERVICE, &mut found, &mut count);
    assert!(count > 10, "a store, logs and a backup were looked at: {count}");
    assert_eq!(found, Vec::<String>::new());
}
