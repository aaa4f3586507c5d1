//! A PostgreSQL server for the servers under test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A server that ends when this is dropped, or the process is gone.
pub(crate) struct Postgres {
    child: Child,
    said: BufReader<ChildStdout>,
    home: String,
}

impl Postgres {
    /// Starts one; what it was told is on the disk.
    pub(crate) fn start() -> Self {
        let mut child = Command::new("bash")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres"))
            .args(["fsync=on", "synchronous_commit=on"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash");
        let mut said = BufReader::new(child.stdout.take().expect("piped"));
        let mut home = String::new();
        said.read_line(&mut home).expect("reads");
        assert!(
            !home.is_empty(),
            "no PostgreSQL: install it by `bash tests/run`"
        );
        Self {
            child,
            said,
            home: home.trim().to_owned(),
        }
    }

    /// Its one database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://windlass@localhost/postgres?host={}", self.home)
    }

    /// What a query says, as text.
    pub(crate) fn ask(&self, query: &str) -> String {
        ask(&self.url(), query).unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    /// Has it do something (the script lists what) and waits until that is done.
    pub(crate) fn tell(&mut self, word: &str) {
        let stdin = self.child.stdin.as_mut().expect("piped");
        writeln!(stdin, "{word}").expect("writes");
        let mut done = String::new();
        self.said.read_line(&mut done).expect("reads");
        assert_eq!(done, "done\n", "{word}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// What a query says, as text: a row a line. Fails where the server is away.
pub(crate) fn ask(url: &str, query: &str) -> Result<String, String> {
    let asked = Command::new("psql")
        .args([
            "--no-psqlrc",
            "--tuples-only",
            "--no-align",
            "--command",
            query,
        ])
        .arg(url)
        .output()
        .expect("psql");
    match asked.status.success() {
        true => Ok(String::from_utf8_lossy(&asked.stdout).trim().to_owned()),
        false => Err(String::from_utf8_lossy(&asked.stderr).into_owned()),
    }
}
