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
use crate::output::{Page, Report};
use crate::platforms::Endpoints;
use crate::server::{ServeOptions, Server};
use crate::settings::parse_duration;
use crate::wire::Severity;

/// Run the orchestrator
///
/// It executes actions from its queue and answers the admin API until SIGTERM or Ctrl-C; then it lets actions in
/// flight finish and hands the rest back. The first start writes an admin token into the data directory, where the
/// context `local` finds it.
///
/// Example: opsctl serve --listen 127.0.0.1:3000
#[derive(clap::Args, Debug)]
pub struct ServeArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,

    /// Where to keep everything [default: serve/ in opsctl's data directory]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Environment word that callers compare with theirs [default: NODE_ENV, or production]
    #[arg(long, value_name = "WORD")]
    environment: Option<String>,

    /// Listen on an address that others can reach
    #[arg(long)]
    allow_remote: bool,

    /// Host name that requests may name (can be repeated)
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,

    /// HTTP rate limits: on or off [default: off on loopback]
    #[arg(long, value_name = "WHEN", value_parser = ["on", "off"], hide_possible_values = true)]
    http_limits: Option<String>,

    /// Start from a backup, by id or `latest`, when the store is gone or damaged
    #[arg(long, value_name = "BACKUP")]
    from_backup: Option<String>,

    /// How long actions in flight may take to finish when it stops
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
    data_dir: String,
    pid: u32,
}

impl Report for Listening {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("Listening", &self.url)?;
        page.pair("Environment", &self.environment)?;
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
        let server = Server::open(ServeOptions {
            data_dir: data_dir.clone(),
            environment: environment.clone(),
            endpoints: self.endpoints.as_deref().map_or_else(|| Ok(Endpoints::default()), read_endpoints)?,
            env: app.settings.env.as_map().clone(),
            sandbox: self.sandbox,
            clock,
            hosts: self.allow_host.clone(),
            http_limits: self.http_limits.as_deref().map(|word| word == "on"),
            from_backup: self.from_backup.clone(),
        })?;
        if let Some(words) = server.rescued() {
            app.note(words);
            app.note("Everything is paused. Look with `opsctl workflow list` and `opsctl queue status`, then `opsctl resume all --slow-start`.");
        }
        for finding in server.config().validate().findings.iter().filter(|f| f.severity == Severity::Error) {
            app.note(format!("{}: {}", finding.name, finding.message));
        }
        let listener = TcpListener::bind(self.listen).await.map_err(|error| cannot_listen(self.listen, &error))?;
        let address = listener.local_addr().context("the listener has no address")?;
        app.emit(&Listening {
            url: format!("http://{address}"),
            environment,
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

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Fault {
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

fn read_endpoints(path: &Path) -> anyhow::Result<Endpoints> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("cannot read the endpoints in {}", path.display()))
}

/// The signals that end the service.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
