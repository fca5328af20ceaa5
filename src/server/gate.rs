//! The way in: every request passes here before its route. Host, token, role, query names and HTTP limits are checked,
//! time is bounded, and a panic becomes an answer.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::access::{self, OPEN_ON_LOOPBACK};
use super::backend::Refusal;
use super::changes;
use super::lockdown;
use super::quota::{Budget, Quota, Who};
use super::refuse::invalid;
use super::state::ServerState;
use super::telemetry::{LogLine, Part};
use super::tokens::Caller;
use crate::wire::{ErrorCode, HEADER_REQUEST_ID};

/// Longest wait for an answer.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// Longest wait for a restart: its drain may take ten minutes.
const RESTART_LIMIT: Duration = Duration::from_secs(630);

/// What the gate needs beside the state: how the service is reached, and what its operations accept.
#[derive(Clone)]
pub struct Gate {
    /// The state.
    pub state: ServerState,
    /// Whether the service listens on loopback only.
    pub loopback: bool,
    /// The HTTP limits, when they hold.
    pub quota: Option<Arc<Quota>>,
    /// Query parameters by method and route.
    pub parameters: Arc<HashMap<(Method, String), Vec<String>>>,
}

/// Id of a request: the caller's when it is a plain word, else a new one.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Lets a request through, or answers it.
pub async fn gate(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|p| p.as_str().to_owned());
    let target = request.uri().path().to_owned();
    let head = request.headers().clone();

    let passed = gate.check(&mut request, route.as_deref());
    let (mut response, budget) = match passed {
        Ok(budget) => (bounded(next.run(request), route.as_deref()).await, budget),
        Err(refused) => {
            gate.note(&method, &target, &id, &refused);
            if !access::is_read(&method) {
                let context =
                    changes::context(&gate.state.redactor, &head, refused.caller.as_ref(), &id).unwrap_or_default();
                let code = refused.refusal.code;
                changes::note_refused(&gate.state, &method, &target, &context, code).await;
            }
            (refused.refusal.into_response(), refused.budget)
        }
    };
    finish(response.headers_mut(), &id, budget.filter(|_| target.starts_with("/api/")));
    response
}

/// A request that is not let through.
struct Refused {
    refusal: Refusal,
    caller: Option<Caller>,
    budget: Option<Budget>,
}

impl From<Refusal> for Box<Refused> {
    fn from(refusal: Refusal) -> Self {
        Box::new(Refused { refusal, caller: None, budget: None })
    }
}

impl Gate {
    /// Tells the security log of a caller who may not.
    fn note(&self, method: &Method, target: &str, id: &str, refused: &Refused) {
        let told = [ErrorCode::AuthError, ErrorCode::PermissionDenied, ErrorCode::LockedDown];
        if !told.contains(&refused.refusal.code) {
            return;
        }
        let who = refused.caller.as_ref().map_or_else(|| "anonymous".to_owned(), Caller::actor);
        let target: String = target.chars().take(300).collect();
        let line = LogLine::warn(Part::Security, format!("Refused: {}", refused.refusal.message))
            .code(refused.refusal.code)
            .request(id.to_owned())
            .field("actor", who)
            .field("action", format!("{method} {target}"));
        (self.state.log)(line);
    }

    fn check(&self, request: &mut Request, route: Option<&str>) -> Result<Option<Budget>, Box<Refused>> {
        self.check_host(request)?;
        let caller = self.caller(request.headers(), route)?;
        let by = |refusal| Box::new(Refused { refusal, caller: caller.clone(), budget: None });
        let budget = self.admit(request, caller.as_ref()).map_err(&by)?;
        self.check_lockdown(request.method(), caller.as_ref(), route).map_err(&by)?;
        if let Some(route) = route {
            let needed = access::needed(request.method(), route);
            if let Some(caller) = caller.as_ref().filter(|c| c.role < needed) {
                let message = format!("this needs the role {needed}; token {} is {}", caller.actor(), caller.role);
                return Err(by(Refusal::new(ErrorCode::PermissionDenied, message)));
            }
            self.check_query(request, route).map_err(&by)?;
        }
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        Ok(budget)
    }

    /// While the service is locked down only the break-glass token is let in, for what leads out again.
    fn check_lockdown(&self, method: &Method, caller: Option<&Caller>, route: Option<&str>) -> Result<(), Refusal> {
        let (Some(kept), Some(caller)) = (self.state.lockdown.current(), caller) else { return Ok(()) };
        let refusal = lockdown::refusal(&kept.lockdown);
        if !caller.break_glass {
            return Err(refusal);
        }
        if access::is_read(method) || route.is_none_or(|route| lockdown::may_change(method.as_str(), route)) {
            return Ok(());
        }
        Err(Refusal { message: format!("{}: this waits for its end", refusal.message), ..refusal })
    }

