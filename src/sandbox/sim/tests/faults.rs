//! Faults, limits, rotation, snapshots, the control API.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{TempDir, World};
use crate::clock::Clock;
use crate::http::{Http, Options};
use crate::platforms::{Platform, status};
use crate::sandbox::sim::{Api, Fault, FaultSpec, Feed, Indicator, LimitSettings, SimOptions, Sims, TOKEN_HEADER};

async fn me(world: &World) -> u16 {
    world.notion(Method::GET, "/v1/users/me", None).await.status
}

async fn new_card(world: &World, name: &str) -> Result<super::Answer, String> {
    let auth = format!(
        "OAuth oauth_consumer_key=\"{}\", oauth_token=\"{}\"",
        world.var("TRELLO_API_KEY"),
        world.var("TRELLO_TOKEN")
    );
    let body = json!({"idList": world.var("TRELLO_TODO_LIST"), "name": name});
    world.try_raw(Api::Trello, Method::POST, "/1/cards", &[("authorization", &auth)], Some(body)).await
}

#[tokio::test]
async fn down_refuses_connections_and_comes_back_on_the_same_port() {
    let world = World::start().await;
    let url = world.sims.url(Api::Notion);
    let mut held = tokio::net::TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    assert_eq!(me(&world).await, 200);
    world.sims.fault(Api::Notion, Fault::Down).unwrap();
    let refused = world.try_raw(Api::Notion, Method::GET, "/", &[], None).await.err().unwrap();
    assert!(refused.contains("refused"), "{refused}");
    let mut end = [0; 1];
    let read = tokio::time::timeout(Duration::from_secs(10), tokio::io::AsyncReadExt::read(&mut held, &mut end));
    assert!(matches!(read.await.unwrap(), Ok(0) | Err(_)), "the open connection ends");
    assert_eq!(world.slack("auth.test", json!({})).await.json["ok"], true, "the others stay up");
    world.sims.clear(Api::Notion).unwrap();
    assert_eq!((me(&world).await, world.sims.url(Api::Notion)), (200, url));
}

#[tokio::test]
async fn a_lost_answer_was_done_nevertheless() {
    let world = World::start().await;
    world.sims.fault(Api::Trello, FaultSpec::from(Fault::LostAnswer).times(1).only("create")).unwrap();
    assert!(new_card(&world, "Lost").await.is_err());
    let stats = world.sims.stats_of(Api::Trello);
    assert_eq!((stats.created_by_name["Lost"], stats.writes, stats.faulted), (1, 1, 1));
    assert_eq!(new_card(&world, "Found").await.unwrap().status, 200);
}

#[tokio::test]
async fn refusals_are_in_the_platforms_own_words_and_do_nothing() {
    let world = World::start().await;
    for (fault, notion, trello, slack) in [
        (Fault::Unauthorized, (401, "unauthorized"), (401, "invalid token"), (200, "invalid_auth")),
        (
            Fault::Forbidden,
            (403, "restricted_resource"),
            (401, "unauthorized permission requested"),
            (200, "restricted_action"),
        ),
        (
            Fault::ServerError { status: 503 },
            (503, "service_unavailable"),
            (503, "Service Unavailable"),
            (503, "service_unavailable"),
        ),
        (
            Fault::RateLimited { retry_after_secs: 7 },
            (429, "rate_limited"),
            (429, "API_TOKEN_LIMIT_EXCEEDED"),
            (429, "ratelimited"),
        ),
        (Fault::Html, (502, "Just a moment"), (502, "Just a moment"), (502, "Just a moment")),
    ] {
        for api in [Api::Notion, Api::Trello, Api::Slack] {
            world.sims.fault(api, FaultSpec::from(fault).times(1)).unwrap();
        }
        let answers = [
            (world.notion(Method::GET, "/v1/users/me", None).await, notion),
            (new_card(&world, "Never").await.unwrap(), trello),
            (world.slack("chat.postMessage", json!({"channel": "#general", "text": "x"})).await, slack),
        ];
        for (answer, (status, text)) in answers {
            let body = String::from_utf8_lossy(&answer.reply.body).into_owned();
            assert!(answer.status == status && body.contains(text), "{fault:?}: {} {body}", answer.status);
        }
    }
    assert!([Api::Notion, Api::Trello, Api::Slack].iter().all(|api| world.sims.stats_of(*api).writes == 0));
    assert!(world.sims.faults().is_empty());
}

