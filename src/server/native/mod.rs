//! The orchestrator inside: SQLite store, queue, workers and executors behind the admin API's seam.
//!
//! [`store`] has the truth on disk. `core` has what the workers share in memory, under one lock, and decides with the rules
//! of [`crate::engine`]. `work` is a worker's round and `outcome` what follows a try; `intake`, `changes` and `restart` are
//! what comes from outside. An action is accepted only after it is synced, sent only after the intent is, and what was being
//! sent when the service died is looked for on the platform before it is sent again.

mod approvals;
mod backup;
mod batch;
mod bus;
mod cache;
mod calls;
mod changes;
mod checks;
mod core;
mod executor;
mod health;
mod intake;
mod key_ops;
mod moving;
mod ops;
mod outcome;
mod queue_ops;
mod restart;
mod runtime;
mod sampling;
pub mod store;
mod work;
mod workflows;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

pub(super) use self::approvals::ask;
use self::backup::Backups;
pub(super) use self::backup::{Rescued, begin as begin_with_store, settle as settle_restore};
use self::calls::Calls;
pub(super) use self::calls::credentials;
use self::core::Core;
pub(super) use self::intake::check;
use self::runtime::{Makings, Runtime};
use self::store::workflows::Moment;
use self::store::{Store, journal, query};
use crate::clock::Clock;
use crate::error::{Fault, Kind};
use crate::platforms::{Clients, Endpoints};
use crate::server::backend::{
    ApprovalOps, Backend, BackupOps, CircuitOps, ConfigOps, IdempotencyOps, LimitOps, LogOps, MetricsOps, QueueOps,
    ServiceOps, WorkflowOps,
};
use crate::server::config::ConfigRegistry;
use crate::server::telemetry::{LogLine, Part, Telemetry};
use crate::wire::{Capability, Support, Time};

/// What the orchestrator is opened with.
pub struct NativeOptions {
    /// Folder of the store.
    pub data_dir: PathBuf,
    /// The clock.
    pub clock: Clock,
    /// Settings.
    pub config: Arc<ConfigRegistry>,
    /// Metrics and log files.
    pub telemetry: Arc<Telemetry>,
    /// Where the platforms are.
    pub endpoints: Endpoints,
    /// The environment word, for the log.
    pub environment: String,
}

/// The orchestrator inside.
pub struct NativeBackend {
    runtime: Arc<Runtime>,
}

impl NativeBackend {
    /// Opens the store and reads what waits. Nothing is executed before [`NativeBackend::start`].
    pub fn open(options: NativeOptions) -> anyhow::Result<Arc<NativeBackend>> {
        let (endpoints, clock) = (options.endpoints.clone(), options.clock.clone());
        let credentials = calls::credentials(&options.config.effective());
        Self::open_with(options, |runtime| {
            let observer = Arc::new(move |event| {
                if let Some(runtime) = runtime.upgrade() {
                    runtime.request_made(&event);
                }
            });
            Arc::new(Clients::observed(endpoints, credentials, clock, observer))
        })
    }

    fn open_with(
        options: NativeOptions,
        calls: impl FnOnce(Weak<Runtime>) -> Arc<dyn Calls>,
    ) -> anyhow::Result<Arc<NativeBackend>> {
        let now = options.clock.now();
        let mut core = Core::new(options.config.effective(), now);
        let unusable = |error| unusable(&options.data_dir, &error);
        let store = Store::open(&options.data_dir).map_err(unusable)?;
        let (recovered, waiting) = restore(&store, &mut core, now).map_err(unusable)?;
        options.telemetry.log(
            LogLine::info(Part::Service, "Started")
                .field("environment", options.environment.clone())
                .field("waiting", waiting)
                .field("foundExecuting", recovered),
        );
        let makings = Makings {
            backups: Backups::open(&options.data_dir, options.environment),
            data_dir: options.data_dir,
            clock: options.clock,
            store,
            config: options.config,
            telemetry: options.telemetry,
        };
        Ok(Arc::new(NativeBackend { runtime: Runtime::new(makings, core, calls) }))
    }

