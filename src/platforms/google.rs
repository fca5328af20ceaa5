//! Google access tokens: asked for when needed, kept until shortly before they end, one request at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use super::answer::phrase;
use super::caches::lock;
use super::credentials::GoogleKey;
use super::session::{Ask, Effect, Payload, Session};
use super::{Clients, Platform, PlatformError};
use crate::http::{Failure, HeaderMap, Method, Url};
use crate::secret::Secret;
use crate::wire::{ErrorCode, Time};

/// What the tokens are good for: files and cells, of anything the account can see.
const SCOPES: &str = "https://www.googleapis.com/auth/drive https://www.googleapis.com/auth/spreadsheets";

/// A token this close to its end is replaced.
const SPARE: Duration = Duration::from_secs(60);

/// Google's longest life of a signed request.
const LIFE_S: i64 = 3600;

/// The access tokens of the credentials in use.
#[derive(Default)]
pub(super) struct Tokens {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    /// Held while a token is asked for, so that others wait for the same one.
    refreshing: tokio::sync::Mutex<()>,
    token: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    value: Secret,
    ends: Time,
}

impl Tokens {
    /// A token that is good for a while yet, and not the one that Google `refused`.
    pub(super) async fn access_token(
        &self,
        session: &Session,
        key: &GoogleKey,
        refused: Option<&Secret>,
    ) -> Result<Secret, PlatformError> {
        let slot = lock(&self.slots).entry(key.fingerprint()).or_default().clone();
        let usable = |slot: &Slot| slot.fresh(session.now()).filter(|token| Some(token) != refused);
        if let Some(token) = usable(&slot) {
            return Ok(token);
        }
        let _one_at_a_time = slot.refreshing.lock().await;
        // Somebody else may have renewed it while this one waited.
        if let Some(token) = usable(&slot) {
            return Ok(token);
        }
        let token = ask_for_token(session, key, SCOPES).await?;
        *lock(&slot.token) = Some(token.clone());
        Ok(token.value)
    }

    /// A token asked for now, whatever is left of the one before.
    async fn renew(&self, session: &Session, key: &GoogleKey) -> Result<Token, PlatformError> {
        let slot = lock(&self.slots).entry(key.fingerprint()).or_default().clone();
        let _one_at_a_time = slot.refreshing.lock().await;
        let token = ask_for_token(session, key, SCOPES).await?;
        *lock(&slot.token) = Some(token.clone());
        Ok(token)
    }

    /// Drops every token.
    pub(super) fn forget_all(&self) {
        lock(&self.slots).clear();
    }

    /// The values in use, for the filter that keeps them out of texts.
    pub(super) fn values(&self) -> Vec<Secret> {
        lock(&self.slots).values().filter_map(|slot| Some(lock(&slot.token).as_ref()?.value.clone())).collect()
    }
}

impl Slot {
    fn fresh(&self, now: Time) -> Option<Secret> {
        lock(&self.token).as_ref().filter(|t| now + SPARE < t.ends).map(|t| t.value.clone())
    }
}

/// What a new access token is good for. Not the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Whose it is: the service account's address, or the OAuth client.
    pub account: String,
    /// When it ends.
    pub ends: Time,
    /// What it may be used for, in Google's words.
    pub scopes: Vec<String>,
}

impl Clients {
    /// Gets a new access token with Google's credential, the way every call does, and asks Google what it is worth.
    pub async fn renew_google(&self, limit: Duration) -> Result<Renewed, PlatformError> {
        let session = self.session(Platform::Drive, limit);
        let (account, token) = match &session.credentials.active().google {
            Some(Ok(key)) => (key.account().to_string(), session.tokens().renew(&session, key).await?),
            Some(Err(why)) => return Err(session.fail(ErrorCode::AuthError, phrase(ErrorCode::AuthError, why))),
            None => return Err(session.not_set()),
        };
        let info = token_info(&session).await?;
        Ok(Renewed { account, ends: token.ends, scopes: scopes(&info) })
    }
}

/// What Google says about the access token in use.
pub(super) async fn token_info(session: &Session) -> Result<Value, PlatformError> {
    let url = super::endpoints::address(&session.endpoints().google_tokeninfo, &[], &[]);
    let ask = Ask {
        request: "oauth2.tokeninfo",
        effect: Effect::Read,
        method: Method::POST,
        url,
        payload: Payload::Form(Vec::new()),
    };
    Ok(session.ask(ask).await?)
}

/// The scopes in Google's answer about a token.
pub(super) fn scopes(info: &Value) -> Vec<String> {
    info["scope"].as_str().unwrap_or_default().split_whitespace().map(str::to_string).collect()
}

