//! `opsctl serve`.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::clock::Clock;
use crate::error::{Fault, Kind, Outcome};
use crate::http::Url;
use crate::output::{Page, Report};
use crate::platforms::Endpoints;
use crate::secret::Secret;
use crate::server::restate::{Cluster, RestateOptions};
use crate::server::{ServeOptions, Server};
use crate::settings::parse_duration;
use crate::wire::Severity;

/// How long a change on a Restate cluster is looked for before it is called accepted, not applied.
pub(super) const RESTATE_PATIENCE: Duration = Duration::from_secs(10);

/// Run the orchestrator
///
/// It executes actions from its queue and answers the admin API until SIGTERM or Ctrl-C; then it lets actions in
/// flight finish and hands the rest back. The first start writes an admin token into the data directory, where the
/// context `local` finds it.
///
/// Example: opsctl serve --listen 127.0.0.1:3000
#[derive(clap::Args, Debug)]
pub struct ServeArgs {
    /// Address to listen on
    ///
    /// Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,

    /// Data directory [default: serve/ in opsctl's own]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Environment word [default: NODE_ENV, production]
    ///
    /// Callers compare it with theirs.
    #[arg(long, value_name = "WORD")]
    environment: Option<String>,

    /// Listen on an address that others can reach
    #[arg(long)]
    allow_remote: bool,

    /// Host name that requests may name (can be repeated)
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,

    /// HTTP limits: on or off [default: off on loopback]
    #[arg(long, value_name = "WHEN", value_parser = ["on", "off"], hide_possible_values = true)]
    http_limits: Option<String>,

    /// Start from a backup if the store is gone
    ///
    /// Its id, or `latest`; also when the store is damaged.
    #[arg(long, value_name = "BACKUP")]
    from_backup: Option<String>,

    /// What does the work: native or restate
    ///
    /// This process, or a Restate cluster behind it: see docs/restate.md.
    #[arg(long, value_name = "ENGINE", value_parser = ["native", "restate"], default_value = "native")]
    #[arg(hide_possible_values = true)]
    engine: String,

    /// Restate: admin addresses, with commas between
    ///
    /// The one that answered last is asked first; the next one stands in for it.
    #[arg(long, value_name = "URL", value_delimiter = ',', value_parser = url, required_if_eq("engine", "restate"))]
    restate_admin: Vec<Url>,

    /// Restate: ingress [default: what it says itself]
    #[arg(long, value_name = "URL", value_delimiter = ',', value_parser = url, requires = "restate_admin")]
    restate_ingress: Vec<Url>,

    /// Time for actions in flight to end
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    drain: Duration,

    /// Be the practice ground's orchestrator
    #[arg(long, hide = true)]
    sandbox: bool,

    /// Addresses of the platforms, as JSON
    #[arg(long, value_name = "FILE", hide = true)]
    endpoints: Option<PathBuf>,

    /// How far the practice ground's clock is ahead, in milliseconds
    #[arg(long, value_name = "MS", hide = true, requires = "sandbox", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(i64).range(0..))]
    clock_offset: i64,
}

/// What a service says of itself once it answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listening {
    url: String,
    environment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    data_dir: String,
    pid: u32,
}

impl Report for Listening {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("Listening", &self.url)?;
        page.pair("Environment", &self.environment)?;
        if let Some(engine) = &self.engine {
            page.pair("Engine", engine)?;
        }
        page.pair("Data", &self.data_dir)?;
        page.pair("Process", self.pid)
    }
}

impl ServeArgs {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        self.check_reach()?;
        let environment = self.environment(app)?;
        // Before anything is open: a signal that comes now must still end in order.
        let mut stop = Stop::new()?;
        let clock = Clock::system();
        clock.set_offset_ms(self.clock_offset);
        let data_dir = self.data_dir.clone().unwrap_or_else(|| app.settings.places.serve());
        let data_dir = std::path::absolute(&data_dir).context("cannot name the data directory")?;
        let cluster = self.cluster(app).await?;
        let options = ServeOptions {
            data_dir: data_dir.clone(),
            environment: environment.clone(),
            endpoints: self.endpoints.as_deref().map_or_else(|| Ok(Endpoints::default()), read_endpoints)?,
            env: app.settings.env.as_map().clone(),
            sandbox: self.sandbox,
            clock,
            hosts: self.allow_host.clone(),
            http_limits: self.http_limits.as_deref().map(|word| word == "on"),
            from_backup: self.from_backup.clone(),
        };
        let over = cluster.as_ref().map(|cluster| format!("Restate {} at {}", cluster.version(), cluster.address()));
        if over.is_some() && data_dir.join(crate::server::native::store::FILE).exists() {
            app.note(format!("What the native engine keeps in {} is not executed meanwhile.", data_dir.display()));
        }
        let server = Server::open_over(options, cluster)?;
        if let Some(words) = server.rescued() {
            app.note(words);
            app.note("Everything is paused. Look with `opsctl workflow list` and `opsctl queue status`, then `opsctl resume all --slow-start`.");
        }
        // On Restate the platforms' settings are the services'.
        let findings = if over.is_none() { server.config().validate().findings } else { Vec::new() };
        for finding in findings.iter().filter(|f| f.severity == Severity::Error) {
            app.note(format!("{}: {}", finding.name, finding.message));
        }
        let listener = TcpListener::bind(self.listen).await.map_err(|error| cannot_listen(self.listen, &error))?;
        let address = listener.local_addr().context("the listener has no address")?;
        app.emit(&Listening {
            url: format!("http://{address}"),
            environment,
            engine: over,
            data_dir: data_dir.display().to_string(),
            pid: std::process::id(),
        })?;

