//! Drive by hand.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, World};
use crate::sandbox::sim::Api;

const ALL: &str = "supportsAllDrives=true&includeItemsFromAllDrives=true";

struct Drive {
    world: World,
    token: String,
}

impl Drive {
    async fn start() -> Self {
        let world = World::start().await;
        let token = world.access_token().await;
        Drive { world, token }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.world.as_google(&self.token, Api::Drive, method, &format!("/drive/v3/{path}"), body).await
    }

    async fn names(&self, q: &str) -> Vec<String> {
        let q = q.replace(' ', "%20");
        let list = self.ask(Method::GET, &format!("files?{ALL}&orderBy=name&q={q}"), None).await.json;
        list["files"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn an_id_made_beforehand_makes_one_file() {
    let drive = Drive::start().await;
    let ids = drive.ask(Method::GET, "files/generateIds?count=2", None).await.json["ids"].clone();
    let folder = drive.world.var("GOOGLE_DRIVE_ROOT_FOLDER_ID");
    let body = json!({"id": ids[0], "name": "One", "parents": [folder], "appProperties": {"opsctl": "k-1"}});
    let path = "files?supportsAllDrives=true";
    assert_eq!(drive.ask(Method::POST, path, Some(body.clone())).await.status, 200);
    let again = drive.ask(Method::POST, path, Some(body)).await;
    assert_eq!((again.status, &again.json["error"]["errors"][0]["reason"]), (409, &json!("fileIdInUse")));
    let invented = json!({"id": "1Invented", "name": "Two"});
    assert_eq!(drive.ask(Method::POST, path, Some(invented)).await.status, 400);
    assert_eq!(drive.names("appProperties has { key='opsctl' and value='k-1' }").await, ["One"]);
    assert_eq!(drive.world.sims.stats_of(Api::Drive).created_by_marker["k-1"], 1);
}

#[tokio::test]
async fn a_file_is_moved_trashed_restored_and_deleted() {
    let drive = Drive::start().await;
    let root = drive.world.var("GOOGLE_DRIVE_ROOT_FOLDER_ID").to_owned();
    let folder =
        |name: &str| json!({"name": name, "mimeType": "application/vnd.google-apps.folder", "parents": [root]});
    let path = "files?supportsAllDrives=true&fields=id,parents";
    let a = drive.ask(Method::POST, path, Some(folder("A"))).await.json["id"].as_str().unwrap().to_owned();
    let b = drive.ask(Method::POST, path, Some(folder("B"))).await.json["id"].as_str().unwrap().to_owned();
    let file = json!({"name": "F", "parents": [a]});
    let file = drive.ask(Method::POST, path, Some(file)).await.json["id"].as_str().unwrap().to_owned();
    let at = |more: &str| format!("files/{file}?supportsAllDrives=true&fields=parents,trashed,explicitlyTrashed{more}");

    let second = drive.ask(Method::PATCH, &at(&format!("&addParents={b}")), Some(json!({}))).await;
    assert_eq!(second.json["error"]["errors"][0]["reason"], "cannotAddParent");
    let moved = drive.ask(Method::PATCH, &at(&format!("&addParents={b}&removeParents={a}")), Some(json!({}))).await;
    assert_eq!(moved.json["parents"], json!([b]));

    // The trash of a folder holds what is in it.
    let trash = format!("files/{b}?supportsAllDrives=true");
    drive.ask(Method::PATCH, &trash, Some(json!({"trashed": true}))).await;
    let inside = drive.ask(Method::GET, &at(""), None).await.json;
    assert_eq!((&inside["trashed"], &inside["explicitlyTrashed"]), (&json!(true), &json!(false)));
    assert_eq!(drive.names("name = 'F' and trashed = false").await.len(), 0);
    drive.ask(Method::PATCH, &trash, Some(json!({"trashed": false}))).await;
    assert_eq!(drive.names("name = 'F' and trashed = false").await, ["F"]);
    assert_eq!(drive.ask(Method::DELETE, &trash, None).await.status, 204);
    assert_eq!(drive.ask(Method::GET, &at(""), None).await.status, 404);
    assert_eq!(drive.world.sims.stats_of(Api::Drive).operations["files.trash"], 1);
}

#[tokio::test]
async fn shared_files_need_to_be_asked_for_and_fields_too() {
    let drive = Drive::start().await;
    let root = drive.world.var("GOOGLE_DRIVE_ROOT_FOLDER_ID").to_owned();
    let hidden = drive.ask(Method::GET, &format!("files/{root}"), None).await;
    assert_eq!((hidden.status, &hidden.json["error"]["errors"][0]["reason"]), (404, &json!("notFound")));
    let seen = drive.ask(Method::GET, &format!("files/{root}?supportsAllDrives=true"), None).await.json;
    assert_eq!(seen.as_object().unwrap().keys().collect::<Vec<_>>(), ["kind", "id", "name", "mimeType"]);
    let all = drive.ask(Method::GET, "files?pageSize=1000", None).await.json;
    assert_eq!(all["files"], json!([]));
    assert_eq!(drive.ask(Method::GET, "about", None).await.status, 400);
    let odd = drive.ask(Method::GET, &format!("files?{ALL}&q=colour%20=%20'red'"), None).await;
    assert_eq!((odd.status, &odd.json["error"]["errors"][0]["location"]), (400, &json!("q")));
    let typo = drive.ask(Method::GET, &format!("files?{ALL}&fields=files(nmae)"), None).await;
    assert_eq!(typo.status, 400);

    drive.world.sims.refuse_own_storage(true);
    let refused = drive.ask(Method::POST, "files", Some(json!({"name": "Mine"}))).await;
    assert_eq!(refused.json["error"]["errors"][0]["reason"], "storageQuotaExceeded");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let drive = Drive::start().await;
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("files?{ALL}&pageSize=5&orderBy=createdTime{token}");
        let page = drive.ask(Method::GET, &path, None).await.json;
        names.extend(page["files"].as_array().unwrap().iter().map(|f| f["id"].to_string()));
        match page["nextPageToken"].as_str() {
            Some(next) => token = format!("&pageToken={next}"),
            None => break,
        }
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 14);
}
