//! What a cluster can do, looked at when connecting and every few seconds after: its version, its services, one real query.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::admin::{Admin, Service};
use super::contract::{self, CIRCUIT, GATE, MARK, RATE_LIMIT, WORKFLOW};
use crate::server::backend::Refusal;
use crate::wire::{Capability, ErrorCode, Platform, Support};

/// Versions whose answers are known: from, and the first that is not.
const VERSIONS: ((u64, u64), (u64, u64)) = ((1, 7), (1, 8));

/// What a look saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The server's version.
    pub version: String,
    /// Where it thinks its ingress is.
    pub ingress: Option<String>,
    /// The address that answered.
    pub address: String,
    /// Services by name, and whether each says that it keeps to the contract.
    services: BTreeMap<String, bool>,
}

impl Seen {
    /// Whether a service is registered.
    pub fn has(&self, name: &str) -> bool {
        self.services.contains_key(name)
    }

    /// Platforms whose actions something executes.
    pub fn platforms(&self) -> Vec<Platform> {
        Platform::ALL.iter().copied().filter(|platform| self.has(contract::service_of(*platform))).collect()
    }

    /// Services with work that do not say they keep to the contract: a gate may not hold them.
    pub fn unmarked(&self) -> Vec<&'static str> {
        let names = Platform::ALL.iter().map(|platform| contract::service_of(*platform)).chain([WORKFLOW]);
        names.filter(|name| self.services.get(*name) == Some(&false)).collect()
    }
}

/// What is known of a cluster.
#[derive(Clone, Debug)]
pub struct Known {
    /// The last look that saw it.
    pub seen: Seen,
    /// Why the last look did not, if so.
    pub lost: Option<Refusal>,
}

/// Looks at a cluster. `/health` alone is green seconds before SQL answers, so a query is part of it.
pub async fn look(admin: &Admin) -> Result<Seen, Refusal> {
    #[derive(Deserialize)]
    struct Count {}
    let version = admin.version().await?;
    check_version(&version.version)?;
    let services = admin.services().await?;
    // Of every partition, and short however much there is.
    admin.query::<Count>("select count(*) as n from sys_keyed_service_status").await?;
    let marked = |service: &Service| service.metadata.get(MARK.0).is_some_and(|word| word == MARK.1);
    Ok(Seen {
        version: version.version,
        ingress: version.ingress_endpoint,
        address: super::admin::plain(admin.address()),
        services: services.iter().map(|service| (service.name.clone(), marked(service))).collect(),
    })
}

/// Refuses a version whose answers nobody has tried.
fn check_version(version: &str) -> Result<(), Refusal> {
    let mut parts = version.split(['.', '-', '+']).map(|part| part.parse::<u64>().ok());
    let found = parts.next().flatten().zip(parts.next().flatten());
    let (from, before) = VERSIONS;
    let known = format!("this opsctl knows {}.{} up to but not {}.{}", from.0, from.1, before.0, before.1);
    let words = match found {
        Some(found) if found >= before => format!("Restate {version} is newer than what can be served: {known}"),
        Some(found) if found < from => format!("Restate {version} is older than what can be served: {known}"),
        Some(_) => return Ok(()),
        None => format!("Restate says its version is `{version}`, which is none: {known}"),
    };
    Err(Refusal::new(ErrorCode::Unsupported, words))
}

