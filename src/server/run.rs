//! Serving: the router with its layers, the connections, and the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{AddExtension, from_fn_with_state};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::Layer;

use super::backend::Refusal;
use super::changes::changes;
use super::extract::BODY_MAX;
use super::gate::{Gate, gate};
use super::openapi;
use super::quota::Quota;
use super::refuse::refuse_as;
use super::routes;
use super::state::ServerState;
use super::telemetry::{LogLine, Part};

/// Longest time a request's head may take to arrive; a connection that idles longer is closed too.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// Largest request head, in bytes.
const HEAD_MAX: usize = 32 * 1024;
/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// Most connections at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;
/// How long requests in flight may take when the service stops.
const STOP_TIME: Duration = Duration::from_secs(10);

/// The routes behind their layers. `loopback` says whether the service can be reached from this machine only.
pub fn router(state: ServerState, loopback: bool) -> Router {
    let (routes, api) = routes::all(state.sandbox).split_for_parts();
    let document = openapi::complete(api);
    let limited = state.http_limits.unwrap_or(!loopback);
    let way_in = Gate {
        state: state.clone(),
        loopback,
        quota: limited.then(|| Arc::new(Quota::default())),
        parameters: document.parameters.clone(),
    };
    routes
        .fallback(|request: Request| async move {
            Refusal::not_found(format!("route {} {}", request.method(), request.uri().path()))
        })
        .method_not_allowed_fallback(|request: Request| async move {
            let message = format!("{} does not accept {}", request.uri().path(), request.method());
            refuse_as(axum::http::StatusCode::METHOD_NOT_ALLOWED, super::refuse::invalid(message))
        })
        .layer(from_fn_with_state(state.clone(), changes))
        .layer(from_fn_with_state(way_in, gate))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(Extension(document))
        .with_state(state)
}

/// Serves until `shutdown` ends, then lets requests in flight finish.
pub async fn run(listener: TcpListener, state: ServerState, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let address = listener.local_addr().context("the listener has no address")?;
    let log = state.log.clone();
    let router = router(state, address.ip().is_loopback());
    let (graceful, slots) = (GracefulShutdown::new(), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = graceful.watch(connection(stream, peer, router.clone()));
                tokio::spawn(async move {
                    // A connection that breaks concerns its client alone.
                    let _ = connection.await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: ends of other connections free some.
                log(LogLine::error(Part::Http, format!("cannot accept a connection: {error}")));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(STOP_TIME, graceful.shutdown()).await;
    Ok(())
}

type Served = http1::Connection<TokioIo<TcpStream>, TowerToHyperService<AddExtension<Router, SocketAddr>>>;

fn connection(stream: TcpStream, peer: SocketAddr, router: Router) -> Served {
    // Answers are small and whole; waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(Extension(peer).layer(router));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service)
}