#[tokio::test]
async fn hanging_requests_are_in_flight_until_their_client_gives_up() {
    let world = World::start().await;
    world.sims.fault(Api::Slack, Fault::Hang).unwrap();
    let in_flight = async |wanted: u64| {
        for _ in 0..500 {
            if world.sims.stats_of(Api::Slack).in_flight == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never {wanted} in flight");
    };
    tokio::select! {
        _ = world.slack("auth.test", json!({})) => panic!("it was answered"),
        () = in_flight(1) => {}
    }
    in_flight(0).await;
    let stats = world.sims.stats_of(Api::Slack);
    assert_eq!((stats.requests, stats.max_in_flight), (1, 1));
}

#[tokio::test]
async fn limits_refuse_like_the_vendors_and_follow_the_clock() {
    let clock = Clock::system();
    let world = World::with(SimOptions { clock: clock.clone(), limits: true, ..SimOptions::default() }).await;
    let few = LimitSettings { notion_per_minute: 2, trello_token_per_10s: 2, ..LimitSettings::default() };
    world.sims.set_limits(few.clone());
    let first = world.notion(Method::GET, "/v1/users/me", None).await;
    assert_eq!((first.status, me(&world).await), (200, 200));
    let over = world.notion(Method::GET, "/v1/users/me", None).await;
    let wait: u64 = over.reply.header("retry-after").unwrap().parse().unwrap();
    assert_eq!((over.status, over.json["additional_data"]["retry_after"].clone()), (429, json!(wait.to_string())));
    assert!((1..=60).contains(&wait));

    assert!(new_card(&world, "1").await.unwrap().status == 200 && new_card(&world, "2").await.unwrap().status == 200);
    let over = new_card(&world, "3").await.unwrap();
    assert_eq!((over.status, &over.json["error"]), (429, &json!("API_TOKEN_LIMIT_EXCEEDED")));
    assert!(over.reply.header("retry-after").is_none());

    // A second is too short to prove anything by on a busy machine, so the channel's window admits nothing.
    let post = async || world.slack("chat.postMessage", json!({"channel": "#general", "text": "x"})).await;
    assert_eq!(post().await.status, 200);
    world.sims.set_limits(LimitSettings { slack_posts_per_second: 0, ..few.clone() });
    let over = post().await;
    assert_eq!((over.status, over.reply.header("retry-after"), &over.json["ok"]), (429, Some("1"), &json!(false)));
    world.sims.set_limits(few);
    clock.set_offset_ms(61_000);
    let (me, card) = (me(&world).await, new_card(&world, "3").await.unwrap());
    assert_eq!((me, card.status, post().await.status), (200, 200, 200));
    assert_eq!(world.sims.stats_of(Api::Notion).limited, 1);
}

#[tokio::test]
async fn a_revoked_key_is_really_refused_and_its_successor_works() {
    let mut world = World::start().await;
    for api in [Api::Notion, Api::Trello, Api::Slack] {
        world.sims.mint(api).unwrap();
        assert_eq!(world.sims.revoke(api), 2);
    }
    assert_eq!(me(&world).await, 401);
    assert_eq!(world.slack("auth.test", json!({})).await.json["error"], "token_revoked");
    assert_eq!(new_card(&world, "x").await.unwrap().status, 401);
    for api in [Api::Notion, Api::Trello, Api::Slack] {
        world.sims.mint(api).unwrap();
    }
    world.env = world.sims.credentials(&world._keys.0).unwrap();
    assert_eq!((me(&world).await, new_card(&world, "x").await.unwrap().status), (200, 200));
}

#[tokio::test]
async fn a_snapshot_brings_everything_back() {
    let dir = TempDir::new();
    let file = dir.0.join("sims.json");
    let world = World::with(SimOptions { seed: 7, ..SimOptions::default() }).await;
    let card = new_card(&world, "Kept").await.unwrap().json;
    world.sims.fault(Api::Slack, Fault::Down).unwrap();
    world.sims.save(&file).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap()) & 0o777, 0o600);
    let (env, ports) = (world.env.clone(), world.sims.ports());
    drop(world);

    let world =
        World::around(Sims::load(&file, SimOptions { ports: ports.clone(), ..SimOptions::default() }).await.unwrap());
    assert_eq!(world.sims.ports(), ports);
    assert_eq!(world.var("NOTION_API_KEY"), env["NOTION_API_KEY"]);
    let path = format!("/1/cards/{}", card["id"].as_str().unwrap());
    assert_eq!(world.trello(Method::GET, &path, None).await.json, card);
    assert_eq!(world.sims.stats_of(Api::Trello).created_by_name["Kept"], 1);
    assert!(world.try_raw(Api::Slack, Method::GET, "/", &[], None).await.is_err());
    let next = new_card(&world, "Next").await.unwrap().json;
    assert_ne!(next["id"], card["id"]);
}

