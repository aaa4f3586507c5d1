//! Fetches one revision of a git repository with the system's `git`, and takes the files of one directory.
//!
//! The user's own git configuration and keys apply, because that is what gives access; nothing is asked on a
//! terminal, no hook runs, and only `https` and `ssh` are spoken.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::{Code, GitSource, MAX_BYTES, SourceError};

/// An archive has 512 bytes of header and padding per file; more than this is too big whatever is in it.
const MAX_ARCHIVE: u64 = 4 * MAX_BYTES as u64;

/// Fetches the code of a source.
pub(crate) async fn fetch(source: &GitSource, timeout: Duration) -> Result<Code, SourceError> {
    fetch_over(source, timeout, "https:ssh").await
}

async fn fetch_over(
    source: &GitSource,
    timeout: Duration,
    transports: &str,
) -> Result<Code, SourceError> {
    let refused = |why: String| SourceError::Git {
        url: source.shown(),
        why,
    };
    let directory = tempfile::tempdir().map_err(|error| refused(error.to_string()))?;
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(directory.path())
            .args([
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "credential.interactive=false",
            ])
            .args(arguments)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", transports)
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0);
        command
    };
    let work = async {
        let said = |why: String| refused(hide(&why, source));
        run(git(&["init", "--quiet"])).await.map_err(said)?;
        let revision = source.revision.as_deref().unwrap_or("HEAD");
        let shallow = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--depth",
            "1",
            "--",
            &source.url,
            revision,
        ];
        if let Err(why) = run(git(&shallow)).await {
            // Not every server gives out a commit by its name; then its history is needed.
            let is_commit = revision.len() >= 7 && revision.bytes().all(|b| b.is_ascii_hexdigit());
            if !is_commit {
                return Err(said(why));
            }
            let whole = [
                "fetch",
                "--quiet",
                "--tags",
                "--",
                &source.url,
                "+refs/*:refs/fetched/*",
            ];
            run(git(&whole)).await.map_err(said)?;
            let commit = format!("{revision}^{{commit}}");
            let found = run(git(&["rev-parse", "--verify", "--end-of-options", &commit])).await;
            let found = found.map_err(|_| refused(format!("there is no revision `{revision}`")))?;
            let found = String::from_utf8_lossy(&found).trim().to_owned();
            run(git(&["update-ref", "refs/windlass", &found]))
                .await
                .map_err(said)?;
        } else {
            run(git(&["update-ref", "refs/windlass", "FETCH_HEAD"]))
                .await
                .map_err(said)?;
        }
        let tree = format!("refs/windlass:{}", source.directory);
        let archive = run(git(&["archive", "--format=tar", &tree]))
            .await
            .map_err(|why| {
                if source.directory.is_empty() {
                    said(why)
                } else {
                    refused(format!(
                        "it has no directory `{}` at this revision",
                        source.directory
                    ))
                }
            })?;
        let code = Code::from_tar(&archive)?;
        refuse_outside(&code, source)?;
        Ok(code)
    };
    tokio::time::timeout(timeout, work)
        .await
        .unwrap_or_else(|_| {
            Err(refused(format!(
                "no answer within {} seconds",
                timeout.as_secs()
            )))
        })
}

/// Only the directory is kept, so code in it that refers to what lies above could not be loaded.
fn refuse_outside(code: &Code, source: &GitSource) -> Result<(), SourceError> {
    if source.directory.is_empty() {
        return Ok(());
    }
    for (path, content) in code.files() {
        let text = String::from_utf8_lossy(content);
        let climbs = text.lines().any(|line| {
            let line: String = line.chars().filter(|c| !c.is_whitespace()).collect();
            line.starts_with("source=\"../") && !path.contains('/')
        });
        if climbs {
            return Err(SourceError::Git {
                url: source.shown(),
                why: format!(
                    "`{}/{path}` refers to a module above its own directory, which is not fetched; move it below, \
                     or give that module an address of its own",
                    source.directory
                ),
            });
        }
    }
    Ok(())
}