    /// A browser that was led here by somebody else's name for this address is turned away.
    fn check_host(&self, request: &Request) -> Result<(), Refusal> {
        let mut named = request.headers().get_all(header::HOST).iter();
        let host = named.next().and_then(|v| v.to_str().ok()).ok_or_else(|| invalid("the Host header is missing"))?;
        let target = request.uri().authority().map(|a| a.as_str());
        if named.next().is_some() {
            return Err(invalid("there is more than one Host header"));
        }
        match [Some(host), target].into_iter().flatten().find(|h| !self.is_own_name(h)) {
            None => Ok(()),
            Some(other) => {
                let shown: String = other.chars().take(100).collect();
                let message = format!("this service is not `{shown}`; allow the name with `serve --allow-host`");
                Err(Refusal::new(ErrorCode::PermissionDenied, message))
            }
        }
    }

    fn is_own_name(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map_or(rest, |(address, _)| address),
            None => host.split_once(':').map_or(host, |(name, _)| name),
        };
        // An address cannot be made to mean another machine, a name can; on loopback only loopback's own will do.
        match name.parse::<IpAddr>() {
            Ok(address) => !self.loopback || address.is_loopback(),
            Err(_) => {
                name.eq_ignore_ascii_case("localhost") || self.state.hosts.iter().any(|h| h.eq_ignore_ascii_case(name))
            }
        }
    }

    fn caller(&self, headers: &HeaderMap, route: Option<&str>) -> Result<Option<Caller>, Refusal> {
        let refused = |why: &str| Refusal::new(ErrorCode::AuthError, why);
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            let open = self.loopback && route.is_some_and(|r| OPEN_ON_LOOPBACK.contains(&r));
            return if open { Ok(None) } else { Err(refused("a token is needed: `Authorization: Bearer <token>`")) };
        };
        let text = value.to_str().unwrap_or_default();
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
            return Err(refused("the Authorization header must be `Bearer <token>`"));
        }
        let known = self.state.tokens.caller(token.trim(), self.state.clock.now());
        known.map(Some).map_err(|refusal| match self.state.lockdown.current() {
            // Whose token it took away hears why; whoever never had one does not.
            Some(kept)
                if self.state.tokens.id_of(token.trim()).is_some_and(|id| kept.lockdown.revoked.contains(&id)) =>
            {
                lockdown::refusal(&kept.lockdown)
            }
            _ => refusal,
        })
    }

    fn admit(&self, request: &Request, caller: Option<&Caller>) -> Result<Option<Budget>, Refusal> {
        let Some(quota) = &self.quota else { return Ok(None) };
        let address = request.extensions().get::<SocketAddr>().map_or(IpAddr::from([0, 0, 0, 0]), SocketAddr::ip);
        let who = caller.map_or(Who::Address(address), |c| Who::Token(c.id.clone()));
        quota.admit(&who, request.uri().path(), self.state.clock.now()).map(Some)
    }

    fn check_query(&self, request: &Request, route: &str) -> Result<(), Refusal> {
        let Some(query) = request.uri().query().filter(|q| !q.is_empty()) else { return Ok(()) };
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        // A method the route does not have is refused by the router.
        let Some(known) = self.parameters.get(&(method.clone(), route.to_owned())) else { return Ok(()) };
        let named = query.split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').map_or(p, |(name, _)| name));
        for name in named {
            if known.iter().any(|k| k == name) {
                continue;
            }
            let shown: String = name.chars().take(100).collect();
            let accepted = match known.as_slice() {
                [] => "it takes none".to_owned(),
                names => format!("it takes {}", names.join(", ")),
            };
            return Err(invalid(format!("this URL has no query parameter `{shown}`; {accepted}")));
        }
        Ok(())
    }
}

fn request_id(headers: &HeaderMap) -> String {
    let plain = |s: &&str| {
        let word = s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        word && (1..=64).contains(&s.len())
    };
    let theirs = headers.get(HEADER_REQUEST_ID).and_then(|v| v.to_str().ok()).filter(plain);
    theirs.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

/// The route's answer, within the time limit, whatever happens in it.
async fn bounded(answer: impl Future<Output = Response>, route: Option<&str>) -> Response {
    let limit = if route.is_some_and(|r| r.ends_with("/restart")) { RESTART_LIMIT } else { TIME_LIMIT };
    let answer = AssertUnwindSafe(answer).catch_unwind();
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Refusal::new(ErrorCode::UnknownError, "the service failed on this request").into_response(),
        Err(_) => {
            let message = format!("no answer within {} s; what was started goes on", limit.as_secs());
            Refusal::new(ErrorCode::TimeoutError, message).into_response()
        }
    }
}

fn finish(headers: &mut HeaderMap, id: &str, budget: Option<Budget>) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static(HEADER_REQUEST_ID), value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(Budget { limit, remaining, reset }) = budget {
        headers.insert(HeaderName::from_static("x-ratelimit-limit"), HeaderValue::from(limit));
        headers.insert(HeaderName::from_static("x-ratelimit-remaining"), HeaderValue::from(remaining));
        headers.insert(HeaderName::from_static("x-ratelimit-reset"), HeaderValue::from(reset));
    }
}
