//! Lockdown, and the way back.

use axum::Extension;
use axum::extract::State;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Reply, applied, changed};
use crate::platforms::rotating_variable;
use crate::server::backend::Refusal;
use crate::server::changes::Change;
use crate::server::extract::Json;
use crate::server::lockdown::Kept;
use crate::server::refuse::invalid;
use crate::server::state::ServerState;
use crate::server::telemetry::{LogLine, Part};
use crate::server::tokens::Caller;
use crate::wire::*;

pub(super) fn routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(lock_down)).routes(routes!(restore_checks, restore))
}

/// How the service stands
#[utoipa::path(get, path = "/admin/v1/security", operation_id = "securityStatus", tag = "security",
    responses((status = 200, description = "The lockdown, if one is on", body = SecurityStatus)))]
async fn status(State(state): State<ServerState>, caller: Option<Extension<Caller>>) -> Json<SecurityStatus> {
    Json(SecurityStatus {
        lockdown: state.lockdown.current().map(|kept| kept.lockdown),
        break_glass: caller.is_some_and(|c| c.break_glass),
        live_tokens: state.tokens.live(state.clock.now()).len() as u64,
    })
}

/// Stop intake and work, and revoke every token but break-glass
#[utoipa::path(post, path = "/admin/v1/security/lockdown", operation_id = "lockDown", tag = "security",
    responses((status = 200, description = "What became of it", body = ChangeAnswer)))]
async fn lock_down(State(state): State<ServerState>, change: Change) -> Reply<ChangeAnswer> {
    if let Some(kept) = state.lockdown.current() {
        let message = format!("locked down already, since {}", kept.lockdown.since);
        return Ok(changed(&change, ChangeAnswer { effect: EffectKind::AlreadySo, ..applied(message) }));
    }
    let now = state.clock.now();
    let lockdown = Lockdown {
        since: now,
        by: change.cx.actor.clone(),
        operator: change.cx.operator.clone(),
        reason: change.cx.reason.clone(),
        revoked: state.tokens.live(now),
    };
    let credentials = in_use(&state).await.into_iter().filter_map(|(_, e)| Some((e.name, e.fingerprint?))).collect();
    let mut kept = Kept { lockdown, credentials, paused: false };
    let mut failures = Vec::new();
    // Shut first; everything else is said to have failed rather than left undone.
    if let Err(error) = state.lockdown.begin(kept.clone()) {
        failures.push(format!("it ends with the next restart, the disk did not take it: {error:#}"));
    }
    if let Err(error) = state.tokens.revoke_all(&kept.lockdown.revoked, now) {
        failures.push(format!("the tokens work again after it, the disk did not take their end: {error:#}"));
    }
    let paused = match state.queues() {
        Ok(queues) => queues.pause(PauseScope::All, &change.cx).await,
        Err(refusal) => Err(refusal),
    };
    match paused {
        Ok(answer) if answer.effect == EffectKind::Applied => {
            kept.paused = true;
            if let Err(error) = state.lockdown.begin(kept.clone()) {
                failures.push(format!("its pause outlives it: {error:#}"));
            }
        }
        Ok(_) => {}
        Err(refusal) => failures.push(format!("work was not paused: {}", refusal.message)),
    }
    let revoked = kept.lockdown.revoked.len();
    let tokens = if revoked == 1 { "1 token is".to_owned() } else { format!("{revoked} tokens are") };
    let mut message = format!("locked down: nothing is taken in, work is paused, {tokens} revoked");
    for failure in failures {
        message.push_str("; BUT ");
        message.push_str(&failure);
    }
    (state.log)(LogLine::error(Part::Security, message.clone()).field("actor", change.cx.actor.clone()));
    let items =
        kept.lockdown.revoked.into_iter().map(|id| ItemEffect { id, effect: EffectKind::Applied, detail: None });
    Ok(changed(&change, ChangeAnswer { items: items.collect(), ..applied(message) }))
}

/// What has to be so before a lockdown ends
#[utoipa::path(get, path = "/admin/v1/security/restore", operation_id = "restoreChecks", tag = "security",
    responses((status = 200, description = "What was looked at", body = RestoreChecks)))]
async fn restore_checks(State(state): State<ServerState>) -> Reply<RestoreChecks> {
    let kept = state.lockdown.current();
    let checks = match &kept {
        Some(kept) => checks(&state, kept).await?,
        None => Vec::new(),
    };
    Ok(Json(RestoreChecks { lockdown: kept.map(|kept| kept.lockdown), checks }))
}

/// End a lockdown, once every check passes
#[utoipa::path(post, path = "/admin/v1/security/restore", operation_id = "restoreAccess", tag = "security",
    request_body = RestoreAccess,
    responses((status = 200, description = "What became of it", body = ChangeAnswer)))]
