//! Where a new value comes from: the platform's API, a person, or the sandbox's simulator.

use super::book::{Progress, Stage};
use super::run::{Run, Step, Stop};
use super::turn::{Credential, Turn, Way, refresh_file};
use crate::commands::args::read_text;
use crate::error::{Fault, Kind};
use crate::files::{remove_leftovers, write_whole};
use crate::platforms::GoogleKey;
use crate::platforms::{Credentials, PlatformError};
use crate::sandbox::sim::Api;
use crate::secret::Secret;
use crate::server::config;
use crate::wire::ErrorCode;

/// How often a person may type a value that cannot be one.
const TRIES: usize = 3;

impl Run<'_> {
    /// Gets the new value and puts it where a resumed run finds it.
    pub(super) async fn mint(&mut self, turn: &Turn, progress: &mut Progress) -> Step {
        let credential = turn.credential;
        self.remember_old(turn)?;
        if let Some(value) = self.book.new_value(credential) {
            // It was brought along; or it was made, and only the stage was not written down any more.
            return self.minted(turn, progress, &value, None);
        }
        match turn.way {
            Way::Iam => self.mint_by_iam(turn, progress).await,
            Way::OAuth => self.mint_by_oauth(turn, progress).await,
            Way::Simulated => self.mint_simulated(turn, progress).await,
            Way::Asked => self.mint_by_hand(turn, progress).await,
        }
    }

    /// The old value, where it is known here and can be ended, or seen to have ended, with it.
    fn remember_old(&mut self, turn: &Turn) -> anyhow::Result<()> {
        let here = self.env.get(&turn.variable).map(|value| Secret::new(value.trim()));
        let is_old = |value: &Secret| turn.old.as_ref() == Some(&value.fingerprint());
        match here.filter(|value| is_old(value) && turn.old_key.is_none()) {
            Some(value) => self.book.put_old(turn.credential, &value),
            None => Ok(()),
        }
    }

    fn minted(&mut self, turn: &Turn, progress: &mut Progress, value: &Secret, key: Option<String>) -> Step {
        let value = normal(turn, value)?;
        self.app.output.redactor.add([&value]);
        if turn.old.as_ref() == Some(&value.fingerprint()) {
            return Err(Stop::failed("that is the old key"));
        }
        self.book.put_new(turn.credential, Some(&value))?;
        progress.new = Some(value.fingerprint());
        progress.new_key = key.or_else(|| key_id(&value));
        progress.stage = Stage::Minted;
        Ok(())
    }

    async fn mint_by_iam(&mut self, turn: &Turn, progress: &mut Progress) -> Step {
        let clients = self.clients(&self.env).await?;
        let limit = self.app.settings.timeout.value;
        let listed = match clients.account_keys(limit).await {
            Ok(listed) => listed,
            Err(error) => return self.or_by_hand(turn, progress, &error).await,
        };
        if progress.stage == Stage::Minting {
            // A key that was made and never written down is nobody's: its private half was shown that once.
            let since = progress.minting_since;
            let lost = |made| since.zip(made).is_none_or(|(since, made)| made >= since);
            for key in listed.iter().filter(|key| !progress.keys_before.contains(&key.id) && lost(key.made)) {
                clients.delete_account_key(&key.id, limit).await.map_err(|e| Stop::failed(e.to_string()))?;
                self.say(&format!("{}: withdrew key {} of the interrupted try", turn.credential, &key.id));
            }
        } else {
            progress.keys_before = listed.into_iter().map(|key| key.id).collect();
            // Google's times are whole seconds.
            progress.minting_since = Some(crate::wire::Time(self.app.now().0.div_euclid(1000) * 1000));
            progress.stage = Stage::Minting;
            self.book.note(turn.credential, progress.clone())?;
        }
        match clients.make_account_key(limit).await {
            Ok(made) => {
                let value = match turn.variable.as_str() {
                    "GOOGLE_SERVICE_ACCOUNT_KEY" => made.file,
                    _ => private_key(&made.file)?,
                };
                self.minted(turn, progress, &value, Some(made.id))
            }
            Err(error) => self.or_by_hand(turn, progress, &error).await,
        }
    }

    async fn mint_by_oauth(&mut self, turn: &Turn, progress: &mut Progress) -> Step {
        let platform = turn.credential.first();
        let context = self.app.settings.context()?;
        let file = refresh_file(context, &self.app.settings.env, platform);
        let (Some(app), Some(file)) = (self.oauth_app(turn), file) else {
            return Err(Stop::failed("its connection's id, secret or refresh token is not here any more"));
        };
        let clients = self.clients(&self.env).await?;
        let pair = match clients.next_pair(platform, &app, self.app.settings.timeout.value).await {
            Ok(pair) => pair,
            Err(error) => return self.or_by_hand(turn, progress, &error).await,
        };
        // The one that was used is used up: its successor comes first.
        remove_leftovers(&file)?;
        write_whole(&file, pair.refresh.expose().as_bytes(), true)?;
        self.app.output.redactor.add([&pair.refresh]);
        let variable = crate::platforms::rotation::OAuthApp::refresh_variable(platform);
        self.env.insert(variable, pair.refresh.expose().to_owned());
        self.minted(turn, progress, &pair.access, None)
    }

    /// What the API refuses to make, a person may.
    async fn or_by_hand(&mut self, turn: &Turn, progress: &mut Progress, error: &PlatformError) -> Step {
        let passes = matches!(
            error.code,
            ErrorCode::NetworkError | ErrorCode::TimeoutError | ErrorCode::ServiceDown | ErrorCode::RateLimited
        );
        if passes || !self.app.prompt.can_ask() {
            let by_hand = format!("--value-file {}=FILE brings one from {}", turn.credential, turn.credential.page());
            return Err(Stop::failed(format!("no new key was made: {error}; {by_hand}")));
        }
        self.app.output.warn(&format!("{}: the API made no new key: {error}", turn.credential));
        self.mint_by_hand(turn, progress).await
    }

    async fn mint_simulated(&mut self, turn: &Turn, progress: &mut Progress) -> Step {
        if self.app.prompt.can_ask() {
            let practice = "Enter alone: the simulator makes it";
            if let Some(value) = self.ask(turn, practice).await? {
                return self.minted(turn, progress, &value, None);
            }
        }
        let Some(ground) = &self.ground else { return Err(Stop::failed("the simulators are not there")) };
        // The same again for the same run: nothing is made in vain when this is interrupted.
        let made = ground.mint_once(api(turn.credential), self.approval.receipt_id()).await;
        let value = made.map_err(|error| Stop::failed(format!("{error:#}")))?;
        self.minted(turn, progress, &value, None)
    }

    async fn mint_by_hand(&mut self, turn: &Turn, progress: &mut Progress) -> Step {
        if !self.app.prompt.can_ask() {
            let (name, page) = (turn.credential, turn.credential.page());
            let fault = Fault::new(Kind::Declined, format!("the new {} is needed", turn.variable))
                .because(format!("only a person can make it: {page}"))
                .hint(format!("opsctl security rotate-keys --resume --value-file {name}=FILE"));
            return Err(Stop::Run(fault.into()));
        }
        for _ in 0..TRIES {
            let Some(value) = self.ask(turn, "Enter alone gives it up").await? else {
                return Err(Stop::failed("no new value was given"));
            };
            match self.minted(turn, progress, &value, None) {
                Err(Stop::Failed(why)) => self.app.output.warn(&why),
                other => return other,
            }
        }
        Err(Stop::failed("no usable value was given"))
    }

    /// Asks the person for the new value, or for the file that has it where it has many lines.
    async fn ask(&self, turn: &Turn, otherwise: &str) -> Step<Option<Secret>> {
        let credential = turn.credential;
        let page = credential.page();
        self.app.output.say(&format!("{credential}: make a new one at {page}\n  {otherwise}\n"));
        let unread = |error: std::io::Error| Stop::Run(error.into());
        if turn.variable == "GOOGLE_SERVICE_ACCOUNT_KEY" || turn.variable == "GOOGLE_SERVICE_ACCOUNT_PRIVATE_KEY" {
            let path = self.app.prompt.text("Path of the new key file:").await.map_err(unread)?;
            let Some(path) = path.map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()) else { return Ok(None) };
            let (_, text) = read_text(&path).map_err(|fault| Stop::failed(fault.causes.join(": ")))?;
            return Ok(Some(Secret::new(text)));
        }
        let value = self.app.prompt.secret(&format!("New {}:", turn.variable)).await.map_err(unread)?;
        Ok(Some(value).filter(|value| !value.expose().trim().is_empty()))
    }
}

