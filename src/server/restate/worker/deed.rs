//! How one side effect is made once, and how often it is tried.
//!
//! First comes leave, which is kept in the journal: a try that finds it kept may follow one whose write was sent, so it looks
//! before it sends again. What the platform fails a try with is kept too where tries are counted; what only holds a try back
//! (a gate, a circuit, a limit, an object that does not answer) is thrown, so that Restate tries again, and counts nothing.

use std::sync::{Arc, Mutex, PoisonError};

use restate_sdk::endpoint::ContextInternal;
use restate_sdk::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::hands::{Hands, Permit, failed, says, terminal};
use super::limit::Limit;
use crate::engine::retry::{self, Failure, Next, Policy};
use crate::platforms::{Call, CallOutcome, Lookup, PlatformError, needs_preparing};
use crate::wire::{ActionType, Time};

/// What Restate ends an awaited operation with when its invocation is cancelled.
pub(super) const CANCELLED: u16 = 409;
/// Begins the words of a failure of which nobody knows whether it happened.
const IN_DOUBT: &str = "in doubt: it may have happened, and is not sent again";

/// What bounds the tries of a side effect.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub policy: Policy,
    /// Until when a try may begin.
    pub limit: Limit,
}

/// One side effect, and what is known of its tries so far.
pub(super) struct Deed {
    /// Its name in the journal.
    pub name: String,
    pub call: Call,
    /// Whether what it overwrites is kept, because it may be undone.
    keeps_before: bool,
    /// Without bounds a failure that may pass is tried again for as long as it takes.
    bounds: Option<Bounds>,
    /// How often the platform failed it.
    pub retries: u32,
    /// When leave was given for the first time.
    since: Option<Time>,
    is_prepared: bool,
    pub before: Option<Option<Value>>,
    /// Whether a try that failed may have happened.
    in_doubt: bool,
}

impl Deed {
    pub fn new(name: &str, call: Call) -> Deed {
        Deed {
            name: name.to_owned(),
            is_prepared: !needs_preparing(call.platform, call.action_type),
            call,
            keeps_before: false,
            bounds: None,
            retries: 0,
            since: None,
            before: None,
            in_doubt: false,
        }
    }

    /// One whose tries are bounded, and that keeps what it overwrites if that is to be undone.
    pub fn bounded(self, bounds: Bounds, keeps_before: bool) -> Deed {
        Deed { bounds: Some(bounds), keeps_before, ..self }
    }

    /// Since when it may have been made, if that is not known.
    pub fn doubt(&self) -> Option<Time> {
        self.since.filter(|_| self.in_doubt)
    }

    /// What the next failure is held against.
    fn patience(&self, action_type: ActionType) -> Patience {
        Patience { policy: self.bounds.map(|bounds| bounds.policy), retries: self.retries, action_type }
    }
}

#[derive(Clone, Copy)]
struct Patience {
    policy: Option<Policy>,
    retries: u32,
    action_type: ActionType,
}

/// A side effect that was made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Made {
    /// What the platform answered, reduced to ids and links.
    pub result: Value,
    /// What it overwrote.
    pub before: Option<Value>,
    /// When that was seen.
    pub at: Time,
}

/// What the journal keeps of a write.
#[derive(Clone, Serialize, Deserialize)]
struct Written {
    result: Value,
    at: Time,
}

/// A try that the platform failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Lost {
    code: u16,
    pub words: String,
    pub at: Time,
    pub next: Next,
}

impl Lost {
    /// What it fails the whole with.
    pub fn error(&self) -> TerminalError {
        TerminalError::new_with_code(self.code, self.words.clone())
    }
}

/// A side effect whose making was cut short.
pub(super) struct Cut {
    pub error: TerminalError,
    /// When its time was over before it was begun.
    pub late: Option<Time>,
    /// What it gave all the same: it was cancelled while it was under way. Only this try knows.
    pub made: Option<Value>,
    /// Since when a try before this one may have made it.
    pub since: Option<Time>,
}

impl From<TerminalError> for Cut {
    fn from(error: TerminalError) -> Cut {
        Cut { error, late: None, made: None, since: None }
    }
}

/// Whether an operator took it out, in the SDK's words.
pub(super) fn is_cancelled(error: &TerminalError) -> bool {
    error.code() == CANCELLED && error.message().eq_ignore_ascii_case("cancelled")
}

/// Nobody knows whether it happened: it is not sent again by itself.
pub(super) fn in_doubt(why: &str) -> TerminalError {
    TerminalError::new(format!("{IN_DOUBT}: {why}"))
}

/// Whether a failure says that.
pub(super) fn is_in_doubt(error: &TerminalError) -> bool {
    error.message().starts_with(IN_DOUBT)
}

