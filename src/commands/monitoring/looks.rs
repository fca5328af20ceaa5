//! Many questions at once, some of which fail.

use crate::analysis::maintenance::Look;
use crate::error::Explained;

/// What came of the questions so far.
#[derive(Default)]
pub struct Looks {
    answers: u32,
    first: Option<anyhow::Error>,
}

impl Looks {
    /// Keeps an answer, or why there is none.
    pub fn keep<T>(&mut self, answer: anyhow::Result<T>) -> Look<T> {
        match answer {
            Ok(value) => {
                self.answers += 1;
                Ok(value)
            }
            Err(error) => {
                let why = Explained::from_error(&error).message;
                self.first.get_or_insert(error);
                Err(why)
            }
        }
    }

    /// Why nothing could be looked at; `None` when anything could.
    pub fn failure(self) -> Option<anyhow::Error> {
        self.first.filter(|_| self.answers == 0)
    }
}
