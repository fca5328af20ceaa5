//! Trello by hand.

use reqwest::Method;
use serde_json::{Value, json};

use super::World;
use crate::sandbox::sim::{Api, Bulk};

#[tokio::test]
async fn credentials_are_told_apart_in_plain_text() {
    let world = World::start().await;
    let ask = async |query: &str| {
        let answer = world.raw(Api::Trello, Method::GET, &format!("/1/members/me?{query}"), &[], None).await;
        (answer.status, String::from_utf8_lossy(&answer.reply.body).into_owned())
    };
    let (key, token) = (world.var("TRELLO_API_KEY"), world.var("TRELLO_TOKEN"));
    assert_eq!(ask("").await, (401, "unauthorized permission requested".into()));
    assert_eq!(ask(&format!("key=x&token={token}")).await, (401, "invalid key".into()));
    assert_eq!(ask(&format!("key={key}&token=x")).await, (401, "invalid token".into()));
    assert_eq!(ask(&format!("key={key}&token={token}")).await.0, 200);
    let token = world.trello(Method::GET, &format!("/1/tokens/{token}?fields=dateExpires"), None).await.json;
    assert_eq!(token.as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "dateExpires"]);
}

#[tokio::test]
async fn a_card_is_made_moved_archived_and_deleted() {
    let world = World::start().await;
    let (todo, done) = (world.var("TRELLO_TODO_LIST"), world.var("TRELLO_DONE_LIST"));
    let body = json!({"idList": todo, "name": "A card", "desc": "text\n\nopsctl:k-1"});
    let card = world.trello(Method::POST, "/1/cards", Some(body)).await.json;
    let path = format!("/1/cards/{}", card["id"].as_str().unwrap());
    let moved = world.trello(Method::PUT, &format!("{path}?idList={done}"), None).await.json;
    assert_eq!(moved["idList"], done);
    let archived = world.trello(Method::PUT, &path, Some(json!({"closed": true}))).await.json;
    assert_eq!((&archived["closed"], &archived["name"]), (&json!(true), &json!("A card")));
    assert_eq!(world.trello(Method::DELETE, &path, None).await.json, json!({"limits": {}}));
    assert_eq!(world.trello(Method::GET, &path, None).await.status, 404);
    let stats = world.sims.stats_of(Api::Trello);
    assert_eq!((stats.writes, stats.created_by_marker["k-1"]), (4, 1));
    assert_eq!(stats.operations["cards.archive"], 1);
}

#[tokio::test]
async fn cards_come_newest_first_and_page_by_id() {
    let world = World::start().await;
    let board = world.var("TRELLO_BOARD_ID");
    let page = async |more: &str| {
        let path = format!("/1/boards/{board}/cards?limit=10&fields=name{more}");
        let cards = world.trello(Method::GET, &path, None).await.json;
        let ids = cards.as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<String>>()
    };
    let (mut all, mut more) = (Vec::new(), String::new());
    loop {
        let ids = page(&more).await;
        let Some(last) = ids.last() else { break };
        more = format!("&before={last}");
        all.extend(ids);
    }
    assert_eq!(all.len(), 23, "one of the 24 is archived");
    assert!(all.is_sorted_by(|a, b| a > b));
    assert_eq!(page(&format!("&since={}", all[4])).await, all[..4]);
    let archived = world.trello(Method::GET, &format!("/1/boards/{board}/cards?filter=closed"), None).await.json;
    assert_eq!(archived.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn bad_values_are_named() {
    let world = World::start().await;
    let todo = world.var("TRELLO_TODO_LIST").to_owned();
    for (body, text) in [
        (json!({"name": "x"}), "invalid value for idList"),
        (json!({"idList": todo, "due": "soon"}), "invalid value for due"),
        (json!({"idList": todo, "idLabels": ["5abbe4b7ddc1b351ef961414"]}), "invalid value for idLabels"),
    ] {
        let answer = world.trello(Method::POST, "/1/cards", Some(body)).await;
        assert_eq!((answer.status, String::from_utf8_lossy(&answer.reply.body).as_ref()), (400, text));
    }
    let answer = world.trello(Method::GET, "/1/cards/zzz", None).await;
    assert_eq!((answer.status, answer.json), (400, Value::Null));
}

#[tokio::test]
async fn a_large_board_is_read_page_by_page() {
    let world = World::start().await;
    let bulk: Bulk = serde_json::from_value(json!({"count": 2500, "duplicates": 2})).unwrap();
    let made = world.sims.fill(Api::Trello, &bulk).unwrap();
    let board = made["board"].as_str().unwrap();
    let page = async |query: &str| {
        let path = format!("/1/boards/{board}/cards?fields=name&{query}");
        world.trello(Method::GET, &path, None).await.json.as_array().unwrap().clone()
    };
    let mut seen = page("limit=1000").await;
    assert_eq!(seen[0]["name"], " BULK  00002");
    while let Some(last) = seen.last().map(|card| card["id"].as_str().unwrap().to_owned()) {
        let next = page(&format!("limit=1000&before={last}")).await;
        if next.is_empty() {
            break;
        }
        seen.extend(next);
    }
    assert_eq!((seen.len(), &seen[2499]["name"]), (2500, &json!("Bulk 00001")));
    let (newest, oldest) = (seen[0]["id"].as_str().unwrap(), seen[2499]["id"].as_str().unwrap());
    assert_eq!(page(&format!("before={newest}&since={oldest}&limit=3")).await.len(), 3);
    assert!(page(&format!("before={oldest}&since={newest}")).await.is_empty());
}
