//! Workers on Restate: our executors, workflows and the objects of the state contract, served to a cluster.
//!
//! The cluster calls a worker, keeps the journal of what it did, and calls another one where it stopped. Everything that can
//! hold a side effect back is asked inside the step that makes it, so that it is asked again before each try, and what an
//! action waits for is what Restate shows as its last failure.

mod actions;
mod deed;
mod hands;
mod identity;
mod limit;
mod objects;
mod rules;
mod services;
mod together;
mod workflows;

use std::collections::BTreeMap;
use std::sync::Arc;

use restate_sdk::endpoint::Endpoint;
use restate_sdk::http_server::HttpServer;
use tokio::net::TcpListener;

use self::hands::Hands;
pub use self::identity::IdentityKey;
use crate::clock::Clock;
use crate::http::Url;
use crate::platforms::{Clients, Endpoints};
use crate::secret::Secret;
use crate::server::config::ConfigRegistry;
use crate::server::native::credentials;
use crate::wire::ConfigFinding;

/// What a worker is made from.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Addresses of the cluster's ingress, at least one: the objects are asked through it.
    pub ingress: Vec<Url>,
    /// Sent as a bearer token to the ingress.
    pub token: Option<Secret>,
    /// Keys of clusters that are served; without one everybody is who reaches the worker.
    pub keys: Vec<IdentityKey>,
    /// Where the platforms are.
    pub endpoints: Endpoints,
    /// The variables it takes settings from.
    pub env: BTreeMap<String, String>,
}

/// A worker that is ready to be called.
pub struct Worker {
    endpoint: Endpoint,
    findings: Vec<ConfigFinding>,
}

impl Worker {
    /// Reads the settings; nothing is connected yet.
    pub fn new(options: WorkerOptions) -> Self {
        let clock = Clock::system();
        let (settings, findings) = ConfigRegistry::of_environment(options.env);
        let settings = Arc::new(settings);
        let clients = Clients::new(options.endpoints, credentials(&settings), clock.clone());
        let hands = Arc::new(Hands::new(clients, settings, clock, options.ingress, options.token));
        let offered = services::all(&hands).into_iter();
        let builder = offered.fold(Endpoint::builder(), |builder, service| builder.bind(service));
        let endpoint = identity::demand(builder, &options.keys).build();
        Worker { endpoint, findings }
    }

    /// What is wrong with the settings.
    pub fn findings(&self) -> &[ConfigFinding] {
        &self.findings
    }

    /// Serves until `shutdown` ends; then what is under way may end.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        HttpServer::new(self.endpoint).serve_with_cancel(listener, shutdown).await;
    }
}
