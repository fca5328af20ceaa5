//! Asking the person.

use std::io::{self, IsTerminal};

use crate::secret::Secret;

/// Somebody who can be asked. Every answer that is not plainly given is a no.
pub trait Prompt {
    /// Whether there is somebody: stdin and stderr are both terminals.
    fn can_ask(&self) -> bool;
    /// y/N, default no.
    fn yes_no(&self, question: &str) -> io::Result<bool>;
    /// A line of text; `None` at end of input.
    fn text(&self, question: &str) -> io::Result<Option<String>>;
    /// A secret, not echoed.
    fn secret(&self, question: &str) -> io::Result<Secret>;
}

/// The person at the terminal.
pub struct Terminal;

fn as_io(error: dialoguer::Error) -> io::Error {
    let dialoguer::Error::IO(error) = error;
    error
}

impl Prompt for Terminal {
    fn can_ask(&self) -> bool {
        // `dialoguer` reads the keyboard even when stdin is a file, so both ends are looked at here.
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    fn yes_no(&self, question: &str) -> io::Result<bool> {
        let answer = self.text(&format!("{question} [y/N]"))?;
        Ok(answer.is_some_and(|a| matches!(a.trim().to_ascii_lowercase().as_str(), "y" | "yes")))
    }

    fn text(&self, question: &str) -> io::Result<Option<String>> {
        let question = question.trim_end_matches(':');
        let answer = dialoguer::Input::<String>::new()
            .with_prompt(question)
            .allow_empty(true)
            .interact_text_on(&dialoguer::console::Term::stderr());
        match answer.map_err(as_io) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            other => other.map(Some),
        }
    }

    fn secret(&self, question: &str) -> io::Result<Secret> {
        let typed = dialoguer::Password::new()
            .with_prompt(question)
            .interact_on(&dialoguer::console::Term::stderr())
            .map_err(as_io)?;
        Ok(Secret::new(typed))
    }
}

/// Prepared answers, for tests.
#[derive(Debug, Default)]
pub struct Scripted {
    present: bool,
    answers: std::cell::RefCell<std::collections::VecDeque<String>>,
    asked: std::cell::RefCell<Vec<String>>,
}

impl Scripted {
    /// Nobody is there.
    pub fn nobody() -> Self {
        Scripted::default()
    }

    /// Somebody who answers this, in order, and then ends the input.
    pub fn answers<'a>(answers: impl IntoIterator<Item = &'a str>) -> Self {
        let answers = answers.into_iter().map(str::to_owned).collect();
        Scripted { present: true, answers: std::cell::RefCell::new(answers), ..Scripted::default() }
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }
}

impl Prompt for Scripted {
    fn can_ask(&self) -> bool {
        self.present
    }

    fn yes_no(&self, question: &str) -> io::Result<bool> {
        Ok(matches!(self.text(question)?.as_deref(), Some("y" | "yes")))
    }

    fn text(&self, question: &str) -> io::Result<Option<String>> {
        self.asked.borrow_mut().push(question.to_owned());
        Ok(self.answers.borrow_mut().pop_front())
    }

    fn secret(&self, question: &str) -> io::Result<Secret> {
        Ok(Secret::new(self.text(question)?.unwrap_or_default()))
    }
}
