//! Registering workers: the cluster is told an address, and asks there what it serves.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Cluster;
use super::admin::{Repeat, plain, refused};
use crate::error::{Fault, Kind};
use crate::http::{Method, Url};
use crate::wire::ErrorCode;

/// What a cluster knows of an address.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Registered {
    /// The deployment's id.
    pub id: String,
    /// What it serves.
    pub services: Vec<RegisteredService>,
}

/// One service of a deployment.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RegisteredService {
    /// Its name.
    pub name: String,
    /// Moves with each registration that changes it.
    pub revision: u32,
}

impl Registered {
    /// The names of its services.
    pub fn names(&self) -> Vec<&str> {
        self.services.iter().map(|service| service.name.as_str()).collect()
    }
}

impl Cluster {
    /// Has the cluster ask an address what it serves; nothing is kept.
    pub async fn look_at_workers(&self, workers: &Url) -> Result<Registered, Fault> {
        self.deploy(workers, true).await
    }

    /// Sends new invocations of what an address serves there.
    pub async fn register_workers(&self, workers: &Url) -> Result<Registered, Fault> {
        self.deploy(workers, false).await
    }

    async fn deploy(&self, workers: &Url, dry_run: bool) -> Result<Registered, Fault> {
        // The same address again is asked again: its services may be other ones after an upgrade.
        let body = json!({"uri": workers.as_str(), "force": true, "dry_run": dry_run});
        let what = format!("cannot register the workers at {}", plain(workers));
        let reply =
            self.admin.change(Method::POST, "deployments", Some(&body), Repeat::Safe).await.map_err(|refusal| {
                let kind = if refusal.code == ErrorCode::Unsupported { Kind::Failed } else { Kind::Unreachable };
                Fault::new(kind, what.clone()).because(refusal.message)
            })?;
        if !reply.is_success() {
            let kind = if reply.status == 409 { Kind::Conflict } else { Kind::Failed };
            let why = refused(&reply, "to register them").message;
            // The workers' own answer, inside the cluster's.
            let hint = match why.contains("401") {
                true => "start workers and cluster with two halves of one key: `--identity-key` in docs/restate.md",
                false => {
                    "start them with `opsctl worker --engine restate`, and name an address that the cluster can reach"
                }
            };
            return Err(Fault::new(kind, what).because(why).hint(hint));
        }
        serde_json::from_slice(&reply.body)
            .map_err(|error| Fault::new(Kind::Failed, what).because(format!("the cluster's answer: {error}")))
    }
}
