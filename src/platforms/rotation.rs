//! New credentials and the end of old ones, as far as a platform does that by API.
//!
//! Google makes and deletes a service account's keys (IAM). Slack and Notion hand a connection that rotates the next
//! pair for its refresh token. Trello and Slack end a token that asks for its own end. The rest is done on the
//! platforms' pages.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::credentials::GoogleKey;
use super::session::{Ask, Effect, Payload, Session};
use super::{Clients, Platform, PlatformError, google, notion};
use crate::http::{Failure, HeaderMap, HeaderValue, Method, Url};
use crate::secret::Secret;
use crate::wire::{ErrorCode, Time};

/// The scope that IAM wants.
const CLOUD: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Variables that a rotation reads beside the credentials, of the platforms whose connections rotate.
const VARIABLES: [&str; 6] = [
    "NOTION_CLIENT_ID",
    "NOTION_CLIENT_SECRET",
    "NOTION_REFRESH_TOKEN",
    "SLACK_CLIENT_ID",
    "SLACK_CLIENT_SECRET",
    "SLACK_REFRESH_TOKEN",
];

/// Whether a variable of this name is read for a rotation.
pub fn is_for_rotation(name: &str) -> bool {
    VARIABLES.contains(&name)
}

/// A key of a service account, as IAM lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountKey {
    /// `private_key_id`.
    pub id: String,
    /// Since when it is good.
    pub made: Option<Time>,
    /// Whether it was switched off.
    pub disabled: bool,
}

/// A key that was just made: its id, and the key file that is shown this once.
#[derive(Debug)]
pub struct NewAccountKey {
    /// `private_key_id`.
    pub id: String,
    /// The key file's JSON.
    pub file: Secret,
}

/// The connection that a refresh token belongs to.
#[derive(Clone, Debug)]
pub struct OAuthApp {
    client_id: String,
    client_secret: Secret,
    refresh_token: Secret,
}

/// What a refresh token was exchanged for; it is used up by that.
#[derive(Debug)]
pub struct NewPair {
    /// What calls are made with.
    pub access: Secret,
    /// What the next exchange is made with.
    pub refresh: Secret,
}

impl OAuthApp {
    /// The variable that holds the refresh token.
    pub fn refresh_variable(platform: Platform) -> String {
        format!("{}_REFRESH_TOKEN", platform.as_str().to_ascii_uppercase())
    }

    /// Reads it from a map of environment names; `None` unless all three parts are there.
    pub fn read(platform: Platform, env: &BTreeMap<String, String>) -> Option<Self> {
        let prefix = platform.as_str().to_ascii_uppercase();
        let get = |name: &str| env.get(&format!("{prefix}_{name}")).map(|v| v.trim()).filter(|v| !v.is_empty());
        Some(OAuthApp {
            client_id: get("CLIENT_ID")?.to_owned(),
            client_secret: Secret::new(get("CLIENT_SECRET")?),
            refresh_token: Secret::new(get("REFRESH_TOKEN")?),
        })
    }

    /// Its secrets, for the filter of what is printed.
    pub fn secrets(&self) -> [&Secret; 2] {
        [&self.client_secret, &self.refresh_token]
    }

    fn basic(&self) -> String {
        let pair = format!("{}:{}", self.client_id, self.client_secret.expose());
        format!("Basic {}", STANDARD.encode(pair))
    }
}

impl Clients {
    /// The keys of the service account in use.
    pub async fn account_keys(&self, limit: Duration) -> Result<Vec<AccountKey>, PlatformError> {
        let iam = Iam::open(self.session(Platform::Drive, limit)).await?;
        let url = iam.address(&[], &[("keyTypes", "USER_MANAGED")]);
        let answer = iam.send("keys.list", Effect::Read, Method::GET, url, Payload::None).await?;
        let listed = answer["keys"].as_array().into_iter().flatten();
        Ok(listed
            .filter_map(|key| {
                Some(AccountKey {
                    id: key["name"].as_str()?.rsplit('/').next()?.to_owned(),
                    made: key["validAfterTime"].as_str().and_then(|at| at.parse().ok()),
                    disabled: key["disabled"] == true,
                })
            })
            .collect())
    }

