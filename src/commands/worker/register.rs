//! `opsctl worker register`.

use std::io;

use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::commands::serve::url;
use crate::error::Outcome;
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::http::Url;
use crate::output::{Page, Report};
use crate::secret::Secret;
use crate::server::restate::{Cluster, Registered, RestateOptions};

/// Tell a Restate cluster where workers are
///
/// The cluster asks the address what it serves; new invocations of these services go there from then on. After an upgrade
/// of the workers at the same address it is asked again. Several workers stand behind one address: theirs on one machine,
/// or that of a load balancer.
///
/// Example: opsctl worker register http://w1:9080 --restate-admin http://r1:9070
#[derive(Args, Debug)]
pub(super) struct RegisterArgs {
    /// Where the cluster reaches the workers
    #[arg(value_name = "ADDRESS", value_parser = url)]
    workers: Url,

    /// Restate: admin addresses, with commas between
    #[arg(long, value_name = "URL", value_delimiter = ',', value_parser = url, required = true)]
    restate_admin: Vec<Url>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// What is registered now.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Registered);

impl Report for Shown {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("Deployment", &self.0.id)?;
        page.pair("Services", self.0.names().join(", "))
    }
}

impl RegisterArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let cluster = Cluster::connect(RestateOptions {
            admin: self.restate_admin,
            ingress: Vec::new(),
            token: app.settings.env.non_empty("RESTATE_AUTH_TOKEN").map(Secret::new),
            patience: crate::commands::serve::RESTATE_PATIENCE,
        })
        .await?;
        let at = crate::server::restate::plain(&self.workers);
        let found = cluster.look_at_workers(&self.workers).await?;
        let step = Step::new("POST /deployments")
            .on(&at)
            .because(format!("it serves {}", found.names().join(", ")))
            .undo(Undo::Reverse("restate deployments remove ID".into()));
        let plan = Plan::new("worker register", format!("send work of {} to {at}", cluster.address()), &self.change)
            .subject(format!("workers of {}", cluster.address()))
            .step(step)
            .direct();
        let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
        let registered = cluster.register_workers(&self.workers).await?;
        let undo = UndoAction::none("register other workers, or remove the deployment with the cluster's own tool");
        app.receipt(&approval, vec![ReceiptItem::applied(&registered.id, undo)])?;
        app.emit(&Shown(registered))?;
        Ok(Outcome::Done)
    }
}
