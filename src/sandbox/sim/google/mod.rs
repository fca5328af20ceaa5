//! Google: the service account's key file.

use serde_json::json;

use super::keys::Keys;

/// Signs nothing outside the simulators: its public half is known to nobody else. ring cannot generate RSA keys.
pub(super) const SIMULATOR_ONLY_KEY: &str = include_str!("simulator-only.pem");

/// A service account's key file.
pub(super) fn key_file(keys: &Keys, key_id: &str, token_uri: &str) -> String {
    let file = json!({
        "type": "service_account",
        "project_id": keys.google_project,
        "private_key_id": key_id,
        "private_key": SIMULATOR_ONLY_KEY,
        "client_email": keys.google_email,
        "client_id": "112233445566778899001",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": token_uri,
        "universe_domain": "googleapis.com",
    });
    format!("{file:#}\n")
}
