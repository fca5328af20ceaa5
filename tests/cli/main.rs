//! The binary as a user runs it: everything that needs no orchestrator.

mod context;
mod frame;
mod generated;
mod guard;
mod orchestrator;
mod serve;
mod terminal;
mod watch;
mod world;