async fn restore(
    State(state): State<ServerState>,
    change: Change,
    Json(request): Json<RestoreAccess>,
) -> Reply<ChangeAnswer> {
    if !request.verified {
        return Err(invalid("a lockdown ends only with `verified`: somebody has looked at what happened"));
    }
    let Some(kept) = state.lockdown.current() else {
        let message = "not locked down".to_owned();
        return Ok(changed(&change, ChangeAnswer { effect: EffectKind::AlreadySo, ..applied(message) }));
    };
    let failed: Vec<String> = checks(&state, &kept)
        .await?
        .into_iter()
        .filter(|check| !check.passed)
        .map(|check| format!("{}: {}", check.name, check.detail))
        .collect();
    if !failed.is_empty() {
        let message = format!("the lockdown stays: {}", failed.join("; "));
        let details = Some(json!({"problems": failed}));
        return Err(Refusal { details, ..Refusal::new(ErrorCode::Conflict, message) });
    }
    // The way in before the door opens, the door before the work.
    let cannot = |error: anyhow::Error| Refusal::new(ErrorCode::UnknownError, format!("{error:#}"));
    let token = state.tokens.renew_admin(state.clock.now()).map_err(cannot)?;
    state.lockdown.end().map_err(cannot)?;
    let mut message =
        format!("the lockdown has ended; {} is the new admin token, in its file at the service", token.id);
    let others = kept.lockdown.revoked.len();
    message.push_str(&format!("; {others} tokens stay revoked"));
    message.push_str("; ");
    message.push_str(&resumed(&state, &kept, &change).await);
    (state.log)(LogLine::warn(Part::Security, message.clone()).field("actor", change.cx.actor.clone()));
    Ok(changed(&change, applied(message)))
}

/// Ends the lockdown's own pause. One that somebody else set stays.
async fn resumed(state: &ServerState, kept: &Kept, change: &Change) -> String {
    let queues = match state.queues() {
        Ok(queues) => queues,
        Err(refusal) => return refusal.message,
    };
    let pauses = queues.pauses().await.unwrap_or_default();
    let others = pauses.iter().find(|p| !kept.paused || p.scope != PauseScope::All);
    if let Some(pause) = others {
        return format!("still paused by {} since {}", pause.owner, pause.since);
    }
    let request = PauseRequest { scope: PauseScope::All, slow_start: true };
    match queues.resume(request, &change.cx).await {
        Ok(answer) => answer.message,
        Err(refusal) => format!("work stays paused: {}", refusal.message),
    }
}

/// The setting that lets each platform in, of those that have one; Drive and Sheets share theirs.
async fn in_use(state: &ServerState) -> Vec<(Platform, ConfigEntry)> {
    let Ok(config) = state.config() else { return Vec::new() };
    let all = config.list().await.unwrap_or_default();
    let is_set = |name: &str| all.iter().any(|e| e.name == name && (e.value.is_some() || e.pending.is_some()));
    let found = Platform::ALL.iter().filter(|p| **p != Platform::Sheets).filter_map(|platform| {
        let variable = rotating_variable(*platform, is_set)?;
        Some((*platform, all.iter().find(|e| e.name == variable)?.clone()))
    });
    found.collect()
}

async fn checks(state: &ServerState, kept: &Kept) -> Result<Vec<RestoreCheck>, Refusal> {
    let services = state.services()?;
    // All platforms at once: one that hangs must not use up the others' time.
    let asked = in_use(state)
        .await
        .into_iter()
        .map(|(platform, entry)| async move { (platform, entry, services.auth(platform).await) });
    let mut checks = Vec::new();
    for (platform, entry, answer) in futures_util::future::join_all(asked).await {
        let rotate = format!("opsctl security rotate-keys {platform} --emergency");
        let old = kept.credentials.get(&entry.name);
        let same = old.is_some() && old == entry.fingerprint.as_ref();
        let (passed, detail, fix) = match &entry.pending {
            Some(_) => {
                (false, format!("the new {} is not in use yet", entry.name), Some("opsctl restart executors".into()))
            }
            None if same => (false, format!("{} is still the one from before the lockdown", entry.name), Some(rotate)),
            None => (true, format!("{} was replaced", entry.name), None),
        };
        checks.push(RestoreCheck { name: format!("{platform} key"), passed, detail, fix });
        let (passed, detail) = match answer {
            Ok(AuthStatus { authenticated: true, identity, .. }) => {
                (true, identity.unwrap_or_else(|| "accepted".into()))
            }
            Ok(AuthStatus { error, .. }) => (false, error.unwrap_or_else(|| "refused".into())),
            Err(refusal) => (false, refusal.message),
        };
        let fix = (!passed).then(|| format!("opsctl test auth {platform}"));
        checks.push(RestoreCheck { name: format!("{platform} sign-in"), passed, detail, fix });
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use crate::server::lockdown::may_change;

    #[test]
    fn a_lockdown_takes_nothing_in_and_resumes_nothing() {
        assert!(may_change("PUT", "/admin/v1/config/{name}"));
        assert!(may_change("POST", "/admin/v1/security/restore"));
        for (method, route) in [
            ("POST", "/admin/v1/actions"),
            ("POST", "/admin/v1/workflows"),
            ("POST", "/admin/v1/pauses/resume"),
            ("POST", "/admin/v1/tokens"),
            ("POST", "/api/approvals/{id}/approve"),
        ] {
            assert!(!may_change(method, route), "{method} {route}");
        }
    }
}
