//! One step: its approval, its tries, and what became of it.

use restate_sdk::prelude::*;

use super::{Ended, Run};
use crate::engine::retry::{self, Next, Policy};
use crate::engine::workflow::{State, Step};
use crate::platforms::undo::overwrites;
use crate::platforms::{Call, Lookup};
use crate::server::restate::worker::deed::{Bounds, Cut, Deed, Made, in_doubt, is_cancelled};
use crate::server::restate::worker::limit::Limit;

impl Run<'_> {
    /// Makes a step, unless it fails as often as it may. Waiting for a person costs the workflow no time, so that `limit`
    /// begins anew.
    pub(super) async fn step(&self, state: &State, place: usize, limit: &mut Limit) -> Result<Ended, TerminalError> {
        let step = &state.steps[place];
        let (own, call) = (&step.definition, self.call(step));
        match self.approved(step, limit.ms).await {
            Ok(None) => {}
            Ok(Some(anew)) => *limit = anew,
            Err(refused) if is_cancelled(&refused) => return Ok(Ended::Cancelled(Box::new(call))),
            Err(refused) => return Ok(Ended::Failed(refused, None)),
        }
        let bounds = Bounds { policy: self.policy(step), limit: *limit };
        let mut deed = Deed::new(&own.id, call).bounded(bounds, overwrites(own.platform, own.action_type));
        loop {
            let lost = match self.hands.attempt(self.ctx, &mut deed).await {
                Ok(Ok(made)) => return Ok(Ended::Made(made)),
                Ok(Err(lost)) => lost,
                Err(Cut { late: Some(at), .. }) => return self.judge(&deed, Ended::Late(at)).await,
                // Whether it was made is looked up: what this try knows a replay would not.
                Err(Cut { error, .. }) if is_cancelled(&error) => return Ok(Ended::Cancelled(Box::new(deed.call))),
                Err(Cut { error, .. }) => return Ok(Ended::Failed(error, None)),
            };
            let failed = || Ended::Failed(lost.error(), Some(lost.at));
            let (Next::Retry { at, .. } | Next::Look { at }) = lost.next else { return Ok(failed()) };
            deed.retries += 1;
            self.show_lost(state, place, &lost.words, deed.retries, at);
            if let Err(error) = self.ctx.sleep(at.since(lost.at)).await {
                return if is_cancelled(&error) { Ok(Ended::Cancelled(Box::new(deed.call))) } else { Err(error) };
            }
            if matches!(lost.next, Next::Look { .. }) {
                return self.judge(&deed, failed()).await;
            }
        }
    }

    /// The end of one that is not tried again: if a try of it may have happened, that is looked up first.
    async fn judge(&self, deed: &Deed, otherwise: Ended) -> Result<Ended, TerminalError> {
        let Some(since) = deed.doubt() else { return Ok(otherwise) };
        Ok(match self.hands.look(self.ctx, &deed.name, deed.call.clone(), since).await {
            Ok((Lookup::Found(outcome), at)) => {
                Ended::Made(Made { result: outcome.result, before: deed.before.clone().flatten(), at })
            }
            Ok((Lookup::Absent, _)) => otherwise,
            Ok((Lookup::Unclear(why), at)) => Ended::Failed(in_doubt(&why), Some(at)),
            Err(error) if is_cancelled(&error) => Ended::Cancelled(Box::new(deed.call.clone())),
            Err(error) => return Err(error),
        })
    }

    /// How often a step is tried, and how long is waited in between.
    fn policy(&self, step: &Step) -> Policy {
        let settings = &self.hands.settings;
        Policy {
            max_retries: step.definition.retries.unwrap_or(settings.max_retry_attempts),
            initial: settings.retry_initial_delay,
            multiplier: settings.retry_backoff_multiplier,
            cap: retry::cap(step.definition.platform),
        }
    }

    /// A step's call, by whose marker it is found again.
    pub(super) fn call(&self, step: &Step) -> Call {
        let own = &step.definition;
        let data = step.sent.clone().unwrap_or_else(|| own.data.clone());
        let marker = step.action_id.clone().unwrap_or_default();
        let mut call = self.hands.prepare_call(own.platform, own.action_type, data, marker);
        if let Some(ms) = own.timeout {
            call.timeout = std::time::Duration::from_millis(ms);
        }
        call
    }
}
