//! What the services share: the way to the platforms, and the questions that come before each side effect.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::try_join;
use restate_sdk::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::limit::Limit;
use super::objects::Asked;
use super::rules::{Leave, Went};
use super::together::Together;
use crate::clock::Clock;
use crate::http::Url;
use crate::platforms::{Clients, Delivery, Platform, PlatformError};
use crate::secret::Secret;
use crate::server::config::Effective;
use crate::server::restate::admin::{Repeat, words};
use crate::server::restate::contract::{ALL, BROKEN, CIRCUIT, GATE, HELD, RATE_LIMIT};
use crate::server::restate::ingress::Ingress;
use crate::wire::{ErrorCode, Time};

/// Longest time for an answer of an object; it may wait for others.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// Longest time a try that has its place waits for the limit; what takes longer waits outside, where it can be taken out.
const TURN_TIME: Duration = Duration::from_secs(3);
/// Most tries for one platform that take leave at once. Each is answered by invocations of its own: thousands would only wait
/// for each other, until none has its answer in time.
const PASS_AT_ONCE: usize = 32;

/// What every service of a worker uses.
pub(super) struct Hands {
    pub clients: Clients,
    pub settings: Arc<Effective>,
    pub clock: Clock,
    ingress: Ingress,
    together: Together,
    passing: BTreeMap<Platform, Semaphore>,
}

/// What a gate says.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Gated {
    paused: bool,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    since: Option<Time>,
    /// How long it was closed in all, without the pause in force.
    #[serde(default)]
    held_ms: i64,
}

impl Gated {
    /// How long it has been closed in all, in milliseconds.
    fn held(&self, now: Time) -> i64 {
        let lasting = self.since.filter(|_| self.paused).map_or(0, |since| now.0.saturating_sub(since.0).max(0));
        self.held_ms.saturating_add(lasting)
    }

    fn open(self) -> HandlerResult<()> {
        match self.paused {
            true => Err(format!("{HELD}: {}", self.reason.as_deref().unwrap_or("no reason given")).into()),
            false => Ok(()),
        }
    }
}

/// Leave for one call.
#[derive(Default)]
pub(super) struct Permit {
    /// Given in this try, and not by one before it.
    fresh: AtomicBool,
    probe: AtomicBool,
}

impl Permit {
    /// Whether it was given in this try: then nothing was sent before.
    pub fn is_fresh(&self) -> bool {
        self.fresh.load(Ordering::Relaxed)
    }
}

impl Hands {
    pub fn new(
        clients: Clients,
        settings: Arc<Effective>,
        clock: Clock,
        ingress: Vec<Url>,
        token: Option<Secret>,
    ) -> Self {
        Hands {
            clients,
            settings,
            clock,
            ingress: Ingress::new(ingress, token, ANSWER_TIME),
            together: Together::default(),
            passing: Platform::ALL.iter().map(|platform| (*platform, Semaphore::new(PASS_AT_ONCE))).collect(),
        }
    }

    /// Lets a side effect through, or fails the try with the words the contract has for it.
    pub async fn pass(&self, platform: Platform, permit: &Permit) -> HandlerResult<Time> {
        self.gate().await?.open()?;
        self.pass_gate(platform, permit).await
    }

    /// Lets a side effect through as long as there is time for it; gives otherwise when there was none left.
    pub async fn pass_in_time(
        &self,
        platform: Platform,
        permit: &Permit,
        limit: Option<Limit>,
    ) -> HandlerResult<Result<Time, Time>> {
        let (gate, now) = (self.gate().await?, self.clock.now());
        let held = gate.held(now);
        gate.open()?;
        match limit.is_some_and(|limit| limit.is_over(now, held)) {
            true => Ok(Err(now)),
            false => self.pass_gate(platform, permit).await.map(Ok),
        }
    }

    /// A time that begins to run now.
    pub async fn limit(&self, ms: u64) -> HandlerResult<Limit> {
        let (gate, now) = (self.gate().await?, self.clock.now());
        Ok(Limit::new(ms, now, gate.held(now)))
    }

    async fn gate(&self) -> HandlerResult<Gated> {
        self.check::<Gated>(GATE, ALL, || None).await
    }

