//! Workflows on disk. Every change is decided by the rules, entered in the execution log, and stored together with the
//! queue items it calls for, in one transaction: a kill in between loses nothing and repeats nothing.

mod accept;
mod changes;
mod ends;
mod ground;
pub mod integrity;
pub mod query;
mod rows;

use std::sync::Arc;

use crate::engine::queue::{Item, Seq};
use crate::engine::workflow::{Event, Rules};
use crate::server::config::Effective;
use crate::wire::{Platform, Time};

pub use accept::{Accepted, NewWorkflow, submit};
pub use changes::{Asked, Changed, clear, compensate, complete, execute, overdue, rebuild, resolve, roll_back};
pub use ends::{finish, next_deadline, prune, reconcile, restart_clocks, shift_clocks};
pub use ground::UndoOrder;

/// When, and under which settings.
#[derive(Clone)]
pub struct Moment {
    /// Now.
    pub now: Time,
    /// The settings in force.
    pub settings: Arc<Effective>,
}

impl Moment {
    fn rules(&self) -> Rules {
        Rules { now: self.now, rollback: self.settings.enable_rollback }
    }
}

/// What the memory and the log files have to know after the commit.
#[derive(Debug, Default)]
pub struct Moved {
    /// Items that wait from now on.
    pub items: Vec<Item>,
    /// When the first decision that a step waits for is too late.
    pub held: Option<Time>,
    /// Items that were taken out.
    pub withdrawn: Vec<Seq>,
    /// What happened, for the log files.
    pub told: Vec<Told>,
    /// When a workflow that goes on has to be done.
    pub deadline: Option<Time>,
}

impl Moved {
    /// Puts two together.
    pub fn add(&mut self, other: Moved) {
        self.items.extend(other.items);
        self.held = self.held.into_iter().chain(other.held).min();
        self.withdrawn.extend(other.withdrawn);
        self.told.extend(other.told);
        self.deadline = self.deadline.into_iter().chain(other.deadline).min();
    }
}

/// An entry of the execution log, with where it happened.
#[derive(Debug)]
pub struct Told {
    /// The workflow.
    pub workflow: String,
    /// What.
    pub event: Event,
    /// The step's platform.
    pub platform: Option<Platform>,
}