/// The value in its normal spelling, or why it cannot be one.
pub(super) fn normal(turn: &Turn, value: &Secret) -> Result<Secret, Stop> {
    let value = match turn.variable.as_str() {
        "GOOGLE_SERVICE_ACCOUNT_PRIVATE_KEY" if value.expose().trim_start().starts_with('{') => private_key(value)?,
        _ => value.clone(),
    };
    let Some(def) = config::find(&turn.variable) else { return Ok(value) };
    let normal = def.kind.normalise(value.expose());
    let normal = normal.map_err(|why| Stop::failed(format!("that cannot be a {}: it {why}", turn.variable)))?;
    Ok(Secret::new(normal))
}

/// The private key in a key file.
fn private_key(file: &Secret) -> Result<Secret, Stop> {
    let parsed: Option<serde_json::Value> = serde_json::from_str(file.expose()).ok();
    let key = parsed.as_ref().and_then(|file| file["private_key"].as_str());
    key.map(Secret::new).ok_or_else(|| Stop::failed("the key file has no private_key"))
}

/// Google's id of a key, when the value is a key file.
fn key_id(value: &Secret) -> Option<String> {
    let env = std::collections::BTreeMap::from([(
        "GOOGLE_SERVICE_ACCOUNT_KEY".to_owned(),
        Some(value.expose().trim()).filter(|text| text.starts_with('{'))?.to_owned(),
    )]);
    match Credentials::from_env(&env).primary.google {
        Some(Ok(GoogleKey::ServiceAccount { key_id, .. })) => key_id,
        _ => None,
    }
}

/// The simulator of a credential.
pub(super) fn api(credential: Credential) -> Api {
    match credential {
        Credential::Notion => Api::Notion,
        Credential::Trello => Api::Trello,
        Credential::Slack => Api::Slack,
        Credential::Google => Api::Google,
    }
}
