//! The binary as a user runs it, in a home of its own: alone, with a small orchestrator, with a real one.

mod analyze;
mod cleanup;
mod context;
mod decisions;
mod direct;
mod feeds;
mod frame;
mod generated;
mod guard;
mod logs;
mod looks;
mod oddities;
mod orchestrator;
mod outage;
mod security;
mod serve;
mod service;
mod services;
mod settings;
mod terminal;
mod tokens;
mod watch;
mod workflows;
mod world;
