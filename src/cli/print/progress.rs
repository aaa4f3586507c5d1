//! Live progress: one line that changes on a terminal, plain lines elsewhere, nothing with `--quiet`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The bar on screen, so that other output goes above it.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn shown() -> MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `write` while no bar is drawn.
pub(crate) fn above(write: impl FnOnce()) {
    let bar = shown().clone();
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// What is going on, until it is finished or dropped.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    plain: bool,
    last: String,
    since: Instant,
}

impl Progress {
    /// Starts to show; `what` is the first message.
    pub(crate) fn start(what: &str) -> Self {
        let quiet = super::is_quiet();
        let live = !quiet && super::is_watched();
        let bar = live.then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(
                ProgressStyle::with_template("{spinner:.green} {msg} {elapsed:.dim}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar.enable_steady_tick(Duration::from_millis(100));
            *shown() = Some(bar.clone());
            bar
        });
        let mut progress = Self {
            bar,
            plain: !quiet && !live,
            last: String::new(),
            since: Instant::now(),
        };
        progress.say(what);
        progress
    }

    /// Changes the message. Elsewhere than on a terminal, prints it when it differs from the last one.
    pub(crate) fn say(&mut self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        } else if self.plain && self.last != what {
            super::note(format!("[{:>6}] {what}", elapsed(self.since.elapsed())));
        }
        what.clone_into(&mut self.last);
    }

    /// Says what changes often: shown on a terminal only.
    pub(crate) fn tick(&mut self, what: &str) {
        if self.bar.is_some() {
            self.say(what);
        }
    }

    /// A line that stays, above the live one.
    pub(crate) fn line(&self, text: &str) {
        super::note(text);
    }

    /// How long it has been shown.
    pub(crate) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Takes the live line away.
    pub(crate) fn finish(self) {}
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            shown().take();
            bar.finish_and_clear();
        }
    }
}

/// A duration as people read it: `850ms`, `12.3s`, `4m05s`, `2h03m`.
pub(crate) fn elapsed(duration: Duration) -> String {
    let millis = duration.as_millis();
    let secs = duration.as_secs();
    if millis < 1000 {
        format!("{millis}ms")
    } else if secs < 60 {
        format!("{}.{}s", secs, (millis % 1000) / 100)
    } else if secs < 3600 {
        format!("{}m{:02}s", secs / 60, secs % 60)
    } else {
        format!("{}h{:02}m", secs / 3600, secs % 3600 / 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let text = |millis| elapsed(Duration::from_millis(millis));
        assert_eq!(
            [text(850), text(12_345), text(245_000), text(7_380_000)],
            ["850ms", "12.3s", "4m05s", "2h03m"]
        );
    }
}
