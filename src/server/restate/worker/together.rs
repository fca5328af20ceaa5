//! One answer for all who ask the same at the same time: behind a closed gate thousands of tries ask it again and again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::time::Instant;

/// When a question was asked last, and what the answer was.
type Last = Option<(Instant, Result<Value, String>)>;

/// Questions that change nothing, by what they are about.
#[derive(Default)]
pub(super) struct Together(Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Last>>>>);

impl Together {
    /// Asks, unless somebody has since this call came: an answer that was asked for earlier may be out of date, and is not
    /// used. A failure is everybody's too: each of thousands would wait as long for its own.
    pub async fn ask<F: Future<Output = Result<Value, String>>>(
        &self,
        about: &str,
        ask: impl FnOnce() -> F,
    ) -> Result<Value, String> {
        let came = Instant::now();
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(about.to_owned()).or_default().clone();
        let mut last = last.lock().await;
        match &*last {
            Some((asked, answer)) if *asked >= came => answer.clone(),
            _ => {
                let asked = Instant::now();
                let answer = ask().await;
                *last = Some((asked, answer.clone()));
                answer
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn an_answer_is_shared_and_never_older_than_the_question() {
        let (together, asked) = (Together::default(), AtomicUsize::new(0));
        let ask = || async {
            let n = asked.fetch_add(1, Ordering::Relaxed) + 1;
            tokio::task::yield_now().await;
            if n == 3 { Err("it is away".to_owned()) } else { Ok(json!(n)) }
        };
        let all = |count| join_all((0..count).map(|_| together.ask("Gate/all/check", ask)));
        // The first is under way when the others come: theirs is the one asked after it.
        assert_eq!(all(4).await, [Ok(json!(1)), Ok(json!(2)), Ok(json!(2)), Ok(json!(2))]);
        let away = || Err("it is away".to_owned());
        assert_eq!(all(1).await, [away()]);
        assert_eq!(all(3).await, [Ok(json!(4)), Ok(json!(5)), Ok(json!(5))], "what failed is asked again");
    }
}