    /// Makes one more key of the service account in use. The answer is the only time it is shown.
    pub async fn make_account_key(&self, limit: Duration) -> Result<NewAccountKey, PlatformError> {
        let iam = Iam::open(self.session(Platform::Drive, limit)).await?;
        let url = iam.address(&[], &[]);
        let answer = iam.send("keys.create", Effect::Write, Method::POST, url, Payload::Json(json!({}))).await?;
        let file = answer["privateKeyData"].as_str().and_then(|data| STANDARD.decode(data).ok());
        let file = file.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let id = file.as_ref().and_then(|file| file["private_key_id"].as_str()).map(str::to_owned);
        match (file, id) {
            // On one line: it is kept where a variable's value is.
            (Some(file), Some(id)) => Ok(NewAccountKey { id, file: Secret::new(file.to_string()) }),
            _ => Err(iam.session.fail(ErrorCode::UnknownError, "IAM answered without a key file")),
        }
    }

    /// Switches a key of the service account in use off; it can be switched on again.
    pub async fn disable_account_key(&self, id: &str, limit: Duration) -> Result<(), PlatformError> {
        let iam = Iam::open(self.session(Platform::Drive, limit)).await?;
        let url = iam.address(&[&format!("{id}:disable")], &[]);
        gone(iam.send("keys.disable", Effect::Write, Method::POST, url, Payload::Json(json!({}))).await)
    }

    /// Deletes a key of the service account in use, for good.
    pub async fn delete_account_key(&self, id: &str, limit: Duration) -> Result<(), PlatformError> {
        let iam = Iam::open(self.session(Platform::Drive, limit)).await?;
        gone(iam.send("keys.delete", Effect::Write, Method::DELETE, iam.address(&[id], &[]), Payload::None).await)
    }

    /// Exchanges the connection's refresh token for the next pair, on Slack or Notion.
    pub async fn next_pair(
        &self,
        platform: Platform,
        app: &OAuthApp,
        limit: Duration,
    ) -> Result<NewPair, PlatformError> {
        let session = self.session(platform, limit);
        let (request, path): (_, &[&str]) = match platform {
            Platform::Slack => ("oauth.v2.access", &["oauth.v2.access"]),
            Platform::Notion => ("oauth.token", &["oauth", "token"]),
            _ => return Err(session.fail(ErrorCode::ValidationError, "its connections do not rotate")),
        };
        let fields = [("grant_type", "refresh_token"), ("refresh_token", app.refresh_token.expose())];
        let answer = as_app(&session, app, request, path, &fields).await?;
        let part = |name: &str| answer[name].as_str().filter(|v| !v.is_empty()).map(Secret::new);
        match (part("access_token"), part("refresh_token")) {
            (Some(access), Some(refresh)) => Ok(NewPair { access, refresh }),
            _ => Err(session.fail(ErrorCode::UnknownError, "the answer has no pair of tokens")),
        }
    }

    /// Ends the credential in use, on a platform where a token can ask for its own end: Trello and Slack; Google for a
    /// person's consent; Notion for a connection of `app`. One that is not accepted any more has ended.
    pub async fn end_credential(
        &self,
        platform: Platform,
        app: Option<&OAuthApp>,
        limit: Duration,
    ) -> Result<(), PlatformError> {
        let session = self.session(platform, limit);
        let keys = session.credentials.active();
        let answer = match (platform, app) {
            (Platform::Trello, _) => {
                let token = keys.trello.as_ref().map(|k| k.token.expose().to_owned()).unwrap_or_default();
                let url = session.at(&["tokens", &token]);
                let ask = Ask {
                    request: "tokens.delete",
                    effect: Effect::Write,
                    method: Method::DELETE,
                    url,
                    payload: Payload::None,
                };
                session.ask(ask).await.map_err(PlatformError::from)
            }
            (Platform::Slack, _) => {
                let url = session.at(&["auth.revoke"]);
                let payload = Payload::Form(Vec::new());
                let ask = Ask { request: "auth.revoke", effect: Effect::Write, method: Method::POST, url, payload };
                session.ask(ask).await.map_err(PlatformError::from)
            }
            (Platform::Notion, Some(app)) => {
                let token = keys.notion.as_ref().map(Secret::expose).unwrap_or_default();
                as_app(&session, app, "oauth.revoke", &["oauth", "revoke"], &[("token", token)]).await
            }
            (Platform::Drive | Platform::Sheets, _) => match &keys.google {
                Some(Ok(GoogleKey::Refresh { refresh_token, .. })) => {
                    google::end_consent(&session, refresh_token).await
                }
                _ => Err(session.fail(ErrorCode::ValidationError, "a service account's key is ended by its id")),
            },
            _ => Err(session.fail(ErrorCode::ValidationError, "its API does not end this kind of key")),
        };
        match answer {
            Err(error) if error.code == ErrorCode::AuthError => Ok(()),
            other => gone(other),
        }
    }
}

