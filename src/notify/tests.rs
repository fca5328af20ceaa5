//! Against the simulators: what arrives, what arrives once, and what is said when nothing can arrive.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::clock::Clock;
use crate::http::Method;
use crate::platforms::{Credentials, Platform};
use crate::sandbox::sim::{Api, Fault as Broken, FaultSpec, SimOptions, Sims};
use crate::server::testing::{Scratch, scratch};

struct Ground {
    sims: Sims,
    env: BTreeMap<String, String>,
    _folder: Scratch,
}

impl Ground {
    async fn start() -> Self {
        let sims = Sims::start(SimOptions::default()).await.unwrap();
        let folder = scratch("notify");
        let env = sims.credentials(folder.path()).unwrap();
        Ground { sims, env, _folder: folder }
    }

    fn notifier(&self, routing_key: Option<Secret>) -> Notifier {
        let clients = Clients::new(self.sims.endpoints(), Credentials::from_env(&self.env), Clock::system());
        Notifier::new(clients, routing_key)
    }

    fn usual(&self) -> Notifier {
        self.notifier(Some(self.sims.routing_key()))
    }

    /// What a receiver holds.
    async fn contents(&self, api: &str) -> Value {
        let http = Http::new(Options::default());
        let url = format!("{}/contents/{api}", self.sims.control_url()).parse().unwrap();
        let request = http.request(Method::GET, &url).unwrap();
        let request = request.header(crate::sandbox::sim::TOKEN_HEADER, self.sims.control_token().expose());
        http.send(request, None).await.unwrap().json().unwrap()
    }
}

fn event(action: EventAction) -> Event {
    Event {
        action,
        dedup_key: DedupKey::of("sandbox", "queue-overload", ""),
        summary: "Queue Overload".into(),
        source: "http://127.0.0.1".into(),
        severity: Severity::Error,
        details: json!({}),
    }
}

fn message(env: &BTreeMap<String, String>, thread: Option<String>, marker: &str) -> Message {
    let channel = env["SLACK_NOTIFICATIONS_CHANNEL"].clone();
    Message { channel, text: "Queue Overload".into(), thread, marker: marker.into() }
}

#[tokio::test]
async fn an_alert_is_opened_once_and_closed_by_its_key() {
    let ground = Ground::start().await;
    let notifier = ground.usual();
    for action in [EventAction::Trigger, EventAction::Trigger, EventAction::Acknowledge, EventAction::Resolve] {
        notifier.pagerduty(&event(action)).await.unwrap();
    }
    let held = ground.contents("pagerduty").await;
    let alerts = held["alerts"].as_object().unwrap();
    let alert = &alerts[event(EventAction::Trigger).dedup_key.as_str()];
    assert_eq!((alerts.len(), &alert["status"], &alert["triggers"]), (1, &json!("resolved"), &json!(2)));
    assert!(held["events"].as_array().unwrap().iter().all(|event| event["applied"] == true), "{held}");
}

#[tokio::test]
async fn a_key_that_cannot_work_is_said_and_never_shown() {
    let ground = Ground::start().await;
    let none = ground.notifier(None).pagerduty(&event(EventAction::Trigger)).await.unwrap_err();
    assert!(none.why.contains("is not set") && !none.retryable, "{none}");
    for key in ["short", "0123456789abcdef0123456789abcdef"] {
        let wrong = ground.notifier(Some(Secret::new(key)));
        let refused = wrong.pagerduty(&event(EventAction::Trigger)).await.unwrap_err();
        assert!(!refused.to_string().contains(key) && !refused.retryable, "{refused}");
        assert_eq!(refused.fault().kind, Kind::NotAuthenticated);
    }
    assert_eq!(ground.sims.stats_of(Api::PagerDuty).requests, 1, "a key of the wrong length is not tried");
}

#[tokio::test]
async fn a_receiver_that_is_down_may_be_tried_again() {
    let ground = Ground::start().await;
    let notifier = ground.usual();
    for (api, fault) in [(Api::PagerDuty, Broken::ServerError { status: 503 }), (Api::Slack, Broken::Down)] {
        ground.sims.fault(api, fault).unwrap();
    }
    assert!(notifier.pagerduty(&event(EventAction::Trigger)).await.unwrap_err().retryable);
    let refused = notifier.slack(&message(&ground.env, None, "m1")).await.unwrap_err();
    assert!(refused.retryable, "{refused:?}");
    ground.sims.clear_all().unwrap();
    notifier.pagerduty(&event(EventAction::Trigger)).await.unwrap();
    notifier.slack(&message(&ground.env, None, "m1")).await.unwrap();
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_is_found_and_not_posted_twice() {
    let ground = Ground::start().await;
    let notifier = ground.usual();
    let since = Clock::system().now();
    let first = message(&ground.env, None, "m1");
    ground.sims.fault(Platform::Slack, FaultSpec::from(Broken::LostAnswer).times(1).only("write")).unwrap();
    assert_eq!(notifier.slack(&first).await.unwrap_err().delivery, Delivery::Unknown);
    let found = notifier.slack_once(&first, since).await.unwrap();
    assert_eq!(found, notifier.slack_once(&first, since).await.unwrap());
    let answer = message(&ground.env, Some(found.ts.clone()), "m2");
    let reply = notifier.slack_once(&answer, since).await.unwrap();
    assert_ne!(reply.ts, found.ts);
    assert_eq!(notifier.slack_once(&answer, since).await.unwrap(), reply);
}

#[test]
fn channels_are_what_they_say() {
    for text in ["slack:#ops-alerts", "slack:C0123ABCD", "pagerduty"] {
        assert_eq!(text.parse::<Channel>().unwrap().to_string(), text);
    }
    for bad in ["slack", "slack:", "slack:#", "pagerduty:x", "mail:ops@x", ""] {
        assert!(bad.parse::<Channel>().unwrap_err().hint.is_some(), "{bad}");
    }
}
