//! What goes on by itself: plausible actions of a small company, over all platforms, each different from the last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::member2::Member2;
use super::record::Traffic;
use super::remote::Remote;
use crate::clock::Clock;
use crate::engine::approval;
use crate::wire::{
    ActionRequest, ActionStatus, ActionType, Platform, Priority, RecentActions, StepRequest, SubmitAnswer, Time,
    WorkflowAccepted, WorkflowRequest,
};

/// The actions of a first start: as many as the platforms' limits let through within two seconds, and a few more than
/// the fifty that have to have run.
const FIRST: [(Platform, usize); 5] = [
    (Platform::Notion, 6),
    (Platform::Trello, 24),
    (Platform::Slack, 3),
    (Platform::Drive, 12),
    (Platform::Sheets, 10),
];
/// One in so many decisions is a workflow.
const WORKFLOW_EVERY: u32 = 12;
/// Between two looks at what the platforms made, to change some of it later.
const LOOK_EVERY: Duration = Duration::from_secs(15);

const WORK: [&str; 12] = [
    "Pay invoice",
    "Review incident",
    "Answer ticket",
    "Call back customer",
    "Check backup",
    "Renew certificate",
    "Order spare part",
    "Prepare release",
    "Triage bug",
    "Plan visit",
    "Approve expense",
    "Update contract",
];
const SOURCES: [&str; 4] = ["email", "slack", "calendar", "api"];
const USERS: [&str; 5] = ["user-101", "user-117", "user-123", "user-123", "user-140"];
const PRIORITIES: [Priority; 10] = [
    Priority::Critical,
    Priority::High,
    Priority::High,
    Priority::Normal,
    Priority::Normal,
    Priority::Normal,
    Priority::Normal,
    Priority::Normal,
    Priority::Low,
    Priority::Low,
];
/// How often each platform is chosen, roughly as the documented limits allow.
const SHARES: [(Platform, u32); 5] = [
    (Platform::Notion, 26),
    (Platform::Trello, 26),
    (Platform::Slack, 14),
    (Platform::Drive, 16),
    (Platform::Sheets, 18),
];

/// Thinks of actions.
#[derive(Debug, Default)]
pub struct Writer {
    /// What the sandbox's environment says: lists and channels.
    env: BTreeMap<String, String>,
    pages: Vec<String>,
    cards: Vec<String>,
}

impl Writer {
    /// One who knows the places of this environment.
    pub fn new(env: BTreeMap<String, String>) -> Self {
        Writer { env, ..Writer::default() }
    }

    /// Remembers what was made, to change it later.
    pub fn learn(&mut self, recent: &RecentActions) {
        let made = |platform, field: &str| {
            let of = recent.actions.iter().filter(|a| {
                a.platform == platform && a.action_type == ActionType::Create && a.fallback_platform.is_none()
            });
            of.filter_map(|a| Some(a.result.as_ref()?.get(field)?.as_str()?.to_owned())).collect::<Vec<_>>()
        };
        self.pages = made(Platform::Notion, "pageId");
        self.cards = made(Platform::Trello, "cardId");
    }

    /// The first batch.
    pub fn first(&self) -> Vec<ActionRequest> {
        let mut batch = Vec::new();
        let most = FIRST.iter().map(|(_, count)| *count).max().unwrap_or(0);
        for round in 0..most {
            for (platform, count) in FIRST {
                if round < count {
                    batch.push(self.action(platform));
                }
            }
        }
        batch
    }

    /// Any action.
    pub fn next(&self) -> ActionRequest {
        let whole: u32 = SHARES.iter().map(|(_, share)| share).sum();
        let mut drawn = fastrand::u32(0..whole);
        for (platform, share) in SHARES {
            if drawn < share {
                return self.action(platform);
            }
            drawn -= share;
        }
        self.action(Platform::Trello)
    }

    /// A workflow.
    pub fn workflow(&self) -> WorkflowRequest {
        workflow(&Invoice {
            number: fastrand::u32(100_000..1_000_000),
            correlation_id: signal(),
            channel: None,
            approval: false,
        })
    }

