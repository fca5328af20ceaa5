//! Single objects, read before something is done to them.

use serde_json::Value;

use super::sheets_row::{self, Row, Tab};
use super::{Clients, Platform, PlatformError, drive, notion, trello};

/// What tells whether a file can be moved to the trash, and whose it is.
pub const OWNER_FIELDS: &str =
    "id,name,trashed,ownedByMe,driveId,owners(emailAddress,displayName),capabilities(canTrash)";

impl Clients {
    /// A page of Notion.
    pub async fn notion_page(&self, id: &str) -> Result<Value, PlatformError> {
        self.patiently(Platform::Notion, async |session| Ok(notion::page(session, id).await?)).await
    }

    /// A card of Trello with these fields.
    pub async fn trello_card(&self, id: &str, fields: &str) -> Result<Value, PlatformError> {
        self.patiently(Platform::Trello, async |session| Ok(trello::card_with(session, id, fields).await?)).await
    }

    /// A file of Drive with these fields.
    pub async fn drive_file(&self, id: &str, fields: &str) -> Result<Value, PlatformError> {
        self.patiently(Platform::Drive, async |session| Ok(drive::get_with(session, id, fields).await?)).await
    }

    /// A spreadsheet's title and tabs.
    pub async fn sheet_tabs(&self, id: &str) -> Result<(String, Vec<Tab>), PlatformError> {
        self.patiently(Platform::Sheets, async |session| Ok(sheets_row::tabs(session, id).await?)).await
    }

    /// A row of a tab, and the one below.
    pub async fn sheet_row(&self, id: &str, tab: &Tab, number: u64) -> Result<Row, PlatformError> {
        self.patiently(Platform::Sheets, async |session| Ok(sheets_row::read(session, id, tab, number).await?)).await
    }
}
