//! A backend in a folder of its own, with a scripted stand-in for the platforms or the simulators.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::calls::{Answer, Calls};
use super::super::store::tests::Folder;
use super::super::{NativeBackend, NativeOptions};
use crate::clock::Clock;
use crate::platforms::undo::{Done, Seen, Undone};
use crate::platforms::{Call, CallOutcome, Credentials, Delivery, Endpoints, Lookup, Platform, PlatformError};
use crate::server::backend::{Backend, ChangeContext, CircuitOps, QueueOps, Refusal, ServiceOps, WorkflowOps};
use crate::server::config::ConfigRegistry;
use crate::server::telemetry::Telemetry;
use crate::wire::*;

/// Longest wait for something that has to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the stand-in does with a call.
pub(crate) enum Act {
    Do,
    Fail(ErrorCode, Delivery, Option<Duration>),
    Panic,
    /// Never answers.
    Hang,
}

/// A stand-in for the platforms: does what the script says, then what is said for the platform, then succeeds.
#[derive(Default)]
pub(crate) struct Script {
    pub next: Mutex<VecDeque<Act>>,
    pub down: Mutex<BTreeMap<Platform, ErrorCode>>,
    pub found: Mutex<Option<Result<Lookup, ErrorCode>>>,
    pub executed: Mutex<Vec<Call>>,
    /// What the next undos come to; they are confirmed when nothing is said.
    pub undoing: Mutex<VecDeque<Result<Undone, ErrorCode>>>,
    /// Undos that were asked for, and whether by force.
    pub undone: Mutex<Vec<(Done, bool)>>,
    /// Whether undos wait until they are let go.
    pub hold_undos: AtomicBool,
    pub looked: Mutex<Vec<Call>>,
    pub signed_in: AtomicUsize,
}

impl Script {
    pub(crate) fn then(&self, act: Act) -> &Self {
        self.next.lock().unwrap().push_back(act);
        self
    }

    pub(crate) fn fail(&self, code: ErrorCode) -> &Self {
        self.then(Act::Fail(code, Delivery::NotDelivered, None))
    }

    pub(crate) fn calls(&self) -> usize {
        self.executed.lock().unwrap().len()
    }
}

impl Calls for Arc<Script> {
    fn prepare<'a>(&'a self, call: &'a Call) -> Answer<'a, Option<Value>> {
        Box::pin(async move { Ok(Some(json!({ "for": call.platform }))) })
    }

    fn execute<'a>(&'a self, call: &'a Call) -> Answer<'a, CallOutcome> {
        Box::pin(async move {
            let number = {
                let mut executed = self.executed.lock().unwrap();
                executed.push(call.clone());
                executed.len()
            };
            let down = self.down.lock().unwrap().get(&call.platform).copied();
            let act = self.next.lock().unwrap().pop_front().unwrap_or(match down {
                Some(code) => Act::Fail(code, Delivery::NotDelivered, None),
                None => Act::Do,
            });
            match act {
                Act::Do => {
                    let mut result = json!({ "id": number, "updatedRange": "Log!A5:B6" });
                    let (name, text) = match call.platform {
                        Platform::Notion => ("pageId", format!("page-{number}")),
                        Platform::Trello => ("cardId", format!("card-{number}")),
                        Platform::Slack => ("ts", format!("{number}.0")),
                        Platform::Drive => ("fileId", format!("file-{number}")),
                        Platform::Sheets => ("spreadsheetId", "s".to_owned()),
                    };
                    result[name] = text.into();
                    Ok(CallOutcome { result, served_by_marker: false })
                }
                Act::Fail(code, delivery, retry_after) => Err(PlatformError {
                    delivery,
                    retry_after,
                    ..PlatformError::new(call.platform, code, "as the script says")
                }),
                Act::Panic => panic!("as the script says"),
                Act::Hang => std::future::pending().await,
            }
        })
    }

    fn find_written<'a>(&'a self, call: &'a Call, _since: Time) -> Answer<'a, Lookup> {
        Box::pin(async move {
            self.looked.lock().unwrap().push(call.clone());
            let found = self.found.lock().unwrap().clone().unwrap_or(Ok(Lookup::Absent));
            found.map_err(|code| PlatformError::new(call.platform, code, "as the script says"))
        })
    }

    fn before<'a>(&'a self, _call: &'a Call) -> Answer<'a, Option<Value>> {
        Box::pin(async { Ok(Some(json!({ "cells": [["old"]], "properties": {} }))) })
    }

