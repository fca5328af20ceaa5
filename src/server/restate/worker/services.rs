//! The services a worker offers: what the cluster is told of each, and which of our functions answers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use restate_sdk::discovery::{self, HandlerType, InputPayload, OutputPayload, ServiceType};
use restate_sdk::endpoint::{self, ContextInternal, InputMetadata, ServiceOptions};
use restate_sdk::prelude::*;
use restate_sdk::service::{Service, ServiceDefinition, macro_support};
use serde_json::Value;

use super::hands::Hands;
use super::{objects, workflows};
use crate::platforms::Platform;
use crate::server::restate::contract::{CIRCUIT, GATE, MARK, RATE_LIMIT, WORKFLOW, platform_of, service_of};
use crate::wire::ActionType;

/// Tries before an invocation is paused, where somebody finds it. Being held by a gate counts as one.
const TRIES: u64 = 100_000;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Everything a worker offers.
pub(super) fn all(hands: &Arc<Hands>) -> Vec<ServiceDefinition> {
    let shared = Some(HandlerType::Shared);
    let objects = [
        (GATE, vec![("check", shared)]),
        (CIRCUIT, vec![("check", shared), ("acquire", None), ("record", None)]),
        (RATE_LIMIT, vec![("take", None)]),
    ];
    let mut offered: Vec<ServiceDefinition> = objects
        .into_iter()
        // Nothing of these calls is worth keeping.
        .map(|(name, handlers)| {
            offer(hands, name, ServiceType::VirtualObject, handlers, options().journal_retention(Duration::ZERO))
        })
        .collect();
    let handlers = || ActionType::ALL.iter().map(|kind| (kind.as_str(), None)).collect();
    let actions = Platform::ALL.iter().map(|platform| service_of(*platform));
    offered.extend(actions.map(|name| offer(hands, name, ServiceType::Service, handlers(), patient())));
    let handlers = vec![("run", Some(HandlerType::Workflow)), ("decide", shared)];
    offered.push(offer(hands, WORKFLOW, ServiceType::Workflow, handlers, patient()));
    offered
}

/// They say that they keep to the contract.
fn options() -> ServiceOptions {
    ServiceOptions::new().metadata(MARK.0, MARK.1)
}

/// Waiting is not failing: an action is not given up while a gate holds it.
fn patient() -> ServiceOptions {
    options()
        .retry_policy_initial_interval(FIRST_WAIT)
        .retry_policy_exponentiation_factor(3.0)
        .retry_policy_max_interval(LONGEST_WAIT)
        .retry_policy_max_attempts(TRIES)
        .retry_policy_pause_on_max_attempts()
}

fn offer(
    hands: &Arc<Hands>,
    name: &str,
    kind: ServiceType,
    handlers: Vec<(&str, Option<HandlerType>)>,
    options: ServiceOptions,
) -> ServiceDefinition {
    let service = discovery::Service {
        ty: kind,
        name: name.parse().expect("the contract's names are good"),
        handlers: handlers.into_iter().map(|(name, kind)| handler(name, kind)).collect(),
        documentation: None,
        metadata: std::collections::HashMap::default(),
        abort_timeout: None,
        inactivity_timeout: None,
        journal_retention: None,
        idempotency_retention: None,
        enable_lazy_state: None,
        ingress_private: None,
        retry_policy_initial_interval: None,
        retry_policy_max_interval: None,
        retry_policy_max_attempts: None,
        retry_policy_exponentiation_factor: None,
        retry_policy_on_max_attempts: None,
    };
    // The macros of the SDK would make a type of each service, with a client that nobody needs.
    macro_support::service_definition(Offered(hands.clone()), service).options(options)
}

fn handler(name: &str, kind: Option<HandlerType>) -> discovery::Handler {
    discovery::Handler {
        name: name.parse().expect("the contract's names are good"),
        input: Some(InputPayload { content_type: Some("*/*".into()), json_schema: None, required: Some(false) }),
        output: Some(OutputPayload {
            content_type: Some("application/json".into()),
            json_schema: None,
            set_content_type_if_empty: Some(true),
        }),
        ty: kind,
        documentation: None,
        metadata: std::collections::HashMap::default(),
        abort_timeout: None,
        inactivity_timeout: None,
        journal_retention: None,
        idempotency_retention: None,
        workflow_completion_retention: None,
        enable_lazy_state: None,
        ingress_private: None,
        retry_policy_initial_interval: None,
        retry_policy_max_interval: None,
        retry_policy_max_attempts: None,
        retry_policy_exponentiation_factor: None,
        retry_policy_on_max_attempts: None,
    }
}

/// What answers for all of them.
struct Offered(Arc<Hands>);

impl Service for Offered {
    type Future = BoxFuture<'static, Result<(), endpoint::Error>>;

    fn handle(&self, ctx: ContextInternal) -> Self::Future {
        let hands = self.0.clone();
        Box::pin(async move {
            let (input, about) = ctx.input::<Vec<u8>>().await;
            let answer = answer(&hands, &ctx, about, &input).await;
            ctx.handle_handler_result(answer.map(Json));
            ctx.end();
            Ok(())
        })
    }
}

async fn answer(hands: &Arc<Hands>, ctx: &ContextInternal, about: InputMetadata, input: &[u8]) -> HandlerResult<Value> {
    let InputMetadata { invocation_id, key, .. } = about;
    match (ctx.service_name(), ctx.handler_name()) {
        (GATE, "check") => objects::gate(ctx).await,
        (CIRCUIT, _) => objects::circuit(hands, ctx, &key, read(input)?).await,
        (RATE_LIMIT, "take") => objects::limit(hands, ctx, &key, read(input)?).await,
        (WORKFLOW, "run") => workflows::run(hands, ctx, &key, read(input)?).await,
        (WORKFLOW, "decide") => {
            workflows::decide(ctx, read(input)?)?;
            Ok(Value::Null)
        }
        (service, handler) => match (platform_of(service), handler.parse::<ActionType>()) {
            (Some(platform), Ok(kind)) => hands.act(ctx, invocation_id, platform, kind, read(input)?).await,
            _ => Err(unknown(ctx).into()),
        },
    }
}

fn read<T: serde::de::DeserializeOwned>(input: &[u8]) -> Result<T, TerminalError> {
    serde_json::from_slice(input).map_err(|error| TerminalError::new_with_code(400, format!("400 {error}")))
}

/// A call that the contract does not have.
pub(super) fn unknown(ctx: &ContextInternal) -> TerminalError {
    TerminalError::new_with_code(404, format!("there is no {}/{}", ctx.service_name(), ctx.handler_name()))
}
