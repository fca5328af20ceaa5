//! The Grafana dashboard: which panels there are, and the JSON that Grafana imports.
//!
//! [`panels`] is data, in the order of the runbook's headings; [`grafana`] draws it. Which metrics an orchestrator really
//! exposes is asked by `dashboard refresh`: a panel without its metrics is left out and named.

mod grafana;
mod panels;

pub use grafana::draw;
pub use panels::{Group, PANELS, Panel};

use std::collections::BTreeSet;

/// The families of an OpenMetrics text.
pub fn families(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

/// The panel of this name.
pub fn find(name: &str) -> Option<&'static Panel> {
    PANELS.iter().find(|panel| panel.name == name)
}
