//! Notion by hand.

use reqwest::Method;
use serde_json::{Value, json};

use super::World;
use crate::sandbox::sim::Api;

async fn tasks(world: &World) -> String {
    let path = format!("/v1/databases/{}", world.var("NOTION_DATABASE_ID"));
    let database = world.notion(Method::GET, &path, None).await.json;
    assert!(database.get("properties").is_none() && database.get("archived").is_none());
    database["data_sources"][0]["id"].as_str().unwrap().to_owned()
}

fn titled(title: &str) -> Value {
    json!({"Name": {"title": [{"text": {"content": title}}]}})
}

#[tokio::test]
async fn credential_and_version_come_first() {
    let world = World::start().await;
    let ask = async |headers: &[(&str, &str)]| world.raw(Api::Notion, Method::GET, "/v1/users/me", headers, None).await;
    let token = format!("Bearer {}", world.var("NOTION_API_KEY"));
    let wrong = ask(&[("authorization", "Bearer ntn_x"), ("notion-version", "2026-03-11")]).await;
    assert_eq!((wrong.status, &wrong.json["code"]), (401, &json!("unauthorized")));
    let unversioned = ask(&[("authorization", &token)]).await;
    assert_eq!((unversioned.status, &unversioned.json["code"]), (400, &json!("missing_version")));
    let me = ask(&[("authorization", &token), ("notion-version", "2025-09-03")]).await;
    assert_eq!((me.status, &me.json["bot"]["owner"]["type"]), (200, &json!("workspace")));
    assert!(me.reply.header("x-notion-request-id").is_some());
}

#[tokio::test]
async fn a_page_is_made_changed_trashed_and_restored() {
    let world = World::start().await;
    let source = tasks(&world).await;
    let body = json!({"parent": {"type": "data_source_id", "data_source_id": source}, "properties": titled("One")});
    let page = world.notion(Method::POST, "/v1/pages", Some(body)).await;
    assert_eq!((page.status, &page.json["in_trash"]), (200, &json!(false)));
    assert!(page.json["created_time"].as_str().unwrap().ends_with(":00.000Z"));
    let path = format!("/v1/pages/{}", page.json["id"].as_str().unwrap());

    let change = json!({"properties": {"Status": {"select": {"name": "Blocked"}}}});
    let changed = world.notion(Method::PATCH, &path, Some(change)).await.json;
    assert_eq!(changed["properties"]["Status"]["select"]["name"], "Blocked");
    assert_eq!(changed["properties"]["Name"], page.json["properties"]["Name"]);

    let title = json!({"property": "Name", "title": {"equals": "One"}});
    let query = format!("/v1/data_sources/{source}/query");
    let count = async || {
        let found = world.notion(Method::POST, &query, Some(json!({"filter": title}))).await.json;
        found["results"].as_array().unwrap().len()
    };
    assert_eq!(count().await, 1);
    world.notion(Method::PATCH, &path, Some(json!({"in_trash": true}))).await;
    assert_eq!(count().await, 0);
    let refused = world.notion(Method::PATCH, &path, Some(json!({"properties": titled("Two")}))).await;
    assert_eq!(refused.status, 400);
    world.notion(Method::PATCH, &path, Some(json!({"in_trash": false}))).await;
    assert_eq!(count().await, 1);
    let stats = world.sims.stats_of(Api::Notion);
    assert_eq!((stats.writes, stats.operations["pages.trash"], stats.created_by_name["One"]), (4, 1, 1));
}

#[tokio::test]
async fn queries_come_in_pages_and_sorted() {
    let world = World::start().await;
    let path = format!("/v1/data_sources/{}/query", tasks(&world).await);
    let sorts = json!([{"timestamp": "created_time", "direction": "ascending"}]);
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let body = json!({"page_size": 15, "start_cursor": cursor, "sorts": sorts});
        let answer = world.notion(Method::POST, &path, Some(body)).await.json;
        seen.extend(answer["results"].as_array().unwrap().iter().map(|p| p["created_time"].clone().to_string()));
        cursor = answer["next_cursor"].clone();
        if answer["has_more"] == false {
            break;
        }
    }
    assert_eq!(seen.len(), 40);
    assert!(seen.is_sorted());
    let refused = world.notion(Method::POST, &path, Some(json!({"page_size": 101}))).await;
    assert_eq!(refused.json["code"], "validation_error");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let world = World::start().await;
    let parent = json!({"data_source_id": tasks(&world).await});
    let long = "x".repeat(2001);
    for (body, part) in [
        (json!({"parent": parent, "properties": {"Nmae": {"title": []}}}), "Nmae is not a property that exists."),
        (json!({"parent": parent, "properties": {"Name": {"rich_text": []}}}), "Name is expected to be title."),
        (json!({"parent": parent, "properties": titled(&long)}), "instead was `2001`"),
        (json!({"parent": parent, "propertys": {}}), "body.propertys should be not present"),
        (json!({"properties": {}}), "body.parent should be defined"),
    ] {
        let answer = world.notion(Method::POST, "/v1/pages", Some(body)).await;
        assert_eq!((answer.status, &answer.json["code"]), (400, &json!("validation_error")));
        assert!(answer.json["message"].as_str().unwrap().contains(part), "{}", answer.json["message"]);
    }
    let missing = world.notion(Method::GET, "/v1/pages/59833787-2cf9-4fdf-8782-e53db20768a5", None).await;
    assert_eq!((missing.status, &missing.json["code"]), (404, &json!("object_not_found")));
    assert_eq!(world.sims.stats_of(Api::Notion).writes, 0);
}