/// What is not there any more is as good as ended.
fn gone(answer: Result<Value, PlatformError>) -> Result<(), PlatformError> {
    match answer {
        Err(error) if error.code == ErrorCode::NotFound => Ok(()),
        other => other.map(drop),
    }
}

/// A request that a connection makes for itself, with its id and secret in the header.
async fn as_app(
    session: &Session,
    app: &OAuthApp,
    request: &'static str,
    path: &[&str],
    fields: &[(&'static str, &str)],
) -> Result<Value, PlatformError> {
    let url = session.at(path).map_err(|failure| session.invalid(failure.cause))?;
    let mut headers = HeaderMap::new();
    let mut basic = HeaderValue::try_from(app.basic()).map_err(|_| session.invalid("the client id cannot be sent"))?;
    basic.set_sensitive(true);
    headers.insert("authorization", basic);
    let payload = match session.platform {
        Platform::Notion => {
            headers.insert("notion-version", HeaderValue::from_static(notion::VERSION));
            Payload::Json(fields.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect())
        }
        _ => Payload::Form(fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()),
    };
    let answer = session.exchange(request, Effect::Write, &Method::POST, &url, headers, &payload).await;
    Ok(answer.map_err(PlatformError::from)?.0)
}

/// IAM with a token of its own: the ones that calls are made with do not reach this far.
struct Iam {
    session: Session,
    email: String,
    authorization: HeaderValue,
}

impl Iam {
    async fn open(session: Session) -> Result<Self, PlatformError> {
        let key = match &session.credentials.active().google {
            Some(Ok(key @ GoogleKey::ServiceAccount { .. })) => key.clone(),
            Some(Ok(GoogleKey::Refresh { .. })) => {
                return Err(session.fail(ErrorCode::ValidationError, "a person's consent has no keys"));
            }
            Some(Err(why)) => return Err(session.fail(ErrorCode::AuthError, why.clone())),
            None => return Err(session.not_set()),
        };
        let token = google::token_for(&session, &key, CLOUD).await?;
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let mut authorization = bearer.map_err(|_| session.invalid("Google's token cannot be sent"))?;
        authorization.set_sensitive(true);
        Ok(Iam { email: key.account().to_owned(), session, authorization })
    }

    fn address(&self, rest: &[&str], query: &[(&str, &str)]) -> Result<Url, Failure> {
        // The project is in the address; without it IAM answers 403 for what is not there.
        let project = self.email.split_once('@').and_then(|(_, host)| host.strip_suffix(".iam.gserviceaccount.com"));
        let mut path = vec!["projects", project.unwrap_or("-"), "serviceAccounts", &self.email, "keys"];
        path.extend(rest);
        super::endpoints::address(&self.session.endpoints().google_iam, &path, query)
    }

    async fn send(
        &self,
        request: &'static str,
        effect: Effect,
        method: Method,
        url: Result<Url, Failure>,
        payload: Payload,
    ) -> Result<Value, PlatformError> {
        let url = url.map_err(|failure| self.session.invalid(failure.cause))?;
        let mut headers = HeaderMap::new();
        headers.insert("authorization", self.authorization.clone());
        let answer = self.session.exchange(request, effect, &method, &url, headers, &payload).await;
        Ok(answer.map_err(PlatformError::from)?.0)
    }
}