#[tokio::test]
async fn the_control_api_steers_and_is_guarded() {
    let dir = TempDir::new();
    let file = dir.0.join("state.json");
    let world = World::with(SimOptions { state_file: Some(file.clone()), ..SimOptions::default() }).await;
    let http = Http::new(Options { keep_alive: false, ..Options::default() });
    let token = world.sims.control_token().expose().to_owned();
    let ask = async |method: Method, path: &str, headers: &[(&str, &str)], body: Value| {
        let url = format!("{}{path}", world.sims.control_url()).parse().unwrap();
        let mut request = http.request(method, &url).unwrap().json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = http.send(request, None).await.unwrap();
        (reply.status, reply.json().unwrap_or(Value::Null))
    };
    let key = [(TOKEN_HEADER, token.as_str())];
    assert_eq!(ask(Method::GET, "/state", &[], Value::Null).await.0, 401);
    let foreign = [(TOKEN_HEADER, token.as_str()), ("host", "evil.example")];
    assert_eq!(ask(Method::GET, "/state", &foreign, Value::Null).await.0, 403);

    let (_, state) = ask(Method::GET, "/state", &key, Value::Null).await;
    assert_eq!(state["addresses"]["notion"], world.sims.url(Api::Notion));
    let fault = json!({"api": "notion", "kind": "serverError", "status": 500, "remaining": 1});
    assert_eq!(ask(Method::POST, "/faults", &key, fault).await.1["faults"][0]["kind"], "serverError");
    assert_eq!(me(&world).await, 500);
    let odd = json!({"api": "notion", "kind": "serverError", "status": 200});
    assert_eq!(ask(Method::POST, "/faults", &key, odd).await.0, 422);
    ask(Method::POST, "/faults", &key, json!({"api": "notion", "kind": "down"})).await;
    assert_eq!(ask(Method::DELETE, "/faults?api=notion", &key, Value::Null).await.1["cleared"], 1);
    assert_eq!(ask(Method::POST, "/credentials/revoke", &key, json!({"api": "notion"})).await.1["revoked"], 1);
    assert_eq!(me(&world).await, 401);
    let clock = ask(Method::POST, "/clock", &key, json!({"offsetMs": 5000})).await.1;
    assert_eq!(clock["offsetMs"], 5000);
    assert_eq!(ask(Method::GET, "/stats", &key, Value::Null).await.1["apis"]["notion"]["requests"], 2);
    let (_, made) = ask(Method::POST, "/contents/trello", &key, json!({"count": 3, "duplicates": 1})).await;
    let (_, contents) = ask(Method::GET, "/contents/trello", &key, Value::Null).await;
    let of_board = contents["cards"].as_object().unwrap().values().filter(|card| card["board"] == made["board"]);
    assert_eq!(of_board.count(), 3);
    for (path, bulk) in [("trello", json!({"count": 1, "duplicates": 1})), ("status", json!({"count": 1}))] {
        assert_eq!(ask(Method::POST, &format!("/contents/{path}"), &key, bulk).await.0, 422);
    }
    assert_eq!(ask(Method::POST, "/save", &key, Value::Null).await.0, 200);
    assert!(file.exists());
    assert_eq!(ask(Method::POST, "/shutdown", &key, Value::Null).await.0, 200);
    tokio::time::timeout(Duration::from_secs(10), world.sims.stopped()).await.unwrap();
}

#[tokio::test]
async fn status_feeds_say_what_they_are_told_to() {
    use status::FeedStatus::{Degraded, Operational, Outage, Unknown};
    let world = World::start().await;
    let endpoints = world.sims.endpoints();
    let ask = async |platform| status::fetch(&endpoints, platform, Duration::from_secs(5)).await;
    for platform in Platform::ALL {
        assert_eq!(ask(*platform).await, Operational, "{platform}");
    }
    let bad = |indicator| Feed { indicator, ..Feed::default() };
    world.sims.set_feed("notion", bad(Indicator::Critical)).unwrap();
    world.sims.set_feed("trello", bad(Indicator::Minor)).unwrap();
    world.sims.set_feed("slack", Feed { html: true, ..Feed::default() }).unwrap();
    let sheets = Feed { products: vec!["Google Sheets".into()], ..bad(Indicator::Major) };
    world.sims.set_feed("google", sheets).unwrap();
    assert!(matches!(ask(Platform::Notion).await, Outage(_)));
    assert!(matches!(ask(Platform::Trello).await, Degraded(_)));
    assert!(matches!(ask(Platform::Slack).await, Unknown(_)));
    assert_eq!(ask(Platform::Drive).await, Operational);
    assert!(matches!(ask(Platform::Sheets).await, Outage(_)));
    world.sims.set_feed("notion", Feed { hang: true, ..Feed::default() }).unwrap();
    let hung = status::fetch(&endpoints, Platform::Notion, Duration::from_millis(200)).await;
    assert!(matches!(hung, Unknown(_)));
    assert!(world.sims.set_feed("github", Feed::default()).is_err());
}
