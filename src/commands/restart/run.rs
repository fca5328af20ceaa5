//! One service after the other: drained, restarted, waited for.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::app::App;
use crate::client::Orchestrator;
use crate::error::{Explained, Fault, Kind};
use crate::guard::Approval;
use crate::services::{self, Drain, NotReady, Seen, until_ready};
use crate::settings::{Service, ServiceName, format_duration};
use crate::wire::{Component, ComponentState};

use super::legs::Leg;
use super::report::{Happened, Row, Rows, name};

/// How long a part of the orchestrator may take to say that it is up, at least.
const PART: Duration = Duration::from_secs(5);
/// How long the parts of an orchestrator that was just started may take.
const STARTED: Duration = Duration::from_secs(30);
/// A look at what was not touched takes no longer.
const LOOK: Duration = Duration::from_secs(5);

/// Restarts all in order; after the first that does not come back the others are only looked at.
pub(super) async fn all(
    app: &App,
    approval: &Approval,
    legs: &[Leg<'_>],
    drain: Duration,
) -> anyhow::Result<(Rows, Option<anyhow::Error>)> {
    let mut orchestrator = app.orchestrator().await?.clone();
    let bar = app.output.progress(legs.len() as u64, "restart");
    let mut rows = Vec::new();
    for (index, leg) in legs.iter().enumerate() {
        let what = name(leg.name);
        approval.at(&format!("{index} of {} ready, at the {what}", legs.len()));
        bar.at(&what, index as u64, legs.len() as u64);
        let started = Instant::now();
        match one(&orchestrator, approval, leg, drain).await {
            Ok(row) => {
                rows.push(row.took(started.elapsed().as_millis()));
                if leg.name == ServiceName::Orchestrator {
                    orchestrator = app.orchestrator_anew().await.unwrap_or(orchestrator);
                }
            }
            Err((seen, error)) => {
                rows.push(Row::seen(leg, Happened::Failed, &seen).took(started.elapsed().as_millis()));
                rows.extend(untouched(&orchestrator, &legs[index + 1..]).await);
                return Ok((Rows(rows), Some(error)));
            }
        }
    }
    Ok((Rows(rows), None))
}

/// How it was left, and why that is a failure.
type Stopped = (Seen, anyhow::Error);

async fn one(orchestrator: &Orchestrator, approval: &Approval, leg: &Leg<'_>, drain: Duration) -> Result<Row, Stopped> {
    if let Some(service) = leg.service() {
        return managed(orchestrator, approval, leg, service, drain).await;
    }
    let unknown = |error: anyhow::Error| (Seen::unknown(Explained::from_error(&error).message), error);
    let part = match leg.name {
        ServiceName::Executor(platform) => {
            let answer = orchestrator.restart_executor(approval, platform, drain).await.map_err(unknown)?;
            return Ok(Row::answered(leg, answer));
        }
        ServiceName::Part(part) => part,
        ServiceName::Orchestrator => return Err(unknown(anyhow::anyhow!("nothing runs the orchestrator's process"))),
    };
    if leg.comes() {
        let seen = until_up(orchestrator, part, STARTED).await?;
        return Ok(Row::seen(leg, Happened::CameUp, &seen));
    }
    let answer = orchestrator.restart_component(approval, part, drain).await.map_err(unknown)?;
    if answer.state != ComponentState::Up {
        until_up(orchestrator, part, drain.max(PART)).await?;
    }
    Ok(Row::answered(leg, answer))
}

/// Waits until the orchestrator says that a part is up; the restart itself may be answered before.
async fn until_up(orchestrator: &Orchestrator, part: Component, limit: Duration) -> Result<Seen, Stopped> {
    let look = || async move { of_part(orchestrator, part).await };
    until_ready(Duration::ZERO, limit, look).await.map_err(|end| stopped(&part.to_string(), end, None))
}

async fn of_part(orchestrator: &Orchestrator, part: Component) -> Seen {
    match orchestrator.components().await {
        Ok(all) => match all.iter().find(|s| s.component == part) {
            Some(s) if s.state == ComponentState::Up => Seen::up(&s.detail),
            Some(s) => Seen::down(format!("{}, {}", s.state, s.detail)),
            None => Seen::unknown("the orchestrator does not name it"),
        },
        Err(error) => {
            let why = Explained::from_error(&error);
            // A token that is refused now is refused later.
            Seen { is_over: why.kind == Kind::NotAuthenticated, ..Seen::unknown(why.message) }
        }
    }
}

async fn managed(
    orchestrator: &Orchestrator,
    approval: &Approval,
    leg: &Leg<'_>,
    service: &Service,
    drain: Duration,
) -> Result<Row, Stopped> {
    let untold = |fault: Fault| (Seen::unknown(fault.causes.first().cloned().unwrap_or_default()), fault.into());
    let drained = services::drain(approval, service, drain).await.map_err(untold)?;
    if let Err(fault) = services::restart(approval, service).await {
        let seen = look(orchestrator, service).await;
        return Err((seen, fault.into()));
    }
    let seen = until_ready(service.stable, service.timeout, || look(orchestrator, service)).await;
    let seen = seen.map_err(|end| stopped(&name(service.name), end, Some(services::look_closer(service))))?;
    let row = Row::seen(leg, Happened::Restarted, &seen);
    Ok(match drained {
        Drain::None => row,
        Drain::Finished => row.beside("drained"),
        Drain::Unfinished(why) => row.beside(&why),
    })
}

/// How a service is. The orchestrator is up when its admin API answers.
async fn look(orchestrator: &Orchestrator, service: &Service) -> Seen {
    let seen = services::look(service, services::LOOK).await;
    let has_manager_sign = seen.state == services::State::Up;
    if service.name != ServiceName::Orchestrator || seen.state == services::State::Down || seen.is_over {
        return seen;
    }
    let beside = |text: &str| if has_manager_sign { format!("{}, {text}", seen.detail) } else { text.to_owned() };
    match orchestrator.info().await {
        Ok(info) => Seen { life: Some(info.started_at.to_string()), ..Seen::up(beside("the admin API answers")) },
        Err(error) if Explained::from_error(&error).kind == Kind::NotAuthenticated => {
            Seen { life: seen.life.clone(), ..Seen::up(beside("the admin API answers")) }
        }
        Err(error) => {
            let why = Explained::from_error(&error);
            let cause = why.causes.first().map(|cause| format!(" ({cause})")).unwrap_or_default();
            Seen { life: seen.life.clone(), ..Seen::down(beside(&format!("{}{cause}", why.message))) }
        }
    }
}

fn stopped(what: &str, end: NotReady, hint: Option<String>) -> Stopped {
    let (fault, seen) = match end {
        NotReady::Never { limit, seen } => {
            let limit = format_duration(limit);
            (Fault::new(Kind::Unreachable, format!("the {what} did not become ready within {limit}")), seen)
        }
        NotReady::Flaps { falls, seen } => {
            let fault = Fault::new(Kind::Failed, format!("the {what} did not stay up"));
            let times = crate::commands::text::counted(u64::from(falls), "time", "times");
            (fault.because(format!("it came up and went down again, {times}")), seen)
        }
        NotReady::Over(seen) => (Fault::new(Kind::Failed, format!("the {what} did not come up")), seen),
    };
    let fault = if seen.detail.is_empty() { fault } else { fault.because(seen.detail.clone()) };
    let fault = fault.hint(hint.unwrap_or_else(|| "look at it with `opsctl system status`".into()));
    (seen, fault.into())
}

/// How those are that were not reached.
async fn untouched(orchestrator: &Orchestrator, legs: &[Leg<'_>]) -> Vec<Row> {
    let rows = legs.iter().map(|leg| async move {
        let looked = async {
            match (leg.service(), leg.name) {
                (Some(service), _) => look(orchestrator, service).await,
                (None, ServiceName::Part(part)) => of_part(orchestrator, part).await,
                (None, _) => Seen::unknown("nobody looked"),
            }
        };
        let seen = tokio::time::timeout(LOOK, looked).await;
        let seen = seen.unwrap_or_else(|_| Seen::unknown(format!("no answer within {}", format_duration(LOOK))));
        Row::seen(leg, Happened::NotTouched, &seen)
    });
    join_all(rows).await
}
