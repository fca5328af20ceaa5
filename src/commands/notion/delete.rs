//! `opsctl notion delete`.

use clap::Args;
use serde_json::{Value, json};

use crate::app::App;
use crate::bulk::{Deed, Item, Job};
use crate::commands::args::already;
use crate::commands::text;
use crate::error::Outcome;
use crate::guard::{ChangeArgs, Undo};
use crate::platforms::look::fingerprint;
use crate::platforms::{NotionId, Platform};
use crate::wire::ActionType;

/// Move a page to the trash
///
/// Notion's API deletes nothing for good: the page goes to the trash with everything under it, for 30 days. `opsctl undo
/// RECEIPT` brings it back, and so does Notion's own trash.
///
/// Example: opsctl notion delete 1f0c2b3a4d5e6f708192a3b4c5d6e7f8
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// Page: its id or address
    #[arg(value_name = "PAGE")]
    page: NotionId,

    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn delete(app: &App, args: DeleteArgs) -> anyhow::Result<Outcome> {
    let clients = app.paced().await?;
    let id = args.page.as_str();
    let page = match clients.notion_page(id).await {
        Ok(page) => page,
        Err(error) => return Err(super::duplicates::cannot_read(&clients, "page", &args.page, error).await),
    };
    let title = title_of(&page);
    if page["in_trash"] == true || page["archived"] == true {
        return already(app, format!("`{title}` is in the trash already"));
    }
    let under = clients
        .notion_pages_under(id)
        .await
        .map_err(|error| error.fault(format!("cannot tell what is under the page {id}")))?;
    let item = Item::new(id, Deed::act(Platform::Notion, ActionType::Delete, json!({"page_id": id})))
        .named(&title)
        .sends(format!("PATCH /v1/pages/{id} in_trash=true"))
        .because(page["url"].as_str().unwrap_or_default())
        .seen(fingerprint(Platform::Notion, &page))
        .undo(Undo::Restore);
    let mut job = Job::new("notion delete", "move 1 page to the trash", &args.change)
        .subject(format!("notion page {id}"))
        .note("Notion keeps the trash for 30 days; undo brings the page back")
        .items(vec![item]);
    if under > 0 {
        job = job.note(format!("{} under it goes to the trash with it", text::counted(under as u64, "page", "pages")));
    }
    job.run(app).await
}

/// A page's title, from whichever property holds it.
fn title_of(page: &Value) -> String {
    let properties = page["properties"].as_object().into_iter().flatten();
    let title = properties.map(|(_, p)| p).find(|p| p["type"] == "title");
    let parts = title.and_then(|p| p["title"].as_array()).into_iter().flatten();
    let text: String = parts.filter_map(|part| part["plain_text"].as_str()).collect();
    if text.trim().is_empty() { "untitled".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_a_title_has_a_name_all_the_same() {
        let page = |text: &str| json!({"properties": {"Name": {"type": "title", "title": [{"plain_text": text}]}}});
        assert_eq!((title_of(&page("Pay")), title_of(&page(" "))), ("Pay".into(), "untitled".into()));
    }
}