    /// First and alone the gate of everything was asked: thousands may wait at it, and each asks again and again.
    async fn pass_gate(&self, platform: Platform, permit: &Permit) -> HandlerResult<Time> {
        let places = &self.passing[&platform];
        let _place = match places.try_acquire() {
            Ok(place) => Ok(place),
            Err(_) => {
                let place = places.acquire().await;
                // Minutes may have gone by, when thousands were resumed at once.
                self.gate().await?.open()?;
                place
            }
        };
        let (own, leave) = try_join(
            self.check::<Gated>(GATE, platform.as_str(), || None),
            self.check::<Option<Leave>>(CIRCUIT, platform.as_str(), || {
                Some(Asked { at: self.clock.now(), went: None })
            }),
        )
        .await?;
        own.open()?;
        let leave = match leave {
            Some(leave) => leave,
            None => self.ask::<Leave>(CIRCUIT, platform, "acquire", None).await?,
        };
        if !leave.granted {
            let until = leave.until.map(|at| format!(" until {at}")).unwrap_or_default();
            return Err(format!("{BROKEN}{until}").into());
        }
        permit.probe.store(leave.probe, Ordering::Relaxed);
        if let Err(refused) = self.turn(platform).await {
            self.settle(platform, permit, Went::Unsaid).await?;
            return Err(refused);
        }
        permit.fresh.store(true, Ordering::Relaxed);
        Ok(self.clock.now())
    }

    async fn turn(&self, platform: Platform) -> HandlerResult<()> {
        let started = tokio::time::Instant::now();
        loop {
            let Some(until) = self.ask::<Option<Time>>(RATE_LIMIT, platform, "take", None).await? else {
                return Ok(());
            };
            let wait = until.since(self.clock.now());
            if started.elapsed() + wait > TURN_TIME {
                return Err(format!("429 the limit is used up until {until}").into());
            }
            tokio::time::sleep(wait + Duration::from_millis(fastrand::u64(1..50))).await;
        }
    }

    /// Tells the circuit what came of a call, where that says something.
    pub async fn settle(&self, platform: Platform, permit: &Permit, went: Went) -> HandlerResult<()> {
        let probe = permit.probe.swap(false, Ordering::Relaxed);
        if !probe && went != Went::Badly {
            return Ok(());
        }
        self.ask::<Value>(CIRCUIT, platform, "record", Some(went)).await.map(drop)
    }

    /// Makes a call that was let through, and tells its circuit.
    pub async fn call<T>(
        &self,
        platform: Platform,
        permit: &Permit,
        call: impl Future<Output = Result<T, PlatformError>>,
    ) -> Result<T, PlatformError> {
        let answer = call.await;
        let went = match &answer {
            Ok(_) => Went::Well,
            Err(error) if error.code.counts_for_circuit() => Went::Badly,
            Err(error) => match error.code {
                ErrorCode::RateLimited | ErrorCode::UnknownError | ErrorCode::Unavailable | ErrorCode::AuthError => {
                    Went::Unsaid
                }
                // The platform answered: it is there.
                _ => Went::Well,
            },
        };
        // What a circuit was not told costs a failure that is not counted. The call's own outcome must not be lost for it.
        let _ = self.settle(platform, permit, went).await;
        answer
    }

    /// What an object's `check` says, which changes nothing; whoever asks at the same time is told the same.
    async fn check<T: DeserializeOwned>(
        &self,
        object: &str,
        key: &str,
        asked: impl FnOnce() -> Option<Asked>,
    ) -> HandlerResult<T> {
        let path = format!("{object}/{key}/check");
        let answer = self.together.ask(&path, || self.answer(&path, asked())).await;
        understood(&path, answer)
    }

    /// Tells a platform's object something, or takes something from it.
    async fn ask<T: DeserializeOwned>(
        &self,
        object: &str,
        platform: Platform,
        handler: &str,
        went: Option<Went>,
    ) -> HandlerResult<T> {
        let path = format!("{object}/{platform}/{handler}");
        understood(&path, self.answer(&path, Some(Asked { at: self.clock.now(), went })).await)
    }

    /// Asks an object through the ingress: from inside a step there is no other way.
    async fn answer(&self, path: &str, asked: Option<Asked>) -> Result<Value, String> {
        let asked = asked.as_ref().map(serde_json::to_value).transpose().map_err(|error| error.to_string())?;
        // What is told twice to a circuit counts twice at worst.
        let reply = self.ingress.post(path, asked.as_ref(), None, Repeat::Safe).await;
        let reply = reply.map_err(|failure| format!("{path} does not answer: {failure}"))?;
        if !reply.is_success() {
            return Err(format!("{path} answers HTTP {}: {}", reply.status, words(&reply)));
        }
        // A handler that gives nothing answers with nothing.
        let body: &[u8] = if reply.body.is_empty() { b"null" } else { &reply.body };
        serde_json::from_slice(body).map_err(|error| format!("{path} answers something else: {error}"))
    }
}

