//! Notion by hand.

use reqwest::Method;
use serde_json::{Value, json};

use super::World;
use crate::sandbox::sim::{Api, Bulk};

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

/// The rows of a source in the order a query gives them, and the last answer.
async fn rows(world: &World, source: &str, query: Value) -> (Vec<Value>, Value) {
    let path = format!("/v1/data_sources/{source}/query");
    let (mut seen, mut body) = (Vec::new(), query);
    loop {
        let answer = world.notion(Method::POST, &path, Some(body.clone())).await.json;
        seen.extend(answer["results"].as_array().unwrap().iter().cloned());
        if answer["has_more"] == false {
            return (seen, answer);
        }
        body["start_cursor"] = answer["next_cursor"].clone();
    }
}

#[tokio::test]
async fn a_query_ends_after_ten_thousand_rows_and_a_window_goes_on() {
    let world = World::start().await;
    let bulk: Bulk = serde_json::from_value(json!({"count": 10_050, "duplicates": 3})).unwrap();
    let made = world.sims.fill(Api::Notion, &bulk).unwrap();
    let source = made["dataSources"][0].as_str().unwrap();
    let oldest = json!([{"timestamp": "created_time", "direction": "ascending"}]);
    let (first, last) = rows(&world, source, json!({"sorts": oldest})).await;
    assert_eq!(first.len(), 10_000);
    assert_eq!(last["request_status"]["incomplete_reason"], "query_result_limit_reached");
    let since = json!({"timestamp": "created_time", "created_time": {"on_or_after": first[9_999]["created_time"]}});
    let (rest, last) = rows(&world, source, json!({"sorts": oldest, "filter": since})).await;
    assert_eq!((rest.len(), rest[0]["id"] == first[9_999]["id"], last.get("request_status")), (51, true, None));
    let title = |page: &Value| page["properties"]["Name"]["title"][0]["plain_text"].as_str().unwrap().to_owned();
    assert_eq!((title(&first[0]), title(&rest[50])), ("Bulk 00001".into(), " BULK  00003".into()));

    // Another order costs more and gives the same rows.
    let by_name = json!([{"property": "Name", "direction": "descending"}]);
    let (sorted, _) = rows(&world, source, json!({"sorts": by_name, "filter": since})).await;
    assert_eq!((sorted.len(), title(&sorted[0])), (51, "Bulk 10047".into()));
    let mixed = json!({"and": [since, {"property": "Name", "title": {"equals": " BULK  00002"}}]});
    assert_eq!(rows(&world, source, json!({"filter": mixed})).await.0.len(), 1);
}

#[tokio::test]
async fn a_database_may_have_several_data_sources() {
    let world = World::start().await;
    let bulk: Bulk = serde_json::from_value(json!({"count": 7, "sources": 2, "title": "Jobs"})).unwrap();
    let made = world.sims.fill(Api::Notion, &bulk).unwrap();
    let database = made["database"].as_str().unwrap();
    let shown = world.notion(Method::GET, &format!("/v1/databases/{database}"), None).await.json;
    assert_eq!(shown["data_sources"][1], json!({"id": made["dataSources"][1], "name": "Jobs 2"}));
    let mut counts = Vec::new();
    for source in made["dataSources"].as_array().unwrap() {
        counts.push(rows(&world, source.as_str().unwrap(), json!({})).await.0.len());
    }
    assert_eq!(counts, [4, 3]);

    let token = format!("Bearer {}", world.var("NOTION_API_KEY"));
    let headers = [("authorization", token.as_str()), ("notion-version", "2022-06-28")];
    let path = format!("/v1/databases/{database}/query");
    let old = world.raw(Api::Notion, Method::POST, &path, &headers, Some(json!({}))).await;
    assert_eq!((old.status, &old.json["code"]), (400, &json!("validation_error")));
    let more = &old.json["additional_data"];
    assert_eq!(more["error_type"], "multiple_data_sources_for_database");
    assert_eq!(more["child_data_source_ids"], made["dataSources"]);
}

#[tokio::test]
async fn pages_carry_comments_and_people_have_names() {
    let world = World::start().await;
    let (found, _) = rows(&world, &tasks(&world).await, json!({"page_size": 1})).await;
    let page = found[0]["id"].as_str().unwrap();
    let text = json!([{"text": {"content": "Seen."}}]);
    let body = json!({"parent": {"page_id": page}, "rich_text": text});
    let first = world.notion(Method::POST, "/v1/comments", Some(body)).await;
    assert_eq!((first.status, &first.json["rich_text"][0]["plain_text"]), (200, &json!("Seen.")));
    let body = json!({"discussion_id": first.json["discussion_id"], "rich_text": text});
    world.notion(Method::POST, "/v1/comments", Some(body)).await;
    let listed = world.notion(Method::GET, &format!("/v1/comments?block_id={page}&page_size=1"), None).await.json;
    assert_eq!((&listed["results"][0], &listed["has_more"]), (&first.json, &json!(true)));
    let nowhere = world.notion(Method::POST, "/v1/comments", Some(json!({"rich_text": text}))).await;
    assert_eq!(nowhere.status, 400);

    let users = world.notion(Method::GET, "/v1/users", None).await.json;
    let ana = &users["results"][0];
    let path = format!("/v1/users/{}", ana["id"].as_str().unwrap());
    assert_eq!(&world.notion(Method::GET, &path, None).await.json, ana);
    assert_eq!(world.notion(Method::GET, &format!("/v1/users/{page}"), None).await.status, 404);
}
