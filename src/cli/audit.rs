//! `audit`: who asked for what, exported and verified.
//!
//! The chain is followed here and not on the server: whoever can change the log could also change the answer. A head
//! that was exported earlier and kept elsewhere shows a log that was made anew as a whole.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use axum::http::Method;
use serde::{Deserialize, Serialize};

use super::Session;
use super::client::{Client, Content};
use super::exit::{Advised, Exit};
use super::{files, kinds, print};
use crate::wire::Page;
use crate::wire::audit::{AuditHead, AuditRow, Broken, verify};

/// Rows of one request.
const PER_PAGE: usize = 1000;

/// What `audit` does.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Audit {
    /// Write the audit log as JSON lines, with its head as the last
    Export {
        /// The file; standard output where none is given
        #[arg(short, long = "out", visible_alias = "output", value_name = "FILE")]
        out: Option<PathBuf>,
        /// Requests below no organisation (log-ins, new organisations); only on the server's own host
        #[arg(long)]
        server_wide: bool,
    },
    /// Check that no row was changed, taken out or put in; with an exported file, also that the log goes on from it
    Verify {
        /// What `windlass audit export` wrote earlier
        file: Option<PathBuf>,
        /// Requests below no organisation; only on the server's own host
        #[arg(long)]
        server_wide: bool,
    },
}

/// The last line of an exported file.
#[derive(Serialize, Deserialize)]
struct LastLine {
    head: AuditHead,
}

impl Audit {
    /// Exports or verifies.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        match self {
            Self::Export { out, server_wide } => {
                let (org, rows) = fetch(session, server_wide).await?;
                let head = verify(&org, &rows).map_err(|broken| tampered(&org, broken))?;
                let mut text = String::new();
                for row in &rows {
                    text.push_str(&serde_json::to_string(row)?);
                    text.push('\n');
                }
                text.push_str(&serde_json::to_string(&LastLine { head: head.clone() })?);
                text.push('\n');
                match out.filter(|path| path != Path::new("-")) {
                    Some(path) => files::write_private(&path, text.as_bytes())
                        .with_context(|| format!("could not write `{}`", path.display()))?,
                    None => print::data(&text)?,
                }
                print::success(format!(
                    "{} rows of {} exported; the head is {} {}.",
                    head.number,
                    named(&org),
                    head.number,
                    head.hash
                ));
            }
            Self::Verify { file, server_wide } => {
                let kept = file.map(|path| read(&path)).transpose()?;
                let (org, rows) = fetch(session, server_wide).await?;
                let head = verify(&org, &rows).map_err(|broken| tampered(&org, broken))?;
                let mut goes_on = String::new();
                if let Some((kept, before)) = kept {
                    continues(&org, &rows, &kept, &before)?;
                    goes_on = format!(" It goes on from the export of {} rows.", kept.number);
                }
                print::success(format!(
                    "The audit log of {} is whole: {} rows, head {}.{goes_on}",
                    named(&org),
                    head.number,
                    head.hash
                ));
            }
        }
        Ok(Exit::OK)
    }
}

fn named(org: &str) -> String {
    if org.is_empty() {
        "the server".to_owned()
    } else {
        format!("organization {org}")
    }
}

fn tampered(org: &str, broken: Broken) -> anyhow::Error {
    Advised::new(
        format!(
            "the audit log of {} was tampered with: {broken}",
            named(org)
        ),
        ["an earlier export shows what it was: windlass audit verify FILE"],
    )
    .into()
}

/// Checks that what was exported is the beginning of what is there.
fn continues(
    org: &str,
    rows: &[AuditRow],
    kept: &AuditHead,
    before: &[AuditRow],
) -> anyhow::Result<()> {
    if kept.organization != org {
        anyhow::bail!(
            "the export is of {}, and this is {}",
            named(&kept.organization),
            named(org)
        );
    }
    for (at, row) in before.iter().enumerate() {
        let number = at + 1;
        match rows.get(at) {
            Some(now) if now.hash == row.hash => {}
            Some(_) => anyhow::bail!(
                "the audit log of {} was rewritten: number {number} is not what was exported",
                named(org)
            ),
            None => anyhow::bail!(
                "the audit log of {} was cut off: number {number} and what follows was exported and is gone",
                named(org)
            ),
        }
    }
    Ok(())
}

/// Reads an exported file and checks it by itself.
fn read(path: &Path) -> anyhow::Result<(AuditHead, Vec<AuditRow>)> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read `{}`", path.display()))?;
    let place = path.display();
    let mut lines: Vec<&str> = text.lines().collect();
    let last = lines.pop().and_then(|line| serde_json::from_str(line).ok());
    let Some(LastLine { head }) = last else {
        anyhow::bail!("`{place}` does not end with a head: it was cut off, or is no export");
    };
    let mut rows = Vec::with_capacity(lines.len());
    for (at, line) in lines.into_iter().enumerate() {
        let row: AuditRow = serde_json::from_str(line)
            .with_context(|| format!("`{place}`: line {} is no row", at + 1))?;
        rows.push(row);
    }
    let found = verify(&head.organization, &rows)
        .map_err(|broken| anyhow::anyhow!("`{place}` was tampered with: {broken}"))?;
    if found != head {
        anyhow::bail!("`{place}` was tampered with: its head is not the hash of its last row");
    }
    Ok((head, rows))
}

async fn fetch(session: &Session, server_wide: bool) -> anyhow::Result<(String, Vec<AuditRow>)> {
    let client: &Client = session.client().await?;
    let (org, path) = if server_wide {
        (String::new(), "/server/audit-log".to_owned())
    } else {
        let org = client.org().to_owned();
        let path = format!("/orgs/{}/audit-log", kinds::segment(&org));
        (org, path)
    };
    let mut rows = Vec::new();
    let mut page = String::new();
    loop {
        let uri = format!("{path}?per_page={PER_PAGE}{page}");
        let answer = client
            .call_at(Method::GET, &uri, Content::Empty, &[])
            .await?;
        let next: Page<AuditRow> = answer.json()?;
        rows.extend(next.items);
        match next.next_page_token.filter(|token| !token.is_empty()) {
            Some(token) => page = format!("&page={}", kinds::segment(&token)),
            None => return Ok((org, rows)),
        }
    }
}
