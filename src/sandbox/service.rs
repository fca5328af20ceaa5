//! The orchestrator as the host's child: started with the simulators' addresses and credentials, watched, ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::place::{Place, write_private};
use super::process::{self, Process};
use crate::error::{Fault, Kind};
use crate::platforms::Endpoints;

/// How long it may take to listen.
const READY_LIMIT: Duration = Duration::from_secs(15);
/// How often its address is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What it needs to know.
pub(super) struct Needs<'a> {
    pub(super) place: &'a Place,
    pub(super) program: &'a Path,
    pub(super) endpoints: &'a Endpoints,
    pub(super) credentials: &'a BTreeMap<String, String>,
    pub(super) clock_offset_ms: i64,
    /// The port it had before, to have it again if it is free.
    pub(super) port: u16,
}

/// An orchestrator that listens.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) process: Process,
    pub(super) url: String,
}

/// Starts it and waits until it listens.
pub(super) async fn start(needs: &Needs<'_>) -> anyhow::Result<Running> {
    match try_start(needs, needs.port).await {
        // The port may be somebody else's by now.
        Err(_) if needs.port != 0 => try_start(needs, 0).await,
        outcome => outcome,
    }
}

async fn try_start(needs: &Needs<'_>, port: u16) -> anyhow::Result<Running> {
    let place = needs.place;
    write_private(&place.endpoints(), &serde_json::to_vec_pretty(needs.endpoints)?)?;
    let said_before = process::length(&place.serve_log());
    let mut command = process::detached(needs.program, &place.serve_log())?;
    command
        .current_dir(place.dir())
        // A group of its own: what a terminal sends to its foreground group does not reach it.
        .process_group(0)
        .env("OPSCTL_CONFIG_DIR", place.dir())
        .envs(needs.credentials)
        .args(["-o", "jsonl", "serve", "--sandbox", "--listen", &format!("127.0.0.1:{port}")])
        .args(["--clock-offset", &needs.clock_offset_ms.to_string()])
        // What hangs in a simulator is handed back soon.
        .args(["--drain", "3s"])
        .arg("--data-dir")
        .arg(place.data())
        .arg("--endpoints")
        .arg(place.endpoints())
        // Its answer says where it listens.
        .stdout(File::create(place.address()).context("cannot write into the sandbox's folder")?);
    let mut child = tokio::process::Command::from(command).spawn().context("cannot start the orchestrator")?;
    let deadline = tokio::time::Instant::now() + READY_LIMIT;
    let failed = |why: String| {
        let fault = Fault::new(Kind::Failed, "the sandbox's orchestrator did not start").because(why);
        process::explained_by(&place.serve_log(), said_before, fault)
    };
    let url = loop {
        if let Some(status) = child.try_wait()? {
            return Err(failed(format!("it ended with {status}")).into());
        }
        match listening(&place.address()) {
            Some(url) => break url,
            None if tokio::time::Instant::now() >= deadline => {
                let _ = child.start_kill();
                return Err(failed(format!("it did not listen within {}s", READY_LIMIT.as_secs())).into());
            }
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    };
    let process = child.id().and_then(Process::of);
    let process = process.ok_or_else(|| failed("it ended as soon as it listened".into()))?;
    // Whoever ends it, its number is free for others once it is waited for.
    tokio::spawn(async move { child.wait().await });
    Ok(Running { process, url })
}

/// Where it says that it listens, once it has said so.
fn listening(path: &Path) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    Some(answer.get("url")?.as_str()?.to_owned())
}
