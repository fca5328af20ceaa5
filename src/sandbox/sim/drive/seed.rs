//! What is in the drives at first.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use serde_json::json;

use super::{Drive, FOLDER, File};
use crate::wire::Time;

impl Drive {
    /// Fills empty drives. `spreadsheet` is the id of the log, which shows up as a file too.
    pub(crate) fn furnish(&mut self, spreadsheet: &str, now: Time) {
        let day = Duration::from_secs(24 * 3600);
        let home = self.shared_drive.clone();
        let root = self.put("Orchestrator", FOLDER, &home, "", now.minus(day * 300), None);
        for (folder, files) in [
            ("Invoices", &["Invoice 1042.txt", "Invoice 1043.txt", "Invoice 1044.txt"][..]),
            ("Reports", &["March report.txt", "April report.txt"][..]),
            ("Meeting notes", &["Weekly meeting.txt"][..]),
            ("Archive", &["Old contract.txt", "Invoice 1042.txt"][..]),
        ] {
            let parent = self.put(folder, FOLDER, &root, "", now.minus(day * 299), None);
            for (n, file) in (1_u32..).zip(files) {
                self.put(file, "text/plain", &parent, &format!("This is {file}.\n"), now.minus(day * (40 - n)), None);
            }
        }
        let kind = "application/vnd.google-apps.spreadsheet";
        self.put("Operations log", kind, &root, "", now.minus(day * 200), Some(spreadsheet));
    }

    fn put(&mut self, name: &str, kind: &str, parent: &str, content: &str, at: Time, id: Option<&str>) -> String {
        let id = id.map_or_else(|| self.ids.drive(), str::to_owned);
        let digest = ring::digest::digest(&ring::digest::SHA256, content.as_bytes());
        let file = File {
            name: name.into(),
            mime_type: kind.into(),
            description: None,
            parent: parent.into(),
            trashed: None,
            created: at,
            modified: at,
            app_properties: BTreeMap::new(),
            permissions: vec![json!({
                "kind": "drive#permission", "id": self.permission_id, "type": "user", "role": "fileOrganizer",
                "emailAddress": self.account,
            })],
            content: (kind == "text/plain")
                .then(|| base64::engine::general_purpose::STANDARD.encode(content.as_bytes())),
            size: content.len() as u64,
            sha256: digest.as_ref().iter().map(|b| format!("{b:02x}")).collect(),
        };
        self.files.insert(id.clone(), file);
        id
    }

    /// Where the orchestrator puts things.
    pub(crate) fn defaults(&self) -> Vec<(&'static str, String)> {
        let root = self.files.iter().find(|(_, f)| f.name == "Orchestrator" && f.parent == self.shared_drive);
        root.map(|(id, _)| ("GOOGLE_DRIVE_ROOT_FOLDER_ID", id.clone())).into_iter().collect()
    }
}
