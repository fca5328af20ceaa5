//! Slack by hand.

use reqwest::Method;
use serde_json::{Value, json};

use super::World;
use crate::sandbox::sim::Api;

#[tokio::test]
async fn failures_have_status_200() {
    let world = World::start().await;
    let channel = world.var("SLACK_DEFAULT_CHANNEL").to_owned();
    for (method, body, error) in [
        ("chat.postMessage", json!({"channel": "C0NOWHERE00", "text": "x"}), "channel_not_found"),
        ("chat.postMessage", json!({"channel": channel}), "no_text"),
        ("chat.postMessage", json!({"channel": "#random", "text": "x"}), "not_in_channel"),
        ("chat.postMessage", json!({"channel": "project-apollo", "text": "x"}), "is_archived"),
        ("chat.delete", json!({"channel": channel, "ts": "1.000000"}), "message_not_found"),
        ("conversations.list", json!({"types": "x"}), "invalid_types"),
        ("users.lookupByEmail", json!({"email": "x@example.com"}), "users_not_found"),
        ("nothing.here", json!({}), "unknown_method"),
    ] {
        let answer = world.slack(method, body).await;
        assert_eq!((answer.status, answer.json["error"].as_str()), (200, Some(error)), "{method}");
    }
    let path = "/api/auth.test";
    let naked = world.raw(Api::Slack, reqwest::Method::POST, path, &[], None).await;
    assert_eq!(naked.json, json!({"ok": false, "error": "not_authed"}));
    assert_eq!(world.sims.stats_of(Api::Slack).writes, 0);
}

#[tokio::test]
async fn a_message_is_posted_read_changed_and_deleted() {
    let world = World::start().await;
    let metadata = json!({"event_type": "opsctl_action", "event_payload": {"marker": "m-1"}});
    let posted =
        world.slack("chat.postMessage", json!({"channel": "#general", "text": "Hi", "metadata": metadata})).await;
    assert!(posted.reply.header("x-oauth-scopes").unwrap().contains("chat:write"));
    let (channel, ts) = (posted.json["channel"].clone(), posted.json["ts"].clone());
    let reply = json!({"channel": channel, "text": "In the thread", "thread_ts": ts});
    let reply = world.slack("chat.postMessage", reply).await.json;
    assert!(reply["ts"].as_str().unwrap() > ts.as_str().unwrap());

    let ask = json!({"channel": channel, "oldest": ts, "latest": ts, "inclusive": true, "limit": 1,
                     "include_all_metadata": true});
    let found = world.slack("conversations.history", ask).await.json;
    assert_eq!(found["messages"][0]["metadata"], metadata);
    let plain = world.slack("conversations.history", json!({"channel": channel, "limit": 1})).await.json;
    assert_eq!((&plain["messages"][0]["ts"], plain["messages"][0].get("metadata")), (&ts, None));
    assert_eq!(plain["has_more"], true);
    let thread = world.slack("conversations.replies", json!({"channel": channel, "ts": ts})).await.json;
    assert_eq!(thread["messages"].as_array().unwrap().len(), 2);

    let updated = world.slack("chat.update", json!({"channel": channel, "ts": ts, "text": "Corrected"})).await.json;
    assert_eq!(updated["message"]["text"], "Corrected");
    assert_eq!(world.slack("chat.delete", json!({"channel": channel, "ts": ts})).await.json["ok"], true);
    let foreign = plain["response_metadata"]["next_cursor"].clone();
    let older = world.slack("conversations.history", json!({"channel": channel, "cursor": foreign})).await.json;
    let foreign = older["messages"][0]["ts"].clone();
    let refused = world.slack("chat.delete", json!({"channel": channel, "ts": foreign})).await.json;
    assert_eq!(refused["error"], "cant_delete_message");
    let stats = world.sims.stats_of(Api::Slack);
    assert_eq!((stats.writes, stats.created_by_marker["m-1"]), (4, 1));
}

#[tokio::test]
async fn channels_come_in_pages() {
    let world = World::start().await;
    let (mut names, mut cursor) = (Vec::new(), json!(""));
    loop {
        let body = json!({"limit": 3, "cursor": cursor, "types": "public_channel,private_channel",
                          "exclude_archived": true});
        let page = world.slack("conversations.list", body).await.json;
        names.extend(page["channels"].as_array().unwrap().iter().map(|c| c["name"].to_string()));
        cursor = page["response_metadata"]["next_cursor"].clone();
        if cursor == "" {
            break;
        }
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 10);
}

#[tokio::test]
async fn a_channel_is_joined_once() {
    let world = World::start().await;
    let list = world.slack("conversations.list", json!({"types": "public_channel,private_channel"})).await.json;
    let id = |name: &str| {
        let all = list["channels"].as_array().unwrap();
        all.iter().find(|c| c["name"] == name).unwrap()["id"].clone()
    };
    let join = async |name: &str| world.slack("conversations.join", json!({"channel": id(name)})).await.json;
    let refused = world.slack("chat.postMessage", json!({"channel": "#random", "text": "x"})).await.json;
    assert_eq!(refused["error"], "not_in_channel");
    assert_eq!(join("random").await["channel"]["is_member"], true);
    assert_eq!(world.slack("chat.postMessage", json!({"channel": "#random", "text": "x"})).await.json["ok"], true);
    assert_eq!(join("random").await["warning"], "already_in_channel");
    assert_eq!(join("board").await["error"], "method_not_supported_for_channel_type");
    assert_eq!(join("project-apollo").await["error"], "is_archived");
}

#[tokio::test]
async fn a_rotating_token_ends_and_its_refresh_token_serves_once() {
    let clock = crate::clock::Clock::system();
    let world = World::with(crate::sandbox::sim::SimOptions { clock: clock.clone(), ..Default::default() }).await;
    let (client_id, secret) = world.sims.slack_app();
    let app = |more: Value| {
        let mut body = json!({"client_id": client_id, "client_secret": secret.expose()});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let old = world.var("SLACK_BOT_TOKEN").to_owned();
    let pair = world.slack("oauth.v2.exchange", app(json!({"token": old}))).await.json;
    assert_eq!(world.slack("auth.test", json!({})).await.json["error"], "token_revoked");
    let ask = async |token: &Value| {
        let header = format!("Bearer {}", token.as_str().unwrap());
        let headers = [("authorization", header.as_str())];
        world.raw(Api::Slack, Method::POST, "/api/auth.test", &headers, None).await.json
    };
    assert_eq!(ask(&pair["access_token"]).await["ok"], true);
    let refresh = app(json!({"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}));
    let next = world.slack("oauth.v2.access", refresh.clone()).await.json;
    assert_eq!(ask(&next["access_token"]).await["ok"], true);
    assert_eq!(world.slack("oauth.v2.access", refresh).await.json["error"], "invalid_refresh_token");
    clock.set_offset_ms(43_201_000);
    assert_eq!(ask(&next["access_token"]).await["error"], "token_expired");
    let wrong = json!({"client_id": client_id, "client_secret": "x", "grant_type": "refresh_token"});
    assert_eq!(world.slack("oauth.v2.access", wrong).await.json["error"], "bad_client_secret");
}