        let (asked, stopping) = tokio::sync::oneshot::channel();
        let mut serving = std::pin::pin!(server.serve(listener, self.drain, async {
            // An error means that the sender is gone, which ends the service as well.
            let _ = stopping.await;
        }));
        tokio::select! {
            ended = &mut serving => return ended.map(|()| Outcome::Done),
            () = stop.asked() => app.note("Stopping: actions in flight may finish. Once more stops at once."),
        }
        let _ = asked.send(());
        tokio::select! {
            ended = serving => ended.map(|()| Outcome::Done),
            () = stop.asked() => Err(Fault::new(Kind::Interrupted, "stopped before everything in flight had finished")
                .because("a second signal came")
                .hint("the next start takes up what was interrupted")
                .into()),
        }
    }

    /// The cluster that does the work, if one is meant to.
    async fn cluster(&self, app: &App) -> Result<Option<Cluster>, Fault> {
        if self.engine != "restate" {
            return match self.restate_admin.is_empty() {
                true => Ok(None),
                false => Err(Fault::usage("--restate-admin names a cluster that would not be used")
                    .because("the engine is `native`")
                    .hint("add --engine restate, or leave --restate-admin out")),
            };
        }
        if self.from_backup.is_some() {
            return Err(Fault::usage("--from-backup is for the native engine")
                .because("what Restate keeps is restored by the cluster, from its own snapshots")
                .hint("leave --from-backup out"));
        }
        let token = app.settings.env.non_empty("RESTATE_AUTH_TOKEN").map(Secret::new);
        let options = RestateOptions {
            admin: self.restate_admin.clone(),
            ingress: self.restate_ingress.clone(),
            token,
            patience: RESTATE_PATIENCE,
        };
        Cluster::connect(options).await.map(Some)
    }

    fn check_reach(&self) -> Result<(), Fault> {
        if self.listen.ip().is_loopback() || self.allow_remote {
            return Ok(());
        }
        Err(Fault::usage(format!("{} can be reached from other machines", self.listen))
            .because("the admin API speaks plain HTTP, so tokens would cross the network unprotected")
            .hint("keep it on 127.0.0.1 behind a TLS proxy, or pass --allow-remote"))
    }

    fn environment(&self, app: &App) -> Result<String, Fault> {
        if self.sandbox {
            return Ok("sandbox".into());
        }
        let of_env = || app.settings.env.non_empty("NODE_ENV").map(str::to_owned);
        let word = self.environment.clone().or_else(of_env).unwrap_or_else(|| "production".into());
        let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !plain || !(1..=32).contains(&word.len()) {
            return Err(Fault::usage(format!("`{word}` is no environment word"))
                .because("it must be 1 to 32 letters, digits, - or _")
                .hint("opsctl serve --environment staging"));
        }
        if word == "sandbox" {
            return Err(Fault::usage("only the practice ground is called `sandbox`")
                .because("commands treat that word as one where nothing can be broken")
                .hint("start the practice ground with `opsctl sandbox up`"));
        }
        Ok(word)
    }
}

/// An address of a server.
pub(super) fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err("it must begin with http:// or https://".into()),
    }
}

pub(super) fn cannot_listen(address: SocketAddr, error: &io::Error) -> Fault {
    let fault = |kind| Fault::new(kind, format!("cannot listen on {address}"));
    match error.kind() {
        io::ErrorKind::AddrInUse => fault(Kind::Conflict)
            .because("the port is in use")
            .hint("see who has it with `opsctl system status`, or choose another: --listen 127.0.0.1:3100"),
        io::ErrorKind::PermissionDenied => fault(Kind::Failed)
            .because("ports below 1024 are the system's")
            .hint("choose another: --listen 127.0.0.1:3000"),
        _ => fault(Kind::Failed).because(error.to_string()).hint("name an address of this machine with --listen"),
    }
}

pub(super) fn read_endpoints(path: &Path) -> anyhow::Result<Endpoints> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("cannot read the endpoints in {}", path.display()))
}

/// The signals that end the service.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