/// An object's answer as what was asked for.
fn understood<T: DeserializeOwned>(path: &str, answer: Result<Value, String>) -> HandlerResult<T> {
    Ok(serde_json::from_value(answer?).map_err(|error| format!("{path} answers something else: {error}"))?)
}

/// A platform's refusal in the contract's words, the HTTP status first.
pub(super) fn says(error: &PlatformError) -> String {
    match error.http_status {
        Some(status) => format!("{status} {}", error.message),
        None => error.message.clone(),
    }
}

/// A failed call of an action: terminal where another try would not go otherwise.
pub(super) fn failed(error: &PlatformError) -> HandlerError {
    match error.code.is_retriable() || error.delivery == Delivery::Unknown {
        true => HandlerError::from(says(error)),
        false => terminal(error).into(),
    }
}

/// A failed call that is not made again.
pub(super) fn terminal(error: &PlatformError) -> TerminalError {
    let code = error.http_status.filter(|status| (400..500).contains(status)).unwrap_or(match error.code {
        ErrorCode::ValidationError => 400,
        ErrorCode::AuthError => 401,
        ErrorCode::PermissionDenied => 403,
        ErrorCode::NotFound => 404,
        ErrorCode::Conflict | ErrorCode::DuplicateError => 409,
        _ => 500,
    });
    TerminalError::new_with_code(code, says(error))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use axum::Router;
    use axum::extract::{Path, State};
    use futures_util::future::join_all;
    use serde_json::json;

    use super::*;
    use crate::platforms::Endpoints;
    use crate::server::native::credentials;

    /// Objects that let everything through, until the gate is closed: when the first turns were taken, of which each waits
    /// until then.
    #[derive(Default)]
    struct Objects {
        paused: AtomicBool,
        turns: AtomicUsize,
    }

    async fn answer(State(objects): State<Arc<Objects>>, Path((object, key)): Path<(String, String)>) -> String {
        match (object.as_str(), key.as_str()) {
            (GATE, ALL) => json!({"paused": objects.paused.load(Ordering::Relaxed), "reason": "too much"}).to_string(),
            (GATE, _) => json!({"paused": false}).to_string(),
            (CIRCUIT, _) => json!({"granted": true}).to_string(),
            _ => {
                objects.turns.fetch_add(1, Ordering::Relaxed);
                while !objects.paused.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Value::Null.to_string()
            }
        }
    }

    #[tokio::test]
    async fn a_pause_holds_what_still_waits_for_its_turn() {
        let objects = Arc::new(Objects::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let routes = ["check", "take"].map(|handler| format!("/{{object}}/{{key}}/{handler}"));
        let router = routes.iter().fold(Router::new(), |router, path| router.route(path, axum::routing::post(answer)));
        let router = router.with_state(objects.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let (settings, clock) = (Arc::new(Effective::default()), Clock::system());
        let clients = Clients::new(Endpoints::default(), credentials(&settings), clock.clone());
        let hands = Hands::new(clients, settings, clock, vec![url], None);

        let tries = join_all((0..PASS_AT_ONCE + 10).map(|_| async {
            let permit = Permit::default();
            hands.pass(Platform::Trello, &permit).await.map_err(|error| format!("{error:?}"))
        }));
        let close = async {
            while objects.turns.load(Ordering::Relaxed) < PASS_AT_ONCE {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            objects.paused.store(true, Ordering::Relaxed);
        };
        let (passed, ()) = futures_util::future::join(tries, close).await;
        let held: Vec<&String> = passed.iter().filter_map(|passed| passed.as_ref().err()).collect();
        assert_eq!((passed.len() - held.len(), held.len()), (PASS_AT_ONCE, 10));
        assert!(held.iter().all(|words| words.contains(HELD) && words.contains("too much")), "{held:?}");
        assert_eq!(objects.turns.load(Ordering::Relaxed), PASS_AT_ONCE, "no turn is taken for what is held");
    }
}