    /// An action for one platform.
    pub fn action(&self, platform: Platform) -> ActionRequest {
        let user = pick(&USERS);
        let matter = format!("{} {}", pick(&WORK), fastrand::u32(100_000..1_000_000));
        let (action_type, data) = self.what(platform, &matter, user);
        ActionRequest {
            id: None,
            action_type,
            platform,
            priority: pick(&PRIORITIES),
            data,
            correlation_id: Some(signal()),
            user_id: Some(user.to_owned()),
            source: Some(pick(&SOURCES).to_owned()),
            workflow_id: None,
            timeout: None,
            retry_config: None,
            idempotency_key: None,
            requires_approval: false,
            approval_timeout: None,
            tags: vec!["sandbox".into()],
        }
    }

    fn what(&self, platform: Platform, matter: &str, user: &str) -> (ActionType, Value) {
        let dice = fastrand::u32(0..10);
        let list = |name: &str| self.env.get(name).cloned();
        match platform {
            Platform::Notion => match (dice, self.pages.is_empty()) {
                (0, false) => {
                    (ActionType::Update, json!({"page_id": pick_of(&self.pages), "properties": {"Status": "Done"}}))
                }
                (1, false) => (
                    ActionType::Log,
                    json!({"page_id": pick_of(&self.pages), "text": format!("{matter}: noted for {user}")}),
                ),
                _ => (
                    ActionType::Create,
                    json!({"title": matter, "properties": {"Status": "To do", "Priority": pick(&["High", "Normal", "Low"])}}),
                ),
            },
            Platform::Trello => match (dice, self.cards.is_empty(), list("TRELLO_IN_PROGRESS_LIST")) {
                (0 | 1, false, Some(list)) => {
                    (ActionType::Update, json!({"cardId": pick_of(&self.cards), "listId": list}))
                }
                (2, false, _) => (
                    ActionType::Log,
                    json!({"cardId": pick_of(&self.cards), "text": format!("{matter}: noted for {user}")}),
                ),
                _ => (ActionType::Create, json!({"name": matter, "desc": format!("Asked for by {user}")})),
            },
            Platform::Slack => (ActionType::Notify, json!({"text": format!("{matter} is taken by {user}")})),
            Platform::Drive => {
                let name = format!("{}.txt", matter.to_lowercase().replace(' ', "-"));
                (
                    ActionType::File,
                    json!({"name": name, "content": format!("{matter}\nFor {user}\n"), "mimeType": "text/plain"}),
                )
            }
            Platform::Sheets => {
                (ActionType::Log, json!({"values": [[format!("{}", fastrand::u32(1000..10_000)), matter, user]]}))
            }
        }
    }
}

/// The id of a signal that asked for something.
fn signal() -> String {
    format!("sig-{:012x}", fastrand::u64(..) >> 16)
}

/// An invoice to file, to note, and to tell about.
#[derive(Clone, Debug)]
pub(super) struct Invoice {
    pub(super) number: u32,
    pub(super) correlation_id: String,
    /// Where to tell about it; the usual channel when absent.
    pub(super) channel: Option<String>,
    /// Whether somebody has to approve that it is told.
    pub(super) approval: bool,
}

impl Invoice {
    /// The id of its workflow.
    pub(super) fn id(&self) -> String {
        format!("invoice-{:03}", self.number)
    }
}

/// What is done with an invoice: a file on Drive, a row that names it, a message.
pub(super) fn workflow(invoice: &Invoice) -> WorkflowRequest {
    let (id, number) = (invoice.id(), format!("INV-{:03}", invoice.number));
    let user = pick(&USERS);
    let step = |id: &str, action_type, platform, data| StepRequest {
        id: id.to_owned(),
        name: None,
        action_type,
        platform,
        data,
        depends_on: None,
        optional: false,
        timeout: None,
        retries: None,
        requires_approval: false,
    };
    let mut message = json!({"text": format!("Invoice {number} is filed for {user}")});
    if let Some(channel) = &invoice.channel {
        message["channel"] = json!(channel);
    }
    let file = json!({"name": format!("{id}.txt"), "content": format!("Invoice {number}\n"), "mimeType": "text/plain"});
    let notify = step("notify", ActionType::Notify, Platform::Slack, message);
    WorkflowRequest {
        id: Some(id.clone()),
        name: format!("Invoice {number}"),
        description: Some("File an invoice, note it, tell about it".into()),
        steps: vec![
            step("create_file", ActionType::File, Platform::Drive, file),
            step(
                "update_sheet",
                ActionType::Create,
                Platform::Sheets,
                json!({"values": [["$number", "Invoice", "$create_file.fileId"]]}),
            ),
            StepRequest { requires_approval: invoice.approval, ..notify },
        ],
        transactional: true,
        priority: Priority::High,
        idempotency_key: Some(id),
        correlation_id: Some(invoice.correlation_id.clone()),
        user_id: Some(user.to_owned()),
        metadata: serde_json::Map::from_iter([("number".to_owned(), Value::from(number))]),
        timeout: None,
    }
}