    fn undo<'a>(&'a self, done: &'a Done, force: bool, _limit: Duration) -> Answer<'a, Undone> {
        Box::pin(async move {
            self.undone.lock().unwrap().push((done.clone(), force));
            while self.hold_undos.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let next = self.undoing.lock().unwrap().pop_front();
            match next.unwrap_or_else(|| Ok(Undone::Confirmed("as the script says".into()))) {
                Ok(undone) => Ok(undone),
                Err(code) => Err(PlatformError::new(done.platform, code, "as the script says")),
            }
        })
    }

    fn inspect<'a>(&'a self, _done: &'a Done, _limit: Duration) -> Answer<'a, Seen> {
        Box::pin(async { Ok(Seen::Present) })
    }

    fn who_am_i(&self, platform: Platform, _limit: Duration) -> Answer<'_, String> {
        let down = self.down.lock().unwrap().get(&platform).copied();
        Box::pin(async move {
            down.map_or(Ok("bot".into()), |code| Err(PlatformError::new(platform, code, "as the script says")))
        })
    }

    fn set_credentials(&self, _credentials: Credentials) {
        self.signed_in.fetch_add(1, Ordering::Relaxed);
    }

    fn clear_caches(&self) -> BTreeMap<String, u64> {
        BTreeMap::from([("labels".to_owned(), 3)])
    }
}

/// A backend under test.
pub(crate) struct World {
    pub script: Arc<Script>,
    pub clock: Clock,
    pub config: Arc<ConfigRegistry>,
    pub backend: Arc<NativeBackend>,
    /// Removed after everything else.
    _folder: Arc<Folder>,
}

