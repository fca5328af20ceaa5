//! What is in the workspace at first: tasks with a few duplicates, notes, and projects that point to tasks.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Database, Notion, Page, Source, props};
use crate::sandbox::sim::bulk::Bulk;
use crate::wire::Time;

/// Titles of the tasks; the last six repeat earlier ones in another case or spacing.
const TASKS: [&str; 40] = [
    "Pay invoice 1042",
    "Pay invoice 1043",
    "Renew TLS certificate of api.example.com",
    "Review incident 2291",
    "Rotate the database password",
    "Order two spare disks",
    "Update the on-call calendar",
    "Close accounts of former staff",
    "Upgrade the load balancer",
    "Write the March status report",
    "Fix login error 500 on mobile",
    "Answer the auditors' questions",
    "Clean up unused snapshots",
    "Prepare the quarterly review",
    "Check backups of the wiki",
    "Move the mailing list",
    "Test the failover of queue-2",
    "Document the release process",
    "Triage new bug reports",
    "Pay invoice 1044",
    "Replace the monitoring probe",
    "Plan the office move",
    "Renew the domain example.org",
    "Invite the new colleague",
    "Review firewall rules",
    "Collect travel receipts",
    "Update the disaster plan",
    "Tune the slow search query",
    "Archive last year's projects",
    "Check licence counts",
    "Add an alert for disk space",
    "Follow up on ticket 5512",
    "Translate the help pages",
    "Migrate the build server",
    "Pay invoice 1042",
    "pay invoice 1042",
    "Review  incident 2291",
    "Review incident 2291",
    "Renew the domain example.org",
    "Follow up on ticket 5512",
];

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Notion {
    /// Fills an empty workspace.
    pub(crate) fn furnish(&mut self, now: Time) {
        let home = self.add_page(None, String::new(), &json!({"title": "Operations"}), now.minus(DAY * 400));
        let tasks = self.add_database(&home, "Tasks", &task_schema(), now.minus(DAY * 400));
        let notes = self.add_database(&home, "Meeting notes", &note_schema(), now.minus(DAY * 380));
        let projects = self.add_database(
            &home,
            "Projects",
            &project_schema(&self.sources[&tasks].database, &tasks),
            now.minus(DAY * 370),
        );
        let statuses = ["To do", "In progress", "Done"];
        let priorities = ["High", "Normal", "Low"];
        let mut ids = Vec::new();
        for (n, title) in TASKS.iter().enumerate() {
            let age = DAY * u32::try_from(TASKS.len() - n).unwrap_or(1) * 3 / 4;
            let properties = json!({
                "Name": {"title": [{"text": {"content": title}}]},
                "Status": {"select": {"name": statuses[n % 3]}},
                "Priority": {"select": {"name": priorities[n % 3]}},
            });
            ids.push(self.add_page(Some(&tasks), String::new(), &properties, now.minus(age)));
        }
        for title in ["Weekly operations meeting", "Post-mortem of incident 2291", "Supplier call"] {
            let properties = json!({"Title": {"title": [{"text": {"content": title}}]}});
            let id = self.add_page(Some(&notes), String::new(), &properties, now.minus(DAY * 9));
            let text = json!([{"paragraph": {"rich_text": [{"text": {"content": "Present: Ana, Ben, Chen."}}]}}]);
            let _ = self.append(&id, &text, now.minus(DAY * 9));
        }
        // One duplicate is pointed to by a project and one has a page under it: neither may be removed unseen.
        let properties = json!({
            "Name": {"title": [{"text": {"content": "Reliability"}}]},
            "Tasks": {"relation": [{"id": ids[37]}, {"id": ids[4]}]},
        });
        self.add_page(Some(&projects), String::new(), &properties, now.minus(DAY * 20));
        self.add_page(None, ids[39].clone(), &json!({"title": "Mail from the customer"}), now.minus(DAY));
        let link = json!([{"type": "child_page", "child_page": {"title": "Mail from the customer"}}]);
        let _ = self.append(&ids[39], &link, now.minus(DAY));
    }

    fn add_database(&mut self, home: &str, title: &str, schema: &Value, created: Time) -> String {
        let (id, source) = (self.ids.uuid(), self.ids.uuid());
        let database = Database { title: title.into(), sources: Vec::new(), parent: home.into(), created };
        self.databases.insert(id.clone(), database);
        self.add_source(&id, source.clone(), title, schema, created);
        source
    }

    fn add_source(&mut self, database: &str, id: String, title: &str, schema: &Value, created: Time) {
        let mut named = Map::new();
        for (name, property) in schema.as_object().into_iter().flatten() {
            let id = if property["type"] == "title" { "title".to_owned() } else { self.ids.alnum(4) };
            let mut property = property.clone();
            property["id"] = json!(id);
            property["name"] = json!(name);
            property["description"] = Value::Null;
            named.insert(name.clone(), property);
        }
        let rows = Source { database: database.into(), title: title.into(), created, schema: named, pages: Vec::new() };
        self.sources.insert(id.clone(), rows);
        if let Some(database) = self.databases.get_mut(database) {
            database.sources.push(id);
        }
    }

    /// A database of `count` rows, made `apart` one after the other up to `now` and dealt out to `sources` data sources.
    /// The last `duplicates` rows repeat the titles of the first, in another case and spacing.
    pub(crate) fn fill(&mut self, bulk: &Bulk, now: Time) -> Value {
        let created = now.minus(bulk.age());
        let home = self.add_page(None, String::new(), &json!({"title": bulk.title}), created);
        let schema = json!({"Name": {"type": "title", "title": {}}, "Due": {"type": "date", "date": {}}});
        let first = self.add_database(&home, &bulk.title, &schema, created);
        let database = self.sources[&first].database.clone();
        for n in 1..bulk.sources {
            let id = self.ids.uuid();
            self.add_source(&database, id, &format!("{} {}", bulk.title, n + 1), &schema, created);
        }
        let sources = self.databases[&database].sources.clone();
        for (n, source) in (0..bulk.count).zip(sources.iter().cycle()) {
            let properties = json!({"Name": {"title": [{"text": {"content": bulk.name(n)}}]}});
            self.add_page(Some(source), String::new(), &properties, bulk.made(n, now));
        }
        json!({"database": database, "dataSources": sources})
    }

    /// A row of `source`, or a page under another.
    fn add_page(&mut self, source: Option<&str>, parent_page: String, properties: &Value, created: Time) -> String {
        let properties = match source {
            Some(source) => self.row(source, properties, None),
            None => props::title_only(&json!({"title": [{"text": {"content": properties["title"]}}]})),
        };
        let id = self.ids.uuid();
        let page = Page::new(source.map(str::to_owned), parent_page, properties.unwrap_or_default(), created);
        self.put(id.clone(), page);
        id
    }

    /// Where the orchestrator puts things.
    pub(crate) fn defaults(&self) -> Vec<(&'static str, String)> {
        let named = |title: &str| self.databases.iter().find(|(_, d)| d.title == title).map(|(id, _)| id.clone());
        named("Tasks").map(|id| ("NOTION_DATABASE_ID", id)).into_iter().collect()
    }
}

