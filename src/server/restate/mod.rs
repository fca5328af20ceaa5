//! An engine of somebody else's behind the admin API: a Restate cluster.
//!
//! Reads are SQL over its admin API, changes are JSON. What Restate has no idea of (circuits, gates, rate limits, what an
//! action is) services keep by the [`contract`]. Tokens, roles, audit and repeated answers stay at the edge, as with every
//! backend. A change counts as applied only once it was read back; a verb that cannot be served says so by name.

mod actions;
mod admin;
mod approvals;
mod capabilities;
mod changes;
mod circuits;
mod contract;
mod ending;
mod gate;
mod ingress;
mod invocation;
mod keys;
mod listed;
mod looks;
mod moving;
mod queue;
mod removing;
mod services;
mod worker;
mod workers;
mod workflows;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use self::admin::Admin;
use self::capabilities::{Known, Seen};
use self::ingress::Ingress;
use self::listed::Listed;
use crate::clock::Clock;
use crate::error::{Fault, Kind};
use crate::http::Url;
use crate::secret::Secret;
use crate::server::backend::{
    ApprovalOps, Backend, CircuitOps, IdempotencyOps, LimitOps, QueueOps, Refusal, ServiceOps, WorkflowOps,
};
use crate::server::config::ConfigRegistry;
use crate::server::telemetry::{LogLine, Part, Telemetry};
use crate::wire::{Capability, ErrorCode, Time};

pub use self::admin::plain;
pub use self::worker::{IdentityKey, Worker, WorkerOptions};
pub use self::workers::{Registered, RegisteredService};

/// How often what is registered, and whether Restate answers, is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Longest time for one submission.
const SUBMIT_TIME: Duration = Duration::from_secs(10);

/// Where a cluster is.
#[derive(Clone, Debug)]
pub struct RestateOptions {
    /// Admin addresses; at least one.
    pub admin: Vec<Url>,
    /// Addresses of the ingress; what the cluster says of itself when there are none.
    pub ingress: Vec<Url>,
    /// Sent as a bearer token to the admin addresses and the ingress: Restate has none, a proxy before it may.
    pub token: Option<Secret>,
    /// How long a change that was accepted is looked for before it is reported as accepted, not applied.
    pub patience: Duration,
}

/// A cluster that answered, in a version that is known.
#[derive(Debug)]
pub struct Cluster {
    admin: Admin,
    ingress: Option<Ingress>,
    patience: Duration,
    seen: Seen,
}

impl Cluster {
    /// Asks the cluster what it is. Fails when nobody answers, or in a version that is not known.
    pub async fn connect(options: RestateOptions) -> Result<Cluster, Fault> {
        let admin = Admin::new(options.admin, options.token.clone(), options.patience);
        let at = admin.addresses();
        let cannot = |refusal: Refusal| {
            let kind = match refusal.code {
                ErrorCode::Unsupported => Kind::Failed,
                _ => Kind::Unreachable,
            };
            let hint = match kind {
                Kind::Failed => "use an opsctl that knows this version, or a Restate server of a version it knows",
                _ => {
                    "check the addresses in --restate-admin; they are those of the admin API, port 9070 unless changed"
                }
            };
            Fault::new(kind, format!("cannot use Restate at {at}")).because(refusal.message).hint(hint)
        };
        let seen = capabilities::look(&admin).await.map_err(cannot)?;
        let mut ingress = options.ingress;
        if ingress.is_empty() {
            ingress.extend(seen.ingress.as_deref().and_then(|url| Url::parse(url).ok()));
        }
        let ingress = (!ingress.is_empty()).then(|| Ingress::new(ingress, options.token, SUBMIT_TIME));
        Ok(Cluster { admin, ingress, patience: options.patience, seen })
    }

    /// The server's version, for people.
    pub fn version(&self) -> &str {
        &self.seen.version
    }

    /// Where it answers, for people.
    pub fn address(&self) -> String {
        admin::plain(self.admin.address())
    }
}

