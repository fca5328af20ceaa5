//! Where opsctl keeps its files.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Env;
use crate::error::{Fault, Kind};

/// The four directories. They are made when something is first written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// `config.toml`.
    pub config: PathBuf,
    /// What `serve` keeps, under `serve/`.
    pub data: PathBuf,
    /// The journal of changes, leases, limits and the sandbox record.
    pub state: PathBuf,
    /// Values for completion.
    pub cache: PathBuf,
}

impl Places {
    /// The user's directories, each replaceable by `OPSCTL_CONFIG_DIR`, `OPSCTL_DATA_DIR`, `OPSCTL_STATE_DIR`,
    /// `OPSCTL_CACHE_DIR`.
    pub fn find(env: &Env) -> anyhow::Result<Self> {
        let user = directories::ProjectDirs::from("", "", "opsctl");
        let pick = |name: &str, of_user: fn(&directories::ProjectDirs) -> PathBuf| {
            if let Some(dir) = env.non_empty(name) {
                return std::path::absolute(dir).with_context(|| format!("cannot use {name}={dir}"));
            }
            user.as_ref().map(of_user).ok_or_else(|| {
                Fault::new(Kind::Failed, "cannot find your home directory")
                    .because("HOME is not set")
                    .hint(format!("set HOME, or {name} and the like"))
                    .into()
            })
        };
        Ok(Places {
            config: pick("OPSCTL_CONFIG_DIR", |u| u.config_dir().to_owned())?,
            data: pick("OPSCTL_DATA_DIR", |u| u.data_dir().to_owned())?,
            state: pick("OPSCTL_STATE_DIR", |u| {
                u.state_dir().map_or_else(|| u.data_dir().join("state"), Path::to_owned)
            })?,
            cache: pick("OPSCTL_CACHE_DIR", |u| u.cache_dir().to_owned())?,
        })
    }

    /// All four under one directory, for tests and the sandbox.
    pub fn under(root: &Path) -> Self {
        Places {
            config: root.join("config"),
            data: root.join("data"),
            state: root.join("state"),
            cache: root.join("cache"),
        }
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// The data directory of `serve`.
    pub fn serve(&self) -> PathBuf {
        self.data.join("serve")
    }

    /// Where the journal of changes is, and what it keeps beside it.
    pub fn journal(&self) -> PathBuf {
        self.state.join("journal")
    }

    /// Runs of the runbook's procedures, and their transcripts.
    pub fn runs(&self) -> PathBuf {
        self.state.join("runbook")
    }

    /// Who is at what: one file for each subject of a change.
    pub fn leases(&self) -> PathBuf {
        self.state.join("leases")
    }

    /// How far a rotation of keys came, and which old ones are left.
    pub fn rotations(&self) -> PathBuf {
        self.state.join("rotations")
    }

    /// How fast each credential may be used: one file for each, shared by all processes.
    pub fn limits(&self) -> PathBuf {
        self.state.join("limits")
    }

    /// The last answers of the orchestrators, for when they give none.
    pub fn snapshots(&self) -> PathBuf {
        self.state.join("snapshots")
    }

    /// What is known of alerts: one file for each context.
    pub fn alerts(&self) -> PathBuf {
        self.state.join("alerts")
    }

    /// What is known of the runbook's tasks: one file for each context.
    pub fn maintenance(&self) -> PathBuf {
        self.state.join("maintenance")
    }

    /// Scheduled jobs: a folder for each context.
    pub fn jobs(&self) -> PathBuf {
        self.state.join("jobs")
    }

    /// The sandbox's folder.
    pub fn sandbox(&self) -> PathBuf {
        self.state.join("sandbox")
    }

    /// What a running sandbox says about itself.
    pub fn sandbox_record(&self) -> PathBuf {
        self.sandbox().join("record.json")
    }
}
