//! Progress on stderr: a bar on a terminal, nothing elsewhere (the caller's notes say start and end).

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress display; it goes away when dropped.
pub struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(total: u64, what: &str, visible: bool) -> Self {
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {per_sec} left {eta}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        Progress(bar)
    }

    /// One more is done.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// How far it is, and what it is at.
    pub fn at(&self, what: &str, done: u64, total: u64) {
        if self.0.message() != what {
            self.0.set_message(what.to_owned());
        }
        self.0.set_length(total);
        self.0.set_position(done);
    }

    /// Writes a line above the bar through `write`, so that neither overwrites the other.
    pub fn around(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
