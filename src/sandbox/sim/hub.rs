//! What all simulators share, and the way of a request through them: fault, credential, limit, state, answer.

use std::collections::BTreeMap;
use std::future::pending;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use tokio::sync::watch;

use super::api::{Api, Call, Operation, Reply};
use super::door::{Connection, Door, lock};
use super::drive::{self, Drive};
use super::faults::{Fault, Faults};
use super::google;
use super::keys::{Caller, Keys};
use super::limits::{Charge, Exceeded, LimitSettings, Windows};
use super::notion::{self, Notion};
use super::pagerduty::{self, PagerDuty};
use super::sheets::{self, Sheets};
use super::slack::{self, Slack};
use super::stats::Stats;
use super::status::{self, Feeds};
use super::trello::{self, Trello};
use crate::clock::Clock;
use crate::wire::Time;

/// Longest request body, in bytes.
const BODY: usize = 32 * 1024 * 1024;

/// Why a platform turns a request away, whatever it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Unauthorized,
    Forbidden,
    Limited(Exceeded),
    Server(u16),
}

/// Everything the listeners share.
pub(super) struct Hub {
    pub(super) clock: Clock,
    pub(super) seed: u64,
    /// Milliseconds that each answer takes, at least and at most.
    pub(super) latency: Mutex<RangeInclusive<u64>>,
    pub(super) limits: Mutex<LimitSettings>,
    pub(super) windows: Mutex<Windows>,
    pub(super) faults: Mutex<Faults>,
    pub(super) stats: Mutex<Stats>,
    pub(super) keys: Mutex<Keys>,
    pub(super) notion: Mutex<Notion>,
    pub(super) trello: Mutex<Trello>,
    pub(super) slack: Mutex<Slack>,
    pub(super) drive: Mutex<Drive>,
    pub(super) sheets: Mutex<Sheets>,
    pub(super) pagerduty: Mutex<PagerDuty>,
    pub(super) feeds: Mutex<Feeds>,
    pub(super) doors: BTreeMap<Api, Door>,
    /// Turns true when the simulators are to stop.
    pub(super) stop: watch::Sender<bool>,
}

/// A listener's handler: its API and what all share.
pub(super) type Room = (Arc<Hub>, Api);

/// Answers one request.
pub(super) async fn answer(
    State((hub, api)): State<Room>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY).await else {
        return Reply::text(413, "Request Entity Too Large").into_response();
    };
    let call = Call::new(head.method, &head.uri, head.headers, body);
    let operation = operation(api, &call);
    let flight = Flight::take_off(&hub, api, operation);

    let fault = lock(&hub.faults).hit(api, operation, call.object());
    if fault.is_some() {
        flight.count(|stats| stats.faulted += 1);
    }
    if api == Api::Status && lock(&hub.feeds).hangs(&call) {
        return pending().await;
    }
    let mut wait = hub.draw_latency();
    let reply = match fault {
        Some(Fault::Hang) => pending().await,
        Some(Fault::Html) => Reply::html(502),
        Some(Fault::Unauthorized) => refuse(api, &Refusal::Unauthorized),
        Some(Fault::Forbidden) => refuse(api, &Refusal::Forbidden),
        Some(Fault::ServerError { status }) => refuse(api, &Refusal::Server(status)),
        Some(Fault::RateLimited { retry_after_secs }) => {
            let over = Exceeded { limit_name: "fault", admits: 0, retry_after_secs };
            refuse(api, &Refusal::Limited(over))
        }
        Some(Fault::Slow { ms }) => {
            wait += Duration::from_millis(ms);
            hub.perform(api, &call, operation, &flight)
        }
        Some(Fault::LostAnswer) => {
            hub.perform(api, &call, operation, &flight);
            connection.0.cut();
            pending().await
        }
        Some(Fault::Down) | None => hub.perform(api, &call, operation, &flight),
    };
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    flight.count(|stats| *stats.statuses.entry(reply.status).or_default() += 1);
    reply.into_response()
}

impl Hub {
    fn draw_latency(&self) -> Duration {
        let range = lock(&self.latency).clone();
        if *range.end() == 0 { Duration::ZERO } else { Duration::from_millis(fastrand::u64(range)) }
    }

