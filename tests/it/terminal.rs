//! A command on a terminal of its own: what is typed reaches it as from a keyboard, Ctrl-C included.
//!
//! By `script` of the Debian base system, which makes the terminal and writes down what it shows.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use crate::support::Place;

/// A terminal with a command on it.
pub(crate) struct Terminal {
    child: Child,
    shown: tempfile::NamedTempFile,
}

impl Terminal {
    /// Starts the binary on it.
    pub(crate) fn start<S: AsRef<OsStr>>(
        place: &Place,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        let command = place.command(arguments);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line: Vec<String> = words.map(quoted).collect();
        let shown = tempfile::NamedTempFile::new_in(place.work()).expect("a file for output");
        let mut script = Command::new("script");
        script
            .args(["--quiet", "--flush", "--return", "--command"])
            .arg(format!("exec {}", line.join(" ")))
            .arg("/dev/null")
            .env_clear()
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm");
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                script.env(name, value);
            }
        }
        if let Some(directory) = command.get_current_dir() {
            script.current_dir(directory);
        }
        let child = script
            .stdin(Stdio::piped())
            .stdout(shown.reopen().expect("the same file"))
            .spawn()
            .expect("`script` starts; it is part of Debian's bsdutils");
        Self { child, shown }
    }

    /// Types.
    pub(crate) fn types(&mut self, text: &str) {
        let keyboard = self.child.stdin.as_mut().expect("a keyboard");
        keyboard.write_all(text.as_bytes()).expect("typed");
        keyboard.flush().expect("typed");
    }

    /// Whether this was shown so far.
    pub(crate) fn shows(&self, words: &str) -> bool {
        let shown = fs::read(self.shown.path()).unwrap_or_default();
        String::from_utf8_lossy(&shown).contains(words)
    }

    /// Whether the command has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A word for the shell.
fn quoted(word: &OsStr) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', "'\\''"))
}