/// A token for something else than files and cells. It is not kept.
pub(super) async fn token_for(session: &Session, key: &GoogleKey, scopes: &str) -> Result<Secret, PlatformError> {
    Ok(ask_for_token(session, key, scopes).await?.value)
}

/// Ends a person's consent. Google's endpoint for it is beside the one that tokens come from.
pub(super) async fn end_consent(session: &Session, refresh_token: &Secret) -> Result<Value, PlatformError> {
    let place = session.endpoints().google_token.replace("/token", "/revoke");
    let url: Url = place.parse().map_err(|e| session.invalid(Failure::bad_url(&place, e).cause))?;
    let form = Payload::Form(vec![("token", refresh_token.expose().to_string())]);
    let answer = session.exchange("oauth2.revoke", Effect::Write, &Method::POST, &url, HeaderMap::new(), &form).await;
    match answer {
        // Google's word for one that has ended is that of a wrong one.
        Err(failed) if failed.body.as_ref().is_some_and(|body| body["error"] == "invalid_token") => Ok(Value::Null),
        other => Ok(other.map_err(PlatformError::from)?.0),
    }
}

async fn ask_for_token(session: &Session, key: &GoogleKey, scopes: &str) -> Result<Token, PlatformError> {
    let now = session.now();
    let (uri, form) = match key {
        GoogleKey::ServiceAccount { email, key_id, private_key, token_uri } => {
            let uri = token_uri.clone().unwrap_or_else(|| session.endpoints().google_token.clone());
            let assertion = sign(email, key_id.as_deref(), private_key, (&uri, scopes), now)
                .map_err(|why| session.fail(ErrorCode::AuthError, phrase(ErrorCode::AuthError, &why)))?;
            let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer".to_string();
            (uri, vec![("grant_type", grant), ("assertion", assertion)])
        }
        GoogleKey::Refresh { client_id, client_secret, refresh_token } => (
            session.endpoints().google_token.clone(),
            vec![
                ("grant_type", "refresh_token".to_string()),
                ("client_id", client_id.clone()),
                ("client_secret", client_secret.expose().to_string()),
                ("refresh_token", refresh_token.expose().to_string()),
            ],
        ),
    };
    let url: Url = uri.parse().map_err(|e| session.invalid(Failure::bad_url(&uri, e).cause))?;
    let headers = HeaderMap::new();
    let (answer, _) = session
        .exchange("oauth2.token", Effect::Read, &Method::POST, &url, headers, &Payload::Form(form))
        .await
        .map_err(PlatformError::from)?;
    let Some(value) = answer["access_token"].as_str().filter(|v| !v.is_empty()) else {
        return Err(session.fail(ErrorCode::UnknownError, "Google's token endpoint answered without an access token"));
    };
    let life = answer["expires_in"].as_u64().unwrap_or(LIFE_S.unsigned_abs()).min(86_400);
    Ok(Token { value: Secret::new(value), ends: now + Duration::from_secs(life) })
}

/// A signed request for a token (RS256 JWT).
fn sign(
    email: &str,
    key_id: Option<&str>,
    private_key: &Secret,
    (audience, scopes): (&str, &str),
    now: Time,
) -> Result<String, String> {
    let key = read_key(private_key.expose())?;
    let mut header = json!({"alg": "RS256", "typ": "JWT"});
    if let Some(id) = key_id {
        header["kid"] = Value::from(id);
    }
    let issued = now.0.div_euclid(1000);
    let claims = json!({"iss": email, "scope": scopes, "aud": audience, "iat": issued, "exp": issued + LIFE_S});
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| "the service account key cannot sign".to_string())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Reads an RSA key in PEM, PKCS#8 as Google hands out or the older PKCS#1.
fn read_key(pem: &str) -> Result<RsaKeyPair, String> {
    let bad = |why: &str| format!("the service account's private key cannot be used: {why}");
    let begin = pem.find("-----BEGIN ").ok_or_else(|| bad("it is not PEM"))?;
    let body = &pem[begin + "-----BEGIN ".len()..];
    let (label, body) = body.split_once("-----").ok_or_else(|| bad("it is not PEM"))?;
    let (body, _) = body.split_once("-----END ").ok_or_else(|| bad("its end is missing"))?;
    let compact: String = body.split_whitespace().collect();
    let der = STANDARD.decode(compact).map_err(|_| bad("it is not base64"))?;
    let key = match label {
        "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&der),
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der),
        other => return Err(bad(&format!("it is a `{other}`"))),
    };
    key.map_err(|e| bad(&e.to_string()))
}
