//! IAM: the service account's keys, as rotation needs them. All of them share the simulator-only RSA key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Denied, key_file, status_error};
use crate::sandbox::sim::api::{Api, Call, Operation, Reply};
use crate::sandbox::sim::keys::{Caller, Key, Keys, find};
use crate::wire::Time;

/// Most keys of one account.
const KEYS: usize = 10;

/// The key that a path is about, and what is asked of it: `KEY`, `KEY:disable`.
fn custom_method(segment: &str) -> (&str, Option<&str>) {
    segment.split_once(':').map_or((segment, None), |(id, method)| (id, Some(method)))
}

/// `None` when the path is not IAM's.
pub(super) fn operation(call: &Call) -> Option<Operation> {
    let segments = call.segments();
    let ["v1", "projects", _, "serviceAccounts", _, "keys", rest @ ..] = segments.as_slice() else { return None };
    Some(match (call.method.as_str(), rest) {
        ("GET", []) => Operation::read("keys.list"),
        ("POST", []) => Operation::create("keys.create"),
        ("GET", [_]) => Operation::read("keys.get"),
        ("DELETE", [_]) => Operation::delete("keys.delete"),
        ("POST", [last]) => match custom_method(last).1 {
            Some("disable") => Operation::update("keys.disable"),
            Some("enable") => Operation::update("keys.enable"),
            _ => Operation::UNKNOWN,
        },
        _ => Operation::UNKNOWN,
    })
}

/// The whole platform's scope is needed, for reads too.
pub(super) fn authorize(call: &Call, keys: &Keys, now: Time) -> Result<Caller, Reply> {
    let service = || json!({"service": "iam.googleapis.com"});
    super::authorize(call, keys, &["cloud-platform"], now).map_err(|denied| match denied {
        Denied::Scope => {
            let message = "Request had insufficient authentication scopes.";
            let reason = ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", service());
            status_error(403, "PERMISSION_DENIED", message, Some(reason))
        }
        Denied::Missing | Denied::Invalid => {
            let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, login \
                           cookie or other valid authentication credential. See \
                           https://developers.google.com/identity/sign-in/web/devconsole-project.";
            status_error(401, "UNAUTHENTICATED", message, Some(("ACCESS_TOKEN_EXPIRED", service())))
        }
    })
}

pub(super) fn handle(keys: &mut Keys, call: &Call, now: Time) -> Result<Reply, Reply> {
    let segments = call.segments();
    let ["v1", "projects", project, "serviceAccounts", account, "keys", rest @ ..] = segments.as_slice() else {
        return Err(Reply::html(404));
    };
    ensure_account(keys, project, account)?;
    match (call.method.as_str(), rest) {
        ("GET", []) => {
            // Google's own keys are not simulated.
            let all = call.query.iter().filter(|(k, _)| k == "keyTypes").all(|(_, v)| v == "USER_MANAGED");
            let list = keys.google_keys.iter().filter(|_| all).map(|key| shown(key, &name(keys, &key.value)));
            Ok(Reply::ok(&json!({"keys": list.collect::<Vec<Value>>()})))
        }
        ("POST", []) => {
            if keys.google_keys.len() >= KEYS {
                let message = "Maximum number of keys on account reached.";
                return Err(status_error(429, "RESOURCE_EXHAUSTED", message, None));
            }
            let id = keys.mint(Api::Google, now).unwrap_or_default();
            let key = find(&keys.google_keys, &id).ok_or_else(|| unknown(&id))?;
            let token_uri = format!("http://{}/token", call.header("host").unwrap_or_default());
            let mut created = shown(key, &name(keys, &id));
            created["privateKeyType"] = json!("TYPE_GOOGLE_CREDENTIALS_FILE");
            created["privateKeyData"] = json!(STANDARD.encode(key_file(keys, &id, &token_uri)));
            Ok(Reply::ok(&created))
        }
        (method, [last]) => {
            let (id, custom) = custom_method(last);
            let at = keys.google_keys.iter().position(|key| key.value == id).ok_or_else(|| unknown(id))?;
            match (method, custom) {
                ("GET", None) => return Ok(Reply::ok(&shown(&keys.google_keys[at], &name(keys, id)))),
                ("DELETE", None) => _ = keys.google_keys.remove(at),
                ("POST", Some("disable")) => keys.google_keys[at].revoked = true,
                ("POST", Some("enable")) => keys.google_keys[at].revoked = false,
                _ => return Err(Reply::html(404)),
            }
            Ok(Reply::ok(&json!({})))
        }
        _ => Err(Reply::html(404)),
    }
}

fn ensure_account(keys: &Keys, project: &str, account: &str) -> Result<(), Reply> {
    match (project == keys.google_project || project == "-", account == keys.google_email) {
        (true, true) => Ok(()),
        // Whoever does not name the project is not told what is missing in it.
        _ if project == "-" => Err(status_error(403, "PERMISSION_DENIED", "The caller does not have permission", None)),
        _ => Err(status_error(404, "NOT_FOUND", &format!("Unknown service account: {account}"), None)),
    }
}

