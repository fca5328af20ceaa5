//! The way to the platforms: what all requests share.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use super::caches::Caches;
use super::google::Tokens;
use super::pace::{Pace, Pacing};
use super::session::Session;
use super::{Credentials, Endpoints, Platform};
use crate::clock::Clock;
use crate::http::{Http, Options};
use crate::wire::ErrorCode;

/// One HTTP request that was made, as the observer is told.
#[derive(Clone, Debug, PartialEq)]
pub struct CallEvent {
    /// The platform asked.
    pub platform: Platform,
    /// What was asked, in the platform's words: `pages.create`, `chat.postMessage`.
    pub request: &'static str,
    /// How long until the whole answer was there, or the failure.
    pub took: Duration,
    /// HTTP status, when one came.
    pub status: Option<u16>,
    /// What it failed with; `None` for a success.
    pub code: Option<ErrorCode>,
    /// How long the platform asks to wait.
    pub retry_after: Option<Duration>,
}

/// Told of every request that was made.
pub type Observer = Arc<dyn Fn(CallEvent) + Send + Sync>;

/// Typed clients of the five platforms. A clone shares connections, tokens and caches.
#[derive(Clone)]
pub struct Clients {
    inner: Arc<Inner>,
}

/// What the clones of a [`Clients`] share.
pub(super) struct Inner {
    pub http: Http,
    pub endpoints: Endpoints,
    credentials: RwLock<Arc<Credentials>>,
    pub clock: Clock,
    pub observer: Option<Observer>,
    pub pacing: Option<Pacing>,
    pub tokens: Tokens,
    pub caches: Caches,
}

impl Clients {
    /// Clients for these addresses and credentials. Nothing is connected or signed yet.
    pub fn new(endpoints: Endpoints, credentials: Credentials, clock: Clock) -> Self {
        Clients::build(endpoints, credentials, clock, None, None)
    }

    /// As [`Clients::new`], and every request waits for its turn; one that is refused for its rate is sent again, which
    /// is safe since a refused request had no effect. Limits in time are for each request then, not for a whole action.
    pub fn paced(endpoints: Endpoints, credentials: Credentials, clock: Clock, pacing: Pacing) -> Self {
        Clients::build(endpoints, credentials, clock, None, Some(pacing))
    }

    /// The limiter of a platform's credential; `None` when requests are not paced.
    pub fn pace(&self, platform: Platform) -> Option<Arc<Pace>> {
        let pacing = self.inner.pacing.as_ref()?;
        Some(pacing.of(platform, &self.credentials().fingerprint(platform).unwrap_or_default()))
    }

    /// As [`Clients::new`], with an observer that is told of every request.
    pub fn observed(endpoints: Endpoints, credentials: Credentials, clock: Clock, observer: Observer) -> Self {
        Clients::build(endpoints, credentials, clock, Some(observer), None)
    }

    fn build(
        endpoints: Endpoints,
        credentials: Credentials,
        clock: Clock,
        observer: Option<Observer>,
        pacing: Option<Pacing>,
    ) -> Self {
        Clients {
            inner: Arc::new(Inner {
                http: Http::new(Options::default()),
                endpoints,
                credentials: RwLock::new(Arc::new(credentials)),
                clock,
                observer,
                pacing,
                tokens: Tokens::default(),
                caches: Caches::default(),
            }),
        }
    }

    /// The credentials in force.
    pub fn credentials(&self) -> Arc<Credentials> {
        self.inner.credentials.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Other credentials from now on: after a rotation, or when `USE_BACKUP_CREDENTIALS` changed. Tokens and caches
    /// that came from the old ones are dropped.
    pub fn set_credentials(&self, credentials: Credentials) {
        *self.inner.credentials.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(credentials);
        self.inner.tokens.forget_all();
        self.clear_caches();
    }

    /// The addresses in force.
    pub fn endpoints(&self) -> &Endpoints {
        &self.inner.endpoints
    }

    /// The clock in force.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Empties the caches: entries dropped, by cache. Access tokens are kept.
    pub fn clear_caches(&self) -> BTreeMap<String, u64> {
        self.inner.caches.clear()
    }

    /// A stretch of requests to one platform that has to end within `limit`.
    pub(super) fn session(&self, platform: Platform, limit: Duration) -> Session {
        Session::new(self.inner.clone(), self.credentials(), platform, limit)
    }
}