/// The table for `GET /admin/v1`.
pub fn table(known: &Known, ingress: bool) -> BTreeMap<String, Capability> {
    let seen = &known.seen;
    let mut table = BTreeMap::new();
    let mut put = |name: &str, support, caveat: String| {
        let caveat = Some(caveat).filter(|words| !words.is_empty());
        table.insert(name.to_owned(), Capability { support, caveat });
    };
    let by_contract = |name: &str, caveat: &str| match seen.has(name) {
        true => (Support::Contract, caveat.to_owned()),
        false => (Support::Unavailable, contract::absent(name)),
    };
    match &known.lost {
        None => put("engine", Support::Native, format!("Restate {} at {}", seen.version, seen.address)),
        Some(refusal) => put("engine", Support::Unavailable, refusal.message.clone()),
    }

    let platforms = seen.platforms();
    match platforms.is_empty() {
        true => put("queues", Support::Unavailable, contract::absent(contract::service_of(Platform::Notion))),
        false => {
            let names: Vec<_> = platforms.iter().map(|platform| platform.as_str()).collect();
            let names = names.join(", ");
            put(
                "queues",
                Support::Emulated,
                format!(
                    "invocations of {names}; restored and retried items get a new id, scheduled ones cannot be restored"
                ),
            );
        }
    }
    match ingress {
        true => put("submissions", Support::Emulated, "one action at a time; Restate makes the id".into()),
        false => {
            put("submissions", Support::Unavailable, "the cluster names no ingress: pass --restate-ingress".into())
        }
    }
    let (support, mut caveat) = by_contract(GATE, "held before each side effect, work sent later too");
    let unmarked = seen.unmarked();
    if support == Support::Contract && !unmarked.is_empty() {
        let names = unmarked.join(", ");
        caveat.push_str(&format!("; {names} without `{}: {}` may go on", MARK.0, MARK.1));
    }
    put("pauses", support, caveat);
    let (support, caveat) = by_contract(CIRCUIT, "kept by services; no history of transitions");
    put("circuits", support, caveat);
    let (support, caveat) = by_contract(RATE_LIMIT, "kept by services");
    put("limits", support, caveat);
    let (support, caveat) =
        by_contract(WORKFLOW, "rollback of what runs and retry of a failed undo; no force, no compensate, no rebuild");
    put("workflows", support, caveat);
    let approvals = match (seen.has(WORKFLOW), ingress) {
        (false, _) => (Support::Unavailable, contract::absent(WORKFLOW)),
        (true, false) => (Support::Contract, "read only: deciding needs --restate-ingress".to_owned()),
        (true, true) => (Support::Contract, "durable promises of workflows, not of single actions".to_owned()),
    };
    put("approvals", approvals.0, approvals.1);
    put(
        "idempotency",
        Support::Native,
        "kept for Restate's retention, a day unless changed; prevented duplicates are not counted".into(),
    );
    put("services", Support::Emulated, "health from SQL and contract; nothing of Restate is restarted".into());
    put("priorities", Support::Unavailable, "Restate has none: everything is normal".into());
    for (name, why) in [
        ("executors", "workers are the cluster's; see `restate deployments list`"),
        ("metrics", "Restate keeps a day, and its own metrics on the node port"),
        ("config", "settings belong to the services on Restate"),
        ("logs", "services on Restate write their own"),
        ("backups", "snapshots to an object store are the cluster's"),
    ] {
        put(name, Support::Unavailable, why.into());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_that_were_tried_are_served() {
        assert!(check_version("1.7.12").is_ok());
        assert!(check_version("1.7.0-rc.1").is_ok());
        let words = |version| check_version(version).unwrap_err().message;
        assert!(words("1.8.0").contains("newer"));
        assert!(words("2.0.0").contains("newer"));
        assert!(words("1.6.9").contains("older"));
        assert!(words("latest").contains("which is none"));
    }

    fn known(services: &[(&str, bool)]) -> Known {
        let services = services.iter().map(|(name, marked)| ((*name).to_owned(), *marked)).collect();
        Known { seen: Seen { version: "1.7.12".into(), services, ..Seen::default() }, lost: None }
    }

    #[test]
    fn what_is_not_registered_is_not_available_with_the_reason() {
        let bare = table(&known(&[]), false);
        for name in ["queues", "pauses", "circuits", "limits", "workflows", "approvals", "submissions"] {
            assert_eq!(bare[name].support, Support::Unavailable, "{name}");
            assert!(bare[name].caveat.is_some(), "{name}");
        }
        let full = table(&known(&[("Gate", true), ("Notion", true), ("Slack", false), ("Workflow", true)]), true);
        assert_eq!(full["pauses"].support, Support::Contract);
        assert!(full["pauses"].caveat.as_deref().unwrap().contains("Slack without"), "{:?}", full["pauses"]);
        assert!(full["queues"].caveat.as_deref().unwrap().starts_with("invocations of notion, slack;"));
        assert_eq!(full["approvals"].support, Support::Contract);
    }

    #[test]
    fn a_cluster_that_is_away_is_shown_as_away() {
        let mut known = known(&[("Gate", true)]);
        known.lost = Some(Refusal::new(ErrorCode::ServiceDown, "Restate cannot be asked: connection refused"));
        assert_eq!(table(&known, true)["engine"].support, Support::Unavailable);
    }
}