/// Runs a command; its output, or the last line of what it complained about.
async fn run(mut command: Command) -> Result<Vec<u8>, String> {
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            "`git` is not installed; install it, or upload the directory instead".to_owned()
        }
        _ => format!("`git` did not start: {error}"),
    })?;
    let group = Group(child.id());
    let (mut output, mut complaint) = (Vec::new(), Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let read_output = async {
        if let Some(out) = out {
            let _ = out.take(MAX_ARCHIVE + 1).read_to_end(&mut output).await;
        }
    };
    let read_complaint = async {
        if let Some(err) = err {
            let _ = err.take(1 << 20).read_to_end(&mut complaint).await;
        }
    };
    tokio::join!(read_output, read_complaint);
    if output.len() as u64 > MAX_ARCHIVE {
        return Err("it is too big; 5 MiB of files at most".to_owned());
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    std::mem::forget(group);
    if status.success() {
        return Ok(output);
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let last = complaint
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("fatal:") || line.starts_with("error:"))
        .or_else(|| complaint.lines().last())
        .unwrap_or("git failed without a word");
    Err(last.chars().filter(|c| !c.is_control()).take(300).collect())
}

/// Ends `git` with the `ssh` or helper it started, when nobody waits for it any more.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let pid = self.0.and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Git repeats the address in its complaints; what may be a password in it is not repeated by us.
fn hide(why: &str, source: &GitSource) -> String {
    why.replace(&source.url, &source.shown())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn repository() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        std::fs::create_dir_all(path.join("modules/db")).expect("makes");
        std::fs::write(path.join("main.tf"), "# root").expect("writes");
        std::fs::write(path.join("modules/db/main.tf"), "# db").expect("writes");
        for arguments in [
            &["init", "--quiet", "--initial-branch=main"][..],
            &["add", "."],
            &[
                "-c",
                "user.name=x",
                "-c",
                "user.email=x@example.com",
                "commit",
                "--quiet",
                "-m",
                "one",
            ],
            &["tag", "v1"],
        ] {
            let mut command = Command::new("git");
            command.arg("-C").arg(path).args(arguments);
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .process_group(0);
            run(command).await.expect("git works");
        }
        directory
    }

    fn source(directory: &tempfile::TempDir, inside: &str, revision: Option<&str>) -> GitSource {
        GitSource {
            url: format!("file://{}", directory.path().display()),
            directory: inside.to_owned(),
            revision: revision.map(str::to_owned),
        }
    }

    async fn fetched(source: &GitSource) -> Result<Code, SourceError> {
        fetch_over(source, Duration::from_secs(30), "file").await
    }

    #[tokio::test]
    async fn a_directory_of_a_tag_is_fetched() {
        let repository = repository().await;
        let code = fetched(&source(&repository, "modules/db", Some("v1")))
            .await
            .expect("fetches");
        assert_eq!(code.files().keys().collect::<Vec<_>>(), ["main.tf"]);
        assert_eq!(code.files()["main.tf"], b"# db");
        let root = fetched(&source(&repository, "", None))
            .await
            .expect("fetches");
        assert_eq!(root.files().len(), 2);
    }

    #[tokio::test]
    async fn a_missing_revision_directory_or_repository_is_said() {
        let repository = repository().await;
        for source in [
            source(&repository, "", Some("v2")),
            source(&repository, "nothing", Some("v1")),
            GitSource {
                url: "file:///nowhere/at/all".into(),
                directory: String::new(),
                revision: None,
            },
        ] {
            let error = fetched(&source).await.expect_err("nothing there");
            assert!(matches!(error, SourceError::Git { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn only_https_and_ssh_are_spoken() {
        let repository = repository().await;
        let refused = fetch(&source(&repository, "", None), Duration::from_secs(30)).await;
        assert!(refused.is_err());
    }
}
