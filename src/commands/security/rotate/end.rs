//! The end of an old key: by the platform's API where it has one, by a person otherwise, and seen to have ended.

use std::collections::BTreeMap;
use std::time::Duration;

use super::book::{Left, Old};
use super::mint::api;
use super::run::{Run, Stop};
use super::turn::{Turn, Way};
use crate::platforms::PlatformError;
use crate::secret::Secret;
use crate::wire::{EffectKind, ErrorCode};

/// How long a key that was switched off may be switched on again before it is deleted.
const DELETED_AFTER: Duration = Duration::from_secs(86_400);

/// What a try to end an old key came to.
enum Ended {
    Now(Old),
    /// The platform could not be reached: the run goes on with it later.
    Later(String),
}

impl Run<'_> {
    /// Ends the old key of a turn whose new one is in use.
    pub(super) async fn end(&mut self, at: usize) -> anyhow::Result<()> {
        let turn = self.turns[at].clone();
        let old = match self.end_old(&turn).await? {
            Ended::Now(old) => old,
            Ended::Later(why) => {
                let credential = turn.credential;
                self.app.output.warn(&format!("{credential}: the new key is in use, the old one has not ended: {why}"));
                return Ok(());
            }
        };
        match &old {
            Old::Revoked => self.say(&format!("{}: the old key is revoked", turn.credential)),
            Old::Disabled { .. } => self.say(&format!("{}: the old key is switched off", turn.credential)),
            Old::ByHand { why } => {
                let page = turn.credential.end_page();
                self.app.output.warn(&format!("{}: revoke the old key by hand at {page}: {why}", turn.credential));
            }
        }
        self.list_left(&turn, &old)?;
        self.close_turn(at, old, EffectKind::Applied)
    }

    async fn end_old(&self, turn: &Turn) -> anyhow::Result<Ended> {
        let credential = turn.credential;
        if let Some(id) = &turn.old_key {
            let mut env = self.env.clone();
            if let Some(new) = self.book.new_value(credential) {
                env.insert(turn.variable.clone(), new.expose().to_owned());
            }
            self.delete_due(turn, &env).await;
            let ended = self.end_account_key(&env, id, turn.emergency).await;
            return Ok(match (ended, turn.emergency) {
                (Ok(()), true) => Ended::Now(Old::Revoked),
                (Ok(()), false) => Ended::Now(Old::Disabled { delete_after: self.app.now() + DELETED_AFTER }),
                (Err(why), _) => Ended::Later(why),
            });
        }
        let Some(old) = self.book.old_value(credential) else {
            let why =
                if turn.old.is_some() { "its value is not known here" } else { "which one it is is not known here" };
            return Ok(Ended::Now(Old::ByHand { why: why.into() }));
        };
        if turn.way == Way::Simulated {
            let ended = self.end_simulated(turn, Some(old.clone())).await;
            return Ok(ended.map_or_else(Ended::Later, |()| Ended::Now(Old::Revoked)));
        }
        let clients = match self.clients_with(turn, &old).await {
            Ok(clients) => clients,
            Err(Stop::Run(error)) => return Err(error),
            Err(Stop::Failed(why)) => return Ok(Ended::Now(Old::ByHand { why })),
        };
        let app = self.oauth_app(turn).filter(|_| turn.way == Way::OAuth);
        let limit = self.app.settings.timeout.value;
        match clients.end_credential(credential.first(), app.as_ref(), limit).await {
            Ok(()) => {}
            Err(error) if passes(&error) => return Ok(Ended::Later(error.to_string())),
            Err(error) => return self.ended_by_hand(turn, &old, error.to_string()).await,
        }
        Ok(Ended::Now(match self.works(turn, &old).await? {
            true => Old::ByHand { why: "the platform said that it ended, and still accepts it".into() },
            false => Old::Revoked,
        }))
    }

    /// Waits for the person who withdraws it, when there is one, and looks whether it ended.
    async fn ended_by_hand(&self, turn: &Turn, old: &Secret, why: String) -> anyhow::Result<Ended> {
        if !self.app.prompt.can_ask() {
            return Ok(Ended::Now(Old::ByHand { why }));
        }
        let (credential, page) = (turn.credential, turn.credential.end_page());
        self.app.output.say(&format!("{credential}: withdraw the old key at {page}\n"));
        self.app.prompt.text("Enter when that is done, or to do it later:").await?;
        Ok(Ended::Now(match self.works(turn, old).await? {
            true => Old::ByHand { why: "it still works".into() },
            false => Old::Revoked,
        }))
    }

    /// Whether a platform still accepts this value.
    async fn works(&self, turn: &Turn, value: &Secret) -> anyhow::Result<bool> {
        let clients = match self.clients_with(turn, value).await {
            Ok(clients) => clients,
            Err(Stop::Run(error)) => return Err(error),
            Err(Stop::Failed(_)) => return Ok(true),
        };
        let answer = clients.who_am_i_within(turn.credential.first(), self.app.settings.timeout.value).await;
        // Only a refusal says that it has ended.
        Ok(!matches!(answer, Err(error) if error.code == ErrorCode::AuthError))
    }

    /// Ends a key of the service account, for good or so that it can be switched on again.
    pub(super) async fn end_account_key(
        &self,
        env: &BTreeMap<String, String>,
        id: &str,
        for_good: bool,
    ) -> Result<(), String> {
        let limit = self.app.settings.timeout.value;
        let clients = self.clients(env).await.map_err(|error| format!("{error:#}"))?;
        let ended = match for_good {
            true => clients.delete_account_key(id, limit).await,
            false => clients.disable_account_key(id, limit).await,
        };
        ended.map_err(|error| error.to_string())
    }

    /// Deletes what was switched off long enough ago. What cannot be deleted stays on the list.
    async fn delete_due(&self, turn: &Turn, env: &BTreeMap<String, String>) {
        let (now, context) = (self.app.now(), &self.app.settings.context_name.value);
        for due in self.left.list().unwrap_or_default() {
            let is_due = due.delete_after.is_some_and(|at| at <= now) && &due.context == context;
            let Some(id) = due.key.as_deref().filter(|_| is_due && due.credential == turn.credential) else { continue };
            if self.end_account_key(env, id, true).await.is_ok() {
                let gone = self.left.remove(|one| one.key.as_deref() == Some(id));
                if gone.is_ok() {
                    self.say(&format!("{}: deleted key {id}, which was switched off", turn.credential));
                }
            }
        }
    }

    /// The simulator stands for the page that a person would open.
    pub(super) async fn end_simulated(&self, turn: &Turn, value: Option<Secret>) -> Result<(), String> {
        let (Some(ground), Some(value)) = (&self.ground, value) else {
            return Err(format!("withdraw it at {}", turn.credential.end_page()));
        };
        ground.revoke_one(api(turn.credential), &value).await.map_err(|error| format!("{error:#}"))
    }

    /// Writes down what somebody still has to do.
    fn list_left(&self, turn: &Turn, old: &Old) -> anyhow::Result<()> {
        let (delete_after, why) = match old {
            Old::Revoked => return Ok(()),
            Old::Disabled { delete_after } => {
                (Some(*delete_after), "switched off; the next rotation deletes it".into())
            }
            Old::ByHand { why } => (None, why.clone()),
        };
        self.left.add(Left {
            context: self.app.settings.context_name.value.clone(),
            credential: turn.credential,
            fingerprint: turn.old.clone(),
            key: turn.old_key.clone(),
            since: self.app.now(),
            delete_after,
            why,
        })
    }
}

/// Whether the same may work later.
fn passes(error: &PlatformError) -> bool {
    use ErrorCode::{NetworkError, RateLimited, ServiceDown, TimeoutError};
    matches!(error.code, NetworkError | TimeoutError | ServiceDown | RateLimited)
}