/// Settings under which nothing waits for a limit or a backoff.
pub(crate) const FAST: &[(&str, &str)] = &[
    ("NOTION_RATE_LIMIT", "100000"),
    ("TRELLO_RATE_LIMIT", "100000"),
    ("SLACK_RATE_LIMIT", "100000"),
    ("DRIVE_RATE_LIMIT", "100000"),
    ("SHEETS_RATE_LIMIT", "100000"),
    ("RETRY_INITIAL_DELAY", "1"),
    ("NOTION_API_KEY", "ntn_12345678901abcdefghijklmnopqrstuvwxyz123456789"),
    ("TRELLO_API_KEY", "0123456789abcdef0123456789abcdef"),
    ("TRELLO_TOKEN", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
    ("SLACK_BOT_TOKEN", "xoxb-123456789012-1234567890123-abcdefghijklmnopqrstuvwx"),
    ("GOOGLE_CLIENT_ID", "123-abc.apps.googleusercontent.com"),
    ("GOOGLE_CLIENT_SECRET", "GOCSPX-0123456789abcdefghij"),
    ("GOOGLE_REFRESH_TOKEN", "1//0123456789abcdefghij"),
];

fn environment(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    let all = FAST.iter().chain(settings);
    all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl World {
    /// A started backend with a scripted platform.
    pub(crate) fn start(settings: &[(&str, &str)]) -> World {
        let world = World::opened(Arc::new(Folder::new("native")), Clock::system(), settings);
        world.backend.start();
        world
    }

    /// A backend that executes nothing yet.
    pub(crate) fn opened(folder: Arc<Folder>, clock: Clock, settings: &[(&str, &str)]) -> World {
        let script = Arc::new(Script::default());
        let (options, config) = options(folder.path(), &clock, environment(settings), Endpoints::default());
        let calls = Arc::new(Arc::clone(&script));
        let backend = NativeBackend::open_with(options, |_| calls).unwrap();
        World { script, clock, config, backend, _folder: folder }
    }

    /// What opening a folder fails with.
    pub(crate) fn try_open(folder: &Folder) -> anyhow::Result<()> {
        let (options, _) = options(folder.path(), &Clock::system(), environment(&[]), Endpoints::default());
        NativeBackend::open(options).map(|_| ())
    }

    /// A started backend that talks to real addresses.
    pub(crate) fn on(folder: Arc<Folder>, env: BTreeMap<String, String>, endpoints: Endpoints) -> World {
        let clock = Clock::system();
        let (options, config) = options(folder.path(), &clock, env, endpoints);
        let backend = NativeBackend::open(options).unwrap();
        backend.start();
        World { script: Arc::default(), clock, config, backend, _folder: folder }
    }

    pub(crate) fn queues(&self) -> &dyn QueueOps {
        self.backend.queues().unwrap()
    }

    pub(crate) fn circuits(&self) -> &dyn CircuitOps {
        self.backend.circuits().unwrap()
    }

    pub(crate) fn services(&self) -> &dyn ServiceOps {
        self.backend.services().unwrap()
    }

    pub(crate) fn workflows(&self) -> &dyn WorkflowOps {
        self.backend.workflows().unwrap()
    }

    pub(crate) async fn try_workflow(&self, request: Value) -> Result<WorkflowAccepted, Refusal> {
        self.workflows().submit(serde_json::from_value(request).unwrap(), &cx()).await
    }

    pub(crate) async fn workflow(&self, request: Value) -> String {
        self.try_workflow(request).await.unwrap().workflow_id
    }

    /// Waits until a workflow has a status and its log says the same as its state.
    pub(crate) async fn until_workflow(&self, id: &str, status: WorkflowStatus) -> Workflow {
        let started = Instant::now();
        loop {
            let workflow = self.workflows().get(id).await.unwrap();
            if workflow.status == status {
                let plan = self.workflows().rebuild_plan(id).await.unwrap();
                assert_eq!((plan.differences, plan.version), (vec![], plan.events), "state and log differ");
                return workflow;
            }
            assert!(started.elapsed() < PATIENCE, "{id} is {}, not {status}: {workflow:?}", workflow.status);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Moves the clock ahead.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.set_offset_ms(self.clock.offset_ms() + i64::try_from(by.as_millis()).unwrap());
    }

    pub(crate) async fn try_submit(&self, request: Value) -> Result<Submitted, Refusal> {
        let request = serde_json::from_value(request).unwrap();
        let answer = self.queues().submit(vec![request], &cx()).await?;
        Ok(answer.actions.into_iter().next().unwrap())
    }

    pub(crate) async fn submit(&self, request: Value) -> String {
        self.try_submit(request).await.unwrap().id
    }

    pub(crate) async fn record(&self, id: &str) -> ActionRecord {
        self.queues().action(id).await.unwrap()
    }

    /// Waits until an action has a status.
    pub(crate) async fn until(&self, id: &str, status: ActionStatus) -> ActionRecord {
        let started = Instant::now();
        loop {
            let record = self.record(id).await;
            if record.status == status {
                return record;
            }
            assert!(started.elapsed() < PATIENCE, "{id} is {}, not {status}: {:?}", record.status, record.error);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until something holds.
    pub(crate) async fn until_true(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let started = Instant::now();
        while !holds().await {
            assert!(started.elapsed() < PATIENCE, "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn circuit(&self, platform: Platform) -> Circuit {
        let all = self.circuits().list().await.unwrap();
        all.into_iter().find(|circuit| circuit.status.platform == platform).unwrap()
    }

    pub(crate) async fn pause(&self, scope: PauseScope) {
        assert_eq!(self.queues().pause(scope, &cx()).await.unwrap().effect, EffectKind::Applied);
    }

    pub(crate) async fn resume(&self, scope: PauseScope) {
        let request = PauseRequest { scope, slow_start: false };
        assert_eq!(self.queues().resume(request, &cx()).await.unwrap().effect, EffectKind::Applied);
    }

    pub(crate) async fn view(&self, view: QueueView) -> QueueItems {
        let filter = QueueFilter { view, platform: None, since: None, older_than: None, limit: None };
        self.queues().items(filter).await.unwrap()
    }
}

fn options(
    folder: &Path,
    clock: &Clock,
    env: BTreeMap<String, String>,
    endpoints: Endpoints,
) -> (NativeOptions, Arc<ConfigRegistry>) {
    let config = Arc::new(ConfigRegistry::open(folder, env, clock.clone()).unwrap());
    let options = NativeOptions {
        data_dir: folder.to_owned(),
        clock: clock.clone(),
        config: Arc::clone(&config),
        telemetry: Telemetry::open(folder, clock.clone()).unwrap(),
        endpoints,
        environment: "test".into(),
    };
    (options, config)
}

pub(crate) fn cx() -> ChangeContext {
    ChangeContext { actor: "tok_1 tests".into(), operator: Some("ana".into()), ..ChangeContext::default() }
}

/// A page to create; each has a title of its own, so that none is a duplicate of another.
pub(crate) fn page(title: &str) -> Value {
    json!({"type": "create", "platform": "notion", "data": {"database_id": "d", "title": title}})
}

pub(crate) fn message(text: &str) -> Value {
    json!({"type": "notify", "platform": "slack", "data": {"channel": "#x", "text": text}})
}
