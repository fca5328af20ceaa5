//! Bearer tokens and their roles. Only hashes are kept; a token's value is shown once, when it is made.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};

use super::backend::Refusal;
use crate::error::{Fault, Kind};
use crate::files;
use crate::wire::{ChangeAnswer, EffectKind, ErrorCode, Role, Time, TokenCreated, TokenInfo, TokenList, TokenRequest};

/// Hashes and roles.
const FILE: &str = "tokens.json";
/// The admin token of the first start, where the `local` context finds it.
pub const ADMIN_FILE: &str = "admin.token";
/// The token that still works in a lockdown.
pub const BREAK_GLASS_FILE: &str = "break-glass.token";
/// How stale `lastUsedAt` may be on disk.
const USE_RECORDED_EVERY: Duration = Duration::from_secs(60);

#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    info: TokenInfo,
    /// SHA-256 of the value, in hex.
    hash: String,
}

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// Id of the token.
    pub id: String,
    /// What the token is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it is the one that still works in a lockdown.
    pub break_glass: bool,
}

impl Caller {
    /// As the audit log writes it.
    pub fn actor(&self) -> String {
        format!("{} {}", self.id, self.name)
    }
}

/// The tokens of a service.
pub struct Tokens {
    path: PathBuf,
    kept: Mutex<Vec<Kept>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Reads the tokens; the first start makes an admin token and a break-glass token, each in its own 0600 file.
    pub fn open(data_dir: &Path, now: Time) -> anyhow::Result<Self> {
        let path = data_dir.join(FILE);
        if let Some(text) = files::read_if_there(&path)? {
            let kept = serde_json::from_str(&text).map_err(|e| {
                Fault::new(Kind::Failed, format!("cannot read the tokens in `{}`", path.display()))
                    .because(e.to_string())
                    .hint("move the file away: the next start makes new tokens and every old one stops working")
            })?;
            return Ok(Tokens { path, kept: Mutex::new(kept) });
        }
        let tokens = Tokens { path, kept: Mutex::default() };
        for (name, file, break_glass) in [("admin", ADMIN_FILE, false), ("break-glass", BREAK_GLASS_FILE, true)] {
            let request = TokenRequest { name: name.into(), role: Role::Admin, expires_in: None };
            let (kept, value) = make(&request, break_glass, now)?;
            files::write_whole(&data_dir.join(file), format!("{value}\n").as_bytes(), true)?;
            tokens.lock().push(kept);
        }
        // Last: a start that is cut short before this makes both again.
        tokens.keep(&tokens.lock())?;
        Ok(tokens)
    }

    /// Who presents this value; `AUTH_ERROR` when it is unknown, expired or revoked.
    pub fn caller(&self, value: &str, now: Time) -> Result<Caller, Refusal> {
        let hash = hash(value);
        let mut kept = self.lock();
        let refused = |why: &str| Refusal::new(ErrorCode::AuthError, format!("the token is {why}"));
        let at = kept.iter().position(|k| k.hash == hash).ok_or_else(|| refused("not known here"))?;
        let info = &mut kept[at].info;
        if info.revoked_at.is_some() {
            return Err(refused("revoked"));
        }
        if info.expires_at.is_some_and(|t| t <= now) {
            return Err(refused("expired"));
        }
        let stale = info.last_used_at.is_none_or(|t| now.since(t) >= USE_RECORDED_EVERY);
        let (id, name) = (info.id.clone(), info.name.clone());
        let caller = Caller { id, name, role: info.role, break_glass: info.break_glass };
        if stale {
            info.last_used_at = Some(now);
            // A convenience, not evidence: a full disk must not lock everybody out.
            let _ = self.keep(&kept);
        }
        Ok(caller)
    }

    /// All tokens, newest first.
    pub fn list(&self) -> TokenList {
        TokenList { tokens: self.lock().iter().rev().map(|k| k.info.clone()).collect() }
    }

    /// Makes one.
    pub fn create(&self, request: &TokenRequest, now: Time) -> Result<TokenCreated, Refusal> {
        let (kept, value) = make(request, false, now).map_err(failed)?;
        let info = kept.info.clone();
        let mut all = self.lock();
        all.push(kept);
        if let Err(error) = self.keep(&all) {
            all.pop();
            return Err(failed(error));
        }
        Ok(TokenCreated { token: info, value })
    }

    /// Stops one from working.
    pub fn revoke(&self, id: &str, now: Time) -> Result<ChangeAnswer, Refusal> {
        let mut all = self.lock();
        let conflict = |why: &str| Refusal::new(ErrorCode::Conflict, format!("token {id} {why}"));
        let at = all.iter().position(|k| k.info.id == id).ok_or_else(|| Refusal::not_found(format!("token {id}")))?;
        let answer = |effect, message: String| ChangeAnswer { effect, message, items: Vec::new(), audit_id: None };
        if all[at].info.revoked_at.is_some() {
            return Ok(answer(EffectKind::AlreadySo, format!("token {id} is already revoked")));
        }
        if all[at].info.break_glass {
            return Err(conflict("is the break-glass token, which stays"));
        }
        let live_admin = |k: &Kept| k.info.role == Role::Admin && !k.info.break_glass && works(&k.info, now);
        if live_admin(&all[at]) && all.iter().filter(|k| live_admin(k)).count() == 1 {
            return Err(conflict("is the last admin token; make another one first"));
        }
        all[at].info.revoked_at = Some(now);
        if let Err(error) = self.keep(&all) {
            all[at].info.revoked_at = None;
            return Err(failed(error));
        }
        Ok(answer(EffectKind::Applied, format!("token {id} ({}) is revoked", all[at].info.name)))
    }

