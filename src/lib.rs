//! `opsctl`: the runbook of an AI-operations orchestrator, made real.
//!
//! `ARCHITECTURE.md` is the map of this crate.

pub mod alerts;
pub mod aliases;
pub mod analysis;
pub mod app;
pub mod bulk;
pub mod child;
pub mod cli;
pub mod client;
pub mod clock;
pub mod commands;
pub mod complete;
pub mod cron;
pub mod dashboard;
pub mod engine;
pub mod error;
pub mod files;
pub mod guard;
pub mod http;
pub mod logs;
pub mod notify;
pub mod output;
pub mod platforms;
pub mod redact;
pub mod runbook;
pub mod sandbox;
pub mod secret;
pub mod server;
pub mod services;
pub mod settings;
pub mod wire;
