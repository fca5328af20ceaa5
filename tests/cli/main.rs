//! The binary as a user runs it, in a home of its own: alone, with a small orchestrator, with a real one.

mod analyze;
mod cleanup;
mod context;
mod dashboard;
mod decisions;
mod direct;
mod exactness;
mod feeds;
mod frame;
mod generated;
mod guard;
mod logs;
mod looks;
mod monitoring;
mod moving;
mod oddities;
mod orchestrator;
mod outage;
#[path = "../served/port.rs"]
mod port;
mod runbook;
mod schedule;
mod secrets;
mod security;
mod serve;
mod service;
mod services;
mod settings;
mod tabs;
mod terminal;
mod tokens;
mod watch;
mod ways_back;
mod workflows;
mod world;