fn pick<T: Copy>(from: &[T]) -> T {
    from[fastrand::usize(..from.len())]
}

fn pick_of(from: &[String]) -> &str {
    &from[fastrand::usize(..from.len())]
}

/// What the traffic is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) traffic: Traffic,
    /// Where to; `None` while there is nobody.
    pub(super) admin: Option<Remote>,
}

/// Submits until the sender of `wanted` goes away. An orchestrator that refuses or is gone is not asked twice: what
/// could not be submitted is lost, as it would be with real senders that have no memory.
pub(super) async fn run(mut writer: Writer, mut wanted: watch::Receiver<Wanted>, log: Arc<Member2>, clock: Clock) {
    let mut looked: Option<tokio::time::Instant> = None;
    loop {
        let Wanted { traffic, admin } = wanted.borrow_and_update().clone();
        let mean = 60_000.0 / f64::from(traffic.per_minute.max(1));
        let pause = Duration::from_millis((mean * (0.5 + fastrand::f64())) as u64);
        tokio::select! {
            changed = wanted.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            () = tokio::time::sleep(pause), if traffic.on && admin.is_some() => {}
        }
        let Some(admin) = admin else { continue };
        if looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            looked = Some(tokio::time::Instant::now());
            if let Ok(recent) = admin.get::<RecentActions>("/api/actions/recent?status=success&limit=50").await {
                writer.learn(&recent);
            }
        }
        // What it decided is in its log whether anybody listens or not.
        if fastrand::u32(0..WORKFLOW_EVERY) == 0 {
            let _ = submit_workflow(&admin, &log, clock.now(), &writer.workflow()).await;
        } else {
            let _ = submit(&admin, &log, clock.now(), vec![writer.next()]).await;
        }
    }
}

/// Submits actions, and logs them as decided. A few at a time: more for one platform in one request would wait for a
/// person's approval.
pub(super) async fn submit(
    admin: &Remote,
    log: &Member2,
    now: Time,
    actions: Vec<ActionRequest>,
) -> anyhow::Result<SubmitAnswer> {
    log.decided(now, &actions);
    let mut all = SubmitAnswer { actions: Vec::with_capacity(actions.len()) };
    for few in actions.chunks(approval::BULK) {
        all.actions.extend(admin.post::<SubmitAnswer>("/admin/v1/actions", &few).await?.actions);
    }
    Ok(all)
}

/// Submits a workflow, and logs it as decided.
pub(super) async fn submit_workflow(
    admin: &Remote,
    log: &Member2,
    now: Time,
    workflow: &WorkflowRequest,
) -> anyhow::Result<WorkflowAccepted> {
    log.decided_workflow(now, workflow);
    admin.post("/admin/v1/workflows", workflow).await
}

/// How many actions have succeeded so far.
pub(super) async fn succeeded(admin: &Remote) -> anyhow::Result<u64> {
    let path = format!("/api/actions/recent?status={}&limit=1", ActionStatus::Success);
    Ok(admin.get::<RecentActions>(&path).await?.total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_valid_and_none_repeats() {
        let writer = Writer {
            env: BTreeMap::from([("TRELLO_IN_PROGRESS_LIST".to_owned(), "l".to_owned())]),
            pages: vec!["p".into()],
            cards: vec!["c".into()],
        };
        let mut seen = std::collections::HashSet::new();
        for action in writer.first().into_iter().chain((0..200).map(|_| writer.next())) {
            crate::platforms::validate(action.platform, action.action_type, &action.data).unwrap();
            assert!(seen.insert((action.correlation_id.clone(), action.data.to_string())));
        }
    }

    #[test]
    fn the_first_batch_has_all_platforms_and_more_than_fifty() {
        let batch = Writer::default().first();
        assert!(batch.len() > 50);
        for platform in Platform::ALL {
            assert!(batch.iter().any(|a| a.platform == *platform), "{platform}");
        }
    }
}