impl Hands {
    /// Tries to make a side effect. Gate and circuit are asked before.
    pub async fn attempt(self: &Arc<Self>, ctx: &ContextInternal, deed: &mut Deed) -> Result<Result<Made, Lost>, Cut> {
        let (platform, limit) = (deed.call.platform, deed.bounds.map(|bounds| bounds.limit));
        let permit = Arc::new(Permit::default());
        let leave = {
            let (hands, permit) = (self.clone(), permit.clone());
            let leave = ctx.run(move || async move { Ok(Json(hands.pass_in_time(platform, &permit, limit).await?)) });
            leave.name(&deed.name).await?.0
        };
        let since = match leave {
            Ok(at) => *deed.since.get_or_insert(at),
            Err(late) => {
                let error = TerminalError::new_with_code(408, "its time is over");
                return Err(Cut { late: Some(late), ..Cut::from(error) });
            }
        };
        if !deed.is_prepared {
            let call = deed.call.clone();
            let read = |hands: Arc<Hands>| async move { hands.clients.prepare(&call).await };
            match self.read(ctx, deed, &permit, read).await? {
                Ok(prepared) => (deed.call.prepared, deed.is_prepared) = (prepared, true),
                Err(lost) => return Ok(Err(lost)),
            }
        }
        if deed.keeps_before && deed.before.is_none() {
            let call = deed.call.clone();
            let read = |hands: Arc<Hands>| async move { hands.clients.before(&call).await };
            match self.read(ctx, deed, &permit, read).await? {
                Ok(before) => deed.before = Some(before),
                Err(lost) => return Ok(Err(lost)),
            }
        }
        let made = Arc::new(Mutex::new(None));
        let written = {
            let (hands, made, permit, call) = (self.clone(), made.clone(), permit.clone(), deed.call.clone());
            let (look, patience) = (deed.in_doubt, deed.patience(call.action_type));
            let write = ctx.run(move || async move {
                let written = hands.write(&call, &permit, since, look, patience).await?;
                if let Ok(written) = &written {
                    *made.lock().unwrap_or_else(PoisonError::into_inner) = Some(written.result.clone());
                }
                Ok(Json(written))
            });
            write.name(&deed.name).await
        };
        match written {
            Ok(Json(Ok(Written { result, at }))) => Ok(Ok(Made { result, before: deed.before.clone().flatten(), at })),
            Ok(Json(Err(lost))) => {
                deed.in_doubt = matches!(lost.next, Next::Retry { look_first: true, .. } | Next::Look { .. });
                Ok(Err(lost))
            }
            Err(error) => {
                let made = made.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(Cut { error, late: None, made, since: (!permit.is_fresh()).then_some(since) })
            }
        }
    }

    /// Reads something that has to be known before the write.
    async fn read<T, F>(
        self: &Arc<Self>,
        ctx: &ContextInternal,
        deed: &Deed,
        permit: &Arc<Permit>,
        read: impl FnOnce(Arc<Hands>) -> F + Send,
    ) -> Result<Result<T, Lost>, TerminalError>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: Future<Output = Result<T, PlatformError>> + Send,
    {
        let (hands, permit) = (self.clone(), permit.clone());
        let (platform, patience) = (deed.call.platform, deed.patience(ActionType::Query));
        let run = ctx.run(move || async move {
            let answer = hands.call(platform, &permit, read(hands.clone())).await;
            Ok(Json(match answer {
                Ok(value) => Ok(value),
                Err(error) => Err(hands.lost(&error, patience)?),
            }))
        });
        Ok(run.name(&deed.name).await?.0)
    }

    /// What a failed call calls for: thrown where tries are not counted.
    fn lost(&self, error: &PlatformError, patience: Patience) -> HandlerResult<Lost> {
        let Some(policy) = patience.policy else { return Err(failed(error)) };
        let failure = Failure { code: error.code, delivery: error.delivery, retry_after: error.retry_after };
        let (at, refused) = (self.clock.now(), terminal(error));
        let next = retry::decide(&policy, patience.action_type, patience.retries, failure, at, fastrand::f64());
        Ok(Lost { code: refused.code(), words: refused.message().to_owned(), at, next })
    }

    async fn write(
        &self,
        call: &Call,
        permit: &Permit,
        since: Time,
        look: bool,
        patience: Patience,
    ) -> HandlerResult<Result<Written, Lost>> {
        let was_here = !permit.is_fresh();
        if was_here {
            self.pass(call.platform, permit).await?;
        }
        if was_here || look {
            match self.call(call.platform, permit, self.clients.find_written(call, since)).await {
                Ok(Lookup::Found(outcome)) => return Ok(Ok(self.written(outcome))),
                Ok(Lookup::Absent) => {}
                Ok(Lookup::Unclear(why)) => return Err(in_doubt(&why).into()),
                Err(error) if error.code.is_retriable() => return Err(says(&error).into()),
                Err(error) => return Err(in_doubt(&says(&error)).into()),
            }
        }
        match self.call(call.platform, permit, self.clients.execute(call)).await {
            Ok(outcome) => Ok(Ok(self.written(outcome))),
            Err(error) => Ok(Err(self.lost(&error, patience)?)),
        }
    }

    fn written(&self, outcome: CallOutcome) -> Written {
        Written { result: outcome.result, at: self.clock.now() }
    }

    /// Looks whether a write was made that was cut short, and says when it looked.
    pub async fn look(
        self: &Arc<Self>,
        ctx: &ContextInternal,
        name: &str,
        call: Call,
        since: Time,
    ) -> Result<(Lookup, Time), TerminalError> {
        let hands = self.clone();
        let look = ctx.run(move || async move {
            let seen = match hands.clients.find_written(&call, since).await {
                Ok(Lookup::Found(outcome)) => json!({"found": outcome.result}),
                Ok(Lookup::Absent) => json!({}),
                Ok(Lookup::Unclear(why)) => json!({"unclear": why}),
                Err(error) if error.code.is_retriable() => return Err(says(&error).into()),
                Err(error) => json!({"unclear": says(&error)}),
            };
            Ok(Json((seen, hands.clock.now())))
        });
        let Json((seen, at)) = look.name(name).await?;
        let lookup = match (seen.get("found"), seen["unclear"].as_str()) {
            (Some(result), _) => Lookup::Found(CallOutcome { result: result.clone(), served_by_marker: true }),
            (_, Some(why)) => Lookup::Unclear(why.to_owned()),
            _ => Lookup::Absent,
        };
        Ok((lookup, at))
    }
}