fn options(names: &[(&str, &str)]) -> Value {
    let options: Vec<Value> = names
        .iter()
        .map(|(name, color)| json!({"id": name.to_lowercase().replace(' ', "-"), "name": name, "color": color, "description": null}))
        .collect();
    json!({"options": options})
}

fn task_schema() -> Value {
    json!({
        "Name": {"type": "title", "title": {}},
        "Status": {
            "type": "select",
            "select": options(&[("To do", "red"), ("In progress", "yellow"), ("Done", "green")]),
        },
        "Priority": {
            "type": "select",
            "select": options(&[("High", "red"), ("Normal", "blue"), ("Low", "gray")]),
        },
        "Due Date": {"type": "date", "date": {}},
        "Assignee": {"type": "people", "people": {}},
        "Notes": {"type": "rich_text", "rich_text": {}},
        "Idempotency Key": {"type": "rich_text", "rich_text": {}},
    })
}

/// Without a property for a key: what is created here can only be found again by its title.
fn note_schema() -> Value {
    json!({"Title": {"type": "title", "title": {}}, "Date": {"type": "date", "date": {}}})
}

fn project_schema(database: &str, tasks: &str) -> Value {
    json!({
        "Name": {"type": "title", "title": {}},
        "Tasks": {
            "type": "relation",
            "relation": {"database_id": database, "data_source_id": tasks, "type": "single_property", "single_property": {}},
        },
    })
}