    /// The id of the token with this value, whatever became of it.
    pub fn id_of(&self, value: &str) -> Option<String> {
        let hash = hash(value);
        self.lock().iter().find(|k| k.hash == hash).map(|k| k.info.id.clone())
    }

    /// Ids of the tokens that work, the break-glass token left out.
    pub fn live(&self, now: Time) -> Vec<String> {
        let all = self.lock();
        all.iter().filter(|k| !k.info.break_glass && works(&k.info, now)).map(|k| k.info.id.clone()).collect()
    }

    /// Stops these from working, in one step.
    pub fn revoke_all(&self, ids: &[String], now: Time) -> anyhow::Result<()> {
        let mut all = self.lock();
        for kept in all.iter_mut().filter(|k| k.info.revoked_at.is_none() && ids.contains(&k.info.id)) {
            kept.info.revoked_at = Some(now);
        }
        self.keep(&all)
    }

    /// A new admin token in the file where the `local` context finds it: the way in after a lockdown.
    pub fn renew_admin(&self, now: Time) -> anyhow::Result<TokenInfo> {
        let request = TokenRequest { name: "admin".into(), role: Role::Admin, expires_in: None };
        let (kept, value) = make(&request, false, now)?;
        let info = kept.info.clone();
        let mut all = self.lock();
        all.push(kept);
        self.keep(&all)?;
        let file = self.path.with_file_name(ADMIN_FILE);
        files::write_whole(&file, format!("{value}\n").as_bytes(), true)?;
        Ok(info)
    }

    fn keep(&self, all: &[Kept]) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(all)? + "\n";
        files::write_whole(&self.path, text.as_bytes(), true)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn works(info: &TokenInfo, now: Time) -> bool {
    info.revoked_at.is_none() && info.expires_at.is_none_or(|t| t > now)
}

fn failed(error: anyhow::Error) -> Refusal {
    Refusal::new(ErrorCode::UnknownError, format!("{error:#}"))
}

fn make(request: &TokenRequest, break_glass: bool, now: Time) -> anyhow::Result<(Kept, String)> {
    let mut bytes = [0; 32];
    let random = ring::rand::SystemRandom::new();
    random.fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    let value = format!("opsctl_{}", URL_SAFE_NO_PAD.encode(bytes));
    let hash = hash(&value);
    let info = TokenInfo {
        id: format!("tok_{}", &hash[..12]),
        name: request.name.clone(),
        role: request.role,
        created_at: now,
        expires_at: request.expires_in.map(|ms| now + Duration::from_millis(ms)),
        last_used_at: None,
        revoked_at: None,
        break_glass,
    };
    Ok((Kept { info, hash }, value))
}

/// SHA-256 in hex. The values are 256 random bits, so a plain hash is enough and its comparison reveals nothing.
pub(super) fn hash(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::scratch;

    #[test]
    fn the_first_start_makes_two_admin_tokens_and_the_next_keeps_them() {
        let dir = scratch("tokens");
        Tokens::open(dir.path(), Time(0)).unwrap();
        let value = std::fs::read_to_string(dir.path().join(ADMIN_FILE)).unwrap();
        let tokens = Tokens::open(dir.path(), Time(1)).unwrap();
        assert_eq!(tokens.caller(value.trim(), Time(2)).unwrap().role, Role::Admin);
        assert_eq!(tokens.list().tokens.iter().filter(|t| t.break_glass).count(), 1);
        assert!(!std::fs::read_to_string(dir.path().join(FILE)).unwrap().contains(value.trim()));
    }

    #[test]
    fn tokens_expire_and_are_revoked_but_never_the_last_way_in() {
        let dir = scratch("tokens");
        let tokens = Tokens::open(dir.path(), Time(0)).unwrap();
        let request = TokenRequest { name: "ci".into(), role: Role::Viewer, expires_in: Some(1000) };
        let made = tokens.create(&request, Time(0)).unwrap();
        assert_eq!(tokens.caller(&made.value, Time(999)).unwrap().role, Role::Viewer);
        assert!(tokens.caller(&made.value, Time(1000)).unwrap_err().message.contains("expired"));
        assert_eq!(tokens.revoke(&made.token.id, Time(5)).unwrap().effect, EffectKind::Applied);
        assert_eq!(tokens.revoke(&made.token.id, Time(6)).unwrap().effect, EffectKind::AlreadySo);
        assert!(tokens.caller(&made.value, Time(7)).unwrap_err().message.contains("revoked"));
        for token in tokens.list().tokens.iter().filter(|t| t.role == Role::Admin) {
            assert_eq!(tokens.revoke(&token.id, Time(8)).unwrap_err().code, ErrorCode::Conflict);
        }
        assert_eq!(tokens.revoke("tok_none", Time(8)).unwrap_err().code, ErrorCode::NotFound);
    }
}
