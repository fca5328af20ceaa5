//! What this machine remembers about alerts, and telling others when they change.
//!
//! [`Watch`] is one look: it holds the lock, reads the [`book`], lets the rules of [`analysis::alerts`] see what was
//! observed, keeps the book, and sends what changed. The book is kept before anything is sent, so that a kill in between
//! sends again and forgets nothing; what is sent twice is recognised by its key.
//!
//! [`analysis::alerts`]: crate::analysis::alerts

mod book;
mod outbox;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

pub use book::{Ack, Book, KeyLook, Quiet, Seen, moment, splits, subject_key};

use crate::analysis::alerts::{Moment, Observed, Priority, Rule, Sample, State};
use crate::app::App;
use crate::error::{Explained, Kind};
use crate::guard::{Lease, operator};
use crate::notify::Channel;
use crate::runbook::SectionId;
use crate::wire::Time;

/// How long another look at the same alerts is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// One alert about one subject, as it stands.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its name.
    pub alert: &'static str,
    /// The platform it is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The runbook's name.
    pub title: &'static str,
    /// How soon somebody has to be at it.
    pub priority: Priority,
    /// The same in words: `within 15 minutes`.
    pub response: &'static str,
    /// Where it stands.
    pub state: State,
    /// Whether it is unknown because somebody tried to look and could not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub blind: bool,
    /// What was seen.
    pub seen: String,
    /// What it is beyond, and for how long.
    pub threshold: &'static str,
    /// Milliseconds it has been beyond it.
    pub held_ms: u64,
    /// Since when it fires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firing_since: Option<Time>,
    /// What to do.
    pub action: &'static str,
    /// The first command.
    pub next: String,
    /// The runbook's section.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runbook: Option<SectionId>,
    /// Who silenced it, and until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silenced: Option<Quiet>,
    /// Who is at it, and until when that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Quiet>,
}

impl Status {
    fn new(rule: &'static Rule, subject: &str, seen: String, state: State) -> Self {
        Status {
            alert: rule.name,
            subject: subject.to_owned(),
            title: rule.title,
            priority: rule.priority,
            response: rule.priority.response(),
            state,
            blind: false,
            seen,
            threshold: rule.threshold,
            held_ms: 0,
            firing_since: None,
            action: rule.action,
            next: rule.next(subject),
            runbook: rule.section,
            silenced: None,
            acknowledged: None,
        }
    }

    /// `circuit-open/notion`.
    pub fn name(&self) -> String {
        subject_key(self.alert, &self.subject)
    }

    /// Whether it fires and nobody silenced it.
    pub fn is_loud(&self) -> bool {
        self.state == State::Firing && self.silenced.is_none()
    }
}

/// One look at alerts, and what is remembered of the looks before.
pub struct Watch {
    book: Book,
    now: Moment,
    /// Whether the book can be kept.
    lasting: bool,
    /// Freed when the look is over; there is none where nothing can be written.
    _lease: Option<Lease>,
}

impl Watch {
    /// Takes the lock and opens the context's book. A book that cannot be read or kept is a warning: it must not hide an
    /// alert.
    pub async fn open(app: &App) -> anyhow::Result<Self> {
        let lease = match lease(app).await {
            Ok(lease) => Some(lease),
            Err(error) if Explained::from_error(&error).kind == Kind::Conflict => return Err(error),
            Err(error) => {
                app.output.warn(&format!("nobody is kept from looking at the same time: {error:#}"));
                None
            }
        };
        let (book, lasting) = match Book::read(app) {
            Ok(book) => (book, true),
            Err(error) => {
                app.output.warn(&format!(
                    "what was known of alerts is not known now, so alerts do not wait for their durations: {error:#}"
                ));
                (Book::default(), false)
            }
        };
        Ok(Watch { book, now: moment(app), lasting, _lease: lease })
    }

    /// The book.
    pub fn book(&mut self) -> &mut Book {
        &mut self.book
    }

    /// This moment.
    pub fn now(&self) -> &Moment {
        &self.now
    }

    /// Takes what was observed, keeps it, and tells the channels what changed. What could not be sent stays in the book
    /// for the next look; nothing of that changes the answer.
    pub async fn observe(mut self, app: &App, observed: &[Observed], channels: &[Channel]) -> Vec<Status> {
        let before = self.book.clone();
        let mut statuses = self.take(app, observed, channels);
        if self.lasting
            && let Err(error) = self.book.keep(app)
        {
            app.output.warn(&format!(
                "what was seen is not remembered, so alerts do not wait for their durations: {error:#}"
            ));
            self.lasting = false;
            self.book = before;
        }
        if !self.lasting {
            statuses = self.take(app, observed, channels);
        }
        if channels.is_empty() {
            return statuses;
        }
        outbox::deliver(app, &mut self.book, channels).await;
        if self.lasting
            && let Err(error) = self.book.keep(app)
        {
            app.output.warn(&format!("that it was sent is not remembered, so it will be sent again: {error:#}"));
        }
        statuses
    }

    /// What is beyond right now, however long: nothing is remembered or told.
    pub fn glance(mut self, observed: &[Observed]) -> Vec<Status> {
        self.book = Book { silences: self.book.silences, acks: self.book.acks, ..Book::default() };
        self.lasting = false;
        self.see(observed)
    }

    fn take(&mut self, app: &App, observed: &[Observed], channels: &[Channel]) -> Vec<Status> {
        let statuses = self.see(observed);
        outbox::queue(app, &mut self.book, &statuses, channels, self.now.wall, self.lasting);
        statuses
    }

    fn see(&mut self, observed: &[Observed]) -> Vec<Status> {
        self.book.forget_quiet(&self.now);
        let mut statuses = Vec::new();
        for seen in observed {
            let key = subject_key(seen.rule.name, &seen.subject);
            let kept = self.book.seen.entry(key.clone()).or_default();
            kept.track.see(&seen.sample, seen.rule.hold, &self.now, self.lasting);
            kept.text = seen.sample.text().to_owned();
            let mut status = Status::new(seen.rule, &seen.subject, kept.text.clone(), kept.track.state(&seen.sample));
            status.blind = matches!(seen.sample, Sample::Unknown { blind: true, .. });
            status.held_ms = kept.track.held_ms;
            status.firing_since = kept.track.firing;
            kept.state = Some(status.state);
            if status.state != State::Firing {
                self.book.acks.remove(&key);
            }
            status.silenced = self.book.silence_of(seen.rule.name, &seen.subject);
            status.acknowledged = self.book.ack_of(seen.rule.name, &seen.subject);
            statuses.push(status);
        }
        // What fires about a subject that nobody named this time goes on firing: not to be seen is not to be well.
        let rules: BTreeSet<&str> = observed.iter().map(|seen| seen.rule.name).collect();
        statuses.extend(self.book.unseen(&rules, observed));
        statuses
    }
}

async fn lease(app: &App) -> anyhow::Result<Lease> {
    let subject = format!("alerts of {}", app.settings.context_name.value);
    let who = operator(&app.settings.env);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match Lease::take(&app.settings.places, &subject, "looking at alerts", &who, app.now()) {
            Err(error)
                if Explained::from_error(&error).kind == Kind::Conflict && tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => return other,
        }
    }
}
