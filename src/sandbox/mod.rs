//! The practice ground: simulators of the platforms, and an orchestrator to practise on.
//!
//! Two processes: the host ([`host`]) with the simulators and their traffic, and `opsctl serve` as its child, which can
//! be killed alone and is then an outage like any other. [`lifecycle`] brings both up and puts them down; what runs is
//! written in the [`record`], which only the host writes while it lives.

pub mod ground;
pub mod host;
pub mod lifecycle;
pub mod member2;
pub mod place;
pub mod placeholders;
pub mod process;
pub mod record;
pub mod remote;
pub mod scenario;
mod service;
pub mod sim;
pub mod traffic;

pub use place::Place;
pub use record::{Record, State};
