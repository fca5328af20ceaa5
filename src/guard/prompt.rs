//! Asking the person.

use std::io::{self, BufRead, IsTerminal, Write};

use futures_util::future::{LocalBoxFuture, ready};

use crate::secret::Secret;

/// What asking gives.
pub type Answer<'a, T> = LocalBoxFuture<'a, io::Result<T>>;

/// Somebody who can be asked. Every answer that is not plainly given is a no.
pub trait Prompt {
    /// Whether there is somebody: stdin and stderr are both terminals.
    fn can_ask(&self) -> bool;
    /// A line of text; `None` at end of input.
    fn text<'a>(&'a self, question: &'a str) -> Answer<'a, Option<String>>;
    /// A secret, not echoed.
    fn secret<'a>(&'a self, question: &'a str) -> Answer<'a, Secret>;
}

/// Whether an answer to `[y/N]` is a yes.
pub(super) fn is_yes(answer: Option<&str>) -> bool {
    answer.is_some_and(|a| matches!(a.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// The person at the terminal. The keyboard is read on a thread of its own, so that Ctrl-C ends the command at once.
pub struct Terminal;

impl Prompt for Terminal {
    fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    fn text<'a>(&'a self, question: &'a str) -> Answer<'a, Option<String>> {
        Box::pin(async move {
            let mut err = io::stderr();
            write!(err, "{question} ").and_then(|()| err.flush())?;
            on_a_thread(|| {
                let mut line = String::new();
                let read = io::stdin().lock().read_line(&mut line)?;
                if read == 0 {
                    // End of input leaves the cursor behind the question.
                    writeln!(io::stderr())?;
                    return Ok(None);
                }
                Ok(Some(line))
            })
            .await
        })
    }

    fn secret<'a>(&'a self, question: &'a str) -> Answer<'a, Secret> {
        let question = question.trim_end_matches(':').to_owned();
        Box::pin(async move {
            let mut echo = EchoBack { needed: true };
            let typed = on_a_thread(move || {
                let prompt = dialoguer::Password::new().with_prompt(question).allow_empty_password(true);
                let typed = prompt.interact_on(&dialoguer::console::Term::stderr());
                typed.map_err(|dialoguer::Error::IO(error)| error)
            })
            .await;
            echo.needed = false;
            typed.map(Secret::new)
        })
    }
}

async fn on_a_thread<T: Send + 'static>(read: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

/// Turns the terminal's echo on again when the question is left by Ctrl-C: the thread that turned it off is not
/// waited for.
struct EchoBack {
    needed: bool,
}

impl Drop for EchoBack {
    fn drop(&mut self) {
        if self.needed {
            let _ = std::process::Command::new("stty").arg("echo").status();
        }
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

    fn next(&self, question: &str) -> Option<String> {
        self.asked.borrow_mut().push(question.to_owned());
        self.answers.borrow_mut().pop_front()
    }
}

impl Prompt for Scripted {
    fn can_ask(&self) -> bool {
        self.present
    }

    fn text<'a>(&'a self, question: &'a str) -> Answer<'a, Option<String>> {
        Box::pin(ready(Ok(self.next(question))))
    }

    fn secret<'a>(&'a self, question: &'a str) -> Answer<'a, Secret> {
        Box::pin(ready(Ok(Secret::new(self.next(question).unwrap_or_default()))))
    }
}