fn name(keys: &Keys, id: &str) -> String {
    format!("projects/{}/serviceAccounts/{}/keys/{id}", keys.google_project, keys.google_email)
}

fn unknown(id: &str) -> Reply {
    status_error(404, "NOT_FOUND", &format!("Service account key {id} does not exist."), None)
}

fn shown(key: &Key, name: &str) -> Value {
    let mut shown = json!({
        "name": name,
        "keyAlgorithm": "KEY_ALG_RSA_2048",
        "keyOrigin": "GOOGLE_PROVIDED",
        "keyType": "USER_MANAGED",
        "validAfterTime": key.made,
        "validBeforeTime": "9999-12-31T23:59:59Z",
    });
    if key.revoked {
        shown["disabled"] = json!(true);
        shown["disableReason"] = json!("SERVICE_ACCOUNT_KEY_DISABLE_REASON_USER_INITIATED");
    }
    shown
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Method};
    use std::time::Duration;

    use super::*;

    const NOW: Time = Time(1_790_000_000_000);

    struct Account {
        keys: Keys,
        token: String,
    }

    impl Account {
        fn with_scope(scope: &str) -> Self {
            let mut keys = Keys::new(1, NOW);
            let key = keys.google_keys[0].value.clone();
            let scope = format!("https://www.googleapis.com/auth/{scope}");
            let token = keys.grant(&key, &scope, NOW + Duration::from_secs(60), NOW);
            Account { keys, token }
        }

        fn ask(&mut self, method: Method, project: &str, rest: &str) -> (u16, Value) {
            let uri = format!("/v1/projects/{project}/serviceAccounts/{}/keys{rest}", self.keys.google_email);
            let mut headers = HeaderMap::new();
            headers.insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
            headers.insert("host", "127.0.0.1:1".parse().unwrap());
            let call = Call::new(method, &uri.parse().unwrap(), headers, bytes::Bytes::new());
            let admitted = crate::sandbox::sim::google::admit(&call, &self.keys, NOW);
            let reply = match admitted {
                Ok(_) => crate::sandbox::sim::google::handle(&mut self.keys, &call, NOW),
                Err(refused) => refused,
            };
            (reply.status, serde_json::from_str(&reply.body).unwrap_or_default())
        }
    }

    #[test]
    fn a_key_is_made_disabled_enabled_and_deleted() {
        let mut account = Account::with_scope("cloud-platform");
        let (_, made) = account.ask(Method::POST, "opsctl-sandbox", "");
        assert_eq!(made["validAfterTime"], json!(NOW));
        let file = STANDARD.decode(made["privateKeyData"].as_str().unwrap()).unwrap();
        let file: Value = serde_json::from_slice(&file).unwrap();
        let id = file["private_key_id"].as_str().unwrap().to_owned();
        assert_eq!(
            (&file["token_uri"], made["name"].as_str().unwrap().ends_with(&id)),
            (&json!("http://127.0.0.1:1/token"), true)
        );
        assert_eq!(account.ask(Method::GET, "-", "?keyTypes=USER_MANAGED").1["keys"].as_array().unwrap().len(), 2);

        let path = format!("/{id}");
        assert_eq!(account.ask(Method::POST, "opsctl-sandbox", &format!("{path}:disable")), (200, json!({})));
        assert_eq!(account.ask(Method::GET, "opsctl-sandbox", &path).1["disabled"], true);
        account.ask(Method::POST, "opsctl-sandbox", &format!("{path}:enable"));
        assert_eq!(account.ask(Method::GET, "opsctl-sandbox", &path).1.get("disabled"), None);
        assert_eq!(account.ask(Method::DELETE, "opsctl-sandbox", &path).0, 200);
        assert_eq!(account.ask(Method::GET, "opsctl-sandbox", &path).0, 404);
    }

    #[test]
    fn an_account_has_ten_keys_at_most_and_its_own_scope() {
        let mut account = Account::with_scope("cloud-platform");
        for _ in 1..KEYS {
            assert_eq!(account.ask(Method::POST, "opsctl-sandbox", "").0, 200);
        }
        let (status, body) = account.ask(Method::POST, "opsctl-sandbox", "");
        assert_eq!((status, &body["error"]["status"]), (429, &json!("RESOURCE_EXHAUSTED")));
        assert_eq!(account.ask(Method::GET, "elsewhere", "").0, 404);
        assert_eq!(Account::with_scope("drive").ask(Method::GET, "opsctl-sandbox", "").0, 403);
        account.token = "ya29.none".into();
        assert_eq!(account.ask(Method::GET, "opsctl-sandbox", "").0, 401);
    }
}
