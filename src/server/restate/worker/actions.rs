//! Actions, and how one side effect is made once.

use std::sync::{Arc, Mutex, PoisonError};

use restate_sdk::endpoint::ContextInternal;
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::hands::{Hands, Permit, failed, says};
use crate::platforms::{Call, CallOutcome, Lookup, Platform, needs_preparing};
use crate::wire::{ActionType, Time};

/// What Restate ends an awaited operation with when its invocation is cancelled.
pub(super) const CANCELLED: u16 = 409;

/// What an action is sent with; the rest of it is for whoever reads it later.
#[derive(Deserialize)]
pub(super) struct Input {
    data: Value,
}

/// One side effect.
pub(super) struct Deed {
    /// Its name in the journal.
    pub name: String,
    pub call: Call,
    /// Whether what it overwrites is kept, because it may be undone.
    pub keeps_before: bool,
}

/// A side effect that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Made {
    /// What the platform answered, reduced to ids and links.
    pub result: Value,
    /// What it overwrote.
    pub before: Option<Value>,
    /// When.
    pub at: Time,
}

/// A side effect that was not made, or whose making was cut short.
pub(super) struct Cut {
    pub error: TerminalError,
    /// What it gave all the same: it was cancelled while it was under way. Only this try knows.
    made: Option<Value>,
    /// Since when a try before this one may have made it.
    since: Option<Time>,
}

impl From<TerminalError> for Cut {
    fn from(error: TerminalError) -> Cut {
        Cut { error, made: None, since: None }
    }
}

/// Whether an operator took it out, in the SDK's words.
pub(super) fn is_cancelled(error: &TerminalError) -> bool {
    error.code() == CANCELLED && error.message().eq_ignore_ascii_case("cancelled")
}

impl Hands {
    /// An action's call; its marker is what it is found again by.
    pub fn prepare_call(&self, platform: Platform, action_type: ActionType, data: Value, marker: String) -> Call {
        let mut call = Call::new(platform, action_type, data);
        call.timeout = self.settings.platform(platform).timeout;
        call.marker = Some(marker);
        call
    }

    /// Makes a side effect once. First comes leave, which is kept: a try that finds it kept may follow one whose write was
    /// sent, so it looks before it sends again. Gate and circuit are asked before every try.
    pub async fn make(self: &Arc<Self>, ctx: &ContextInternal, deed: Deed) -> Result<Made, Cut> {
        let Deed { name, mut call, keeps_before } = deed;
        let platform = call.platform;
        let permit = Arc::new(Permit::default());
        let since = {
            let (hands, permit) = (self.clone(), permit.clone());
            ctx.run(move || async move { Ok(Json(hands.pass(platform, &permit).await?)) }).name(&name).await?.0
        };
        if needs_preparing(platform, call.action_type) {
            let (hands, own) = (self.clone(), call.clone());
            let prepared =
                ctx.run(
                    move || async move { Ok(Json(hands.clients.prepare(&own).await.map_err(|error| failed(&error))?)) },
                );
            call.prepared = prepared.name(&name).await?.0;
        }
        let before = if keeps_before {
            let (hands, own) = (self.clone(), call.clone());
            let before =
                ctx.run(
                    move || async move { Ok(Json(hands.clients.before(&own).await.map_err(|error| failed(&error))?)) },
                );
            before.name(&name).await?.0
        } else {
            None
        };
        let made = Arc::new(Mutex::new(None));
        let result = {
            let (hands, made, permit) = (self.clone(), made.clone(), permit.clone());
            let write = ctx.run(move || async move {
                let result = hands.write(&call, &permit, since).await?;
                *made.lock().unwrap_or_else(PoisonError::into_inner) = Some(result.clone());
                Ok(Json(result))
            });
            write.name(&name).await
        };
        let made = made.lock().unwrap_or_else(PoisonError::into_inner).take();
        match result {
            Ok(Json(result)) => Ok(Made { result, before, at: since }),
            Err(error) => Err(Cut { error, made, since: (!permit.is_fresh()).then_some(since) }),
        }
    }

    /// Looks whether a write was made that was cut short.
    pub async fn look(
        self: &Arc<Self>,
        ctx: &ContextInternal,
        name: &str,
        call: Call,
        since: Time,
    ) -> Result<Lookup, TerminalError> {
        let hands = self.clone();
        let look = ctx.run(move || async move {
            let seen = match hands.clients.find_written(&call, since).await {
                Ok(Lookup::Found(outcome)) => json!({"found": outcome.result}),
                Ok(Lookup::Absent) => json!({}),
                Ok(Lookup::Unclear(why)) => json!({"unclear": why}),
                Err(error) if error.code.is_retriable() => return Err(says(&error).into()),
                Err(error) => json!({"unclear": says(&error)}),
            };
            Ok(Json(seen))
        });
        let Json(seen) = look.name(name).await?;
        Ok(match (seen.get("found"), seen["unclear"].as_str()) {
            (Some(result), _) => Lookup::Found(CallOutcome { result: result.clone(), served_by_marker: true }),
            (_, Some(why)) => Lookup::Unclear(why.to_owned()),
            _ => Lookup::Absent,
        })
    }

    async fn write(&self, call: &Call, permit: &Permit, since: Time) -> HandlerResult<Value> {
        if !permit.is_fresh() {
            self.pass(call.platform, permit).await?;
            match self.call(call.platform, permit, self.clients.find_written(call, since)).await {
                Ok(Lookup::Found(outcome)) => return Ok(outcome.result),
                Ok(Lookup::Absent) => {}
                Ok(Lookup::Unclear(why)) => return Err(in_doubt(&why).into()),
                Err(error) if error.code.is_retriable() => return Err(says(&error).into()),
                Err(error) => return Err(in_doubt(&says(&error)).into()),
            }
        }
        match self.call(call.platform, permit, self.clients.execute(call)).await {
            Ok(outcome) => Ok(outcome.result),
            Err(error) => Err(failed(&error)),
        }
    }

    /// An action. The invocation is what is made once: a repeated key is the same one.
    pub async fn act(
        self: &Arc<Self>,
        ctx: &ContextInternal,
        invocation: String,
        platform: Platform,
        action_type: ActionType,
        input: Input,
    ) -> HandlerResult<Value> {
        let call = self.prepare_call(platform, action_type, input.data, invocation);
        let name = action_type.as_str();
        let deed = Deed { name: name.to_owned(), call: call.clone(), keeps_before: false };
        match self.make(ctx, deed).await {
            Ok(made) => Ok(made.result),
            // It was taken out while it was being made. It was made, and that is what is told.
            Err(Cut { made: Some(result), .. }) => Ok(result),
            // A try before this one may have made it.
            Err(Cut { error, since: Some(since), .. }) if is_cancelled(&error) => {
                match self.look(ctx, name, call, since).await? {
                    Lookup::Found(outcome) => Ok(outcome.result),
                    Lookup::Absent => Err(error.into()),
                    Lookup::Unclear(why) => Err(in_doubt(&why).into()),
                }
            }
            Err(Cut { error, .. }) => Err(error.into()),
        }
    }
}

/// Nobody knows whether it happened: it is not sent again by itself.
fn in_doubt(why: &str) -> TerminalError {
    TerminalError::new(format!("in doubt: it may have happened, and is not sent again: {why}"))
}