/// A Restate cluster as the work behind the admin API.
pub struct RestateBackend {
    admin: Admin,
    ingress: Option<Ingress>,
    known: RwLock<Known>,
    config: Arc<ConfigRegistry>,
    telemetry: Arc<Telemetry>,
    patience: Duration,
    clock: Clock,
    started_at: Time,
    data_dir: std::path::PathBuf,
    /// Whoever changes the gate reads it first.
    gate_turn: tokio::sync::Mutex<()>,
    /// Whoever takes out or puts back looks first what is so already: Restate itself would run one again twice.
    queue_turn: tokio::sync::Mutex<()>,
    listed: Listed,
    /// The newest revision of the gate that was seen.
    gate_seen: AtomicU64,
}

impl RestateBackend {
    /// The backend over a cluster that answered.
    pub fn new(
        cluster: Cluster,
        config: Arc<ConfigRegistry>,
        telemetry: Arc<Telemetry>,
        clock: Clock,
        data_dir: &std::path::Path,
    ) -> Arc<Self> {
        telemetry.log(
            LogLine::info(Part::Service, "Started over Restate")
                .field("version", cluster.seen.version.clone())
                .field("admin", cluster.admin.addresses()),
        );
        Arc::new(RestateBackend {
            admin: cluster.admin,
            ingress: cluster.ingress,
            patience: cluster.patience,
            known: RwLock::new(Known { seen: cluster.seen, lost: None }),
            config,
            telemetry,
            started_at: clock.now(),
            clock,
            data_dir: data_dir.to_owned(),
            gate_turn: tokio::sync::Mutex::new(()),
            queue_turn: tokio::sync::Mutex::new(()),
            listed: Listed::default(),
            gate_seen: AtomicU64::new(0),
        })
    }

    /// Looks again and again at what the cluster is, until the value is dropped.
    pub fn start(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let Some(this) = weak.upgrade() else { return };
                this.look_again().await;
            }
        });
    }

    /// What is known of the cluster.
    fn known(&self) -> Known {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Looks at the cluster now. It may be another version after it was away.
    async fn look_again(&self) {
        let looked = capabilities::look(&self.admin).await;
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let was_lost = known.lost.is_some();
        match looked {
            Ok(seen) => *known = Known { seen, lost: None },
            Err(refusal) => known.lost = Some(refusal),
        }
        let line = match (&known.lost, was_lost) {
            (Some(refusal), false) => LogLine::error(Part::Store, refusal.message.clone()),
            (None, true) => LogLine::info(Part::Store, "Restate answers again"),
            _ => return,
        };
        drop(known);
        self.telemetry.log(line);
    }

    /// Refuses while the cluster's version is one that is not known: what its answers mean is not known either.
    fn ensure_known(&self) -> Result<(), Refusal> {
        match self.known().lost {
            Some(refusal) if refusal.code == ErrorCode::Unsupported => Err(refusal),
            _ => Ok(()),
        }
    }

    /// Refuses when a service that has to be there by contract is not. One that was just registered counts.
    async fn ensure_service(&self, name: &str) -> Result<(), Refusal> {
        self.ensure_known()?;
        if !self.known().seen.has(name) {
            self.look_again().await;
        }
        let known = self.known();
        if known.seen.has(name) {
            return Ok(());
        }
        Err(known.lost.unwrap_or_else(|| Refusal::new(ErrorCode::Unsupported, contract::absent(name))))
    }

    /// Rows of a query.
    async fn rows<T: serde::de::DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>, Refusal> {
        self.ensure_known()?;
        self.admin.query(sql).await
    }

    fn now(&self) -> Time {
        self.clock.now()
    }
}

impl Backend for RestateBackend {
    fn engine(&self) -> &'static str {
        "restate"
    }

    fn capabilities(&self) -> BTreeMap<String, Capability> {
        capabilities::table(&self.known(), self.ingress.is_some())
    }

    fn queues(&self) -> Option<&dyn QueueOps> {
        Some(self)
    }

    fn circuits(&self) -> Option<&dyn CircuitOps> {
        Some(self)
    }

    fn limits(&self) -> Option<&dyn LimitOps> {
        Some(self)
    }

    fn services(&self) -> Option<&dyn ServiceOps> {
        Some(self)
    }

    fn workflows(&self) -> Option<&dyn WorkflowOps> {
        Some(self)
    }

    fn idempotency(&self) -> Option<&dyn IdempotencyOps> {
        Some(self)
    }

    fn approvals(&self) -> Option<&dyn ApprovalOps> {
        Some(self)
    }
}

/// A verb, or a part of one, that Restate cannot serve.
fn unsupported(why: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::Unsupported, why)
}