    /// Starts executing. Called inside an async runtime, once.
    pub fn start(&self) {
        self.runtime.start();
    }

    /// Stops taking work, lets what is in flight finish within `drain`, hands back the rest, and closes the store.
    pub async fn shutdown(&self, drain: Duration) {
        self.runtime.shutdown(drain).await;
    }
}

/// A store that cannot be used, in three parts.
fn unusable(data_dir: &Path, error: &store::StoreError) -> anyhow::Error {
    let hint = match error {
        store::StoreError::Corrupt(_) => backup::instead(data_dir),
        other => other.advice().to_owned(),
    };
    let what = format!("cannot open the store {}", data_dir.join(store::FILE).display());
    Fault::new(Kind::Failed, what).because(error.to_string()).hint(hint).into()
}

/// Reads what was kept. Gives how many items were executing when the service ended, and how many wait now.
fn restore(store: &Store, core: &mut Core, now: Time) -> Result<(u64, u64), store::StoreError> {
    let moment = Moment { now, settings: Arc::clone(&core.settings) };
    let recovered = store.writer().write_blocking(move |conn| pick_up(conn, &moment))?;
    core.take_kept(store.readers().with(read_kept)?);
    Ok((recovered, core.queue.len()))
}

/// What was being executed when the store was last used waits again, and workflows go on. Gives how many items it was.
fn pick_up(conn: &rusqlite::Connection, moment: &Moment) -> Result<u64, store::StoreError> {
    let recovered = store::actions::recover(conn)?;
    store::workflows::restart_clocks(conn, moment.now)?;
    store::workflows::reconcile(conn, moment)?;
    Ok(recovered)
}

/// What the memory needs of a store.
fn read_kept(conn: &rusqlite::Connection) -> Result<core::Kept, store::StoreError> {
    Ok(core::Kept {
        queue: query::load_queue(conn)?,
        circuits: journal::circuits(conn)?,
        auths: journal::auths(conn)?,
        pauses: journal::pauses(conn)?,
    })
}

impl Backend for NativeBackend {
    fn engine(&self) -> &'static str {
        "native"
    }

    fn capabilities(&self) -> BTreeMap<String, Capability> {
        let groups = [
            "queues",
            "circuits",
            "limits",
            "executors",
            "services",
            "pauses",
            "metrics",
            "config",
            "logs",
            "idempotency",
            "approvals",
            "backups",
            "workflows",
        ];
        let native = |name: &str| (name.to_owned(), Capability { support: Support::Native, caveat: None });
        groups.into_iter().map(native).collect()
    }

    fn queues(&self) -> Option<&dyn QueueOps> {
        Some(&*self.runtime)
    }

    fn circuits(&self) -> Option<&dyn CircuitOps> {
        Some(&*self.runtime)
    }

    fn limits(&self) -> Option<&dyn LimitOps> {
        Some(&*self.runtime)
    }

    fn services(&self) -> Option<&dyn ServiceOps> {
        Some(&*self.runtime)
    }

    fn metrics(&self) -> Option<&dyn MetricsOps> {
        Some(&*self.runtime)
    }

    fn config(&self) -> Option<&dyn ConfigOps> {
        Some(&*self.runtime.config)
    }

    fn logs(&self) -> Option<&dyn LogOps> {
        Some(&*self.runtime)
    }

    fn workflows(&self) -> Option<&dyn WorkflowOps> {
        Some(&*self.runtime)
    }

    fn idempotency(&self) -> Option<&dyn IdempotencyOps> {
        Some(&*self.runtime)
    }

    fn approvals(&self) -> Option<&dyn ApprovalOps> {
        Some(&*self.runtime)
    }

    fn backups(&self) -> Option<&dyn BackupOps> {
        Some(&*self.runtime)
    }
}

#[cfg(test)]
mod tests;
