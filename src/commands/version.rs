//! `opsctl version`.

use std::io;

use serde::Serialize;

use crate::app::App;
use crate::error::Outcome;
use crate::output::{Page, Report};
use crate::wire::API_VERSIONS;

/// Show versions
///
/// The program's version and the admin API versions it speaks. `opsctl --version` prints the first alone.
#[derive(clap::Args, Debug)]
pub struct VersionArgs {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    api_min: u32,
    api_max: u32,
    platform: String,
}

impl Report for Version {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("opsctl", self.version)?;
        let api = if self.api_min == self.api_max {
            format!("v{}", self.api_max)
        } else {
            format!("v{} to v{}", self.api_min, self.api_max)
        };
        page.pair("admin API", api)?;
        page.pair("platform", &self.platform)
    }
}

impl VersionArgs {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        app.emit(&Version {
            version: env!("CARGO_PKG_VERSION"),
            api_min: API_VERSIONS.0,
            api_max: API_VERSIONS.1,
            platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
        })?;
        Ok(Outcome::Done)
    }
}
