//! Comments: those of a page, oldest first, and new ones.

use serde_json::{Value, json};

use super::props::{known_members, rich_text};
use super::rows::minute;
use super::shapes::user;
use super::{Notion, dashed, invalid, list, page_of_call};
use crate::sandbox::sim::api::{Call, Created, Reply};
use crate::wire::Time;

impl Notion {
    /// The comments on a page. Those inside its text belong to blocks, which nobody can comment on here.
    pub(super) fn comments(&self, call: &Call) -> Result<Value, Reply> {
        let wanted = call.arg("block_id").ok_or_else(|| {
            invalid("query failed validation: query.block_id should be defined, instead was `undefined`.")
        })?;
        let page = self.known_page(wanted)?;
        let comments = self.comments.get(&page).map(Vec::as_slice).unwrap_or_default();
        let ids: Vec<String> = comments.iter().map(|c| c["id"].as_str().unwrap_or_default().to_owned()).collect();
        let (range, next) = page_of_call(&ids, call)?;
        Ok(list(&comments[range], next, "comment"))
    }

    /// A comment on a page, or an answer in a discussion there.
    pub(super) fn comment(&mut self, body: &Value, now: Time) -> Result<Reply, Reply> {
        known_members(body, &["parent", "discussion_id", "rich_text", "attachments", "display_name", "markdown"])?;
        let items = rich_text("rich_text", &body["rich_text"])?;
        let (page, discussion) = match (body["parent"]["page_id"].as_str(), body["discussion_id"].as_str()) {
            (Some(page), None) => (self.known_page(page)?, self.ids.uuid()),
            (None, Some(discussion)) => {
                let id = dashed(discussion)?;
                let known = self.comments.iter().find(|(_, all)| all.iter().any(|c| c["discussion_id"] == id.as_str()));
                let page = known.map(|(page, _)| page.clone());
                (page.ok_or_else(|| super::not_found("discussion", &id))?, id)
            }
            _ => {
                return Err(invalid(
                    "body failed validation: one of body.parent and body.discussion_id should be defined.",
                ));
            }
        };
        let text: String = items.iter().filter_map(|item| item["plain_text"].as_str()).collect();
        let comment = json!({
            "object": "comment",
            "id": self.ids.uuid(),
            "parent": {"type": "page_id", "page_id": page},
            "discussion_id": discussion,
            "created_time": minute(now),
            "last_edited_time": minute(now),
            "created_by": user(&self.bot),
            "rich_text": items,
            "display_name": {"type": "integration", "resolved_name": "Orchestrator"},
        });
        self.comments.entry(page).or_default().push(comment.clone());
        Ok(Reply::ok(&comment).created(Created { name: text, markers: Vec::new() }))
    }
}
