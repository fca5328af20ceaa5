//! `opsctl token`: who may talk to the orchestrator, and with which role.

use std::io;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::app::App;
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::output::{Page, Report, Table};
use crate::settings::{format_duration, parse_duration};
use crate::wire::{Role, Time, TokenCreated, TokenInfo, TokenRequest};

/// Tokens of the orchestrator.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Create(CreateArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Create(args) => create(app, args).await,
            Self::List(args) => list(app, args).await,
            Self::Revoke(args) => revoke(app, args).await,
        }
    }
}

/// Make a token and show its value this once
///
/// viewer reads, operator makes changes that can be recovered from, admin everything. The value alone goes to stdout:
/// keep it in a file with mode 0600, or in your keyring. The service keeps only its hash.
///
/// Example: opsctl token create ci --role viewer --expires 30d --yes
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// What it is for
    #[arg(value_name = "NAME")]
    name: String,

    /// What it may do: viewer, operator or admin
    #[arg(long, value_name = "ROLE")]
    role: Role,

    /// How long it works; for ever without it
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    expires: Option<Duration>,

    #[command(flatten)]
    change: ChangeArgs,
}

async fn create(app: &App, args: CreateArgs) -> anyhow::Result<Outcome> {
    let CreateArgs { name, role, expires, change } = args;
    let until = expires.map_or("works until it is revoked".to_owned(), |d| format!("works for {}", format_duration(d)));
    let step = Step::new("POST /admin/v1/tokens")
        .on(&name)
        .because(format!("a new {role} token, {until}"))
        .undo(Undo::Reverse("opsctl token revoke ID".into()));
    let mut plan = Plan::new("token create", format!("make the {role} token `{name}`"), &change).step(step);
    if expires.is_none() {
        plan = plan.note("without --expires it works until somebody revokes it");
    }
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let expires_in = expires.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
    let request = TokenRequest { name, role, expires_in };
    let created = app.orchestrator().await?.create_token(&approval, &request).await?;
    let id = created.token.id.clone();
    app.emit(&Created(created))?;
    app.note(format!("token {id}: this is the only time its value is shown"));
    app.receipt(&approval, vec![ReceiptItem::applied(&id, UndoAction::RevokeToken { id: id.clone() })])?;
    Ok(Outcome::Done)
}

/// In text the value alone, so that a script can keep it.
#[derive(Serialize)]
#[serde(transparent)]
struct Created(TokenCreated);

impl Report for Created {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.line(&self.0.value)
    }
}

/// List the tokens, without their values
///
/// Example: opsctl token list
#[derive(Args, Debug)]
pub struct ListArgs {}

async fn list(app: &App, _args: ListArgs) -> anyhow::Result<Outcome> {
    let tokens = app.orchestrator().await?.tokens().await?.tokens;
    app.emit(&Tokens(tokens))?;
    Ok(Outcome::Done)
}

#[derive(Serialize)]
#[serde(transparent)]
struct Tokens(Vec<TokenInfo>);

impl Report for Tokens {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["ID", "NAME", "ROLE", "STATE", "MADE", "ENDS", "LAST USED"]);
        for token in &self.0 {
            let time = |t: Option<Time>| t.map(|t| page.time(t)).unwrap_or_default();
            table.row([
                token.id.clone(),
                token.name.clone(),
                if token.break_glass { format!("{} (break-glass)", token.role) } else { token.role.to_string() },
                state(token, page.now).to_owned(),
                page.time(token.created_at),
                time(token.expires_at),
                time(token.last_used_at),
            ]);
        }
        page.table(&table)
    }

    fn empty_note(&self) -> Option<String> {
        self.0.is_empty().then(|| "No tokens.".into())
    }
}

fn state(token: &TokenInfo, now: Time) -> &'static str {
    match (token.revoked_at, token.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(at)) if at <= now => "expired",
        _ => "works",
    }
}

/// Stop a token from working
///
/// At once and for good: make a new one with `opsctl token create`. The ids are those of `opsctl token list`.
///
/// Example: opsctl token revoke tok_0198f2a1 --dry-run
#[derive(Args, Debug)]
pub struct RevokeArgs {
    /// The token's id
    #[arg(value_name = "ID")]
    id: String,

    #[command(flatten)]
    change: ChangeArgs,
}

async fn revoke(app: &App, args: RevokeArgs) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?;
    let tokens = orchestrator.tokens().await?.tokens;
    let Some(token) = tokens.into_iter().find(|t| t.id == args.id) else {
        return Err(Fault::new(Kind::NotFound, format!("there is no token `{}`", args.id))
            .because(format!("the orchestrator at {} has none with this id", orchestrator.url()))
            .hint("list them with `opsctl token list`")
            .into());
    };
    if let Some(at) = token.revoked_at {
        app.note(format!("token {} is already revoked, since {at}", token.id));
        return Ok(Outcome::Done);
    }
    let step = Step::new(format!("DELETE /admin/v1/tokens/{}", token.id))
        .because(format!("the {} token `{}` stops working", token.role, token.name))
        .undo(Undo::None);
    let plan = Plan::new("token revoke", format!("revoke the token `{}`", token.name), &args.change).step(step);
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let answer = orchestrator.revoke_token(&approval, &token.id).await?;
    app.note(&answer.message);
    let undo = UndoAction::none("a revoked token stays revoked");
    app.receipt(&approval, vec![ReceiptItem { effect: answer.effect, ..ReceiptItem::applied(token.id, undo) }])?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_works_until_it_is_revoked_or_over() {
        let token = |revoked_at, expires_at| TokenInfo {
            id: "t".into(),
            name: "n".into(),
            role: Role::Viewer,
            created_at: Time(0),
            expires_at,
            last_used_at: None,
            revoked_at,
            break_glass: false,
        };
        assert_eq!(state(&token(None, None), Time(10)), "works");
        assert_eq!(state(&token(None, Some(Time(10))), Time(10)), "expired");
        assert_eq!(state(&token(Some(Time(5)), Some(Time(10))), Time(7)), "revoked");
    }
}
