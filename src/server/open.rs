//! Putting a service together: settings, log files, engine, and the edge in front of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;

use super::audit::Audit;
use super::backend::Backend;
use super::config::ConfigRegistry;
use super::jobs::Jobs;
use super::lock::DataDirLock;
use super::lockdown::Lockdowns;
use super::native::{NativeBackend, NativeOptions, Rescued};
use super::replay::Replays;
use super::restate::{Cluster, RestateBackend};
use super::run::run;
use super::state::ServerState;
use super::telemetry::{LogLine, Part, Telemetry};
use super::tokens::Tokens;
use crate::clock::Clock;
use crate::platforms::Endpoints;

/// What a service is opened with.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where it keeps everything.
    pub data_dir: PathBuf,
    /// The environment word: `production`, `staging`, `sandbox`.
    pub environment: String,
    /// Where the platforms are.
    pub endpoints: Endpoints,
    /// The variables it takes settings from.
    pub env: BTreeMap<String, String>,
    /// Whether this is the practice ground, whose clock may be moved.
    pub sandbox: bool,
    /// Its clock.
    pub clock: Clock,
    /// Host names, besides addresses and `localhost`, that requests may name.
    pub hosts: Vec<String>,
    /// Whether the documented HTTP rate limits hold; off on loopback unless told.
    pub http_limits: Option<bool>,
    /// The backup that takes the place of a store that is gone or damaged: its id, or `latest`.
    pub from_backup: Option<String>,
}

/// A service that is open, and executes and answers while [`Server::serve`] runs.
pub struct Server {
    state: ServerState,
    config: Arc<ConfigRegistry>,
    telemetry: Arc<Telemetry>,
    engine: Engine,
    rescued: Option<Rescued>,
    // Last, so that it is free only after everything else is closed.
    _lock: DataDirLock,
}

/// Whatever does the work.
#[derive(Clone)]
enum Engine {
    Native(Arc<NativeBackend>),
    Restate(Arc<RestateBackend>),
}

impl Engine {
    fn backend(&self) -> Arc<dyn Backend> {
        match self {
            Engine::Native(engine) => engine.clone(),
            Engine::Restate(engine) => engine.clone(),
        }
    }

    fn start(&self) {
        match self {
            Engine::Native(engine) => engine.start(),
            Engine::Restate(engine) => engine.start(),
        }
    }

    /// Hands back what is in flight. Restate's work is not in this process.
    async fn shutdown(&self, drain: Duration) {
        match self {
            Engine::Native(engine) => engine.shutdown(drain).await,
            Engine::Restate(_) => {}
        }
    }
}

impl Server {
    /// Opens everything in the data directory, in the order in which it is needed.
    pub fn open(options: ServeOptions) -> anyhow::Result<Self> {
        Self::open_over(options, None)
    }

    /// The same with the work on a Restate cluster. What the native engine keeps in the data directory is left alone.
    pub fn open_over(options: ServeOptions, cluster: Option<Cluster>) -> anyhow::Result<Self> {
        let ServeOptions { data_dir, environment, endpoints, env, sandbox, clock, hosts, http_limits, from_backup } =
            options;
        let lock = DataDirLock::take(&data_dir)?;
        let started_at = clock.now();
        let is_native = cluster.is_none();
        let settled = if is_native { super::native::settle_restore(&data_dir)? } else { None };
        let rescued = match is_native {
            true => super::native::begin_with_store(&data_dir, from_backup.as_deref(), started_at)?,
            false => None,
        };
        let config = Arc::new(ConfigRegistry::open(&data_dir, env, clock.clone())?);
        let telemetry = Telemetry::open(&data_dir, clock.clone())
            .with_context(|| format!("cannot keep metrics and logs in {}", data_dir.display()))?;
        config.teach(telemetry.redactor().clone());
        if let Some(words) = settled {
            telemetry.log(LogLine::warn(Part::Store, words));
        }
        if let Some(rescued) = &rescued {
            telemetry.log(LogLine::warn(Part::Store, rescued.to_string()));
        }
        let tokens = Arc::new(Tokens::open(&data_dir, started_at)?);
        let lockdown = Arc::new(Lockdowns::open(&data_dir, &tokens)?);
        let audit = Arc::new(Audit::open(&data_dir)?);
        let replays = Arc::new(Replays::open(&data_dir, started_at)?);
        let cannot_open = format!("cannot open the actions in {}", data_dir.display());
        let engine = match cluster {
            Some(cluster) => {
                let (config, telemetry) = (config.clone(), telemetry.clone());
                Engine::Restate(RestateBackend::new(cluster, config, telemetry, clock.clone(), &data_dir))
            }
            None => Engine::Native(
                NativeBackend::open(NativeOptions {
                    data_dir,
                    clock: clock.clone(),
                    config: config.clone(),
                    telemetry: telemetry.clone(),
                    endpoints,
                    environment: environment.clone(),
                })
                .context(cannot_open)?,
            ),
        };
        let (log, redactor) = (telemetry.clone(), telemetry.redactor().clone());
        let state = ServerState {
            backend: engine.backend(),
            tokens,
            lockdown,
            audit,
            replays,
            jobs: Jobs::new(clock.clone()),
            clock,
            environment,
            started_at,
            sandbox,
            hosts,
            http_limits,
            log: Arc::new(move |line| log.log(line)),
            redactor,
        };
        Ok(Server { state, config, telemetry, engine, rescued, _lock: lock })
    }

    /// What the routes share, for whoever serves them otherwise.
    pub fn state(&self) -> &ServerState {
        &self.state
    }

    /// Which backup took the store's place at this start, in words, if one did. Everything is paused then.
    pub fn rescued(&self) -> Option<String> {
        self.rescued.as_ref().map(ToString::to_string)
    }

    /// The settings.
    pub fn config(&self) -> &Arc<ConfigRegistry> {
        &self.config
    }

    /// Executes and answers until `shutdown` ends; then answers what was asked, lets actions in flight finish within
    /// `drain`, hands the rest back to the queue, and writes everything down.
    pub async fn serve(
        self,
        listener: TcpListener,
        drain: Duration,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        self.engine.start();
        let served = run(listener, self.state.clone(), shutdown).await;
        self.engine.shutdown(drain).await;
        let telemetry = self.telemetry.clone();
        tokio::task::spawn_blocking(move || telemetry.flush()).await.context("the log writer failed")??;
        served
    }
}
