//! The few requests the proofs make, with the admin token.

use serde_json::{Value, json};

use super::{Launch, http};

/// Status and JSON body.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// The documented code of a refusal.
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

/// A Trello action that is recognised when it comes again.
pub fn card(id: &str) -> Value {
    json!({
        "id": id, "type": "create", "platform": "trello", "correlationId": id,
        "data": { "name": format!("card {id}"), "listId": "0123456789abcdef01234567" },
    })
}

impl Launch {
    /// A read.
    pub async fn get(&self, path: &str) -> Answer {
        let (status, body) = http::get(self.address, path, Some(&self.token())).await.expect("an answer");
        Answer { status, body: serde_json::from_slice(&body).unwrap_or_default() }
    }

    /// A change.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let (status, body) = http::post(self.address, path, &self.token(), &body.to_string()).await.expect("an answer");
        Answer { status, body: serde_json::from_slice(&body).unwrap_or_default() }
    }

    /// A change that has to work.
    pub async fn change(&self, path: &str, body: Value) {
        let answer = self.post(path, &body).await;
        assert!((200..300).contains(&answer.status), "{path}: {answer:?}");
    }

    /// Submits these actions in one request.
    pub async fn submit(&self, actions: &[Value]) -> Answer {
        self.post("/admin/v1/actions", &json!(actions)).await
    }

    /// Stops taking items from the queue.
    pub async fn pause(&self) {
        self.change("/admin/v1/pauses", json!({ "scope": "queue" })).await;
    }

    /// Goes on.
    pub async fn resume(&self) {
        self.change("/admin/v1/pauses/resume", json!({ "scope": "queue" })).await;
    }

    /// Waiting items.
    pub async fn queued(&self) -> usize {
        let status = self.get("/queue").await;
        let count = status.body["totalQueued"].as_u64().unwrap_or_else(|| panic!("{status:?}"));
        usize::try_from(count).expect("a count")
    }

    /// The status of an action, `absent` when it is unknown.
    pub async fn status_of(&self, id: &str) -> String {
        let answer = self.get(&format!("/admin/v1/actions/{id}")).await;
        match answer.status {
            404 => "absent".to_owned(),
            _ => answer.body["status"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned(),
        }
    }
}
