//! Lockdown, and the way back.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;

/// A lockdown in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lockdown {
    /// Since when.
    pub since: Time,
    /// The credential it was begun with: token id and name.
    pub by: String,
    /// The person, as claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Ids of the tokens that it revoked.
    pub revoked: Vec<String>,
}

/// Something that has to be so before a lockdown ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreCheck {
    /// What was looked at: `notion key`, `notion sign-in`.
    pub name: String,
    /// Whether it is so.
    pub passed: bool,
    /// What was seen.
    pub detail: String,
    /// The command that mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// How the service stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityStatus {
    /// The lockdown in force, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lockdown: Option<Lockdown>,
    /// Whether the token that asks is the break-glass token.
    pub break_glass: bool,
    /// Tokens that work now, break-glass left out.
    pub live_tokens: u64,
}

/// What a restore looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreChecks {
    /// The lockdown in force, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lockdown: Option<Lockdown>,
    /// What has to be so.
    pub checks: Vec<RestoreCheck>,
}

/// To end a lockdown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreAccess {
    /// Somebody has looked at what happened. Refused without it.
    pub verified: bool,
}
