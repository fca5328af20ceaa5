//! `opsctl worker`: processes that execute actions and workflows for a cluster, and how the cluster learns of them.

mod register;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use serde::Serialize;
use tokio::net::{TcpListener, TcpSocket};

use super::serve::{Stop, cannot_listen, read_endpoints, url};
use crate::app::App;
use crate::error::{Fault, Outcome};
use crate::http::Url;
use crate::output::{Page, Report};
use crate::platforms::Endpoints;
use crate::secret::Secret;
use crate::server::restate::{IdentityKey, Worker, WorkerOptions};
use crate::wire::Severity;
use register::RegisterArgs;

/// Public keys of the cluster, when no flag names them.
const IDENTITY_KEY: &str = "RESTATE_IDENTITY_KEY";
/// Connections that wait to be taken.
const BACKLOG: u32 = 1024;

/// Execute actions and workflows for a Restate cluster
///
/// As many processes as wanted: several on one machine share an address, and one that dies is replaced by the others. The
/// platforms' credentials and the limits come from the environment, with the same names as for `serve`. The cluster has to
/// be told where they are: `opsctl worker register`. Whoever reaches a worker can have it act on the platforms, unless
/// `--identity-key` says whose signature a request has to have.
///
/// Example: opsctl worker --engine restate --restate-ingress http://r1:8080
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct WorkerArgs {
    #[command(subcommand)]
    verb: Option<Verb>,

    #[command(flatten)]
    run: RunArgs,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Register(RegisterArgs),
}

#[derive(clap::Args, Debug)]
struct RunArgs {
    /// What the work comes from: restate
    #[arg(long, value_name = "ENGINE", value_parser = ["restate"], default_value = "restate")]
    #[arg(hide_possible_values = true)]
    engine: String,

    /// Restate: ingress addresses, with commas between
    #[arg(long, value_name = "URL", value_delimiter = ',', value_parser = url, required = true)]
    restate_ingress: Vec<Url>,

    /// Address to listen on; others on this machine may share it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9080")]
    listen: SocketAddr,

    /// Public key of the cluster, with commas between several [default: RESTATE_IDENTITY_KEY]
    ///
    /// Requests that none of them signed are refused. Restate logs its key when it starts, as `kid`.
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    identity_key: Vec<IdentityKey>,

    /// Listen where others can reach it without an identity key
    #[arg(long)]
    allow_remote: bool,

    /// Addresses of the platforms, as JSON
    #[arg(long, value_name = "FILE", hide = true)]
    endpoints: Option<PathBuf>,
}

/// What a worker says of itself once it can be called.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listening {
    url: String,
    ingress: Vec<String>,
    /// Whose requests are served; everybody's when there is none.
    identity_keys: Vec<String>,
    pid: u32,
}

impl Report for Listening {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("Listening", &self.url)?;
        page.pair("Ingress", self.ingress.join(", "))?;
        match self.identity_keys.as_slice() {
            [] => page.pair("Serves", "everybody who reaches it")?,
            keys => page.pair("Serves", format_args!("what is signed by {}", keys.join(" or ")))?,
        }
        page.pair("Process", self.pid)
    }
}

impl WorkerArgs {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self.verb {
            Some(Verb::Register(args)) => args.run(app).await,
            None => self.run.run(app).await,
        }
    }
}

impl RunArgs {
    async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let keys = self.keys(app)?;
        if !self.listen.ip().is_loopback() && keys.is_empty() && !self.allow_remote {
            return Err(Fault::usage(format!("{} can be reached from other machines", self.listen))
                .because("whoever reaches a worker can have it act on the platforms")
                .hint("pass the cluster's --identity-key, or --allow-remote where nobody else can reach it")
                .into());
        }
        let mut stop = Stop::new()?;
        let worker = Worker::new(WorkerOptions {
            ingress: self.restate_ingress.clone(),
            token: app.settings.env.non_empty("RESTATE_AUTH_TOKEN").map(Secret::new),
            keys: keys.clone(),
            endpoints: self.endpoints.as_deref().map_or_else(|| Ok(Endpoints::default()), read_endpoints)?,
            env: app.settings.env.as_map().clone(),
        });
        for finding in worker.findings().iter().filter(|finding| finding.severity == Severity::Error) {
            app.note(format!("{}: {}", finding.name, finding.message));
        }
        let listener = shared(self.listen).map_err(|error| cannot_listen(self.listen, &error))?;
        let address = listener.local_addr().context("the listener has no address")?;
        app.emit(&Listening {
            url: format!("http://{address}"),
            ingress: self.restate_ingress.iter().map(crate::server::restate::plain).collect(),
            identity_keys: keys.iter().map(IdentityKey::to_string).collect(),
            pid: std::process::id(),
        })?;
        worker
            .serve(listener, async {
                stop.asked().await;
                app.note(
                    "Stopping: what is under way may end within ten seconds; the cluster gives the rest to others.",
                );
            })
            .await;
        Ok(Outcome::Done)
    }

    /// The keys of the clusters that are served.
    fn keys(&self, app: &App) -> Result<Vec<IdentityKey>, Fault> {
        let named = app.settings.env.non_empty(IDENTITY_KEY).filter(|_| self.identity_key.is_empty());
        let Some(named) = named else { return Ok(self.identity_key.clone()) };
        let key = |text: &str| {
            text.trim().parse().map_err(|why: String| {
                Fault::usage(format!("{IDENTITY_KEY} does not name identity keys"))
                    .because(why)
                    .hint(format!("{IDENTITY_KEY}=publickeyv1_..., with commas between several"))
            })
        };
        named.split(',').map(key).collect()
    }
}

/// A listener that others may share.
fn shared(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
