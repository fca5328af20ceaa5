//! The practice ground: simulators of the platforms, and an orchestrator to practise on.

pub mod sim;
