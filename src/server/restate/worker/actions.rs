//! Actions: one side effect each, tried for as long as it takes.

use std::sync::Arc;

use restate_sdk::endpoint::ContextInternal;
use restate_sdk::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::deed::{Cut, Deed, in_doubt, is_cancelled};
use super::hands::Hands;
use crate::platforms::{Call, Lookup, Platform};
use crate::wire::ActionType;

/// What an action is sent with; the rest of it is for whoever reads it later.
#[derive(Deserialize)]
pub(super) struct Input {
    data: Value,
}

impl Hands {
    /// An action's call; its marker is what it is found again by.
    pub fn prepare_call(&self, platform: Platform, action_type: ActionType, data: Value, marker: String) -> Call {
        let mut call = Call::new(platform, action_type, data);
        call.timeout = self.settings.platform(platform).timeout;
        call.marker = Some(marker);
        call
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
        match self.attempt(ctx, &mut Deed::new(name, call.clone())).await {
            Ok(Ok(made)) => Ok(made.result),
            // Without bounds it is thrown instead.
            Ok(Err(lost)) => Err(lost.error().into()),
            // It was taken out while it was being made. It was made, and that is what is told.
            Err(Cut { made: Some(result), .. }) => Ok(result),
            // A try before this one may have made it.
            Err(Cut { error, since: Some(since), .. }) if is_cancelled(&error) => {
                match self.look(ctx, name, call, since).await?.0 {
                    Lookup::Found(outcome) => Ok(outcome.result),
                    Lookup::Absent => Err(error.into()),
                    Lookup::Unclear(why) => Err(in_doubt(&why).into()),
                }
            }
            Err(Cut { error, .. }) => Err(error.into()),
        }
    }
}