    /// Credential, limit, then the platform's state.
    fn perform(&self, api: Api, call: &Call, operation: Operation, flight: &Flight<'_>) -> Reply {
        let now = self.clock.now();
        let caller = match self.authorize(api, call, operation, now) {
            Ok(caller) => caller,
            Err(refused) => return refused,
        };
        let limits = lock(&self.limits).clone();
        let charges = if limits.enabled { self.charges(api, &limits, call, operation, &caller) } else { Vec::new() };
        let admitted = lock(&self.windows).admit(&charges, now);
        if let Err(over) = admitted {
            flight.count(|stats| stats.limited += 1);
            return refuse(api, &Refusal::Limited(over));
        }
        let reply = match api {
            Api::Notion => lock(&self.notion).handle(&mut lock(&self.keys), call, now),
            Api::Trello => trello::handle(&mut lock(&self.trello), &mut lock(&self.keys), call, now),
            Api::Slack => slack::handle(&mut lock(&self.slack), &mut lock(&self.keys), call, &caller, now),
            Api::Drive => lock(&self.drive).handle(call, now),
            Api::Sheets => lock(&self.sheets).handle(call),
            Api::Google => google::handle(&mut lock(&self.keys), call, now),
            Api::PagerDuty => lock(&self.pagerduty).handle(call, now),
            Api::Status => lock(&self.feeds).handle(call, now),
        };
        flight.count(|stats| stats.done(operation, call.object(), &reply));
        reply
    }

    fn authorize(&self, api: Api, call: &Call, operation: Operation, now: Time) -> Result<Caller, Reply> {
        let keys = lock(&self.keys);
        match api {
            Api::Notion => notion::authorize(call, &keys),
            Api::Trello => trello::authorize(call, &keys),
            Api::Slack => slack::authorize(call, &keys, now),
            Api::Drive => drive::authorize(call, &keys, operation, now),
            Api::Sheets => sheets::authorize(call, &keys, operation, now),
            Api::Google => google::admit(call, &keys, now),
            Api::PagerDuty | Api::Status => Ok(Caller::nobody()),
        }
    }

    fn charges(
        &self,
        api: Api,
        limits: &LimitSettings,
        call: &Call,
        operation: Operation,
        caller: &Caller,
    ) -> Vec<Charge> {
        match api {
            Api::Notion => notion::charges(limits, caller),
            Api::Trello => trello::charges(limits, call, caller),
            Api::Slack => lock(&self.slack).charges(limits, call, operation, caller),
            Api::Drive => drive::charges(limits, caller),
            Api::Sheets => sheets::charges(limits, operation, caller),
            Api::PagerDuty => pagerduty::charges(limits, call),
            Api::Google | Api::Status => Vec::new(),
        }
    }
}

fn operation(api: Api, call: &Call) -> Operation {
    match api {
        Api::Notion => notion::operation(call),
        Api::Trello => trello::operation(call),
        Api::Slack => slack::operation(call),
        Api::Drive => drive::operation(call),
        Api::Sheets => sheets::operation(call),
        Api::Google => google::operation(call),
        Api::PagerDuty => pagerduty::operation(call),
        Api::Status => status::operation(call),
    }
}

fn refuse(api: Api, refusal: &Refusal) -> Reply {
    match api {
        Api::Notion => notion::refuse(refusal),
        Api::Trello => trello::refuse(refusal),
        Api::Slack => slack::refuse(refusal),
        Api::Drive => drive::refuse(refusal),
        Api::Sheets => sheets::refuse(refusal),
        Api::Google => google::refuse(refusal),
        Api::PagerDuty => pagerduty::refuse(refusal),
        Api::Status => status::refuse(refusal),
    }
}

/// A request being worked on; it also ends when its client goes away.
struct Flight<'a> {
    hub: &'a Hub,
    api: Api,
}

impl<'a> Flight<'a> {
    fn take_off(hub: &'a Hub, api: Api, operation: Operation) -> Self {
        let flight = Flight { hub, api };
        flight.count(|stats| stats.arrived(operation));
        flight
    }

    fn count(&self, change: impl FnOnce(&mut super::stats::ApiStats)) {
        change(lock(&self.hub.stats).entry(self.api).or_default());
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.count(|stats| stats.in_flight = stats.in_flight.saturating_sub(1));
    }
}
