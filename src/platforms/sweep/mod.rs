//! Reading all of a database or a board, page by page, handing each object on at once: memory does not grow with it.
//!
//! A platform that asks to wait is waited for; one that fails for a moment is asked again. Nothing is written.

mod notion;
mod trello;

use std::time::Duration;

pub use notion::{DataSource, Database, time_of};
pub use trello::{Board, made};

use super::session::{Failed, Session};
use super::{CALL_TIMEOUT, Clients, Platform, PlatformError};
use crate::wire::ErrorCode;

/// Longest that a read waits for a platform that is busy, all waits together.
const PATIENCE: Duration = Duration::from_secs(900);

/// Tries after the first for a platform that fails for a moment.
const RETRIES: u32 = 4;

impl Clients {
    /// Makes one read; again when the platform is busy, after the wait that it asks for, and a few times when it fails
    /// for a moment.
    pub(super) async fn patiently<T>(
        &self,
        platform: Platform,
        read: impl AsyncFn(&Session) -> Result<T, Failed>,
    ) -> Result<T, PlatformError> {
        let (mut failures, mut refusals, mut waited) = (0, 0_u32, Duration::ZERO);
        loop {
            let error = match read(&self.session(platform, CALL_TIMEOUT)).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed.error,
            };
            let growing = |n: u32| Duration::from_millis(500) * 2_u32.pow(n.min(6));
            let wait = match error.code {
                ErrorCode::RateLimited if waited < PATIENCE => {
                    refusals += 1;
                    error.retry_after.unwrap_or(growing(refusals)).max(Duration::from_millis(100))
                }
                ErrorCode::NetworkError | ErrorCode::TimeoutError | ErrorCode::ServiceDown if failures < RETRIES => {
                    failures += 1;
                    growing(failures - 1)
                }
                _ => return Err(error),
            };
            waited += wait;
            tokio::time::sleep(wait).await;
        }
    }
}
